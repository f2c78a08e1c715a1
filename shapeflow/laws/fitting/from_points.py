"""Fit laws to points, with resampled intervals, a hold-out test and a verdict."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law, Provenance
from shapeflow.laws.fitting.curve import measured_curve
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.fitting.holdout import Half, hold_out
from shapeflow.laws.fitting.resample import autocorrelation, intervals, resample
from shapeflow.laws.fitting.solver import FitOptions, Fitted, fit_draws, fit_laws
from shapeflow.laws.fitting.verdict import verdict
from shapeflow.laws.logs.points import Floats, Point, Points


def laws_of_points(
    sets: Mapping[Shape, Points], about: Mapping[Shape, Provenance], options: FitOptions, resamples: int
) -> FittedLaws:
    """Return a law for each set of points. A set needs at least 4 points, at 2 or more different amounts of compute.

    `about`: the provenance of each set before the fit; the results of the fit are added to it. `resamples`: the number
    of resamples; 0 gives laws without draws and intervals.
    """
    points = list(sets.values())
    about = {shape: _measured(each, sets[shape]) for shape, each in about.items()}
    fitted = fit_laws(points, options)
    laws = [_law(*each) for each in zip(fitted, points, (about[shape] for shape in sets), strict=True)]
    if resamples:
        laws = _resampled(laws, points, fitted, options, resamples)
    halves = hold_out(points, options)
    held = {shape: _first(half, law) for shape, half, law in zip(sets, halves, laws, strict=True) if half is not None}
    whole = [_judged(*each) for each in zip(laws, points, halves, strict=True)]
    return FittedLaws(dict(zip(sets, whole, strict=True)), dict(sets), held)


def _measured(about: Provenance, points: Points) -> Provenance:
    """The provenance with the measured curve; of the selected points, if the source did not give one of all points."""
    if about.curve is not None:
        return about
    # The points of each run, in their order: one pass, since there may be thousands of runs.
    each: dict[int, list[Point]] = {run: [] for run in np.unique(points.run).tolist()}
    for run, c, e in zip(points.run.tolist(), points.compute.tolist(), points.error.tolist(), strict=True):
        each[run].append(Point(c, e))
    return attrs.evolve(about, curve=measured_curve(list(each.values())))


def _law(one: Fitted, points: Points, about: Provenance) -> Law:
    about = attrs.evolve(
        _over(about, points),
        rms=_short(one.rms),
        objective=_short(one.objective),
        autocorrelation=_short(autocorrelation(points, _level(residuals(one, points), points))),
        exponent=one.exponent,
        optima=one.optima,
    )
    return Law(one.a, one.b, one.c, one.d, about)


def residuals(law: Law | Fitted, points: Points) -> Floats:
    """Return log(law) - log(measured) at each point."""
    return np.asarray(np.log(law.a * (points.compute + law.d) ** -law.b + law.c) - np.log(points.error))


def _resampled(
    laws: list[Law], sets: list[Points], fitted: tuple[Fitted, ...], options: FitOptions, count: int
) -> list[Law]:
    """Return the laws with their draws and intervals."""
    drawn = [
        resample(points, law, count, seed, held=law.provenance.exponent != "own")
        for seed, (law, points) in enumerate(zip(laws, sets, strict=True))
    ]
    draws = fit_draws(sets, [one for one, _ in drawn], fitted, options)
    return [
        attrs.evolve(
            law, provenance=attrs.evolve(law.provenance, resampling=how, intervals=intervals(rows)), draws=rows
        )
        for law, (_, how), rows in zip(laws, drawn, draws, strict=True)
    ]


def _first(half: Half, law: Law) -> Law:
    """Return the law of a first half. Its provenance is that of the law of all points, except for the results of the
    fit."""
    about = attrs.evolve(
        _over(law.provenance, half.points),
        rms=_short(half.law.rms),
        objective=_short(half.law.objective),
        autocorrelation=None,
        optima=half.law.optima,
        resampling=None,
        intervals={},
    )
    return Law(half.law.a, half.law.b, half.law.c, half.law.d, about)


def _judged(law: Law, points: Points, half: Half | None) -> Law:
    """Return the law with the results of its hold-out test and its verdict."""
    found = None if half is None else half.holdout
    if found is not None:
        factor = None if found.factor is None else _short(found.factor)
        found = attrs.evolve(found, error=_short(found.error), last=_short(found.last), factor=factor)
    law = attrs.evolve(law, provenance=attrs.evolve(law.provenance, holdout=found))
    return attrs.evolve(law, provenance=attrs.evolve(law.provenance, verdict=verdict(law)))


def _level(residual: Floats, points: Points) -> Floats:
    """Return residuals minus the mean residual of their run, if there are several runs. A constant difference between
    runs does not show whether the curve is a power law."""
    runs, index = np.unique(points.run, return_inverse=True)
    if len(runs) < 2:
        return residual
    return np.asarray(residual - (np.bincount(index, residual) / np.bincount(index))[index])


def _over(about: Provenance, points: Points) -> Provenance:
    """Return the provenance with the number of points and their ranges of compute and error."""
    return attrs.evolve(
        about,
        points=len(points.compute),
        compute=(float(points.compute[0]), float(points.compute[-1])),
        error=(float(points.error.max()), float(points.error.min())),
    )


def _short(value: float) -> float:
    """Round to six significant digits, as in the intervals. The results of a fit are not more precise."""
    return float(f"{value:.6g}")
