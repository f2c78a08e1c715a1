"""Resamples of laws, fitted together, against separate fits of the same points."""

from __future__ import annotations

import numpy as np
import pytest

from shapeflow.laws.fitting.resample import Drawn
from shapeflow.laws.fitting.solver import FitOptions, Fitted, fit_draws, fit_laws
from shapeflow.laws.logs.points import Floats, Points

OWN = FitOptions(exponent="own")
POOLED = FitOptions(exponent="pooled")


def family(count: int, sigma: float = 0.004, b: float | None = None) -> list[Points]:
    """Sets of points with different lengths, floors, offsets and ranges."""
    rng = np.random.default_rng(11)
    sets = []
    for index in range(count):
        size = 60 - 7 * (index % 3)
        compute = np.geomspace(1e15, 10 ** rng.uniform(17.5, 19), size)
        exponent = b or float(rng.uniform(0.3, 0.7))
        error = rng.uniform(1, 5) * (compute / 1e15 + rng.uniform(-0.5, 1)) ** -exponent + rng.uniform(0.1, 0.5)
        sets.append(Points(compute, error * np.exp(rng.normal(0, sigma, size))))
    return sets


def drawn_of(sets: list[Points], count: int, seed: int = 0) -> list[Drawn]:
    rng = np.random.default_rng(seed)
    sizes = [len(points.compute) for points in sets]
    return [Drawn(rng.multinomial(size, np.full(size, 1 / size), count).astype(float)) for size in sizes]


def objective(points: Points, drawn: Drawn, rows: Floats, options: FitOptions) -> Floats:
    """The Huber loss of each resample, computed directly."""
    error = points.error if drawn.error is None else drawn.error
    a, b, c, d = rows.T[:, :, None]
    law = a * (points.compute + d) ** -b + c
    linear = options.residual == "linear"
    size = np.abs((law - error) / points.error.min() if linear else np.log(law) - np.log(error))
    loss = np.where(size <= options.delta, size**2 / 2, options.delta * (size - options.delta / 2))
    return np.asarray((drawn.weight * loss).sum(1))


def quads(fitted: tuple[Fitted, ...]) -> Floats:
    return np.array([(law.a, law.b, law.c, law.d) for law in fitted])


@pytest.mark.parametrize(
    "options", [OWN, POOLED, FitOptions(fixed=0.45), FitOptions(exponent="own", residual="linear")]
)
def test_all_points_once_are_the_fit_itself(options: FitOptions) -> None:
    sets = family(3)
    fitted = fit_laws(sets, options)
    once = [Drawn(np.ones((2, len(points.compute)))) for points in sets]
    draws = fit_draws(sets, once, fitted, options)
    assert draws.shape == (3, 2, 4)
    for rows, law, drawn, points in zip(draws, fitted, once, sets, strict=True):
        assert objective(points, drawn, rows, options) == pytest.approx(law.objective, rel=1e-4)
        assert rows[0] == pytest.approx(rows[1], rel=1e-12)
    assert draws[:, 0, 1] == pytest.approx(quads(fitted)[:, 1], rel=1e-2)


@pytest.mark.parametrize("options", [OWN, FitOptions(exponent="own", residual="linear"), FitOptions(fixed=0.45)])
def test_a_weight_is_a_point_that_often(options: FitOptions) -> None:
    sets = family(4)
    drawn = drawn_of(sets, 3)
    draws = fit_draws(sets, drawn, fit_laws(sets, options), options)
    for points, one, rows in zip(sets, drawn, draws, strict=True):
        found = objective(points, one, rows, options)
        for weight, value in zip(one.weight, found, strict=True):
            often = np.repeat(np.arange(len(weight)), weight.astype(int))
            anew = Points(points.compute[often], points.error[often])
            law = quads(fit_laws([anew], options))
            best = objective(points, Drawn(weight[None]), law, options)[0]
            assert value <= 1.002 * best or law[0, 2] >= points.error.min()


def test_errors_may_be_replaced() -> None:
    sets = family(2)
    rng = np.random.default_rng(3)
    fitted = fit_laws(sets, OWN)
    drawn = [
        Drawn(one.weight, points.error * np.exp(rng.normal(0, 0.004, one.weight.shape)))
        for points, one in zip(sets, drawn_of(sets, 4), strict=True)
    ]
    draws = fit_draws(sets, drawn, fitted, OWN)
    for points, one, rows in zip(sets, drawn, draws, strict=True):
        assert one.error is not None
        anew = [Points(points.compute, error) for error in one.error]
        alone = np.concatenate(
            [
                fit_draws([p], [Drawn(w[None])], fit_laws([p], OWN), OWN)[0]
                for p, w in zip(anew, one.weight, strict=True)
            ]
        )
        assert objective(points, one, rows, OWN) == pytest.approx(objective(points, one, alone, OWN), rel=5e-3)


def test_every_resample_has_one_shared_exponent_of_its_own() -> None:
    sets = family(4, b=0.5)
    drawn = drawn_of(sets, 30)
    fitted = fit_laws(sets, POOLED)
    draws = fit_draws(sets, drawn, fitted, POOLED)
    shared = draws[:, :, 1]
    assert (shared == shared[0]).all()
    assert 0.001 < shared[0].std() < 0.02
    total = sum(objective(*each, POOLED) for each in zip(sets, drawn, draws, strict=True))
    for factor in (0.99, 1.01):
        # Fits with the exponent fixed 1% off are not better.
        for row in range(3):
            held = FitOptions(fixed=factor * float(shared[0, row]))
            one = [Drawn(each.weight[row : row + 1]) for each in drawn]
            off = fit_draws(sets, one, fit_laws(sets, held), held)
            assert sum(objective(*each, held)[0] for each in zip(sets, one, off, strict=True)) >= total[row]


@pytest.mark.parametrize("options", [OWN, POOLED])
def test_units_do_not_matter_to_resamples(options: FitOptions) -> None:
    sets = family(3)
    drawn = drawn_of(sets, 5)
    other = [Points(points.compute * 1e6, points.error * 100) for points in sets]
    one = fit_draws(sets, drawn, fit_laws(sets, options), options)
    two = fit_draws(other, drawn, fit_laws(other, options), options)
    for points, each, rows, scaled in zip(sets, drawn, one, two, strict=True):
        back = np.stack(
            [scaled[:, 0] / 100 * 1e6 ** -scaled[:, 1], scaled[:, 1], scaled[:, 2] / 100, scaled[:, 3] / 1e6]
        )
        assert objective(points, each, back.T, options) == pytest.approx(
            objective(points, each, rows, options), rel=1e-3
        )


def test_resamples_stay_within_bounds() -> None:
    compute = np.geomspace(1e15, 1e18, 40)
    points = Points(compute, np.maximum(3e7 * compute**-0.6, 0.31))
    drawn = drawn_of([points], 40)
    for offset in ("signed", "nonnegative"):
        options = FitOptions(exponent="own", offset=offset)
        (rows,) = fit_draws([points], drawn, fit_laws([points], options), options)
        assert (rows[:, 2] < points.error.min()).all()
        assert (rows[:, 3] >= (0 if offset == "nonnegative" else -0.9 * compute[0])).all()
        assert np.isfinite(rows).all()
