"""Exact moments of SGD on random features, against recursions written in another way, and against SGD itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from shapeflow.ir.noise import Floats
from shapeflow.ir.random_features import deviations, projection, random_matrix
from shapeflow.laws.random_features.loss import largest_step, loss_curve
from shapeflow.laws.random_features.problem import RandomFeatures
from shapeflow.laws.random_features.spectrum import sampled
from shapeflow_exact.moments import (
    Basis,
    Diagonal,
    Moments,
    basis,
    diverges,
    loss,
    losses,
    moved,
    start,
    stepped,
)

POINTS = [(0.8, 0.3), (1.0, 0.7), (0.8, 1.4), (0.4, 0.9)]
"""(alpha, beta), one of each phase Ia, II, III, IVa."""
FEATURES, NARROW, WIDE, SEED = 64, 16, 32, 5


def of(width: int, alpha: float = 1.0, beta: float = 0.7) -> Basis:
    return basis(alpha, beta, FEATURES, SEED, width)


def default_step(alpha: float = 1.0, features: int = FEATURES) -> float:
    return float(0.5 / (deviations(alpha, features) ** 2).sum())


def seen(width: int) -> Floats:
    """A = D^1/2 W."""
    return np.asarray(deviations(1.0, FEATURES)[:, None] * random_matrix(SEED, FEATURES, width))


def append(old: int, to: int) -> Floats:
    """The parameters of new features are 0, and predictions stay."""
    return np.asarray(math.sqrt(to / old) * np.eye(to, old))


def project(old: int, to: int) -> Floats:
    return projection(SEED, FEATURES, 1.0, old, to)


def middle(width: int) -> Moments:
    """Moments that are not those of one vector: after some noisy steps."""
    return stepped(start(of(width)), default_step(), 2, 20)


def test_the_variant_without_randomness() -> None:
    """Features are coordinates, so that S and t are known; losses from an independent implementation."""
    j = np.arange(1.0, 257.0)
    seen, rest = (j**-1.8)[:64], (j**-1.8)[64:]
    moments = start(Basis(j[:64] ** -1.0, np.eye(64), seen, float(rest @ rest)))
    expected = {0: 1.11598886952, 10: 0.0956908833105, 1000: 2.0697923298e-4, 10000: 1.40476060961e-5}
    assert {steps: loss(stepped(moments, 0.25, 1, steps)) for steps in expected} == pytest.approx(expected, rel=1e-10)
    expected = {1: 0.5024220174, 100: 0.001612715783, 1000: 8.117124059e-5}
    assert {steps: loss(stepped(moments, 0.05, 8, steps)) for steps in expected} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("alpha", "beta"), POINTS)
@pytest.mark.parametrize("batch", [1, 4])
def test_the_loss_is_that_of_the_law(alpha: float, beta: float, batch: int) -> None:
    step = default_step(alpha, 400) / batch
    spectrum = sampled(RandomFeatures(alpha, beta, 100, 400), random_matrix(3, 400, 100))
    law = loss_curve(spectrum, step, batch, 100)
    moments = start(basis(alpha, beta, 400, 3, 100))
    for steps in (0, 1, 7, 300, 20000):
        found = loss(stepped(moments, step, batch, steps))
        assert found == pytest.approx(law.loss(np.array([float(steps)]))[0], rel=1e-9)


def test_a_step_in_the_coordinates_of_the_parameters() -> None:
    """E[x x^T C x x^T] = 2 K C K + K tr(K C) for one sample x of covariance K, and K C K for two different ones."""
    before, step, batch = middle(NARROW), default_step() / 3, 3
    to_theta = before.basis.right / before.basis.singular
    covariance = seen(NARROW).T @ seen(NARROW)
    mean, second = to_theta @ before.mean, to_theta @ before.second @ to_theta.T
    turned, shown = covariance @ second, covariance @ second @ covariance
    total = np.trace(turned) + before.basis.residual
    own = batch * (2 * shown + covariance * total)
    expected = second - step * batch * (turned + turned.T) + step**2 * (own + batch * (batch - 1) * shown)
    after = stepped(before, step, batch, 1)
    np.testing.assert_allclose(to_theta @ after.second @ to_theta.T, expected, atol=1e-9 * abs(expected).max())
    np.testing.assert_allclose(to_theta @ after.mean, mean - step * batch * covariance @ mean, rtol=1e-9)


def test_a_step_by_samples() -> None:
    """One step of two samples from a fixed error: every entry of the second moment, over 100000 draws."""
    one, step, batch, draws = of(4), 0.3, 2, 100000
    error = np.array([0.5, -0.8, 0.3, 0.9])
    rng = np.random.default_rng(2)
    z, rest = rng.standard_normal((draws, batch, 4)), rng.standard_normal((draws, batch)) * math.sqrt(one.residual)
    after = error - step * one.eigenvalues * (z * (z @ error - rest)[..., None]).sum(1)
    products = after[:, :, None] * after[:, None, :]
    expected = stepped(Moments(one, error, np.outer(error, error)), step, batch, 1).second
    spread = products.std(0) / math.sqrt(draws)
    assert np.all(np.abs(products.mean(0) - expected) <= 3.5 * spread)
    # The draws see the term that is due to the batch, off the diagonal too.
    shrinks = step * batch * one.eigenvalues
    without = np.outer(error * (1 - shrinks), error * (1 - shrinks))
    assert np.abs(products.mean(0) - without)[0, 1] > 10 * spread[0, 1]


def test_steps_add_up() -> None:
    before = middle(WIDE)
    whole, parts = stepped(before, 0.2, 2, 1000), stepped(stepped(before, 0.2, 2, 301), 0.2, 2, 699)
    np.testing.assert_allclose(whole.second, parts.second, rtol=1e-9, atol=1e-18)
    np.testing.assert_allclose(whole.mean, parts.mean, rtol=1e-9)
    assert stepped(before, 0.2, 2, 0) is before


def test_losses_after_many_numbers_of_steps() -> None:
    before, steps = middle(WIDE), np.array([0.0, 1.0, 30.0, 5000.0])
    expected = [loss(stepped(before, 0.2, 2, int(each))) for each in steps]
    np.testing.assert_allclose(losses(before, 0.2, 2, steps), expected, rtol=1e-11)


def test_the_diagonal_follows_every_step() -> None:
    before = middle(WIDE)
    diagonal = Diagonal.of(before, 0.2, 2)
    for steps in range(300):
        assert steps % 50 or diagonal.loss == pytest.approx(loss(stepped(before, 0.2, 2, steps)), rel=1e-11)
        diagonal = diagonal.next()
    np.testing.assert_allclose(diagonal.energies, np.diag(stepped(before, 0.2, 2, 300).second), rtol=1e-9)


def test_appending_keeps_the_loss() -> None:
    before = middle(NARROW)
    assert loss(moved(before, of(WIDE), append(NARROW, WIDE))) == pytest.approx(loss(before), rel=1e-11)


def test_a_projection_is_affine_in_the_error() -> None:
    """For parameters without spread: the moments are those of the error of the mapped parameters."""
    theta = np.random.default_rng(0).standard_normal(NARROW)
    error, map_ = of(NARROW).error(theta), project(NARROW, WIDE)
    after = moved(Moments(of(NARROW), error, np.outer(error, error)), of(WIDE), map_)
    expected = of(WIDE).error(map_ @ theta)
    np.testing.assert_allclose(after.mean, expected, rtol=1e-9)
    np.testing.assert_allclose(after.second, np.outer(expected, expected), rtol=1e-8, atol=1e-12)
    prediction = seen(WIDE) @ map_ @ theta - deviations(1.7, FEATURES)
    assert loss(after) == pytest.approx(prediction @ prediction, rel=1e-9)


def test_a_projection_to_the_same_width_changes_nothing() -> None:
    before = middle(NARROW)
    after = moved(before, of(NARROW), project(NARROW, NARROW))
    np.testing.assert_allclose(after.second, before.second, rtol=1e-8, atol=1e-13)


class Replicas:
    """Runs of SGD, each with its own data, drawn from the joint Gaussian of features and target."""

    def __init__(self, width: int, count: int = 200) -> None:
        self.rng, self.theta = np.random.default_rng(1), np.zeros((count, width))

    @property
    def covariance(self) -> Floats:
        joint = np.column_stack([seen(self.theta.shape[1]), deviations(1.7, FEATURES)])
        return np.asarray(joint.T @ joint)

    def step(self, step_size: float, batch: int, steps: int) -> None:
        factor = np.linalg.cholesky(self.covariance).T
        count, width = self.theta.shape
        for _ in range(steps):
            drawn = self.rng.standard_normal((count, batch, width + 1)) @ factor
            x, y = drawn[..., :-1], drawn[..., -1]
            self.theta -= step_size * np.einsum("rbd,rb->rd", x, np.einsum("rbd,rd->rb", x, self.theta) - y)

    def z(self, expected: float) -> float:
        """How many standard errors the mean loss is from the expected one."""
        error = np.column_stack([self.theta, -np.ones(len(self.theta))])
        losses = ((error @ self.covariance) * error).sum(1)
        return float((losses.mean() - expected) / (losses.std(ddof=1) / math.sqrt(len(losses))))


@pytest.mark.parametrize("grow", [append, project])
def test_sgd_across_switches(grow: Callable[[int, int], Floats]) -> None:
    """A narrow run grows, changes its batch, and shrinks. The step size is small, since at a larger one the mean over
    200 replicas depends on a few rare runs of very high loss."""
    small = 0.3 * default_step()
    replicas, moments = Replicas(NARROW), stepped(start(of(NARROW)), small, 1, 10)
    replicas.step(small, 1, 10)
    parts: list[tuple[int, Callable[[int, int], Floats], float, int]] = [
        (NARROW, append, small, 1),
        (WIDE, grow, small, 1),
        (WIDE, append, small / 2, 4),
        (NARROW, project, small, 1),
    ]
    for width, map_, step, batch in parts:
        theta_map = map_(len(moments.mean), width)
        replicas.theta, moments = replicas.theta @ theta_map.T, moved(moments, of(width), theta_map)
        for steps in (0, 10, 40, 100):
            replicas.step(step, batch, steps)
            moments = stepped(moments, step, batch, steps)
            assert abs(replicas.z(loss(moments))) <= 3, (width, batch, steps)


@pytest.mark.parametrize("batch", [1, 8])
def test_the_largest_step_size(batch: int) -> None:
    spectrum = sampled(RandomFeatures(1.0, 0.7, WIDE, FEATURES), random_matrix(SEED, FEATURES, WIDE))
    largest = largest_step(spectrum, batch)
    assert not diverges(of(WIDE), 0.999 * largest, batch)
    assert diverges(of(WIDE), 1.001 * largest, batch)
    assert loss(stepped(start(of(WIDE)), 1.05 * largest, batch, 800)) > 1e3


def test_a_width_that_is_not_below_the_features() -> None:
    with pytest.raises(ValueError, match="a width of 64 is not between 0 and the 64 features"):
        of(FEATURES)
