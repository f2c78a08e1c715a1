"""Resamples of a law's points: the estimated noise, and the coverage of intervals."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from shapeflow.ir.law import Law, Provenance
from shapeflow.laws.fitting.resample import (
    RHO,
    SPREAD,
    Noise,
    autocorrelation,
    directions,
    intervals,
    lay,
    noise_of,
    resample,
)
from shapeflow.laws.fitting.solver import FitOptions, Fitted, fit_draws, fit_laws
from shapeflow.laws.logs.points import Floats, Points

LAW = Law(2 * 1e15**0.45, 0.45, 0.3, 2e14, Provenance(source="stated", metric="loss", convention="flops"))
COMPUTE = np.geomspace(1e15, 1e18, 48)
CURVE = np.array([LAW.error(float(c)) for c in COMPUTE])
OWN = FitOptions(exponent="own")


def alike(rng: np.random.Generator, rows: int, rho: float, sigma: float = 0.003) -> Floats:
    """Rows of first-order autoregressive noise, one value per point of the curve."""
    noise = rng.normal(0, sigma, (rows, len(COMPUTE)))
    for at in range(1, len(COMPUTE)):
        noise[:, at] = rho * noise[:, at - 1] + np.sqrt(1 - rho**2) * noise[:, at]
    return noise


def points_of(noise: Floats) -> Points:
    """The curve with noise: one run per row, each at all values of compute."""
    runs = len(noise)
    return Points(
        np.repeat(COMPUTE, runs), (CURVE * np.exp(noise)).T.ravel(), np.tile(np.arange(runs, dtype=np.intp), 48)
    )


def fitted(points: Points) -> Fitted:
    return fit_laws([points], OWN)[0]


def noise_behind(points: Points, law: Fitted | Law = LAW) -> Noise:
    order = np.lexsort((points.compute, points.run))
    compute = points.compute[order]
    residual = np.log(points.error[order] / (law.a * (compute + law.d) ** -law.b + law.c))
    return noise_of(residual, points.run[order], directions(compute, law))


@pytest.mark.parametrize("runs", [1, 3])
def test_the_same_seed_gives_the_same_resamples_of_all_points(runs: int) -> None:
    points = points_of(alike(np.random.default_rng(0), runs, 0.3))
    (one, how), (two, _), (other, _) = (resample(points, LAW, 20, seed) for seed in (1, 1, 2))
    assert one.error is not None
    assert one.error == pytest.approx(two.error, rel=0, abs=0)
    assert (one.error != other.error).all()
    assert one.error.shape == one.weight.shape == (20, 48 * runs)
    assert (one.weight == 1).all()
    assert (how.by, how.count) == ("noise" if runs == 1 else "runs", 20)


def test_a_law_takes_up_the_directions_of_its_four_numbers() -> None:
    basis = directions(COMPUTE, LAW)
    assert basis.T @ basis == pytest.approx(np.eye(4), abs=1e-9)
    values = np.array([LAW.a, LAW.b, LAW.c, LAW.d])
    for index in range(4):
        a, b, c, d = values * np.where(np.arange(4) == index, 1 + 1e-6, 1)
        change = (np.log(a * (COMPUTE + d) ** -b + c) - np.log(CURVE)) / 1e-6
        assert basis @ (basis.T @ change) == pytest.approx(change, abs=1e-5 * np.abs(change).max())


def test_a_shared_exponent_that_does_not_suit_shows_as_noise() -> None:
    points = points_of(alike(np.random.default_rng(10), 1, 0.0, 0.0003))
    law = fit_laws([points], FitOptions(fixed=0.47))[0]
    curve = law.a * (COMPUTE + law.d) ** -law.b + law.c
    strengths, many = [], []
    for held in (False, True):
        drawn, how = resample(points, law, 100, 0, held=held)
        assert drawn.error is not None
        strengths.append(np.median(np.log(drawn.error / curve).std(1)))
        many.append(how.alike)
    assert many[1] > many[0]
    assert strengths[1] > 1.5 * strengths[0]


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.7])
def test_the_noise_is_corrected_for_the_fit(rho: float) -> None:
    noises = [noise_behind(points_of(row[None])) for row in alike(np.random.default_rng(1), 60, rho)]
    assert np.mean([noise.rho for noise in noises]) == pytest.approx(rho, abs=0.07)
    likeliest = [noise.squares[noise.chance.argmax(), 0] / noise.freedom for noise in noises]
    assert np.median(np.sqrt(likeliest)) == pytest.approx(0.003, rel=0.12)


def test_changes_along_the_law_do_not_affect_the_noise() -> None:
    points = points_of(alike(np.random.default_rng(2), 1, 0.5))
    basis = directions(COMPUTE, LAW)
    residual = np.log(points.error / CURVE)
    moved = residual + basis @ np.array([0.01, -0.02, 0.03, 0.004])
    one, two = (noise_of(r, points.run, basis) for r in (residual, moved))
    assert two.chance == pytest.approx(one.chance, rel=1e-6)
    assert two.squares == pytest.approx(one.squares, rel=1e-6)


def test_the_probabilities_are_those_of_the_restricted_likelihood() -> None:
    """Against the textbook's formula with full matrices (Patterson and Thompson 1971, eq. 7 ff.)."""
    points = points_of(alike(np.random.default_rng(3), 3, 0.4))
    order = np.lexsort((points.compute, points.run))
    run, compute = points.run[order], points.compute[order]
    basis, residual = directions(compute, LAW), np.log(points.error[order]) - np.tile(np.log(CURVE), 3)
    noise = noise_of(residual, run, basis)
    cells = [(40, 0), (10, 5), (60, 9), (70, 13)]
    found = []
    for g, s in cells:
        lag = np.abs(np.subtract.outer(np.arange(144), np.arange(144)))
        same = run[:, None] == run
        gamma = np.where(same, np.sign(RHO[g]) ** lag * np.abs(RHO[g]) ** lag + SPREAD[s] ** 2, 0.0)
        inverse = np.linalg.inv(gamma)
        inner = basis.T @ inverse @ basis
        projected = inverse - inverse @ basis @ np.linalg.inv(inner) @ basis.T @ inverse
        squares = residual @ projected @ residual
        assert noise.squares[g, s] == pytest.approx(squares, rel=1e-6)
        found.append(-0.5 * (np.linalg.slogdet(gamma)[1] + np.linalg.slogdet(inner)[1] + 140 * np.log(squares)))
    told = np.log([noise.chance[cell] for cell in cells])
    # The prior gives the case of no spread between runs the same weight as all other spreads together.
    told[0] -= np.log(len(SPREAD) - 1)
    assert told - told[0] == pytest.approx(np.array(found) - found[0], abs=1e-6)


