"""What is asked of logs, and what they hold: runs of one shape each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.laws.logs.points import Point, thin
from shapeflow.laws.logs.readers import number
from shapeflow.laws.logs.schedule import diverged, learning_rate

MOST = 20_000
"""Points of one run that are held in memory; a longer log is thinned in log compute while it is read."""
RUNS = 10_000
"""Runs of all logs; where there are more, a column that differs from row to row was taken for their name."""
COMPUTE, ERROR = (1e-6, 1e36), (1e-12, 1e12)
"""What compute and errors may be: training has taken up to 1e27 FLOPs, and a column may be in units of 1e24."""


@attrs.frozen
class Query:
    """Where runs are found and what their columns are called; None and missing names mean the defaults."""

    pattern: str
    compute: str | None = None
    flops: float = 1.0
    """FLOPs of one unit of the compute column."""
    error: str | None = None
    step: str | None = None
    run: str | None = None
    rate: str | None = None
    """The column of the learning rate."""
    axes: Mapping[str, str] = attrs.field(factory=dict)
    where: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.define
class Run:
    """One run of one shape."""

    shape: Shape
    file: str
    """The file that was read last."""
    files: dict[str, None] = attrs.field(factory=dict)
    """All files that hold rows of it."""
    until: float = math.inf
    """The last step at a constant learning rate: what a cooldown reaches is no point of a law."""
    points: dict[float, Point] = attrs.field(factory=dict)
    """By step where there are steps, by compute otherwise: what a resumed run writes again replaces the first."""
    spent: float = 0.0
    """The greatest compute in any row of the run, in FLOPs."""
    excluded: Counter[str] = attrs.field(factory=Counter)
    repeated: int = 0
    falls: int = 0
    """How often the compute went down from one row to the next."""

    evaluation: str | None = None
    """What errors were measured on, `held-out` or `training`; None: not known, as for all below."""
    data: str | None = None
    """What was trained on."""
    learning_rate: Literal["constant", "falling"] | None = None
    """Over the points that are kept, behind the warm-up."""
    rates: dict[float, float] = attrs.field(factory=dict)
    """Learning rates, by step where there are steps, by compute otherwise."""
    _seen: tuple[float, float] | None = None
    """The step and the compute of the last row that had both."""

    @classmethod
    def of_plan(cls, shape: Shape, file: str, plan: Mapping[str, Any], data: Any) -> Run:
        """A run of shapeflow's own, by its plan and what its `data.json` says: it measures on what it holds out, at a
        constant rate up to its cooldown, or at one that falls throughout where it has a schedule."""
        known = isinstance(data, Mapping) and isinstance(data.get("sha256"), str) and isinstance(data.get("data"), str)
        named = f"{data['data']} sha256:{data['sha256'][:16]}" if known else None
        files = dict.fromkeys([file])
        until = constant_until(plan)
        rate: Literal["constant", "falling"] = "constant" if plan.get("schedule") is None else "falling"
        return cls(shape, file, files, until, evaluation="held-out", data=named, learning_rate=rate)

    def add(self, compute: Any, error: Any, step: Any, rate: Any = None) -> None:
        """Take one row, its compute in FLOPs; what is no measurement is counted by reason, or passed over where it has
        no error at all. A row without compute has that of the row before, if this was of the same step."""
        spent, value, at = _known(compute), number(error), number(step)
        if isinstance(spent, float) and isinstance(at, float):
            self._seen = (at, spent)
        elif spent == "blank" and self._seen is not None and self._seen[0] == at:
            spent = self._seen[1]
        if isinstance(spent, float) and math.isfinite(spent):
            self.spent = max(self.spent, spent)
        self._add_rate(number(rate), at if isinstance(at, float) else spent)
        if value == "blank":
            return
        if reason := _unusable(spent, value):
            self.excluded[reason] += 1
            return
        if isinstance(at, float) and at > self.until:
            self.excluded["in a cooldown"] += 1
            return
        assert isinstance(spent, float)
        assert isinstance(value, float)
        self._put(Point(spent, value, at if isinstance(at, float) and math.isfinite(at) else None))

    def _put(self, point: Point) -> None:
        key = point.compute if point.step is None else point.step
        last = next(reversed(self.points.values()), None)
        if key in self.points:
            self.repeated += 1
            del self.points[key]
        elif last is not None and point.compute < last.compute:
            self.falls += 1
        self.points[key] = point
        if len(self.points) > MOST:
            self._thin()

    def _add_rate(self, rate: Any, at: Any) -> None:
        if isinstance(rate, float) and isinstance(at, float) and math.isfinite(rate) and math.isfinite(at):
            self.rates[at] = rate
        if len(self.rates) > MOST:
            self.rates = {at: self.rates[at] for at in sorted(self.rates)[::2]}

    def finish(self) -> None:
        """Say what all rows say together, once they have been read: how the learning rate went, and at which points
        the run had diverged, which are left out."""
        self.learning_rate = self.learning_rate or learning_rate(self.rates)
        lost = {id(point) for point in diverged(sorted(self.points.values(), key=lambda one: one.compute))}
        self.points = {key: point for key, point in self.points.items() if id(point) not in lost}
        if lost:
            self.excluded["diverged"] += len(lost)

    def _thin(self) -> None:
        kept = {id(point) for point in thin(sorted(self.points.values(), key=lambda one: one.compute), MOST // 2)}
        self.excluded["resampling"] += len(self.points) - len(kept)
        self.points = {key: point for key, point in self.points.items() if id(point) in kept}

    def come_back(self, step: float) -> None:
        """The run was taken up again at a step: what it had written beyond it does not count."""
        stale = [key for key, point in self.points.items() if point.step is not None and point.step > step]
        self.repeated += len(stale)
        for key in stale:
            del self.points[key]


def constant_until(plan: Mapping[str, Any]) -> float:
    """The step at which a plan's cooldown begins; infinite where it has none."""
    totals = plan.get("totals")
    steps = number(totals.get("steps")) if isinstance(totals, Mapping) else "blank"
    cooldown = number(plan.get("cooldown"))
    return steps - cooldown if isinstance(steps, float) and isinstance(cooldown, float) else math.inf


