"""Where the run in a folder stands: whether it runs, how far it is, and how long it still takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Literal

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_regular
from shapeflow.base.json_text import parse_json
from shapeflow.ir.events import Event, Measured, RunEnded, RunStarted, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.running.holder import Holder, holder_of
from shapeflow.running.listed import Listed, listed
from shapeflow.running.meter import WINDOW
from shapeflow.running.run_folder import divergence_of
from shapeflow.running.run_log import HOLDER
from shapeflow.running.runs import Run, is_run, read_run

COMPARISON = "comparison.json"
"""What `shapeflow compare` writes when all that it needs of the runs is known."""
LARGEST = 64 << 20
"""Maximum size of this file in bytes."""

State = Literal["running", "finished", "reached", "paused", "stopped", "failed", "waiting"]
"""`reached`, `paused`, `stopped`: ended early by its `--until` or `--pause`, or by a signal. `failed`: it ended without
an end in its log, by an error or because it was killed. `waiting`: nothing was done yet."""


@attrs.frozen
class Standing:
    """Where a run stands."""

    run: Run
    state: State
    holder: Holder | None
    """The process that runs it; None unless it runs."""
    stopped_by: str | None
    """Name of the signal that stopped it."""
    diverged: str | None
    """What was not finite, if it failed because it diverged."""
    left: float | None
    """Seconds until its end as fast as now, with evaluations; None if it does not run, or before the first step."""

    @property
    def plan(self) -> Plan:
        return self.run.plan

    @property
    def step(self) -> StepDone | None:
        """The last step of the log."""
        return next((event for event in reversed(self.run.events) if isinstance(event, StepDone)), None)

    @property
    def compute(self) -> float:
        """FLOPs done."""
        return self.plan.compute_at(self.run.done)

    @property
    def total(self) -> float:
        """FLOPs of the plan, or of what was done if the run has reached what it was meant to."""
        return self.compute if self.state == "reached" else self.plan.compute_at(self.plan.steps)


def standing(run: Run) -> Standing:
    """Where a run stands, by its log and the lock on its folder."""
    last = run.events[-1] if run.events else None
    ended = last if isinstance(last, RunEnded) else None
    holder = None if ended is not None and ended.finished else holder_of(run.folder)
    by = None if ended is None else ended.stopped_by
    state: State
    if holder is not None:
        state = "running"
    elif ended is not None:
        early: dict[str | None, State] = {"until": "reached", "pause": "paused"}
        state = "finished" if ended.finished else early.get(by, "stopped")
    else:
        # A process that ends as it should takes its card with it.
        state = "failed" if run.events or (run.folder / HOLDER).exists() else "waiting"
    left = seconds_left(run.plan, run.events) if state == "running" else None
    diverged = divergence_of(run.folder) if state == "failed" else None
    return Standing(run, state, holder, by if state == "stopped" else None, diverged, left)


def seconds_left(plan: Plan, events: Sequence[Event]) -> float | None:
    """Seconds until the end of a run: its FLOPs at the speed of the last steps of the log that this process made, and
    as much evaluation as until now. None before the first step."""
    here = list(takewhile(lambda event: not isinstance(event, RunStarted), reversed(events)))
    steps = [event for event in here if isinstance(event, StepDone)][:WINDOW]
    spent, done = sum(step.seconds for step in steps), sum(_cost(plan, step) for step in steps)
    if not done or not spent:
        return None
    measured = next((event for event in here if isinstance(event, Measured) and event.seconds), None)
    share = 0.0 if measured is None else measured.evaluating / measured.seconds
    left = plan.compute_at(plan.steps) - plan.compute_at(max(step.step for step in steps))
    return left * spent / done * (1 + share)


def _cost(plan: Plan, step: StepDone) -> float:
    stage = plan.stages[plan.stage_at(step.step)]
    return next((blend.compute for blend in stage.blends if blend.shape == step.shape), stage.cost)


@attrs.frozen
class Group:
    """The runs in a folder of a sweep, a comparison, or another experiment of several runs."""

    folder: Path
    runs: tuple[Standing, ...]
    waiting: tuple[Listed, ...]
    """Runs that are still to begin."""
    verdict: str | None = None
    """What a finished comparison has measured, in one sentence. Its runs are not continued, even those that it
    paused."""

    @property
    def done(self) -> float:
        """FLOPs done."""
        return sum(one.compute for one in self.runs)

    @property
    def total(self) -> float:
        """FLOPs of all runs. A run that may end early counts as a whole until it has: what pauses one of several runs
        is the experiment, which needs no more of it."""
        runs = sum(one.compute if one.state == "paused" else one.total for one in self.runs)
        return runs + sum(one.compute for one in self.waiting)

    @property
    def left(self) -> float | None:
        """Seconds until the end of all runs, as fast as those that run now. None if none of these has a speed."""
        speeds = [(one.total - one.compute) / one.left for one in self.runs if one.left]
        return (self.total - self.done) / sum(speeds) if sum(speeds) else None


def group_of(folder: Path) -> Group:
    """The runs in a folder. Raises Refused `no-run` if there is none."""
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and is_run(path))
    except (FileNotFoundError, NotADirectoryError):
        inside = []
    waiting = tuple(one for one in listed(folder) if not is_run(folder / one.name))
    if not inside and not waiting:
        message = f"`{folder}` is not the folder of a run, of a sweep or of a comparison"
        notes = ("it has no `plan.json`, and no folder in it has one",)
        help_ = "name a folder that `shapeflow run`, `sweep` or `compare` has made"
        raise Refused(Diagnostic("no-run", message, place=str(folder), notes=notes, help=help_))
    runs = tuple(standing(read_run(path)) for path in inside)
    return Group(folder, runs, waiting, _verdict(folder / COMPARISON))


def _verdict(path: Path) -> str | None:
    """The sentence in the file of a comparison. None if there is none, as in those of earlier versions."""
    try:
        found = parse_json(read_regular(path)) if path.is_file() and path.stat().st_size <= LARGEST else None
    except (OSError, ValueError):
        return None
    said = found.get("verdict") if isinstance(found, dict) else None
    return said if isinstance(said, str) else None