def test_more_correlated_noise_makes_wider_intervals() -> None:
    many, widths = [], []
    for rho in (0.0, 0.5, 0.8):
        points = points_of(alike(np.random.default_rng(4), 1, rho))
        law = fitted(points)
        drawn, how = resample(points, law, 200, 0)
        low, high = intervals(fit_draws([points], [drawn], [law], OWN)[0])["c"]
        many.append(how.alike)
        widths.append(high - low)
    assert many[0] < many[1] < many[2]
    assert widths[0] < widths[1] < widths[2]


def test_widths_scale_with_the_noise() -> None:
    widths = []
    for sigma in (0.001, 0.002):
        points = points_of(alike(np.random.default_rng(5), 1, 0.3, sigma))
        drawn, _ = resample(points, LAW, 300, 0)
        assert drawn.error is not None
        widths.append(np.log(drawn.error / CURVE).std())
    assert widths[1] / widths[0] == pytest.approx(2.0, rel=1e-6)


def test_runs_at_different_levels_are_resampled_as_wholes() -> None:
    rng = np.random.default_rng(6)
    noise = alike(rng, 4, 0.0, 0.001) + np.array([[-0.01], [0.004], [0.012], [-0.006]])
    points = points_of(noise)
    drawn, _ = resample(points, LAW, 400, 0)
    assert drawn.error is not None
    laid = np.log(drawn.error) - np.repeat(np.log(CURVE), 4)
    levels = laid.reshape(400, 48, 4).mean(1)
    # The resampled levels of the runs vary as much as the measured ones, and are independent of each other.
    assert np.median(levels.std(1)) == pytest.approx(0.01, rel=0.4)
    assert abs(np.corrcoef(levels.T)[np.triu_indices(4, 1)]).max() < 0.25
    assert np.median(levels.mean(1).std() / levels.std()) == pytest.approx(0.5, rel=0.2)


