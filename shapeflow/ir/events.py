"""Events: the stream of values that a running plan produces.

Comparisons ignore measured fields (loss, seconds, held-out values): two machines that execute the same plan must
produce equal events.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from shapeflow.base.sealed import LONGEST
from shapeflow.base.shapes import Shape


@attrs.frozen
class RunStarted:
    """The run starts in its first shape, or resumes at `step`. `plan` is the plan's digest. `micro_batch`: shape -> the
    samples that each process computes at once, where `--micro-batch auto` chose them.

    `device`: name of what it computes on; `devices`: how many of them. `peak_flops`: FLOP/s of one device that `mfu` of
    a step is a share of; None if it is not known. `peak_from`: where the peak comes from, or why there is none.
    `memory_of`: what `memory` of a step counts."""

    plan: str
    step: int
    micro_batch: Mapping[str, int] | None = attrs.field(default=None, eq=False)
    device: str | None = attrs.field(default=None, eq=False)
    devices: int | None = attrs.field(default=None, eq=False)
    peak_flops: float | None = attrs.field(default=None, eq=False)
    peak_from: str | None = attrs.field(default=None, eq=False)
    memory_of: str | None = attrs.field(default=None, eq=False)


@attrs.frozen
class RunBranched:
    """The steps after this one follow another plan. `step`: number of steps done at the checkpoint from which the run
    goes on. `plan`: digest of the plan of these steps. `folder`: the run that made them; empty for this one.
    `checkpoint`: digest of the checkpoint there. `differs`: how the plan of these steps differs from the run's plan
    before `step`; None if both make the same steps."""

    step: int
    plan: str
    folder: str
    checkpoint: str
    differs: str | None = None


@attrs.frozen
class TransitionApplied:
    """The edits of a switch were applied. `stage` is the index of the stage that begins."""

    stage: int
    by: str
    step: int
    compute: float
    seconds: float = attrs.field(default=0.0, eq=False)
    """Duration of the edits."""


@attrs.frozen
class StageEntered:
    stage: int
    shape: Shape
    step: int
    compute: float


@attrs.frozen
class StepDone:
    """One optimizer step. `shape` is the shape of this step, which in a blended step is that of the blend. `compute`
    is the number of FLOPs since the start of the run, including this step. `seconds` is the step's wall time.

    The other fields are set in steps that are logged. `learning_rate`: without the factor of matrices.
    `gradient_norm`: of all parameters, before clipping. `throughput`: tokens, images or vectors per second of training,
    over the last steps of the stage. `mfu`: over the same steps, FLOP/s of the model over the peak of all devices; None
    if that is not known. `memory`: highest use since the process began, in bytes; only read now and then."""

    step: int
    stage: int
    shape: Shape
    compute: float
    loss: float = attrs.field(eq=False)
    seconds: float = attrs.field(eq=False)
    learning_rate: float | None = attrs.field(default=None, eq=False)
    gradient_norm: float | None = attrs.field(default=None, eq=False)
    throughput: float | None = attrs.field(default=None, eq=False)
    mfu: float | None = attrs.field(default=None, eq=False)
    memory: int | None = attrs.field(default=None, eq=False)


@attrs.frozen
class Evaluation:
    """What a machine measures on held-out data. `values`: metric -> value. `errors`: metric -> standard error of the
    value over samples of held-out data of this size, where it is known. All evaluations of a run use the same held-out
    data, so their differences are known much better than that."""

    values: Mapping[str, float]
    errors: Mapping[str, float] = attrs.field(factory=dict)


@attrs.frozen
class Measured:
    """An evaluation of the averaged weights on held-out data. `values`: metric (`loss@own`, `loss@longest`,
    `classification_error`, ...) -> value. `predicted`: the value of the plan's metric that its laws predict.
    `seconds`: wall time of all steps and switches since this process began, without evaluation. `errors`: metric ->
    standard error of the value (see `Evaluation`). `evaluating`: wall time of all evaluations since this process
    began."""

    step: int
    stage: int
    shape: Shape
    compute: float
    predicted: float | None
    values: Mapping[str, float] = attrs.field(eq=False)
    seconds: float = attrs.field(eq=False)
    errors: Mapping[str, float] = attrs.field(factory=dict, eq=False)
    evaluating: float = attrs.field(default=0.0, eq=False)


@attrs.frozen
class CheckpointSaved:
    step: int
    name: str


@attrs.frozen
class RunEnded:
    """The run ends. `finished` is False if it ended before the end of the plan. `stopped_by` says why it did: the name
    of a signal, such as `SIGTERM`, or `until` or `pause`, the options."""

    step: int
    compute: float
    finished: bool
    stopped_by: str | None = attrs.field(default=None, eq=False)


Event = RunStarted | RunBranched | TransitionApplied | StageEntered | StepDone | Measured | CheckpointSaved | RunEnded

OF_THE_CLOCK = frozenset({"seconds", "evaluating", "throughput", "mfu", "memory"})
"""Fields that differ between two runs with the same bits. `RunStarted` differs in more: where a run computes."""

NAMES: dict[type, str] = {
    RunStarted: "run_started",
    RunBranched: "run_branched",
    TransitionApplied: "transition_applied",
    StageEntered: "stage_entered",
    StepDone: "step_done",
    Measured: "measured",
    CheckpointSaved: "checkpoint_saved",
    RunEnded: "run_ended",
}


def event_to_json(event: Event) -> dict[str, Any]:
    """An event as a JSON object, which is one line of `events.jsonl`."""
    fields: dict[str, Any] = {"event": NAMES[type(event)]}
    for field in attrs.fields(type(event)):
        value = getattr(event, field.name)
        if value is None and field.default is None:
            continue
        fields[field.name] = value.json() if isinstance(value, Shape) else value
    return fields


def event_from_json(fields: Mapping[str, Any]) -> Event:
    """The event that `event_to_json` wrote. Raises ValueError if the fields are not an event."""
    kinds = {name: kind for kind, name in NAMES.items()}
    values = dict(fields)
    kind = kinds.get(str(values.pop("event", "")))
    known = {field.name: field for field in attrs.fields(kind)} if kind is not None else {}
    # Logs of earlier versions may lack fields that have a default.
    needed = {name for name, field in known.items() if field.default is attrs.NOTHING}
    if kind is None or not needed <= set(values) <= set(known):
        raise ValueError(f"not an event: {fields!r}")
    for name, value in values.items():
        if not _fits(name, value):
            raise ValueError(f"not an event: `{name}` is {value!r}")
    if "shape" in values:
        values["shape"] = Shape.from_json(values["shape"])
    for name in ("values", "errors"):
        if not all(map(_is_number, values.get(name, {}).values())):
            raise ValueError(f"not an event: `{name}` is {values[name]!r}")
    if not all(type(count) is int and 0 < count < LONGEST for count in (values.get("micro_batch") or {}).values()):
        raise ValueError(f"not an event: `micro_batch` is {values['micro_batch']!r}")
    event: Event = kind(**values)
    return event


def _fits(name: str, value: Any) -> bool:
    """Whether a field of an event has a value of its type. Losses of a run that diverged are not finite."""
    kind = _KINDS[name]
    if kind is bool or not isinstance(value, int | float):
        return isinstance(value, kind)
    if kind is int:
        return type(value) is int and 0 <= value < LONGEST
    return isinstance(value, kind) and _is_number(value) and (name in _DIVERGES or math.isfinite(value))


_DIVERGES = frozenset({"loss", "gradient_norm"})


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) < LONGEST)


_KINDS: Mapping[str, Any] = {
    "step": int,
    "stage": int,
    "compute": int | float,
    "loss": int | float,
    "learning_rate": int | float,
    "gradient_norm": int | float,
    "differs": str,
    "throughput": int | float,
    "mfu": int | float,
    "memory": int,
    "device": str,
    "devices": int,
    "peak_flops": int | float,
    "peak_from": str,
    "memory_of": str,
    "seconds": int | float,
    "predicted": int | float | None,
    "finished": bool,
    "stopped_by": str,
    "shape": Mapping,
    "values": Mapping,
    "errors": Mapping,
    "evaluating": int | float,
    "plan": str,
    "micro_batch": Mapping | None,
    "by": str,
    "name": str,
    "folder": str,
    "checkpoint": str,
}
"""Field of an event -> its type."""
