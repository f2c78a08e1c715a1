"""What happens while a plan runs: a stream of values.

Measured fields (a loss, seconds) are no part of equality: two machines that execute one plan must agree on all the
rest, event by event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from shapeflow.base.shapes import Shape


@attrs.frozen
class RunStarted:
    """The machine has taken the first shape, or has come back at `step`. `plan` is the plan's digest."""

    plan: str
    step: int


@attrs.frozen
class TransitionApplied:
    """The edits of a switch have been made; `stage` is the stage that begins."""

    stage: int
    by: str
    step: int
    compute: float
    seconds: float = attrs.field(default=0.0, eq=False)
    """What the edits took."""


@attrs.frozen
class StageEntered:
    stage: int
    shape: Shape
    step: int
    compute: float


@attrs.frozen
class StepDone:
    """One optimiser step. `shape` is the one the step was taken in (a blend's, where the stage blends); `compute`
    counts all FLOPs from the start of the run, this step's included; `seconds` is the step's wall time."""

    step: int
    stage: int
    shape: Shape
    compute: float
    loss: float = attrs.field(eq=False)
    seconds: float = attrs.field(eq=False)


@attrs.frozen
class Measured:
    """Held-out values by metric (`loss@own`, `loss@longest`, `classification_error`, ...), of the averaged weights.
    `predicted` is what the plan's laws expect of the plan's metric here. `seconds`: time of the steps since this
    process began, evaluation left out."""

    step: int
    stage: int
    shape: Shape
    compute: float
    predicted: float | None
    values: Mapping[str, float] = attrs.field(eq=False)
    seconds: float = attrs.field(eq=False)


@attrs.frozen
class CheckpointSaved:
    step: int
    name: str


@attrs.frozen
class RunEnded:
    """`finished` is False where the run was asked to stop before the plan's end."""

    step: int
    compute: float
    finished: bool


Event = RunStarted | TransitionApplied | StageEntered | StepDone | Measured | CheckpointSaved | RunEnded

NAMES: dict[type, str] = {
    RunStarted: "run_started",
    TransitionApplied: "transition_applied",
    StageEntered: "stage_entered",
    StepDone: "step_done",
    Measured: "measured",
    CheckpointSaved: "checkpoint_saved",
    RunEnded: "run_ended",
}


def event_to_json(event: Event) -> dict[str, Any]:
    """One line of `events.jsonl`."""
    fields: dict[str, Any] = {"event": NAMES[type(event)]}
    for field in attrs.fields(type(event)):
        value = getattr(event, field.name)
        fields[field.name] = value.json() if isinstance(value, Shape) else value
    return fields


def event_from_json(fields: Mapping[str, Any]) -> Event:
    """The event of one line. Raises ValueError where the line is none."""
    kinds = {name: kind for kind, name in NAMES.items()}
    values = dict(fields)
    kind = kinds.get(str(values.pop("event", "")))
    known = {field.name: field for field in attrs.fields(kind)} if kind is not None else {}
    # A log of an earlier version may lack what has a default.
    needed = {name for name, field in known.items() if field.default is attrs.NOTHING}
    if kind is None or not needed <= set(values) <= set(known):
        raise ValueError(f"not an event: {fields!r}")
    for name, value in values.items():
        if not isinstance(value, _KINDS[name]):
            raise ValueError(f"not an event: `{name}` is {value!r}")
    if "shape" in values:
        values["shape"] = Shape.from_json(values["shape"])
    if not all(isinstance(value, int | float) for value in values.get("values", {}).values()):
        raise ValueError(f"not an event: `values` is {values['values']!r}")
    event: Event = kind(**values)
    return event


_KINDS: Mapping[str, Any] = {
    "step": int,
    "stage": int,
    "compute": int | float,
    "loss": int | float,
    "seconds": int | float,
    "predicted": int | float | None,
    "finished": bool,
    "shape": Mapping,
    "values": Mapping,
    "plan": str,
    "by": str,
    "name": str,
}
"""Field of an event -> what it may be."""
