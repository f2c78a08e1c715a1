"""Feeds trackers with the events of a run."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shapeflow.base.diagnostics import Diagnostic
from shapeflow.base.files import read_text, write_text
from shapeflow.base.json_text import parse_json
from shapeflow.base.shapes import Shape
from shapeflow.ir.events import (
    CheckpointSaved,
    Event,
    Measured,
    RunEnded,
    RunStarted,
    StageEntered,
    StepDone,
    TransitionApplied,
)
from shapeflow.ir.plan import Plan, Spec
from shapeflow.tracking.tracker import About, Tracker

Values = dict[str, float]
Warn = Callable[[Diagnostic], None]

POINTS = 5_000
"""Maximum number of steps of a run that are sent, evenly thinned."""
IDENTITIES = "tracking.json"
"""File of a run's folder: name of a tracker -> what identifies the run there."""


def values_of(event: Event) -> Values:
    """The finite numbers of an event by name: `train/loss`, `held_out/METRIC`, `shape/AXIS`, `compute`, and so on."""
    found: dict[str, Any] = {}
    if isinstance(event, StepDone):
        found = {"train/loss": event.loss, "train/step_seconds": event.seconds, "compute": event.compute}
        readings = ("learning_rate", "gradient_norm", "throughput", "mfu", "memory")
        found |= {f"train/{name}": getattr(event, name) for name in readings}
        found |= _shape(event.shape)
    elif isinstance(event, Measured):
        found = {f"held_out/{name}": value for name, value in event.values.items()}
        found |= {f"held_out/{name}_standard_error": value for name, value in event.errors.items()}
        found |= {"held_out/predicted": event.predicted, "compute": event.compute, "train/seconds": event.seconds}
        found |= {"held_out/seconds": event.evaluating}
    elif isinstance(event, StageEntered):
        found = {"stage": event.stage + 1, "compute": event.compute, **_shape(event.shape)}
    elif isinstance(event, TransitionApplied):
        found = {"switch/seconds": event.seconds}
    return {name: float(value) for name, value in found.items() if _finite(value)}


class Tracking:
    """Sends the events of one run to its trackers. `listen` gets every event in order."""

    def __init__(
        self, plan: Plan, folder: Path, trackers: Mapping[str, Tracker], warn: Warn, *, continues: bool = True
    ) -> None:
        """`trackers`: the name that the user gave -> the tracker. `continues`: whether a run that was tracked before is
        continued there; else a new one begins."""
        self._continues = continues
        self._plan, self._folder, self._warn = plan, folder, warn
        self._trackers = dict(trackers)
        self._begun = False
        self._every = max(1, -(-plan.steps // POINTS))

    def listen(self, event: Event) -> None:
        """Send an event. Never raises an error of a tracker."""
        if isinstance(event, RunStarted):
            # The log of a run that was resumed has one for each start.
            if not self._begun:
                self._begin(event.step)
        elif isinstance(event, RunEnded):
            self._end(event.finished)
        elif isinstance(event, StageEntered):
            shape = event.shape.written(self._plan.units)
            by = self._plan.stages[self._plan.stage_at(event.step + 1)].arrives_by
            self._send(event, event.step)
            self._each(lambda tracker: tracker.note(f"stage {event.stage + 1}: {shape}, by {by}", event.step))
        elif not isinstance(event, StepDone | CheckpointSaved) or self._sends(event):
            self._send(event, event.step)

    def _sends(self, event: StepDone | CheckpointSaved) -> bool:
        return isinstance(event, StepDone) and event.step % self._every == 0

    def close(self) -> None:
        """End the run at the trackers if it has not ended, because the process ends."""
        if self._begun:
            self._end(False)

    def _end(self, finished: bool) -> None:
        self._each(lambda tracker: tracker.end(finished))
        self._trackers.clear()

    def _begin(self, step: int) -> None:
        self._begun = True
        known = identities(self._folder) if self._continues else {}
        for name, tracker in list(self._trackers.items()):
            about = About(self._name, self._folder, config_of(self._plan), step, known.get(name))
            with self._guarded(name):
                found = tracker.begin(about)
                if found is not None:
                    known[name] = found
        if known and self._continues:
            write_text(self._folder / IDENTITIES, json.dumps(known, indent=1, sort_keys=True) + "\n")

    @property
    def _name(self) -> str:
        return self._plan.name or self._folder.name

    def _send(self, event: Event, step: int) -> None:
        values = values_of(event)
        if values:
            self._each(lambda tracker: tracker.scalars(values, step))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            with self._guarded(name):
                call(tracker)

    def _guarded(self, name: str) -> contextlib.AbstractContextManager[None]:
        return _Guard(lambda error: self._drop(name, error))

    def _drop(self, name: str, error: Exception) -> None:
        del self._trackers[name]
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        message = f"the tracker `{name}` failed, and gets nothing more of this run"
        help_ = f"the run goes on; `shapeflow track {self._folder} --to {name}` sends all of it later"
        self._warn(Diagnostic("tracker-failed", message, place="tracker", notes=(why,), help=help_, severity="warning"))


class _Guard(contextlib.AbstractContextManager[None]):
    """Hands any error of a tracker to a function; trackers are programs of others. `SystemExit` is one of them."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, SystemExit):
            error = RuntimeError(f"it tried to end the process: {error}")
        if isinstance(error, Exception):
            self._failed(error)
            return True
        return False


def identities(folder: Path) -> dict[str, str]:
    """What identifies a run at its trackers, by their names. Empty if it was not tracked, or the file is broken."""
    try:
        found = parse_json(read_text(folder / IDENTITIES)) if (folder / IDENTITIES).is_file() else {}
    except ValueError:
        return {}
    return {str(name): value for name, value in found.items() if isinstance(value, str)} if found else {}


def config_of(plan: Plan) -> dict[str, Any]:
    """What a plan states, flat: `model`, `model.width`, ... Values are numbers, texts and booleans."""
    found: dict[str, Any] = {
        "plan": plan.digest,
        "metric": plan.metric,
        "seed": plan.seed,
        "steps": plan.totals.steps,
        "compute": plan.totals.compute,
        "predicted": plan.totals.error,
        "stages": " > ".join(stage.shape.written(plan.units) for stage in plan.stages),
    }
    specs: Sequence[tuple[str, Spec | None]] = (
        ("model", plan.model),
        ("data", plan.data),
        ("optimizer", plan.optimizer),
    )
    for name, spec in (*specs, *((f"objective.{name}", spec) for name, spec in plan.objectives.items())):
        if spec is not None:
            found[name] = spec.name
            found |= {f"{name}.{setting}": _plain(value) for setting, value in spec.settings.items()}
    return {name: value for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str | bool) else json.dumps(value, default=str)


def _shape(shape: Shape) -> dict[str, Any]:
    return {f"shape/{axis}": value for axis, value in shape.items()}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
