"""The runs that were read from logs. Each run has one shape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.laws.logs.conventions import OfModel, Ratio
from shapeflow.laws.logs.kept import MOST, Halved, KeptPoints
from shapeflow.laws.logs.points import Floats, Point, thin
from shapeflow.laws.logs.readers import number
from shapeflow.laws.logs.readers.block import BLANK, NUMBER
from shapeflow.laws.logs.restarts import FEW as FEW_FALLS
from shapeflow.laws.logs.restarts import began_again, per_step
from shapeflow.laws.logs.rows import Rows
from shapeflow.laws.logs.schedule import diverged, fall, learning_rate
from shapeflow.laws.logs.series import Product
from shapeflow.laws.logs.usable import unusable

FEW = 32
"""Fewer rows than this are added one by one."""
FALLS = 1000
"""Maximum number of falls of the step of a run that are kept."""
MOST_FALLS = 100
"""Falls of the compute of a run that are compared with what it had spent before."""
RUNS = 10_000
"""Maximum number of runs in all logs. More runs mean that a column that differs in every row was used as their name."""
AHEAD = 1e-6
"""Compute that is larger by less than this has not gone on."""
FEWEST_MARKS = 5
"""Fewest points in which marks of missing values are looked for, and fewest marks."""
MARK = 3.0
"""A mark of a missing value is this many times the other errors."""
REGULAR = 0.8
"""Minimum share of stretches of equal errors that have the same length, if each evaluation is logged in several
rows."""
SHUFFLED = 0.05
"""Maximum share of points at which step and compute fall together in a log whose rows are in order."""


@attrs.define
class Run:
    """One run of one shape."""

    shape: Shape
    file: str
    """The file that was read last."""
    files: dict[str, None] = attrs.field(factory=dict)
    """All files that contain rows of the run."""
    name: str = ""
    """What its path or its rows call it; empty if nothing does."""
    until: float = math.inf
    """The last step at a constant learning rate. Points in the cooldown after it are excluded from the law."""
    end: Point | None = None
    """The point of the largest compute, whether or not the learning rate was constant there."""
    cooled_share: float | None = None
    """The share of the run over which the learning rate fell, if the run was cut there and its end is known."""
    counter: str | None = None
    """The column that was taken for steps of the file's batch, although nothing says so, to compute compute."""
    averaged: bool = False
    """Whether errors are known to be those of averaged weights."""
    held_out_error: float | None = None
    """Standard error of the last error over the windows or images of the held-out set; None if the log does not state
    it."""
    spent: float = 0.0
    """The largest compute in any row of the run, in FLOPs."""
    excluded: Counter[str] = attrs.field(factory=Counter)
    """Reason -> number of points that cannot be used."""
    repeated: int = 0
    """Number of points that later points replaced."""
    lower: list[float] = attrs.field(factory=list)
    """Of each point that a later one replaced: log error of the later less that of the earlier."""
    falls: int = 0
    """Number of times that compute decreased from one row to the next."""

    evaluation: str | None = None
    """The data that errors were measured on: `held-out` or `training`. None: unknown."""
    data: str | None = None
    """The name of the training data. None: unknown."""
    learning_rate: Literal["constant", "falling"] | None = None
    """The learning rate after the warm-up, over the points that are kept. None: unknown."""
    sizes: set[float] = attrs.field(factory=set)
    """The numbers of parameters that its rows state."""
    _points: KeptPoints = attrs.field(factory=KeptPoints)
    _rates: Halved = attrs.field(factory=Halved)
    _computes: Halved = attrs.field(factory=Halved)
    """Step -> compute, from rows without an error."""
    _waiting: Halved = attrs.field(factory=Halved)
    """Step -> error, from rows without compute."""
    counted_back: list[tuple[float, float]] = attrs.field(factory=list)
    """Of each row whose step is below that of the row before: the step before, and its own; the first `FALLS`."""
    epochs: str | None = None
    """The column that counts the epochs of its rows, if there is one."""
    _last: float | None = None
    """The step of the last point."""
    _back: int = 0
    """Number of times that step and compute decreased together, as where rows are not in order."""
    _seen: tuple[float, float] | None = None
    """The step and the compute of the last row that had both."""
    per_step: float | None = None
    """Compute of a step, if compute began again while steps went on: it is then counted by steps. Infinite: it began
    again, and its steps are not alike."""
    again: int = 0
    """Number of falls of compute, and of the step if there is one, at which the run went on."""
    by_compute: bool = False
    """Whether steps began again while compute went on: points and rates are then those of compute alone."""

    @classmethod
    def of_plan(cls, shape: Shape, file: str, plan: Mapping[str, Any], data: Any) -> Run:
        """Return an empty run of a shapeflow plan. `data`: the content of its `data.json`.

        Such a run measures errors on held-out data. Its learning rate is constant until the cooldown, or falls
        throughout if the plan has a schedule.
        """
        known = isinstance(data, Mapping) and isinstance(data.get("sha256"), str) and isinstance(data.get("data"), str)
        named = f"{data['data']} sha256:{data['sha256'][:16]}" if known else None
        # Two samples of held-out data have other errors.
        if named is not None and plan.get("held_out") is not None:
            named = f"{named}, {plan['held_out']} held out"
        files = dict.fromkeys([file])
        until = constant_until(plan)
        rate: Literal["constant", "falling"] = "constant" if plan.get("schedule") is None else "falling"
        return cls(
            shape, file, files, until=until, evaluation="held-out", data=named, learning_rate=rate, averaged=True
        )

    @property
    def called(self) -> str:
        """The run as messages name it."""
        return f"`{self.file}`" + (f", run `{self.name}`" if self.name else "")

    @property
    def points(self) -> dict[float, Point]:
        """Step, or compute for points without a step -> point. If a resumed run logs a step again, the last point is
        kept. Changes of the result change the points."""
        return self._points.points()

    @points.setter
    def points(self, points: dict[float, Point]) -> None:
        self._points = KeptPoints(points)

    @property
    def rates(self) -> dict[float, float]:
        """Step, or compute for rows without a step -> learning rate."""
        return self._rates.values()

    def add(self, compute: Any, error: Any, step: Any, rate: Any = None) -> None:
        """Add one row. `compute`: in FLOPs.

        A row without an error is skipped, and an invalid row is counted in `excluded`. A row without compute uses the
        compute of the last row with a step and compute, if that has the same step.
        """
        spent, value, at = _known(compute), number(error), number(step)
        if isinstance(spent, float) and isinstance(at, float):
            self._seen = (at, spent)
        elif spent == "blank" and self._seen is not None and self._seen[0] == at:
            spent = self._seen[1]
        if isinstance(spent, float) and math.isfinite(spent):
            self.spent = max(self.spent, spent)
        _keep(self._rates, at if isinstance(at, float) and not self.by_compute else spent, number(rate))
        if value == "blank":
            _keep(self._computes, at, spent)
            return
        if spent == "blank" and isinstance(at, float) and isinstance(value, float):
            _keep(self._waiting, at, value)
            return
        if reason := unusable(spent, value):
            self.excluded[reason] += 1
            return
        assert isinstance(spent, float)
        assert isinstance(value, float)
        point = Point(spent, value, at if isinstance(at, float) and math.isfinite(at) else None)
        if point.step is not None and self._begins_again(point):
            self._to_compute()
            _keep(self._rates, spent, number(rate))
        point = attrs.evolve(point, step=None) if self.by_compute else point
        if self.end is None or point.compute >= self.end.compute:
            self.end = point
        if isinstance(at, float) and at > self.until:
            self.excluded["in a cooldown"] += 1
            return
        self._put(point)

    def extend(self, rows: Rows) -> None:
        """Add rows, as `add` does one by one."""
        few = len(rows) < FEW and not self._points.packed
        known = (
            not self.by_compute
            and rows.compute.all_finite
            and (rows.step is None or rows.step.all_finite)
            and math.isinf(self.until)
        )
        if few or not known or not self._goes_on(rows):
            for row in rows.each():
                self.add(*row)
            return
        compute, step = rows.compute.values, rows.step.values if rows.step is not None else None
        self.spent = max(self.spent, float(compute.max()))
        if step is not None:
            self._seen = (float(step[-1]), float(compute[-1]))
            blank = rows.error.kinds == BLANK
            self._computes.extend(step[blank], compute[blank])
        if rows.rate is not None:
            rated = (rows.rate.kinds == NUMBER) & np.isfinite(rows.rate.values)
            self._rates.extend((compute if step is None else step)[rated], rows.rate.values[rated])
        good = rows.usable(self.excluded)
        if len(good):
            self._put_all(compute[good], rows.error.values[good], None if step is None else step[good])

    def _put_all(self, compute: Floats, error: Floats, step: Floats | None) -> None:
        """Add points."""

        def point(at: int) -> Point:
            return Point(float(compute[at]), float(error[at]), None if step is None else float(step[at]))

        furthest = point(int(np.flatnonzero(compute == compute.max())[-1]))
        if self.end is None or furthest.compute >= self.end.compute:
            self.end = furthest
        dropped = self._points.extend(compute, error, step)
        if dropped is not None and step is not None:
            self._last = float(step[-1])
        if dropped is None:
            for at in range(len(compute)):
                self._put(point(at))
        elif dropped:
            self.excluded["resampling"] += dropped

    def _goes_on(self, rows: Rows) -> bool:
        """Whether the steps of rows with an error rise, from the last point on."""
        if rows.step is None:
            return True
        steps = rows.step.values[rows.error.kinds == NUMBER]
        return bool((np.diff(steps) > 0).all() and (self._last is None or not len(steps) or steps[0] > self._last))

    def _begins_again(self, point: Point) -> bool:
        """Whether the step of a point is not above that of the last one although its compute is."""
        last = next(reversed(self.points.values()), None) if not self.by_compute else None
        if last is None or last.step is None or point.step is None or self._back:
            return False
        return point.step <= last.step and point.compute > (1 + AHEAD) * last.compute

    def _to_compute(self) -> None:
        """Order points and rates by compute alone from now on."""
        computes = {key: point.compute for key, point in self.points.items()}
        rates = {computes[key]: rate for key, rate in self.rates.items() if key in computes}
        self.by_compute, self._rates = True, Halved(rates)
        self.points = {one.compute: attrs.evolve(one, step=None) for one in self.points.values()}
        if self.end is not None:
            self.end = attrs.evolve(self.end, step=None)

    def _leave_out_marks(self) -> None:
        """Leave out errors that were not measured: a mark of a missing value, such as 999, that is many times the other
        errors and comes back, and values that were carried forward from the row before in half of the rows. An error
        that is a share of a few images also repeats, but not at equal distances."""
        points = sorted(self.points.items(), key=lambda pair: pair[1].compute)
        errors = np.array([point.error for _, point in points])
        if len(errors) < FEWEST_MARKS:
            return
        marks = errors == errors.max()
        others = errors[~marks]
        back = int((np.diff(marks.astype(int)) == 1).sum()) + bool(marks[0])
        if back > 1 and marks.sum() > FEWEST_MARKS and len(others) and errors.max() > MARK * others.max():
            self._leave_out([points[at][0] for at in np.flatnonzero(marks)], "a mark of a missing value")
            points, errors = [one for one, mark in zip(points, marks.tolist(), strict=True) if not mark], others
        carried = np.flatnonzero(np.diff(errors) == 0) + 1
        if 0.5 * len(errors) <= len(carried) < len(errors) - 1 and _regular(errors):
            self._leave_out([points[at][0] for at in carried], "carried forward from an earlier row")

    def _leave_out(self, keys: Sequence[float], why: str) -> None:
        gone = set(keys)
        self.points = {key: point for key, point in self.points.items() if key not in gone}
        self.excluded[why] += len(gone)
        if self.end is not None and (self.end.compute if self.end.step is None else self.end.step) in gone:
            self.end = max(self.points.values(), key=lambda one: one.compute)

    def _put(self, point: Point) -> None:
        if point.step is not None:
            if self._last is not None and point.step < self._last and len(self.counted_back) < FALLS:
                self.counted_back.append((self._last, point.step))
            self._last = point.step
        key = point.compute if point.step is None else point.step
        last = next(reversed(self.points.values()), None)
        if key in self.points:
            self.repeated += 1
            self.lower.append(math.log(point.error / self.points.pop(key).error))
        elif last is not None and point.compute < last.compute:
            behind = point.step is not None and last.step is not None and point.step < last.step
            if (point.step is None or behind) and self.falls + self._back < MOST_FALLS:
                self.again += began_again(point, last, list(self.points.values()))
            self.falls += not behind
            self._back += behind
        self.points[key] = point
        if len(self.points) > MOST:
            self._thin()

    def settle(self) -> None:
        """Give errors that were logged apart from compute the compute of the same step. Call this after the last
        row."""
        for at, error in sorted(self._waiting.values().items()):
            spent = self._computes.values().get(at, "blank")
            if reason := unusable(spent, error):
                self.excluded[reason] += 1
            elif at not in self.points and isinstance(spent, float):
                self.points[at] = Point(spent, error, at)
        self._waiting = Halved()
        self._count_by_steps()
        self._leave_out_marks()
        # In a table whose rows are not in order, compute falls with the step in many rows.
        if self._back <= max(1, SHUFFLED * len(self.points)):
            self.falls += self._back
        else:
            self.again = 0
        self._back = 0

    def _count_by_steps(self) -> None:
        """Count compute by steps if it began again while they went on."""
        self.per_step = per_step(list(self.points.values()))
        each = self.per_step
        if each is None or math.isinf(each):
            return
        counted: dict[float, Point] = {}
        for key, one in self.points.items():
            point = attrs.evolve(one, compute=each * (one.step or 0.0))
            if reason := unusable(point.compute, point.error):
                self.excluded[reason] += 1
            else:
                counted[key] = point
        if not counted:
            self.per_step = math.inf
            return
        self.points = counted
        self.end = max(self.points.values(), key=lambda one: one.compute)
        self.spent, self.falls = self.end.compute, 0

    @property
    def goes_on(self) -> bool:
        """Whether compute began again while the run went on, and is not known from its steps."""
        few = self.again and self.falls <= max(1, FEW_FALLS * len(self.points))
        return bool(few) or (self.per_step is not None and math.isinf(self.per_step))

    def finish(self) -> None:
        """Set the learning rate and remove the points at which the run had diverged. Call this after the last row."""
        self.settle()
        self.cut()
        self.learning_rate = self.rate()
        lost = {id(point) for point in diverged(sorted(self.points.values(), key=lambda one: one.compute))}
        self.points = {key: point for key, point in self.points.items() if id(point) not in lost}
        if lost:
            self.excluded["diverged"] += len(lost)

    def rate(self) -> Literal["constant", "falling"] | None:
        """Return the learning rate after the warm-up, as it is known or as its values say."""
        return self.learning_rate or learning_rate(self.rates, max(self._points.points(), default=0.0))

    def cut(self) -> None:
        """Remove the points after the step (or compute) where the learning rate begins to fall, for a run that ends in
        a cooldown: what is left is a run at a constant rate."""
        at = fall(self.rates) if self.learning_rate is None else None
        if at is None:
            return
        kept = {key: point for key, point in self.points.items() if key <= at}
        last = max(self.points, default=at)
        self.excluded["where the learning rate falls"] += len(self.points) - len(kept)
        if len(kept) < len(self.points):
            self.cooled_share = 1 - at / last
        self.points, self.until, self.learning_rate = kept, at, "constant"

    def _thin(self) -> None:
        kept = {id(point) for point in thin(sorted(self.points.values(), key=lambda one: one.compute), MOST // 2)}
        self.excluded["resampling"] += len(self.points) - len(kept)
        self.points = {key: point for key, point in self.points.items() if id(point) in kept}

    def come_back(self, step: float) -> None:
        """Remove the points after `step`, since the run resumed from this step."""
        stale = [key for key, point in self.points.items() if point.step is not None and point.step > step]
        self.repeated += len(stale)
        for key in stale:
            del self.points[key]
        if self.end is not None and self.end.step is not None and self.end.step > step:
            self.end = None


def _regular(errors: Floats) -> bool:
    """Whether nearly all stretches of equal errors, but for the first and the last, have the same length."""
    starts = np.flatnonzero(np.diff(errors, prepend=math.nan) != 0)
    lengths = np.diff(starts)[1:]
    if not len(lengths):
        return False
    counts = np.bincount(lengths)
    return bool(counts.argmax() > 1 and counts.max() >= REGULAR * len(lengths))


def _keep(values: Halved, at: Any, value: Any) -> None:
    if isinstance(at, float) and isinstance(value, float) and math.isfinite(at) and math.isfinite(value):
        values.put(at, value)


def constant_until(plan: Mapping[str, Any]) -> float:
    """Return the step at which the cooldown of a plan begins. Infinite if it does not have a cooldown."""
    totals = plan.get("totals")
    steps = number(totals.get("steps")) if isinstance(totals, Mapping) else "blank"
    cooldown = number(plan.get("cooldown"))
    return steps - cooldown if isinstance(steps, float) and isinstance(cooldown, float) else math.inf


def _known(compute: Any) -> Any:
    """Return compute as a number, or the reason why there is none: `blank` or `no number`."""
    return compute if compute in ("blank", "no number") else number(compute)


@attrs.define
class Logs:
    """The runs that were read from all logs, and facts about the files."""

    runs: dict[tuple[str, ...], Run] = attrs.field(factory=dict)
    """Key that identifies a run (file, shape, names) -> run."""
    hashes: dict[str, str] = attrs.field(factory=dict)
    """Name of a file -> its SHA-256."""
    torn: list[str] = attrs.field(factory=list)
    """Files whose last line is incomplete."""
    broken: Counter[str] = attrs.field(factory=Counter)
    """Name of a file -> number of unreadable rows."""
    skipped: dict[str, str] = attrs.field(factory=dict)
    """Name of a file or folder -> why it was not read."""
    sampled: list[str] = attrs.field(factory=list)
    """Files that may contain only a sample of the logged rows."""
    unfinished: Counter[str] = attrs.field(factory=Counter)
    """State of W&B runs that were left out, since they did not finish -> their number."""
    counted: dict[str, str] = attrs.field(factory=dict)
    """Name of a file without compute -> how its compute was derived."""
    assumed: dict[str, str] = attrs.field(factory=dict)
    """What was taken for granted of the steps of such files -> their column."""
    errors: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Name of a file -> the columns that may be the error, the one that was read first."""
    found: dict[str, str] = attrs.field(factory=dict)
    """Column that is read for parameters, tokens, compute or errors -> how sure its role is, and how it was found."""
    size: str | None = None
    """The column of the number of parameters, of the first file; None: it is not read."""
    product: Product | None = None
    """The columns of compute, of the first file; None: compute follows from steps or tokens and the model."""
    error: str | None = None
    """The error column of all files, or the template of such columns. None: there are only run folders."""
    ratios: list[Ratio] = attrs.field(factory=list)
    """The compute of the logs that also state parameters and tokens, over 6 N D."""
    schedules: dict[str, str] = attrs.field(factory=dict)
    """Column of no known name that falls as a learning rate does -> a file that has it, and no known learning rate."""
    compared: tuple[Product, str] | None = None
    """The columns of compute of the first of them, and 6 N D as a product of columns."""
    modelled: list[OfModel] = attrs.field(factory=list)
    """The compute of the other logs, over what the model of the file takes for their steps or tokens."""
    other_shapes: Counter[str] = attrs.field(factory=Counter)
    """Shape in the logs that is not a candidate -> number of its rows."""


def common_error(errors: Sequence[float | None]) -> float | None:
    """Return the root mean square of the standard errors of runs that share a held-out set, so that more runs do not
    reduce it. None unless all runs state theirs."""
    stated = [one for one in errors if one is not None]
    return math.sqrt(sum(one * one for one in stated) / len(stated)) if len(stated) == len(errors) > 0 else None