def _known(compute: Any) -> Any:
    """Compute as a number, or why there is none."""
    return compute if compute in ("blank", "no number") else number(compute)


def _unusable(compute: Any, error: Any) -> str | None:
    if compute == "blank":
        return "no compute"
    if not (isinstance(compute, float) and isinstance(error, float)):
        return "no number"
    if not (math.isfinite(compute) and math.isfinite(error)):
        return "not finite"
    if error <= 0:
        return "an error of 0 or less"
    if compute <= 0:
        return "before any compute"
    return None if COMPUTE[0] <= compute <= COMPUTE[1] and ERROR[0] <= error <= ERROR[1] else "of no real size"


def faults(excluded: Counter[str]) -> Counter[str]:
    """A measurement before the first step is no fault of a log, nor is one of very many."""
    return Counter({why: count for why, count in excluded.items() if why not in ("before any compute", "resampling")})


@attrs.define
class Logs:
    """All that was read."""

    runs: dict[tuple[str, ...], Run] = attrs.field(factory=dict)
    hashes: dict[str, str] = attrs.field(factory=dict)
    torn: list[str] = attrs.field(factory=list)
    broken: Counter[str] = attrs.field(factory=Counter)
    skipped: dict[str, str] = attrs.field(factory=dict)
    """Name of a file or folder -> why it was not read."""
    sampled: list[str] = attrs.field(factory=list)
    """Files that may be samples of what was logged."""
    counted: dict[str, str] = attrs.field(factory=dict)
    """Name of a file without compute -> how it was counted."""
    other_shapes: Counter[str] = attrs.field(factory=Counter)
    """Shapes in the logs that are no candidates -> their rows."""
