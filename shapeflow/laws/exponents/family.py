"""Runs of several widths as curves of loss over compute, and the reasons why they may not be a family."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.units import Amount
from shapeflow.laws.fitting.curve import measured_curve
from shapeflow.laws.logs.points import Floats, Point, after_warmup
from shapeflow.laws.logs.runs import Run

WIDTHS = 3
"""Fewest widths: two crossings, and so one slope."""
RATIO = 4.0
"""The least ratio of the widest to the narrowest. Below it, crossings show noise rather than a slope."""
LEAST = 8
"""Fewest points of a run after its warm-up."""
WARMUP = Amount(2.0, "number")
"""What is left out at the start of each run, as by `fit`."""
SIGMAS = 4.0
"""A fall or rise within this many standard errors is noise."""
RISE = 0.02
"""A smaller rise of the log loss at the end of a curve is never a reason to refuse it."""
PLACE = "--fit"


@attrs.frozen(eq=False)
class Member:
    """The runs of one width."""

    width: int
    runs: tuple[tuple[Point, ...], ...]
    """Points of each run after its warm-up, in order of compute."""
    log_compute: Floats
    log_loss: Floats
    """(points,): the mean curve of the runs."""
    noise: float
    """Standard deviation of the log loss from point to point."""


@attrs.frozen(eq=False)
class Family:
    """The members in order of width."""

    members: tuple[Member, ...]
    step_cost: float | None
    """k, if the FLOPs of a step grow as width^k; None if the logs have no steps."""
    constant_rate: bool
    """Whether the logs show a constant learning rate for all runs."""
    diverged: int
    """Number of points that were left out because their run had diverged."""


def family_of(runs: Sequence[Run]) -> Family:
    """Return the curves of the runs; each run has the axis `width`. Raises Refused: few-widths, falling-rate,
    too-few-points, rising-loss."""
    for run in runs:
        run.finish()
    _constant([run for run in runs if run.learning_rate == "falling"])
    by_width: dict[int, list[list[Point]]] = {}
    for run in runs:
        points = after_warmup(list(run.points.values()), WARMUP)
        if len({point.compute for point in points}) >= LEAST:
            by_width.setdefault(run.shape.number("width"), []).append(points)
    _enough(by_width, runs)
    members = tuple(_member(width, by_width[width]) for width in sorted(by_width))
    _falls(members)
    known = all(run.learning_rate == "constant" for run in runs)
    return Family(members, _step_cost(members), known, sum(run.excluded["diverged"] for run in runs))


def _member(width: int, runs: Sequence[list[Point]]) -> Member:
    curve = measured_curve(runs)
    if curve is None:
        message = f"the runs of width {width} have no range of compute in common"
        help = "name runs of one width that cover the same compute"
        raise Refused(Diagnostic("too-few-points", message, place=PLACE, help=help))
    each = tuple(tuple(points) for points in runs)
    return Member(width, each, np.log(np.array(curve.compute)), np.log(np.array(curve.error)), curve.noise)


def _constant(falling: Sequence[Run]) -> None:
    if falling:
        message = f"the learning rate falls along {len(falling)} of the runs"
        notes = (
            "earlier points do not show what shorter runs reach, so the best width of a budget cannot be read off",
        )
        help = "measure runs at a constant learning rate, or select them with `--where COLUMN=VALUE`"
        raise Refused(Diagnostic("falling-rate", message, place=PLACE, notes=notes, help=help))


def _shown(widths: Sequence[int]) -> str:
    return ", ".join(map(str, widths)) or "none"


def _enough(by_width: Mapping[int, object], runs: Sequence[Run]) -> None:
    every = sorted({run.shape.number("width") for run in runs})
    if len(every) >= WIDTHS > len(by_width):
        short = ", ".join(str(width) for width in every if width not in by_width)
        message = f"too few points at width {short}: a curve needs {LEAST} after its warm-up"
        help = "evaluate more often, or run longer"
        raise Refused(Diagnostic("too-few-points", message, place=PLACE, help=help))
    if len(every) < WIDTHS:
        message = f"exponents need runs of at least {WIDTHS} widths, and these have {len(every)}: {_shown(every)}"
        help = "add widths, each a factor of 2 to 4 apart: `shapeflow sweep` trains one run of each"
        raise Refused(Diagnostic("few-widths", message, place=PLACE, help=help))
    if every[-1] < RATIO * every[0]:
        message = f"exponents need widths that differ by a factor of at least {RATIO:g}: these are {_shown(every)}"
        help = f"add a width of at least {math.ceil(RATIO * every[0])}: `shapeflow sweep` trains one run of each"
        raise Refused(Diagnostic("few-widths", message, place=PLACE, help=help))


def _falls(members: Sequence[Member]) -> None:
    """Refuse curves that do not fall, or that rise at the end, by more than their noise."""
    flat, rising = [], []
    for one in members:
        third = max(len(one.log_loss) // 3, 1)
        fall = one.log_loss[:third].mean() - one.log_loss[-third:].mean()
        if fall < SIGMAS * one.noise * np.sqrt(2 / third):
            flat.append(str(one.width))
        smooth = np.convolve(one.log_loss, np.ones(3) / 3, "valid")
        if smooth[-1] - smooth.min() > max(SIGMAS * one.noise * np.sqrt(2 / 3), RISE):
            rising.append(str(one.width))
    if flat or rising:
        what = "does not fall beyond its noise" if flat else "rises at the end"
        message = f"the loss {what} at width {', '.join(flat or rising)}"
        help = "measure the loss on more data, or name another column with `--loss-column`"
        if not flat:
            help = "end these runs before the loss rises, or train on more data"
        raise Refused(Diagnostic("rising-loss", message, place=PLACE, help=help))


def _step_cost(members: Sequence[Member]) -> float | None:
    """The slope of the log FLOPs of a step over log width."""
    cost = []
    for one in members:
        each = [point.compute / point.step for run in one.runs for point in run if point.step]
        if not each:
            return None
        cost.append(np.log(np.median(each)))
    return float(np.polyfit(np.log([one.width for one in members]), cost, 1)[0])
