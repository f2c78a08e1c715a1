"""The two-skill form of a mixture: derivatives, the closed optimum against searches, and the fit against scipy."""

from __future__ import annotations

import itertools
import math

import attrs
import numpy as np
import pytest
from pilots import SHARES, Truth, pilots
from scipy.optimize import brentq, least_squares

from shapeflow.ir.edits import Floats
from shapeflow.ir.two_skills import LAM, A, B, C, K, Kinds, best, errors, relative_cost, slopes
from shapeflow.laws.mixing.fitted import Fitted, draws, fit, kinds_of
from shapeflow.laws.mixing.pilots import Trial, kept
from shapeflow.laws.mixing.solver import Bounds, Data, descend, objective, starts
from shapeflow.stages.assess.answer import interval
from shapeflow.stages.assess.mixed import FORM, _with_form

TWO, THREE = Kinds(1, ((0,),), (0,)), Kinds(2, ((0,), (1,)), (0, 1))
PRICES = np.array([0.418, 0.566])


def thetas(count: int, groups: int, seed: int = 0) -> Floats:
    """Random parameter vectors, inside the bounds of the fit."""
    draw = np.random.default_rng(seed)
    columns = [draw.uniform(0.2, 1.5, count), draw.uniform(-2, 1, count), np.log(draw.uniform(0.2, 1.2, count))]
    columns += [draw.uniform(-8, 0, count), *draw.normal(0.0, 0.6, (groups, count))]
    return np.stack(columns, 1)


@pytest.mark.parametrize("kinds", [TWO, THREE, Kinds(2, ((0, 1),), (0, 1)), Kinds(0, ((1,), (2, 3)), (1,))])
def test_slopes_are_the_derivatives_of_the_errors(kinds: Kinds) -> None:
    shapes, draw = len(kinds.known), np.random.default_rng(1)
    theta, data = thetas(6, len(kinds.groups)), draw.uniform(0.05, 5, (7, shapes))
    found, slope = slopes(theta, data, kinds)
    assert found == pytest.approx(errors(theta, data, kinds), rel=1e-12)
    for place in range(theta.shape[1]):
        step = np.zeros(theta.shape[1])
        step[place] = 1e-5
        measured = (errors(theta + step, data, kinds) - errors(theta - step, data, kinds)) / 2e-5
        assert slope[..., place] == pytest.approx(measured, rel=1e-6, abs=1e-9)


def test_a_shape_that_no_pilot_saw_teaches_nothing_and_no_target_is_infinite() -> None:
    theta = thetas(3, 1)
    unseen = Kinds(2, ((0,),), (0,))
    one, other = (errors(theta, np.array([[2.0, n, 1.0]]), unseen) for n in (0.0, 9.0))
    assert (one == other).all()
    assert np.isinf(errors(theta, np.array([[2.0, 0.0, 0.0]]), unseen)).all()
    assert np.isinf(relative_cost(theta, np.array([1.0, 0.0, 0.0]), np.ones(3), unseen)).all()


def compute_to(target: float, theta: Floats, shares: Floats, prices: Floats, kinds: Kinds) -> float:
    """The compute at which constant shares reach an error, found numerically."""

    def miss(log_data: float) -> float:
        return float(errors(theta[None], math.exp(log_data) * shares[None], kinds)[0, 0]) - target

    return math.exp(brentq(miss, -60, 120, xtol=1e-13)) * float(shares @ prices)


@pytest.mark.parametrize("kinds", [TWO, THREE])
def test_the_relative_cost_is_the_same_at_every_error(kinds: Kinds) -> None:
    draw = np.random.default_rng(2)
    shapes = len(kinds.known)
    for theta in thetas(5, len(kinds.groups), seed=3):
        shares, prices = draw.dirichlet(np.ones(shapes)), draw.uniform(0.3, 1, shapes)
        (said,) = relative_cost(theta[None], shares, prices, kinds)
        alone = np.eye(shapes)[kinds.target]
        for above in (0.01, 0.1, 1.0):
            target = theta[C] + above
            pair = [compute_to(target, theta, one, prices, kinds) for one in (shares, alone)]
            assert pair[0] / pair[1] == pytest.approx(said, rel=1e-8)


