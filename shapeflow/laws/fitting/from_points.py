"""From points to laws with their whole report: fit, resamples, hold-out, verdict."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law, Provenance
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.fitting.holdout import Half, hold_out
from shapeflow.laws.fitting.resample import autocorrelation, intervals, resample
from shapeflow.laws.fitting.solver import FitOptions, Fitted, fit_draws, fit_laws
from shapeflow.laws.fitting.verdict import verdict
from shapeflow.laws.logs.points import Floats, Points


def laws_of_points(
    sets: Mapping[Shape, Points], about: Mapping[Shape, Provenance], options: FitOptions, resamples: int
) -> FittedLaws:
    """A law for each set of points, 4 or more at 2 computes or more. `about` says of each where its points come from;
    what the fit finds is filled in. `resamples`: 0 leaves out draws and intervals."""
    points = list(sets.values())
    fitted = fit_laws(points, options)
    laws = [_law(*each) for each in zip(fitted, points, (about[shape] for shape in sets), strict=True)]
    if resamples:
        laws = _resampled(laws, points, fitted, options, resamples)
    halves = hold_out(points, options)
    held = {shape: _first(half, law) for shape, half, law in zip(sets, halves, laws, strict=True) if half is not None}
    whole = [_judged(*each) for each in zip(laws, points, halves, strict=True)]
    return FittedLaws(dict(zip(sets, whole, strict=True)), dict(sets), held)


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
    """log(law) - log(measured) at each point."""
    return np.asarray(np.log(law.a * (points.compute + law.d) ** -law.b + law.c) - np.log(points.error))


def _resampled(
    laws: list[Law], sets: list[Points], fitted: tuple[Fitted, ...], options: FitOptions, count: int
) -> list[Law]:
    """The laws with their draws, and the intervals that these span."""
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
    """The law of a first half; what it shares with the whole one's report is what it is a law of."""
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
    """The law with what its first half foretold, and the verdict over all of it."""
    found = None if half is None else half.holdout
    if found is not None:
        factor = None if found.factor is None else _short(found.factor)
        found = attrs.evolve(found, error=_short(found.error), last=_short(found.last), factor=factor)
    law = attrs.evolve(law, provenance=attrs.evolve(law.provenance, holdout=found))
    within = float(np.sqrt(np.mean(_level(residuals(law, points), points) ** 2)))
    return attrs.evolve(law, provenance=attrs.evolve(law.provenance, verdict=verdict(law, within)))


def _level(residual: Floats, points: Points) -> Floats:
    """Residuals about the level of their own run, where there are several: that two runs end apart says nothing of the
    form of the curve."""
    runs, index = np.unique(points.run, return_inverse=True)
    if len(runs) < 2:
        return residual
    return np.asarray(residual - (np.bincount(index, residual) / np.bincount(index))[index])


def _over(about: Provenance, points: Points) -> Provenance:
    """The report with what it says of its points."""
    return attrs.evolve(
        about,
        points=len(points.compute),
        compute=(float(points.compute[0]), float(points.compute[-1])),
        error=(float(points.error.max()), float(points.error.min())),
    )


def _short(value: float) -> float:
    """Six digits, as intervals have: what is told of a fit is no more certain."""
    return float(f"{value:.6g}")
