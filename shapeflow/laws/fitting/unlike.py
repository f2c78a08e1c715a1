"""Whether the runs of one shape are alike: runs of other settings are on another curve from their start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    said: list[str] = []
    for name, curve in curves.items():
        others = [_shift(curve, other) for called, other in curves.items() if called != name]
        shift = float(np.median(others)) if others else 0.0
        if abs(shift) > np.log1p(DIFFER):
            than = "the median of the others" if len(others) > 1 else next(one for one in curves if one != name)
            said.append(f"{name} needs {np.exp(shift):.2g} times the compute of {than} for the same error")
        if len(curves) == 2:
            break
    return said


def _shift(one: MeasuredCurve, other: MeasuredCurve) -> float:
    """Median of log compute of one curve over that of the other at equal error, over the range of compute that they
    share; 0 if their errors do not differ by more than their noise."""
    x, y = np.log(one.compute), np.log(one.error)
    x2, y2 = np.log(other.compute), np.log(other.error)
    shared = (x >= x2[0]) & (x <= x2[-1])
    if int(shared.sum()) < FEWEST // 2:
        return 0.0
    off: Floats = y[shared] - np.interp(x[shared], x2, y2)
    noise = np.hypot(one.noise, other.noise) / np.sqrt(shared.sum())
    if abs(off.mean()) < SIGMAS * noise:
        return 0.0
    return float(np.median(off / -slope_of(x, y)[shared]))
