"""A plan that a training loop of its own follows: its steps in order, and a run folder that `shapeflow show` reads."""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsFloat

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import write_text
from shapeflow.ir import plan_json
from shapeflow.ir.events import (
    Event,
    Measured,
    RunEnded,
    RunStarted,
    StageEntered,
    StepDone,
    TransitionApplied,
)
from shapeflow.ir.plan import Plan
from shapeflow.ir.steps import Step, Steps
from shapeflow.running.lock import Lock
from shapeflow.running.run_folder import begun, require_plan
from shapeflow.running.run_log import DATA, EVENTS, OWN_LOOP, PLAN, Log, logged, require_machine
from shapeflow.running.specs import load


def follow(plan: Plan | str | Path, folder: str | Path | None = None, done: int = 0) -> Session:
    """Return the steps of a plan for a training loop of one's own.

    `plan`: a plan, or the path of a plan file; `folder`: the run folder to write, in the leading process alone; None:
    nothing is written; `done`: the number of steps that were made before, if the loop does not call
    `load_state_dict`.

    Raises Refused `no-model`, `no-such-step`, what reading a plan file raises, and `other-plan` or `other-machine` if
    the folder has a run of another plan, or one that a machine made."""
    found = plan if isinstance(plan, Plan) else load(Path(plan))
    return Session(found, None if folder is None else Path(folder), done)