def test_the_target_alone_costs_itself() -> None:
    assert relative_cost(thetas(9, 1), np.array([0.0, 1.0]), PRICES, TWO) == pytest.approx(1.0, rel=1e-12)


def test_the_best_share_of_two_shapes_is_that_of_a_search() -> None:
    theta = thetas(60, 1, seed=4)
    shares, cost = best(theta, PRICES, TWO)
    grid = np.geomspace(1e-7, 1, 40001)
    pairs = np.stack([1 - grid, grid], 1)
    for row, share, value in zip(theta, shares, cost, strict=True):
        found = relative_cost(np.repeat(row[None], len(grid), 0), pairs, PRICES, TWO)
        assert value == pytest.approx(found.min(), rel=1e-6)
        assert share[1] == pytest.approx(grid[found.argmin()], rel=2e-2)
    mixed = shares[:, 1] < 1
    assert mixed.any()
    assert not mixed.all()
    assert relative_cost(theta, shares, PRICES, TWO) == pytest.approx(cost, rel=1e-9)


def test_the_best_mixture_of_three_shapes_is_that_of_a_search_over_the_simplex() -> None:
    theta, prices = thetas(40, 2, seed=5), np.array([0.5, 0.6, 0.8])
    # Fine near small shares of the target, which are the best.
    target, part = np.geomspace(1e-4, 1, 300), np.linspace(0, 1, 61)
    grid = np.array([[(1 - t) * p, (1 - t) * (1 - p), t] for t, p in itertools.product(target, part)])
    shares, cost = best(theta, prices, THREE)
    for row, share, value in zip(theta, shares, cost, strict=True):
        found = relative_cost(np.repeat(row[None], len(grid), 0), grid, prices, THREE)
        assert value <= found.min() * (1 + 1e-9)
        if share[2] > 1e-4:
            assert value == pytest.approx(found.min(), rel=1e-3)
        assert (share > 0).sum() <= 2
    assert {tuple(share > 0) for share in shares} >= {(True, False, True), (False, True, True), (False, False, True)}


def test_only_named_shapes_are_mixed_in() -> None:
    theta, prices = thetas(40, 2, seed=5), np.array([0.5, 0.6, 0.8])
    for cheap in (0, 1):
        shares, cost = best(theta, prices, THREE, [cheap])
        assert (shares[:, 1 - cheap] == 0).all()
        assert (cost >= best(theta, prices, THREE)[1]).all()
    assert (best(theta, prices, THREE, [])[0] == [0, 0, 1]).all()


def test_without_a_second_skill_one_shape_is_the_best() -> None:
    """lam -> 0 is the limit of paper A: equal errors are equal states, so that the cheapest shape is trained alone."""
    theta = thetas(30, 2, seed=6)
    theta[:, LAM] = -60.0
    prices = np.array([0.5, 0.6, 0.7])
    shares, cost = best(theta, prices, THREE)
    worth = prices / THREE.worth(theta, 3)
    least = worth.argmin(1)
    assert (shares.argmax(1) == least).all()
    assert shares.max(1) == pytest.approx(1.0, abs=1e-6)
    assert cost == pytest.approx(worth.min(1) / prices[2], rel=1e-6)
    assert set(least.tolist()) == {0, 1, 2}


def trials(runs: int = 0, **options: object) -> list[Trial]:
    """Synthetic pilots, cheap shape first."""
    made = pilots(random=runs, **options)  # type: ignore[arg-type]
    return [Trial(one.name, np.stack(list(one.data.values()), 1), one.error, one.compute, one.seed) for one in made]


