"""How much of several runs is done, and how long the rest takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import attrs

from shapeflow.running.pool import Job
from shapeflow.running.runs import last_step

ENOUGH = 0.01
"""The least share of the FLOPs that were ahead, after which the time of the others is estimated."""


@attrs.define
class _Part:
    """A job: its FLOPs at most, those done at the first look and now, and whether it has ended."""

    most: float
    begin: float | None = None
    done: float = 0.0
    ended: bool = False

    @property
    def new(self) -> float:
        return 0.0 if self.begin is None else max(0.0, self.done - self.begin)


class Ahead:
    """What is ahead of a command that makes several runs.

    Its speed is the FLOPs that all runs have done since it began, by the time since then. What was done before counts
    as done, and not for the speed. A run that may end early counts as a whole until it has, so that the time left is
    an upper bound then."""

    def __init__(self, jobs: Iterable[Job], clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds since any moment."""
        self._parts = {job.folder: _Part(job.plan.compute_at(job.steps)) for job in jobs}
        self._clock, self._begun = clock, clock()

    def note(self, job: Job, steps: int, state: str) -> None:
        """Take in what a `Watch` is called with."""
        part = self._parts.setdefault(job.folder, _Part(job.plan.compute_at(job.steps)))
        if state != "runs":
            # A run that reached its goal has fewer steps than its plan.
            steps = min(job.steps, last_step(job.folder))
        part.done = job.plan.compute_at(min(steps, job.plan.steps))
        if part.begin is None:
            part.begin = part.done if state != "done" else 0.0
        if state != "runs":
            part.most, part.ended = part.done, True

    def skip(self, job: Job) -> None:
        """Leave out a job that another run stands in for."""
        self._parts.pop(job.folder, None)

    @property
    def runs(self) -> int:
        """The number of runs."""
        return len(self._parts)

    @property
    def ended(self) -> int:
        """The number of runs that have ended."""
        return sum(part.ended for part in self._parts.values())

    @property
    def total(self) -> float:
        """FLOPs of all runs, at most."""
        return sum(part.most for part in self._parts.values())

    @property
    def done(self) -> float:
        """FLOPs done."""
        return sum(part.done for part in self._parts.values())

    @property
    def share(self) -> float:
        """The share of the FLOPs that is done."""
        return self.done / self.total if self.total else 1.0

    @property
    def left(self) -> float | None:
        """Seconds left, as fast as until now; None before `ENOUGH` was done: imports and first steps take long."""
        if all(part.ended for part in self._parts.values()):
            return 0.0
        new, seconds = sum(part.new for part in self._parts.values()), self._clock() - self._begun
        rest = self.total - self.done
        return rest * seconds / new if seconds > 0 and new > 0 and new >= ENOUGH * (new + rest) else None