class Session:
    """The steps of a plan in order, from the first one that is not done.

    Call `log` after each update, and `measured` after each evaluation. Save `state_dict()` in the same checkpoint as
    weights and optimizer. A step counts as done when the next one is asked for, or when it is logged."""

    def __init__(self, plan: Plan, folder: Path | None = None, done: int = 0) -> None:
        """See `follow`."""
        self.plan, self.folder = plan, folder
        self._steps = Steps(plan)
        self._done = self._checked(done, "done")
        self._log: Log | None = None
        self._lock: weakref.finalize[..., Session] | None = None
        """Lets others write to the folder. A session that is dropped without `close` does not keep them out."""
        self._entered: int | None = None
        self._begun = time.monotonic()
        self._trained = 0.0
        if folder is not None and (begun(folder) or (folder / PLAN).exists()):
            require_machine(folder, OWN_LOOP)
            require_plan(folder, plan, OWN_LOOP)

    @property
    def done(self) -> int:
        """The number of steps that are done."""
        return self._done

    def __len__(self) -> int:
        """The number of steps of the whole plan."""
        return self.plan.steps

    def __iter__(self) -> Iterator[Step]:
        """Yield the steps that are not done.

        Raises Refused `run-exists` if the folder has steps that this session did not load, `run-busy` if another
        session writes to it, `cannot-write`, `disk-full`."""
        while self._done < self.plan.steps:
            step = self._steps.at(self._done)
            self._enter(step)
            self._begun = time.monotonic()
            yield step
            self._done = max(self._done, step.index + 1)
        self.close()

    def log(
        self,
        step: Step,
        loss: SupportsFloat | None,
        *,
        seconds: float | None = None,
        learning_rate: float | None = None,
        gradient_norm: SupportsFloat | None = None,
    ) -> None:
        """Record an update. `loss`: None: the update counts, and is not written, as in a trainer that does not know the
        loss of each step; `seconds`: its time; None: the time since the step was asked for."""
        spent = time.monotonic() - self._begun if seconds is None else float(seconds)
        self._trained += spent
        self._done = max(self._done, step.index + 1)
        if loss is None:
            return
        norm = None if gradient_norm is None else _number(gradient_norm)
        rate = step.lr if learning_rate is None else float(learning_rate)
        here = (step.index + 1, step.stage, step.shape, step.compute)
        self._write(StepDone(*here, _number(loss), spent, learning_rate=rate, gradient_norm=norm))

    def measured(
        self, step: Step, values: Mapping[str, SupportsFloat], errors: Mapping[str, SupportsFloat] | None = None
    ) -> None:
        """Record held-out values after a step. `values`: metric -> value, such as `{plan.metric: 3.2}`; `errors`:
        metric -> standard error."""
        shape = self.plan.stages[step.stage].shape
        here = (step.index + 1, step.stage, shape, step.compute, self.plan.predicted(step.index + 1))
        self._write(Measured(*here, _floats(values), self._trained, _floats(errors or {})))

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs: the digest of the plan, and the number of steps done."""
        return {"plan": self.plan.digest, "done": self._done}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint. Later events of the folder's log are removed at the next step.

        Raises Refused `foreign-checkpoint` for one of another plan, `broken-checkpoint` for what no session returned.
        """
        if not isinstance(state, Mapping) or set(state) != {"plan", "done"}:
            message = "this is not the state of a session"
            help_ = "load what `session.state_dict()` returned: it has the keys `plan` and `done`"
            raise Refused(Diagnostic("broken-checkpoint", message, place="load_state_dict", help=help_))
        if state["plan"] != self.plan.digest:
            notes = (f"its plan: {state['plan']}", f"this plan: {self.plan.digest}")
            message, help_ = "the checkpoint belongs to another plan", "load the plan that it was made with"
            raise Refused(Diagnostic("foreign-checkpoint", message, place="load_state_dict", notes=notes, help=help_))
        self._shut()
        self._done, self._entered = self._checked(state["done"], "load_state_dict"), None

    def close(self) -> None:
        """Close the log, and let other sessions write to the folder. The next step opens it again. If all steps are
        done, the run has finished."""
        if self._done == self.plan.steps:
            self._write(RunEnded(self.plan.steps, self.plan.compute_at(self.plan.steps), True))
        self._shut()

    def _shut(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._lock is not None:
            self._lock()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._shut()

    def _checked(self, done: Any, place: str) -> int:
        if isinstance(done, bool) or not isinstance(done, int) or not 0 <= done <= self.plan.steps:
            message = f"{done!r} steps cannot be done of a plan of {self.plan.steps}"
            help_ = f"use a whole number from 0 to {self.plan.steps}"
            raise Refused(Diagnostic("no-such-step", message, place=place, help=help_))
        return done

    def _enter(self, step: Step) -> None:
        if self.folder is not None and self._log is None:
            self._log = self._opened(self.folder)
        if step.stage != self._entered and step.index == self.plan.stages[step.stage].first_step:
            stage, before = self.plan.stages[step.stage], self.plan.compute_at(step.index)
            if stage.transition is not None:
                self._write(TransitionApplied(step.stage, stage.arrives_by, step.index, before))
            self._write(StageEntered(step.stage, stage.shape, step.index, before))
        self._entered = step.stage

    def _opened(self, folder: Path) -> Log:
        """Raises Refused `run-busy`, `run-exists`, `cannot-write`, `disk-full`."""
        self._lock = weakref.finalize(self, Lock(folder).release)
        try:
            return self._written(folder)
        except Refused:
            self._shut()
            raise

    def _written(self, folder: Path) -> Log:
        if begun(folder) and not self._done:
            message, help_ = f"`{folder}` already contains a run", "load its last checkpoint, or choose another folder"
            raise Refused(Diagnostic("run-exists", message, place=str(folder), help=help_))
        if not (folder / PLAN).exists():
            plan_json.save(self.plan, folder / PLAN)
        if not (folder / DATA).exists():
            write_text(folder / DATA, json.dumps({"machine": OWN_LOOP}) + "\n")
        if (folder / EVENTS).exists():
            lines = [f"{line}\n" for line, _ in logged(folder / EVENTS, self._done)]
            write_text(folder / EVENTS, "".join(lines))
        log = Log(folder, self.plan.steps)
        log.write(RunStarted(self.plan.digest, self._done))
        return log

    def _write(self, event: Event) -> None:
        if self._log is not None:
            self._log.write(event)


def _floats(values: Mapping[str, SupportsFloat]) -> dict[str, float]:
    return {str(name): _number(value) for name, value in values.items()}


def _number(value: SupportsFloat) -> float:
    """A number, or the only entry of a tensor, whether or not it has a gradient."""
    return float(value.item() if hasattr(value, "item") else value)
