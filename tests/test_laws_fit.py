"""The solver of fits against known laws and against scipy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from shapeflow.base.units import Amount
from shapeflow.laws.fitting import descent
from shapeflow.laws.fitting.huber import look
from shapeflow.laws.fitting.solver import FitOptions, Fitted, at_bound, fit_laws
from shapeflow.laws.logs.points import Floats, Point, Points, select

OWN = FitOptions(exponent="own")


def noisy(law: tuple[float, ...], sigma: float, seed: int, span: tuple[float, float]) -> Points:
    a, b, c, d = law
    compute = np.geomspace(*span, 60)
    noise = np.random.default_rng(seed).normal(0, sigma, 60) if sigma else 0.0
    return Points(compute, (a * (compute + d) ** -b + c) * np.exp(noise))


def family(count: int, sigma: float, b: float | None = None) -> tuple[list[tuple[float, ...]], list[Points]]:
    rng = np.random.default_rng(7)
    laws, sets = [], []
    for seed in range(count):
        exponent = b or float(rng.uniform(0.25, 0.7))
        law = (
            float(rng.uniform(1, 5)) * 1e15**exponent, exponent, float(rng.uniform(0.1, 0.5)),
            float(rng.uniform(-0.5, 1.0)) * 1e15,
        )  # fmt: skip
        laws.append(law)
        sets.append(noisy(law, sigma, seed, (1e15, 10 ** rng.uniform(17, 19))))
    return laws, sets


def objective(fitted: Fitted, points: Points, delta: float = 1e-3) -> float:
    residual = np.log(fitted.a * (points.compute + fitted.d) ** -fitted.b + fitted.c) - np.log(points.error)
    size = np.abs(residual)
    return float(np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta)).sum())


@pytest.mark.parametrize("b", [None, 0.45])
def test_noise_free_laws_are_recovered(b: float | None) -> None:
    laws, sets = family(6, 0.0, b)
    for law, fitted in zip(laws, fit_laws(sets, OWN if b is None else FitOptions(exponent="pooled")), strict=True):
        assert (fitted.a, fitted.b, fitted.c, fitted.d) == pytest.approx(law, rel=1e-6)
        assert fitted.rms < 1e-7


def test_noisy_laws_are_recovered_within_tolerance() -> None:
    laws, sets = family(6, 0.003)
    for law, fitted in zip(laws, fit_laws(sets, OWN), strict=True):
        assert fitted.b == pytest.approx(law[1], rel=0.15)
        assert fitted.c == pytest.approx(law[2], abs=0.05)
        assert 0.002 < fitted.rms < 0.004


def scipy_best(points: Points, delta: float = 1e-3) -> float:
    x = points.compute / np.sqrt(points.compute.min() * points.compute.max())
    rng, best = np.random.default_rng(0), np.inf

    def residual(t: np.ndarray) -> np.ndarray:
        return np.log(np.exp(t[0] - t[1] * np.log(x + t[3])) + t[2]) - np.log(points.error)

    low, high = np.array([-40, 5e-3, 0, -0.9 * x.min()]), np.array([40, 8.0, points.error.min(), 1e4])
    for _ in range(6):
        start = np.array([rng.uniform(-3, 1), rng.uniform(0.1, 1), rng.uniform(0, 0.9) * high[2], rng.uniform(0, x[0])])
        for scale in (0.03, delta):
            answer = least_squares(residual, start, bounds=(low, high), loss="huber", f_scale=scale, x_scale="jac")
            start = answer.x
        best = min(best, float(answer.cost))
    return best


def test_the_objective_is_as_low_as_scipy_finds() -> None:
    _, sets = family(20, 0.005)
    for points, fitted in zip(sets, fit_laws(sets, OWN), strict=True):
        assert fitted.objective == pytest.approx(objective(fitted, points), rel=1e-9)
        assert fitted.objective <= scipy_best(points) * 1.001


def test_the_offset_may_be_negative_by_default() -> None:
    points = noisy((3e7, 0.5, 0.3, -5e14), 0.0, 0, (1e15, 1e18))
    (signed,) = fit_laws([points], OWN)
    (nonnegative,) = fit_laws([points], FitOptions(exponent="own", offset="nonnegative"))
    assert signed.d == pytest.approx(-5e14, rel=1e-6)
    assert nonnegative.d >= 0
    assert nonnegative.objective > signed.objective


def test_the_floor_is_below_every_measured_error() -> None:
    compute = np.geomspace(1e15, 1e18, 40)
    error = np.maximum(3e7 * compute**-0.6, 0.31)
    (fitted,) = fit_laws([Points(compute, error)], OWN)
    assert fitted.c < error.min()


def test_an_exponent_at_its_bound_is_reported() -> None:
    compute = np.geomspace(1e15, 1e16, 30)
    (fitted,) = fit_laws([Points(compute, 0.3 + np.exp(-compute / 1e15))], OWN)
    assert at_bound(fitted.b, fitted.exponent)


@pytest.mark.parametrize(("b", "bound"), [(6.0, 4.0), (1e-3, 5e-3)])
def test_a_pooled_exponent_at_its_bound_is_reported(b: float, bound: float) -> None:
    compute = np.geomspace(1e15, 1e18, 30)
    sets = [Points(compute, 1e-2 * c + (compute / 1e15) ** -b) for c in (1, 2, 3)]
    for fitted in fit_laws(sets, FitOptions(exponent="pooled")):
        assert fitted.b == pytest.approx(bound, rel=1e-3)
        assert at_bound(fitted.b, fitted.exponent)


def test_a_given_exponent_stays() -> None:
    _, sets = family(3, 0.003)
    assert [fitted.b for fitted in fit_laws(sets, FitOptions(fixed=0.4))] == pytest.approx([0.4] * 3)


def test_pooling_begins_with_three_shapes() -> None:
    _, sets = family(3, 0.003)
    assert {fitted.exponent for fitted in fit_laws(sets)} == {"pooled"}
    assert {fitted.exponent for fitted in fit_laws(sets[:2])} == {"own"}


def test_a_shared_exponent_is_the_likeliest_where_each_set_has_its_own_scatter() -> None:
    truth, sets = family(4, 0.001, 0.45)
    sets[0] = noisy(truth[0], 0.02, 0, (1e15, 1e17))
    pooled = fit_laws(sets)

    def chance(laws: Sequence[Fitted]) -> float:
        return sum(len(one.compute) * float(np.log(law.objective)) for one, law in zip(sets, laws, strict=True))

    for other in (0.97, 0.997, 1.003, 1.03):
        assert chance(pooled) < chance(fit_laws(sets, FitOptions(fixed=other * pooled[0].b)))
    quiet = fit_laws(sets[1:])[0].b
    assert abs(pooled[0].b / quiet - 1) < 0.01


def test_a_set_without_noise_does_not_dominate() -> None:
    truth, sets = family(4, 0.003, 0.45)
    sets[0] = noisy((*truth[0][:1], 0.6, *truth[0][2:]), 0.0, 0, (1e15, 1e18))
    (first, *others) = fit_laws(sets)
    assert first.b == others[0].b
    assert others[0].b == pytest.approx(0.45, abs=0.01)


@pytest.mark.parametrize("factor", [1e-9, 1e6])
def test_units_do_not_matter(factor: float) -> None:
    _, (points,) = family(1, 0.003)
    (one,) = fit_laws([points], OWN)
    (other,) = fit_laws([Points(points.compute * factor, points.error * 100)], OWN)
    assert (other.b, other.c, other.d) == pytest.approx((one.b, one.c * 100, one.d * factor), rel=1e-5)


def run(count: int, first: float = 1e12, last: float = 1e15) -> list[Point]:
    return [Point(float(c), 1.0, float(i)) for i, c in enumerate(np.geomspace(first, last, count))]


@pytest.mark.parametrize(
    ("drop", "left"),
    [
        (Amount(2, "number"), 8),
        (Amount(0, "number"), 10),
        (Amount(0.25, "ratio"), 7),
        (Amount(1.1e13, "compute"), 6),
        (Amount(4, "steps"), 6),
    ],
)
def test_the_beginning_of_each_run_is_dropped(drop: Amount, left: int) -> None:
    points, dropped = select([run(10), run(10)], drop, 60)
    assert len(points.compute) == 2 * left
    assert dropped.get("warm-up", 0) == 2 * (10 - left)


def test_points_are_thinned_to_equal_steps_of_log_compute() -> None:
    even = [Point(float(c), 1.0) for c in np.linspace(1e12, 1e15, 5000)]
    points, dropped = select([even], Amount(0, "number"), 12)
    assert len(points.compute) <= 12
    assert dropped["resampling"] == 5000 - len(points.compute)
    gaps = np.diff(np.log(points.compute))
    assert gaps.max() < 2.2 * np.log(1e3) / 12
    assert set(points.compute) <= {point.compute for point in even}


def test_steps_are_needed_to_drop_by_steps() -> None:
    with pytest.raises(ValueError, match="no steps"):
        select([[Point(1.0, 1.0)]], Amount(4, "steps"), 60)


def test_the_linear_residual_is_as_low_as_scipy_finds() -> None:
    _, sets = family(6, 0.005)
    options = FitOptions(exponent="own", residual="linear")
    for points, fitted in zip(sets, fit_laws(sets, options), strict=True):
        lowest = points.error.min()

        def residual(t: np.ndarray, points: Points = points, lowest: float = lowest) -> np.ndarray:
            x = points.compute / points.compute.min()
            return (t[0] * (x + t[3]) ** -t[1] + t[2] - points.error) / lowest

        a = fitted.a * points.compute.min() ** -fitted.b
        found = residual(np.array([a, fitted.b, fitted.c, fitted.d / points.compute.min()]))
        size = np.abs(found)
        assert fitted.objective == pytest.approx(np.where(size <= 1e-3, size**2 / 2, 1e-3 * (size - 5e-4)).sum())
        bounds = ([0, 5e-3, 0, -0.9], [np.inf, 4.0, lowest, np.inf])
        for b in (0.2, 0.5, 1.0):
            begin = [points.error.max() - lowest / 2, b, lowest / 2, 0.0]
            other = least_squares(residual, begin, bounds=bounds, loss="huber", f_scale=1e-3, x_scale="jac")
            assert fitted.objective <= other.cost * 1.001


def test_other_laws_that_fit_as_well_are_reported() -> None:
    """A short range of noisy points does not determine the law."""
    told = 0
    for seed in range(10, 17):
        points = noisy((3e7, 0.5, 0.3, 0.0), 0.1, seed, (1e15, 4e15))
        (fitted,) = fit_laws([points], OWN)
        for a, b, c, d in fitted.optima:
            told += 1
            other = Fitted(a, b, c, d, 0.0, 0.0, "own")
            assert objective(other, points) <= 1.01 * fitted.objective
            assert abs(b / fitted.b - 1) > 0.05 or abs(c - fitted.c) > 0.05 * points.error.min()
    assert told


def test_no_other_law_is_reported_if_the_points_determine_it() -> None:
    _, sets = family(4, 0.001)
    assert [fitted.optima for fitted in fit_laws(sets, OWN)] == [()] * 4


def test_points_that_follow_no_law_have_a_finite_fit() -> None:
    compute = np.geomspace(1e15, 1e18, 20)
    shapes = [np.ones(20), np.linspace(1, 2, 20), np.where(compute < 1e16, 2.0, 1.0), np.geomspace(1e8, 1e-8, 20)]
    for error in [*shapes, np.geomspace(1e-8, 1e8, 20)]:
        for options in (OWN, FitOptions(exponent="own", residual="linear", offset="nonnegative")):
            (fitted,) = fit_laws([Points(compute, error)], options)
            assert np.isfinite([fitted.a, fitted.b, fitted.c, fitted.d, fitted.objective]).all()
            assert fitted.a > 0
            assert fitted.c < error.min()


def test_a_descent_ends_at_points_that_lie_on_their_laws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences of objectives are noise there: without an end, every descent would take all of its steps."""
    looks = list[int]()

    def counted(theta: Floats, *others: Any) -> tuple[Floats, Floats]:
        looks.append(len(theta))
        return look(theta, *others)

    monkeypatch.setattr(descent, "look", counted)
    _, sets = family(3, 0.0, 0.45)
    for fitted in fit_laws(sets, FitOptions(exponent="pooled")):
        assert fitted.b == pytest.approx(0.45, rel=1e-9)
    assert len(looks) < 200