def test_outliers_stay_outliers() -> None:
    noise = alike(np.random.default_rng(7), 1, 0.0)
    noise[0, ::16] = 0.05
    points = points_of(noise)
    drawn, _ = resample(points, fitted(points), 200, 0)
    assert drawn.error is not None
    laid = np.abs(np.log(drawn.error / CURVE))
    assert 0.02 < np.mean(laid > 0.03) < 0.12
    assert np.median(laid) < 0.006


@pytest.mark.parametrize("count", [5, 6, 12])
def test_few_points_and_no_noise_still_give_resamples(count: int) -> None:
    for noise in (0.0, 0.003):
        error = CURVE[:count] * np.exp(np.random.default_rng(8).normal(0, noise, count))
        drawn, how = resample(Points(COMPUTE[:count], error), LAW, 50, 0)
        assert drawn.error is not None
        assert (np.isfinite(drawn.error) & (drawn.error > 0)).all()
        assert 1 <= how.alike <= count


@pytest.mark.parametrize(("rho", "least", "most"), [(0.0, 0.83, 0.97), (0.7, 0.8, 1.0)])
def test_intervals_have_their_nominal_coverage(rho: float, least: float, most: float) -> None:
    """60 repeats give the coverage a standard error of 0.04; `benchmarks/coverage.py` uses more repeats."""
    held = []
    for seed, noise in enumerate(alike(np.random.default_rng(9), 60, rho)):
        points = points_of(noise[None])
        law = fitted(points)
        drawn, _ = resample(points, law, 60, seed)
        draws = fit_draws([points], [drawn], [law], OWN)[0]
        found = intervals(draws)
        held += [found[name][0] <= getattr(LAW, name) <= found[name][1] for name in "bc"]
    assert least <= np.mean(held) <= most


def test_the_memory_of_many_runs_is_that_of_their_points() -> None:
    """A level of each run was once a column of a dense matrix: 2,000 runs of 3 points took 7.6 GB."""
    run = np.repeat(np.arange(2_000), 3)
    rng = np.random.Generator(np.random.Philox(0))
    basis = np.linalg.qr(rng.normal(size=(len(run), 3)))[0]
    tracemalloc.start()
    try:
        noise = noise_of(0.01 * rng.normal(size=len(run)), run, basis)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 400e6
    assert noise.chance.sum() == pytest.approx(1)


def test_many_runs_at_once_are_one_point_at_a_time() -> None:
    rng = np.random.default_rng(3)
    for lengths in ([1], [40], [1, 7, 30, 2, 7, 1], [3] * 200):
        run = np.repeat(np.arange(len(lengths)), lengths)
        basis = np.linalg.qr(np.stack([np.ones(len(run)), np.arange(len(run), dtype=float)], 1))[0][:, : len(run) - 1]
        noise = noise_of(rng.normal(0, 0.01, len(run)) if len(run) > 1 else np.array([0.1]), run, basis)
        found = lay(noise, run, 20, np.random.default_rng(5))
        assert np.abs(found - laid_one_by_one(noise, run, 20, np.random.default_rng(5))).max() < 1e-12


def laid_one_by_one(noise: Noise, run: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """What `lay` returns, one point at a time."""
    cells = rng.choice(noise.chance.size, count, p=noise.chance.ravel())
    rho, spread = RHO[cells // len(noise.spreads)], noise.spreads[cells % len(noise.spreads)]
    sigma = np.sqrt(noise.squares.ravel()[cells] / rng.chisquare(noise.freedom, count))
    drawn = rng.choice(noise.innovations, (count, len(run)))
    laid = drawn.copy()
    for at in range(1, len(run)):
        if run[at] == run[at - 1]:
            laid[:, at] = rho * laid[:, at - 1] + np.sqrt(1 - rho**2) * drawn[:, at]
    levels = rng.normal(size=(count, len(np.unique(run))))[:, run]
    return np.asarray(sigma[:, None] * (laid + spread[:, None] * levels))


def test_the_autocorrelation_is_that_along_each_run() -> None:
    rng = np.random.default_rng(4)
    run = rng.integers(0, 30, 400)
    points = Points(np.sort(rng.uniform(1e12, 1e15, 400)), np.ones(400), run)
    residual = rng.normal(size=400)
    each = [residual[run == one] for one in range(30)]
    expected = sum(float(one[1:] @ one[:-1]) for one in each) / sum(float(one @ one) for one in each)
    assert abs(autocorrelation(points, residual) - expected) < 1e-12
