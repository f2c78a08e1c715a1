"""Laws over the ends of runs: one point for each run, which finished its own schedule of the learning rate.

E = a C^-b + c, without an offset: a few ends of a shape do not determine four numbers. For a given b the law is linear
in a and c, so only b is searched (variable projection), and one b is shared by all shapes if there are three or more.
All ends have equal weight; a shape has too few of them to estimate its own scatter, as fits to curves do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import HoldOut, Law, Provenance, Resampling
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.fitting.resample import intervals
from shapeflow.laws.fitting.solver import B_HIGH, B_LOW, FitOptions, Kind
from shapeflow.laws.fitting.verdict import verdict
from shapeflow.laws.logs.points import Floats, Points

BUDGETS = 3
"""Fewest budgets of a shape with an exponent of its own, and of one shape at least if the exponent is shared."""
SHARED = 2
"""Fewest budgets of the other shapes with a shared exponent."""
APART = 1.05
"""Budgets closer than this factor count as one."""
GRID = 40
_ROUNDS, _ZOOM, _AROUND = 25, 3, 9

HELD_OUT = (
    "the longest third of the runs of each shape, predicted by a fit to the others: its mean error, and the predicted "
    "over the actual compute of the final losses"
)
"""What laws over ends are tested on, for the screen."""


@attrs.frozen(eq=False)
class _Ends:
    """The ends of all shapes as arrays of shape (shapes, points), padded with weight 0."""

    x: Floats
    """Log compute relative to the first end of the shape."""
    y: Floats
    weight: Floats
    first: Floats
    """(shapes,): compute of the first end."""

    @classmethod
    def of(cls, sets: Sequence[Points]) -> _Ends:
        most = max(len(points.compute) for points in sets)
        x, y, weight = np.zeros((len(sets), most)), np.ones((len(sets), most)), np.zeros((len(sets), most))
        first = np.array([float(points.compute.min()) for points in sets])
        for row, points in enumerate(sets):
            count = len(points.compute)
            x[row, :count], y[row, :count] = np.log(points.compute / first[row]), points.error
            weight[row, :count] = 1.0
        return cls(x, y, weight, first)


def budgets(points: Points) -> int:
    """Return the number of different budgets of some ends."""
    logs = np.sort(np.log(points.compute))
    return 1 + int((np.diff(logs) > np.log(APART)).sum()) if len(logs) else 0


def laws_of_ends(
    sets: Mapping[Shape, Points], about: Mapping[Shape, Provenance], options: FitOptions, resamples: int
) -> FittedLaws:
    """Return a law for each set of ends, with intervals and a test on the longest runs. A set needs `BUDGETS`
    different budgets, or `SHARED` if the exponent is shared or given."""
    points, kind = list(sets.values()), options.kind(len(sets))
    ends = _Ends.of(points)
    fitted = _fit(ends, ends.y[None], options, kind)[0]
    drawn = _draws(ends, fitted, options, kind, resamples) if resamples else None
    halves = _held_out(points, options, kind)
    laws: dict[Shape, Law] = {}
    shorter: dict[Shape, Law] = {}
    for row, shape in enumerate(sets):
        first, half = float(ends.first[row]), halves[row]
        provenance = attrs.evolve(_over(about[shape], fitted[row], points[row], first), exponent=kind)
        if half is not None:
            shorter[shape] = attrs.evolve(half[0], provenance=provenance)
            provenance = attrs.evolve(provenance, holdout=half[1])
        law = _law(fitted[row], first, provenance)
        law = law if drawn is None else _with_draws(law, drawn[:, row], first)
        laws[shape] = attrs.evolve(law, provenance=attrs.evolve(law.provenance, verdict=verdict(law)))
    return FittedLaws(laws, dict(sets), shorter, held_out=HELD_OUT)


def _over(about: Provenance, numbers: Floats, points: Points, first: float) -> Provenance:
    """Return the provenance with the ends that were used, and the scatter around the law."""
    amplitude, b, c = numbers
    residual = np.log((amplitude * (points.compute / first) ** -b + c) / points.error)
    return attrs.evolve(
        about,
        points=len(points.compute),
        compute=(float(points.compute.min()), float(points.compute.max())),
        error=(float(points.error.max()), float(points.error.min())),
        rms=_short(float(np.sqrt(np.mean(residual**2)))),
    )


def _with_draws(law: Law, drawn: Floats, first: float) -> Law:
    """Return the law with its draws and intervals. `drawn`: (resamples, 3)."""
    amplitude, b, c = drawn.T
    rows = np.stack([amplitude * first**b, b, c, np.zeros_like(b)], 1)
    how = Resampling(by="ends", alike=1, count=len(rows))
    about = attrs.evolve(law.provenance, resampling=how, intervals=intervals(rows))
    return attrs.evolve(law, draws=rows, provenance=about)


def _law(numbers: Floats, first: float, provenance: Provenance) -> Law:
    amplitude, b, c = map(float, numbers)
    return Law(amplitude * first**b, b, c, 0.0, provenance)


def _fit(ends: _Ends, y: Floats, options: FitOptions, kind: Kind) -> Floats:
    """Return (amplitude, b, c) of each law, shape (resamples, shapes, 3). `y`: the errors, (resamples, shapes,
    points). The amplitude is the power law at the first end of the shape."""
    grid = np.array([options.fixed]) if options.fixed is not None else np.geomspace(0.02, 2.0, GRID)
    b = np.broadcast_to(grid[:, None, None], (len(grid), *y.shape[:2])).copy()
    for zoom in range(_ZOOM):
        a, c, value = _project(ends, y, b, options.delta)
        summed = np.broadcast_to(value.sum(2, keepdims=True), value.shape) if kind == "pooled" else value
        best = summed.argmin(0)[None]
        chosen = [np.take_along_axis(each, best, 0)[0] for each in (a, b, c)]
        if options.fixed is not None or zoom == _ZOOM - 1:
            break
        step = (100.0 ** (1 / (GRID - 1))) ** ((2 / (_AROUND - 1)) ** zoom)
        around = step ** np.linspace(-1, 1, _AROUND)
        b = np.clip(chosen[1][None] * around[:, None, None], B_LOW, B_HIGH)
    return np.stack(chosen, -1)


def _project(ends: _Ends, y: Floats, b: Floats, delta: float) -> tuple[Floats, Floats, Floats]:
    """Return a > 0 and c >= 0 for each b, and the Huber loss of their log residuals, each of the shape of `b`, by
    iteratively reweighted least squares in relative errors."""
    u = np.exp(-b[..., None] * ends.x)
    weight = np.broadcast_to(ends.weight / y**2, u.shape)
    robust = weight
    for _ in range(_ROUNDS):
        uu, u1, uy = ((robust * each).sum(-1) for each in (u * u, u, u * y))
        ones, one_y = robust.sum(-1), (robust * y).sum(-1)
        own = uu - u1 * u1 / ones
        a = (uy - u1 * one_y / ones) / np.where(own > 1e-13 * uu, own, np.inf)
        c = (one_y - a * u1) / ones
        on_face = c < 0
        a, c = np.where(on_face, uy / uu, a), np.where(on_face, 0.0, c)
        a = np.maximum(a, 1e-12 * one_y / ones)
        size = np.abs(np.log((a[..., None] * u + c[..., None]) / y))
        robust = weight * np.minimum(1.0, delta / np.maximum(size, 1e-12))
    inner = np.minimum(size, delta)
    return a, c, (ends.weight * inner * (size - 0.5 * inner)).sum(-1)


def freedom(sets: Sequence[Points], kind: Kind) -> int:
    """Return the number of ends minus the number of parameters."""
    each = 3 if kind == "own" else 2
    return sum(len(points.compute) - each for points in sets) - (kind == "pooled")


def _draws(ends: _Ends, fitted: Floats, options: FitOptions, kind: Kind, count: int) -> Floats:
    """Return (amplitude, b, c) of each resample, shape (resamples, shapes, 3): the laws with noise drawn from the
    residuals of all shapes, scaled by the degrees of freedom that the fit took."""
    rng = np.random.Generator(np.random.Philox(0))
    curve = fitted[:, 0, None] * np.exp(-fitted[:, 1, None] * ends.x) + fitted[:, 2, None]
    kept = ends.weight > 0
    residual = np.log(ends.y / curve)[kept]
    taken = len(residual) - (3 if kind == "own" else 2) * len(fitted) - (kind == "pooled")
    residual = (residual - residual.mean()) * np.sqrt(len(residual) / max(taken, 1))
    scale = np.sqrt(max(taken, 1) / rng.chisquare(max(taken, 1), count))
    noise = rng.choice(residual, (count, *curve.shape)) * np.minimum(scale, 10.0)[:, None, None]
    return np.concatenate(
        [_fit(ends, curve * np.exp(np.clip(part, -1, 1)), options, kind) for part in np.array_split(noise, 8)]
    )


def _held_out(sets: Sequence[Points], options: FitOptions, kind: Kind) -> list[tuple[Law, HoldOut] | None]:
    """Return the law of the shorter runs of each shape and its errors on the longest third; None for a shape with too
    few runs, and for all shapes if too few runs are left to fit."""
    found: list[tuple[Law, HoldOut] | None] = [None] * len(sets)
    least = BUDGETS if kind == "own" else SHARED
    parts = [_shorter(points) for points in sets]
    fit = [row for row, (first, _) in enumerate(parts) if budgets(first) >= least]
    firsts = [parts[row][0] for row in fit]
    if not fit or freedom(firsts, kind) < 1 or (kind == "pooled" and max(map(budgets, firsts)) < BUDGETS):
        return found
    ends = _Ends.of(firsts)
    fitted = _fit(ends, ends.y[None], options, kind)[0]
    for place, row in enumerate(fit):
        law = _law(fitted[place], float(ends.first[place]), Provenance(source="fit", metric="", convention=""))
        found[row] = law, _missed(law, parts[row][1])
    return found


def _shorter(points: Points) -> tuple[Points, Points]:
    """Return the ends of the shorter runs, and those of the longest third."""
    ranks = np.argsort(np.argsort(points.compute, kind="stable"))
    held = ranks >= len(ranks) - max(len(ranks) // 3, 1)
    return points.chosen(~held), points.chosen(held)


def _missed(law: Law, rest: Points) -> HoldOut:
    missed = np.array([np.log(law.error(float(c)) / e) for c, e in zip(rest.compute, rest.error, strict=True)])
    reached, last = law.compute(float(rest.error[-1])), float(rest.compute[-1])
    return HoldOut(
        points=len(missed),
        error=_short(float(np.mean(np.abs(missed)))),
        last=_short(float(missed[-1])),
        factor=_short(reached / last) if np.isfinite(reached) else None,
    )


def _short(value: float) -> float:
    return float(f"{value:.6g}")
