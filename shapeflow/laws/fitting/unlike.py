"""Whether the runs of one shape are alike: runs of other settings are on another curve from their start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.law import MeasuredCurve
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fitting.curve import measured_curve, slope_of
from shapeflow.laws.fitting.evidence import Evidence
from shapeflow.laws.logs.points import Floats, after_warmup
from shapeflow.laws.logs.runs import Run

DIFFER = 0.15
"""Runs that differ by more than this in compute at equal error are not runs of the same settings. Seeds differ by about
0.04."""
SIGMAS = 3.0
"""Differences of errors below this many times their noise are not counted."""
FEWEST = 8
"""Fewest points of a run that is compared."""
COMPARED = 64
"""A run is compared with at most this many others: their median does not need more."""
SHOWN = 8


def unlike_runs(found: Mapping[Shape, Evidence], warmup: Amount, request: LawRequest, report: Report) -> None:
    """Warn of runs at a constant rate that need far more or less compute than the others of their shape for the same
    error (`unlike-runs`)."""
    odd: list[str] = []
    for shape, one in found.items():
        odd += [f"{shape.written(request.units)}: {why}" for why in _unlike(one.runs, warmup)]
    if odd:
        message = "some runs at a constant learning rate are on another curve than the others of their shape"
        help = "compare their settings, and leave out those of other settings: `where` selects rows"
        report.warning("unlike-runs", message, request.at("paths"), notes=odd[:SHOWN], details=odd[SHOWN:], help=help)


def _unlike(runs: Sequence[Run], warmup: Amount) -> list[str]:
    """What is odd with each run of a shape. Of two runs that differ, neither is known to be the odd one."""
    curves: dict[str, MeasuredCurve] = {}
    for run in runs:
        points = after_warmup(list(run.points.values()), warmup)
        if run.learning_rate != "falling" and len(points) >= FEWEST and (curve := measured_curve([points])) is not None:
            curves[run.called] = curve
    names = list(curves)
    found = dict(zip(names, shifts(list(curves.values())), strict=True))
    said: list[str] = []
    # Of two runs, the second one differs from the first as the first does from the second.
    for name in names[:1] if len(names) == 2 else names:
        if abs(shift := found[name]) > np.log1p(DIFFER):
            than = "the median of the others" if len(names) > 2 else names[1]
            said.append(f"{name} needs {np.exp(shift):.2g} times the compute of {than} for the same error")
    return said


def shifts(curves: Sequence[MeasuredCurve]) -> Floats:
    """The median shift of each curve from the others, shape (curves,): log compute that it needs over that of another
    one for the same error. Of more than `COMPARED` curves, as many drawn at random stand for the others: runs are often
    listed by a setting, and evenly spaced ones may all have the same."""
    if len(curves) < 2:
        return np.zeros(len(curves))
    every = _Curves.of(curves)
    others = np.sort(np.random.default_rng(0).permutation(len(curves))[:COMPARED])
    # One row for each of the others, with the shift of every curve from it.
    table = np.array([every.shifts(curves[at]) for at in others])
    found: Floats = np.asarray(np.median(table, axis=0))
    for row, at in enumerate(others):
        found[at] = np.median(np.delete(table[:, at], row))
    return found


@attrs.frozen(eq=False)
class _Curves:
    """Many curves, one row each, filled up with NaN: shape (curves, points)."""

    x: Floats
    """Log compute."""
    y: Floats
    """Log error."""
    slope: Floats
    noise: Floats
    """The noise of each curve, shape (curves,)."""

    @classmethod
    def of(cls, curves: Sequence[MeasuredCurve]) -> _Curves:
        x, y, slope = np.full((3, len(curves), max(len(one.compute) for one in curves)), np.nan)
        for at, one in enumerate(curves):
            count = len(one.compute)
            x[at, :count], y[at, :count] = np.log(one.compute), np.log(one.error)
            slope[at, :count] = slope_of(x[at, :count], y[at, :count])
        return cls(x, y, slope, np.array([one.noise for one in curves]))

    def shifts(self, other: MeasuredCurve) -> Floats:
        """Median of log compute of each curve over that of another at equal error, over the range of compute that they
        share; 0 if their errors do not differ by more than their noise."""
        x, y = np.log(other.compute), np.log(other.error)
        shared = (self.x >= x[0]) & (self.x <= x[-1])
        count = shared.sum(1)
        off = np.where(shared, self.y - np.interp(self.x, x, y), 0.0)
        mean = off.sum(1) / np.maximum(count, 1)
        least = SIGMAS * np.hypot(self.noise, other.noise) / np.sqrt(np.maximum(count, 1))
        # What is not shared is sorted to the end.
        ratio = np.sort(np.where(shared, off / -self.slope, np.inf), axis=1)
        rows = np.arange(len(ratio))
        middle = (ratio[rows, np.maximum(count - 1, 0) // 2] + ratio[rows, count // 2 % ratio.shape[1]]) / 2
        return np.where((count >= FEWEST // 2) & (np.abs(mean) >= least), middle, 0.0)