def by_scipy(found: Fitted, x0: Floats) -> tuple[Floats, float]:
    """The optimum of the same residuals by scipy, and its objective; written from the definition of the fit."""
    data = np.concatenate([one.data for one in found.trials]) / found.unit
    error = np.concatenate([one.error for one in found.trials])
    deviation = math.hypot(found.seed_deviation, found.point_deviation)
    weight = np.concatenate([np.full(len(one.error), min(1, 3 / len(one.error)) ** 0.5) for one in found.trials])

    def residuals(theta: Floats) -> Floats:
        c, a, b, lam, k = theta[0], *np.exp(theta[1:])
        u, v = data[:, 1] + k * data[:, 0], data[:, 1]
        misses = (c + a * (u**-b + lam * v**-b) - error) * weight / deviation
        weak = [(theta[2] - math.log(0.5)) / 0.35, (theta[3] - math.log(0.03)) / 2, theta[4]]
        return np.concatenate([misses, weak])

    low = [1e-3, *np.log([1e-4, 0.1, 1e-5, 0.02])]
    high = [error.min() - 1e-3, *np.log([50, 1.5, 5, 30])]
    found_ = least_squares(
        residuals, np.clip(x0, np.array(low) + 1e-6, np.array(high) - 1e-6), bounds=(low, high), loss="soft_l1",
        f_scale=2.0, xtol=1e-14, ftol=1e-14, gtol=1e-12, max_nfev=3000,
    )  # fmt: skip
    return found_.x, 2 * found_.cost / 4


@pytest.mark.parametrize(
    ("seed", "options"),
    [
        (0, {}),
        (1, {"seeds": (0,)}),
        (2, {"shares": (1.0, 0.1)}),
        (3, {"level": 0.03, "noise": 0.02}),
        # The optimum stands at a bound.
        (4, {"truth": Truth(k=0.005, lam=0.5)}),
    ],
)
def test_the_fit_is_the_optimum_that_scipy_finds(seed: int, options: dict[str, object]) -> None:
    found = fit(kept(trials(seed, **options), 1), 1, 0.008, 0.003)
    begins = [found.theta, *starts(np.concatenate([one.error for one in found.trials]), 1, seed=9)[:3]]
    theirs = min((by_scipy(found, begin) for begin in begins), key=lambda pair: pair[1])
    assert found.objective == pytest.approx(theirs[1], rel=1e-4, abs=1e-7)
    assert found.theta == pytest.approx(theirs[0], abs=5e-3)
    (alike,) = relative_cost(theirs[0][None], np.array([0.9, 0.1]), PRICES, TWO)
    assert relative_cost(found.theta[None], np.array([0.9, 0.1]), PRICES, TWO)[0] == pytest.approx(alike, rel=1e-3)


def test_fits_stay_inside_their_bounds() -> None:
    draw = np.random.default_rng(0)
    data = draw.uniform(0.05, 3, (40, 2))
    error = draw.uniform(0.5, 3, (12, 40))
    points = Data(data, np.repeat(np.arange(4), 10), 0.01)
    begin = thetas(12, 1, seed=7) * 5
    theta, value = descend(begin, error, points, TWO)
    bounds = Bounds.of(error, 1)
    assert (theta >= bounds.low).all()
    assert (theta <= bounds.high).all()
    assert (theta[:, C] < error.min(1)).all()
    clipped = np.clip(begin, bounds.low + 1e-6, bounds.high - 1e-6)
    assert (value <= objective(clipped, error, points, TWO)).all()
    # Descents do not depend on each other.
    alone, _ = descend(begin[3:4], error[3:4], points, TWO)
    assert alone[0] == pytest.approx(theta[3], abs=1e-9)


def test_more_measurements_of_a_run_are_not_more_evidence() -> None:
    few, many = (Data(np.ones((n, 2)), np.zeros(n), 0.01) for n in (3, 300))
    assert (few.weight**2).sum() == pytest.approx((many.weight**2).sum())
    assert (Data(np.ones((2, 2)), np.zeros(2), 0.01).weight == 100).all()


