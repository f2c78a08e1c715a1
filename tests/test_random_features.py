"""Exact losses of power-law random features, against values computed independently, identities, and SGD itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shapeflow.laws.random_features.equivalent import Equivalent
from shapeflow.laws.random_features.loss import LossCurve, kernel_norm, largest_step, loss_curve, stable
from shapeflow.laws.random_features.optimum import NARROWEST, Widths
from shapeflow.laws.random_features.phase import BOUNDARIES, STEEP, phase_of
from shapeflow.laws.random_features.problem import RandomFeatures, nodes
from shapeflow.laws.random_features.spectrum import Spectrum, diagonal, sampled

ONE = RandomFeatures(1.0, 0.8, 200, 800)
POINTS = [(0.8, 0.3), (0.4, 0.4), (0.2, 0.8), (1.0, 0.7), (0.8, 1.4), (0.4, 0.9), (0.27, 0.9)]
"""One point of each phase, in the order Ia, Ib, Ic, II, III, IVa, IVb."""


def matrix() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((800, 200)) / math.sqrt(200)


def default_step(model: RandomFeatures) -> float:
    return 0.5 / model.trace


def average(model: RandomFeatures, per_decade: int = 40) -> LossCurve:
    return loss_curve(Equivalent.of(model).spectrum(per_decade), default_step(model), 1, model.width)


def stepped(spectrum: Spectrum, step: float, batch: int, steps: int) -> float:
    """The loss by the recursion itself, one step after the other."""
    lam, energy = spectrum.eigenvalues, spectrum.energy.copy()
    keeps = 1 - 2 * step * batch * lam + step**2 * batch * (batch + 1) * lam**2
    for _ in range(steps):
        energy = keeps * energy + step**2 * batch * lam**2 * (spectrum.residual + energy.sum())
    return float(spectrum.residual + energy.sum())


def test_the_variant_without_randomness() -> None:
    spectrum = diagonal(RandomFeatures(1.0, 0.8, 64, 256))
    curve = loss_curve(spectrum, 0.25, 1, 64)
    expected = [
        *(1.11598886952, 0.805470353415, 0.0956908833105),
        *(0.00434999112213, 2.0697923298e-4, 1.40476060961e-5),
    ]
    np.testing.assert_allclose(curve.loss(np.array([0, 1, 10, 100, 1e3, 1e4])), expected, rtol=1e-10)
    assert kernel_norm(spectrum, 0.25, 1) == pytest.approx(0.248062015504, rel=1e-11)
    assert curve.floor == pytest.approx(9.81258589974e-6, rel=1e-10)
    assert spectrum.residual == pytest.approx(7.37845606415e-6, rel=1e-11)
    eight = loss_curve(spectrum, 0.05, 8, 64)
    expected = [0.5024220174, 0.03069828859, 0.001612715783, 8.117124059e-5]
    np.testing.assert_allclose(eight.loss(np.array([1, 10, 100, 1000])), expected, rtol=1e-9)


def test_one_random_matrix() -> None:
    spectrum, step = sampled(ONE, matrix()), default_step(ONE)
    assert step == pytest.approx(0.304194566664, rel=1e-11)
    expected = [0.7986863327, 0.08563970018, 0.004243024183, 7.841513265e-4, 2.27008613e-4]
    np.testing.assert_allclose(
        loss_curve(spectrum, step, 1, 200).loss(np.array([1, 10, 100, 1e3, 1e4])), expected, rtol=1e-8
    )
    assert spectrum.residual == pytest.approx(9.038744e-5, rel=1e-6)
    assert kernel_norm(spectrum, step, 1) == pytest.approx(0.2997779755, rel=1e-9)
    assert spectrum.eigenvalues[[0, -1]] == pytest.approx([9.30962148e-6, 0.9271220878], rel=1e-8)
    with pytest.raises(ValueError, match="not \\(800, 200\\)"):
        sampled(ONE, matrix()[:, :3])


def test_sgd_on_this_matrix() -> None:
    """Replicas of SGD, each with its own data, drawn from the joint Gaussian of features and target."""
    step, replicas = default_step(ONE), 200
    j = np.arange(1.0, 801.0)
    joint = np.column_stack([j[:, None] ** -1.0 * matrix(), j**-1.8])
    covariance = joint.T @ joint
    factor, rng = np.linalg.cholesky(covariance).T, np.random.default_rng(1)
    theta, curve = np.zeros((replicas, 200)), loss_curve(sampled(ONE, matrix()), step, 1, 200)
    for done in range(1, 301):
        drawn = rng.standard_normal((replicas, 201)) @ factor
        x, y = drawn[:, :-1], drawn[:, -1]
        theta -= step * x * ((x * theta).sum(1) - y)[:, None]
        if done in (10, 100, 300):
            error = np.column_stack([theta, -np.ones(replicas)])
            losses = ((error @ covariance) * error).sum(1)
            z = (losses.mean() - curve.loss(np.array([float(done)]))[0]) / (losses.std(ddof=1) / math.sqrt(replicas))
            assert abs(z) <= 3, done


def test_the_average_over_matrices() -> None:
    average_, step = Equivalent.of(ONE), default_step(ONE)
    spectrum = average_.spectrum(80)
    assert average_.kappa0 == pytest.approx(4.826103985e-5, rel=1e-9)
    assert average_.residual == pytest.approx(1.055517479e-4, rel=1e-9)
    assert average_.edge == pytest.approx(9.338790e-6, rel=1e-6)
    assert kernel_norm(spectrum, step, 1) == pytest.approx(0.321913, rel=1e-4)
    curve = loss_curve(spectrum, step, 1, 200)
    expected = [0.095255, 0.0056486, 8.1961e-4, 2.77561e-4]
    np.testing.assert_allclose(curve.loss(np.array([10, 100, 1e3, 1e4])), expected, rtol=1e-4)
    mean, error = [0.09540, 0.005588, 8.097e-4, 2.7616e-4], [0.0007, 0.00007, 0.8e-5, 0.023e-4]
    found = curve.loss(np.array([10, 100, 1e3, 1e4]))
    assert np.all(np.abs(found - mean) <= 3 * np.array(error))  # the mean over 300 matrices


def test_the_average_at_other_widths() -> None:
    curve = average(RandomFeatures(1.0, 0.8, 800, 3200))
    expected = [0.09185, 0.0043515, 3.2983e-4, 5.9907e-5, 2.0714e-5]
    np.testing.assert_allclose(curve.loss(np.array([10, 1e2, 1e3, 1e4, 1e5])), expected, rtol=5e-4)


@pytest.mark.parametrize(
    ("width", "losses"),
    [
        (256, [0.031412, 0.011317, 0.0077519, 0.0075963]),
        (1024, [0.067239, 0.013536, 0.0036769, 0.0017607]),
        (4096, [0.18397, 0.033189, 0.006253, 0.0013991]),
    ],
)
def test_the_loss_over_compute(width: int, losses: list[float]) -> None:
    curve = average(RandomFeatures(0.8, 0.3, width, 4 * width))
    assert [curve.error(compute) for compute in (1e5, 1e6, 1e7, 1e8)] == pytest.approx(losses, rel=1e-3)


def test_the_companion_transform() -> None:
    average_ = Equivalent.of(ONE)
    expected = {
        -0.01: 0.9274424242175,
        0.05 + 0.001j: 0.99898461511 - 0.00645900919j,
        1e-4 + 1e-6j: 0.66827350494 - 0.66080519249j,
    }
    for z, value in expected.items():
        found = average_.companion(z)
        assert abs(found - value) < 5e-9
        share = average_.variance / (average_.variance * found - z)
        assert abs(found * (1 + share.sum() / 200) - 1) < 1e-12


def test_the_measure_has_the_resolvent_that_it_was_made_of() -> None:
    """Away from the eigenvalues, sums over cells agree with the resolvent, which was found in another way."""
    average_ = Equivalent.of(ONE)
    spectrum = average_.spectrum(80)
    for z in (-0.01, 0.05 + 0.05j, 1e-4 + 2e-4j):
        m = average_.companion(z)
        trace = ((average_.variance / (average_.variance * m - z)).sum() * m - 200) / z
        energy = (average_.energy / (average_.variance * m - z)).sum()
        apart = 1 / (spectrum.eigenvalues - z)
        assert (spectrum.counts * apart).sum() == pytest.approx(trace, rel=1e-3)
        assert (spectrum.energy * apart).sum() - spectrum.residual / z == pytest.approx(energy, rel=1e-3)


@pytest.mark.parametrize(("alpha", "beta"), POINTS)
@pytest.mark.parametrize("width", [32, 1000, 3.3e6, 1e10])
def test_what_the_average_keeps(alpha: float, beta: float, width: float) -> None:
    model = RandomFeatures(alpha, beta, width, round(4 * width))
    spectrum = Equivalent.of(model).spectrum()
    assert spectrum.counts.sum() == pytest.approx(width, rel=1e-4)
    assert spectrum.counts @ spectrum.eigenvalues == pytest.approx(model.trace, rel=1e-4)
    assert spectrum.start == pytest.approx(model.start, rel=1e-4)


def test_the_limit_of_many_features() -> None:
    alpha, width = 1.0, 1000
    limit = (math.pi / (2 * alpha) / (width * math.sin(math.pi / (2 * alpha)))) ** (2 * alpha)
    assert Equivalent.of(RandomFeatures(alpha, 0.7, width, 10**9)).kappa0 == pytest.approx(limit, rel=3e-3)


def test_sums_over_many_features() -> None:
    j, weight = nodes(10**6)
    assert len(j) < 1000
    assert weight @ j**-1.6 == pytest.approx(float((np.arange(1.0, 10**6 + 1) ** -1.6).sum()), rel=1e-7)


@pytest.mark.parametrize(("alpha", "beta"), POINTS)
def test_curves_fall_and_are_inverted(alpha: float, beta: float) -> None:
    curve = average(RandomFeatures(alpha, beta, 200, 800))
    steps = np.concatenate([[0.0], np.geomspace(0.1, 1e6, 400)])
    above = curve.above(steps)
    moving = above > 1e-9 * curve.floor
    assert np.all(np.diff(above)[moving[1:]] < 0)
    change = (curve.loss(steps[1:] * 1.0001) - curve.loss(steps[1:] * 0.9999)) / (2e-4 * steps[1:])
    np.testing.assert_allclose(curve.slope(steps[1:]), change, rtol=1e-4, atol=1e-9)
    for count in (0.5, 7.0, 300.0):
        loss = float(curve.loss(np.array([count]))[0])
        assert curve.steps(loss) == pytest.approx(count, rel=1e-9)
        assert curve.compute(loss) == pytest.approx(200 * count, rel=1e-9)
    assert curve.steps(curve.floor) == math.inf
    assert curve.steps(2 * float(curve.loss(np.array([0.0]))[0])) == 0.0


@pytest.mark.parametrize("batch", [1, 8])
def test_the_largest_stable_step(batch: int) -> None:
    spectrum = sampled(ONE, matrix())
    largest = largest_step(spectrum, batch)
    assert stable(spectrum, 0.99 * largest, batch)
    assert not stable(spectrum, 1.01 * largest, batch)
    assert stepped(spectrum, 0.97 * largest, batch, 5000) < 10
    assert stepped(spectrum, 1.03 * largest, batch, 5000) > 1e3
    # The shorthand 2 / tr K allows several times too much.
    assert largest / (2 / spectrum.eigenvalues.sum()) == pytest.approx({1: 0.52, 8: 0.17}[batch], abs=0.05)
    with pytest.raises(ValueError, match="the largest stable one is"):
        loss_curve(spectrum, 1.01 * largest, batch, 200)


def test_the_closed_form_is_the_recursion() -> None:
    spectrum = sampled(ONE, matrix())
    for step, batch in ((0.3, 1), (0.05, 8)):
        found = loss_curve(spectrum, step, batch, 200).loss(np.array([3000.0]))[0]
        assert found == pytest.approx(stepped(spectrum, step, batch, 3000), rel=1e-11)


@pytest.mark.parametrize(
    ("alpha", "beta", "name", "width", "loss"),
    [
        (0.8, 0.3, "Ia", 0.384615, 0.461538),
        (0.4, 0.4, "Ib", 0.5, 0.3),
        (0.2, 0.8, "Ic", 0.568182, 0.227273),
        (1.0, 0.7, "II", 0.411765, 0.705882),
        (0.8, 1.4, "III", 0.5, 0.6875),
        (0.4, 0.9, "IVa", 0.5, 0.4),
        (0.27, 0.9, "IVb", 0.603448, 0.295211),
        (0.7, 0.2, "Ia", 0.416667, 0.333333),
        (0.7, 0.6, "II", 0.461538, 0.615385),
        (0.7, 1.0, "III", 0.5, 0.642857),
    ],
)
def test_phases(alpha: float, beta: float, name: str, width: float, loss: float) -> None:
    found = phase_of(alpha, beta)
    assert found.name == name
    assert found.width_exponent == pytest.approx(width, abs=1e-6)
    assert found.loss_exponent == pytest.approx(loss, abs=1e-6)
    assert not found.on_boundary


@pytest.mark.parametrize(
    ("alpha", "beta", "across"),
    [
        (0.8, 0.5, (0, 1)),
        (0.4, 0.5, (0, 1)),
        (0.2, 0.5, (0, 1)),
        (0.5, 0.3, (1, 0)),
        (0.5, 1.2, (1, 0)),
        (0.8, 0.8, (-1, 1)),
        (0.25, 0.9, (1, 0)),
        (STEEP, 0.9, (1, 0)),
    ],
)
def test_exponents_are_continuous(alpha: float, beta: float, across: tuple[int, int]) -> None:
    """Except that of the width where the noise does not depend on the width."""
    assert phase_of(alpha, beta).on_boundary
    one, two = (phase_of(alpha + sign * 1e-7 * across[0], beta + sign * 1e-7 * across[1]) for sign in (-1, 1))
    assert one.name != two.name
    assert one.boundary == two.boundary
    assert one.distance == pytest.approx(1e-7 * math.hypot(*across), rel=1e-3)
    assert one.loss_exponent == pytest.approx(two.loss_exponent, abs=1e-5)
    assert (abs(one.width_exponent - two.width_exponent) < 1e-5) == (alpha != STEEP)


def test_the_nearest_boundary() -> None:
    assert phase_of(1.0, 0.7).boundary.name == "2 beta = 1"
    assert phase_of(1.0, 0.7).beyond == "Ia"
    assert phase_of(0.3, 0.22).beyond is None
    assert phase_of(0.7, 0.6).distance == pytest.approx(0.1 / math.sqrt(2))
    assert {one.name for one in BOUNDARIES} >= {"2 alpha + 2 beta = 1"}
    assert phase_of(0.3, 0.22).boundary.name == "2 alpha + 2 beta = 1"


@pytest.mark.parametrize(
    ("alpha", "beta", "says"),
    [
        (0.0, 1.0, "alpha is 0"),
        (1.0, -0.1, "beta is -0.1"),
        (0.2, 0.3, "2 alpha \\+ 2 beta is 1"),
        (math.nan, 1.0, "finite"),
        (1.0, 4.0, "at most 3"),
    ],
)
def test_outside_the_theory(alpha: float, beta: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        phase_of(alpha, beta)
    with pytest.raises(ValueError, match=says):
        RandomFeatures(alpha, beta, 10, 100)


def test_a_width_above_the_features() -> None:
    with pytest.raises(ValueError, match="a width of 100 is not between 0 and the 100 features"):
        RandomFeatures(1.0, 1.0, 100, 100)


def test_the_best_width() -> None:
    widths = Widths(lambda width: average(RandomFeatures(0.8, 0.3, width, round(4 * width))), 1)
    one, two = widths.best(1e6, 100), widths.best(1e8, 30)
    assert math.log(two.width / one.width) / math.log(100) == pytest.approx(0.3846, abs=0.02)
    assert math.log(one.loss / two.loss) / math.log(100) == pytest.approx(0.4615, abs=0.02)
    for width in (0.7 * one.width, 1.4 * one.width):
        assert average(RandomFeatures(0.8, 0.3, width, round(4 * width))).error(1e6) > one.loss
    with pytest.raises(ValueError, match="less than one step"):
        widths.best(NARROWEST - 1, 100)


def test_the_best_width_where_no_wider_one_is_possible() -> None:
    widths = Widths(lambda width: average(RandomFeatures(0.8, 0.3, width, 100)), 1, widest=99)
    found = widths.best(1e9, 10)
    assert found.at_end
    assert found.width == pytest.approx(99, rel=0.2)