def test_the_truth_is_recovered() -> None:
    """Twelve sets of four pilots: savings within 0.10, and intervals that cover the truth."""
    truth = Truth()
    theta = np.array([[truth.c, *np.log([truth.a, truth.b, truth.lam, truth.k])]])
    share, cost = best(theta, PRICES, TWO)
    near, covered, ends, misses = 0, 0, [], []
    for seed in range(12):
        made = trials(seed, seeds=(0,), shares=(1.0, 0.5, 0.1, 0.02))
        found = fit(kept(made, 1), 1, 0.008, 0.003)
        own, least = best(found.theta[None], PRICES, TWO)
        many = np.concatenate([found.theta[None], draws(found, 150)])
        saving = interval(1 - _with_form(relative_cost(many, own, PRICES, TWO), FORM))
        near += abs(least[0] - cost[0]) < 0.10
        covered += saving.low <= 1 - cost[0] <= saving.high
        ends.append(own[0, 1])
        data = 2e12 / (own[0] @ PRICES * 1e6) * own
        misses.append(found.theta[C] - truth.c)
        assert errors(found.theta[None], data / found.unit, TWO)[0, 0] == pytest.approx(
            float(truth.error(data[0, 1], data[0, 0])), abs=0.04
        )
    assert near >= 11
    assert covered >= 10
    assert float(np.median(ends)) == pytest.approx(share[0, 1], rel=0.25)
    assert abs(float(np.mean(misses))) < 0.03


def test_draws_are_the_same_in_every_call() -> None:
    found = fit(kept(trials(), 1), 1, 0.008, 0.003)
    assert (draws(found, 20) == draws(found, 20)).all()
    assert np.std(draws(found, 50)[:, K]) > 0.01


def test_a_level_that_pilots_show_is_larger_than_the_assumed_one() -> None:
    assert fit(kept(trials(level=0.001), 1), 1, 0.008, 0.003).level == 0.008
    assert fit(kept(trials(level=0.05), 1), 1, 0.008, 0.003).level > 0.02


def row(*shares: float) -> Trial:
    data = np.outer(np.arange(1, 6), shares)
    return Trial("one", data, np.ones(5), np.arange(1.0, 6))


@pytest.mark.parametrize(
    ("shares", "kinds"),
    [
        # Below 35% of the data, shapes share one parameter and are not recommended.
        ([(0, 0, 1), (0.9, 0, 0.1), (0.5, 0.2, 0.3), (0.5, 0, 0.5)], Kinds(2, ((0,), (1,)), (0,))),
        ([(0, 0, 1), (0.2, 0.2, 0.6)], Kinds(2, ((0, 1),), ())),
        # One that two pilots have comes before one that was tried once.
        ([(0, 0, 1), (0.9, 0, 0.1), (0, 0.9, 0.1), (0, 0.5, 0.5)], Kinds(2, ((0,), (1,)), (1,))),
        ([(0, 0, 1), (0.9, 0, 0.1), (0, 0.9, 0.1)], Kinds(2, ((0,), (1,)), (0, 1))),
        ([(0, 0, 1), (0.9, 0, 0.1)], Kinds(2, ((0,),), (0,))),
    ],
)
def test_which_parameters_pilots_determine(shares: list[tuple[float, ...]], kinds: Kinds) -> None:
    assert kinds_of([row(*one) for one in shares], 2) == kinds


def test_points_begin_after_the_start_and_include_the_end() -> None:
    (short, long) = (Trial("x", np.ones((50, 2)), np.arange(50.0), np.linspace(1, end, 50)) for end in (50, 100))
    found = kept([short, long], 1)
    for one, end in zip(found, (50, 100), strict=True):
        assert one.compute[0] >= 0.25 * 50
        assert one.compute[-1] == end
        assert (one.compute[1:] / one.compute[:-1] >= 1.15 - 1e-9).all()
    late = attrs.evolve(short, data=np.stack([np.ones(50), np.maximum(0, np.arange(50) - 30)], 1))
    (one,) = kept([late], 1)
    assert one.data[0, 1] > 0
    assert one.compute[-1] == 50


def test_the_order_of_parameters() -> None:
    assert (C, A, B, LAM, K) == (0, 1, 2, 3, 4)
    assert SHARES == (1.0, 0.5, 0.1, 0.03)
