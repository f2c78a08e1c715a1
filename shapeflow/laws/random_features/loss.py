"""The expected loss of one-pass SGD over steps, for a given spectrum: the solution of a Volterra equation.

A step is theta <- theta - gamma sum_{i <= B} W^T x_i (<W^T x_i, theta> - y_i), with the gradient summed over a batch of
B fresh samples. With the eigenvalues lambda_i, the energies rho_i and the residual F0 of a spectrum, the expected loss
after r steps is exactly (arXiv 2405.15074, section 2)

    P(r) = F(r) + sum_{s < r} K(r - 1 - s) P(s),    F(r) = F0 + sum_i rho_i a_i^r,
    K(r) = gamma^2 B sum_i lambda_i^2 a_i^r,        a_i = 1 - 2 gamma B lambda_i + gamma^2 B (B + 1) lambda_i^2

The energies of the modes follow p <- (diag(a) + c 1^T) p + c F0 with c_i = gamma^2 B lambda_i^2. That matrix is similar
to a symmetric one, so its eigenvalues give P as a sum of exponentials, for any r without stepping.
"""

from __future__ import annotations

import math

import attrs
import numpy as np

from shapeflow.ir.edits import Floats
from shapeflow.laws.random_features.spectrum import Spectrum

FAINT = 1e-8
"""Smallest number of eigenvalues that a cell counts as: its noise must not be 0."""


@attrs.frozen(eq=False)
class LossCurve:
    """P(r) = floor + sum_k weights_k exp(r rates_k)."""

    floor: float
    """The loss that is approached: the residual and the noise of SGD at it."""
    weights: Floats
    rates: Floats
    """Per step, at most 0; accurate down to about 1e-15."""
    step_compute: float
    """FLOPs of one step as the paper counts: B d."""

    def above(self, steps: Floats) -> Floats:
        """(n,): the loss above the floor after some numbers of steps, whole or not, (n,)."""
        return np.asarray(np.exp(np.multiply.outer(steps, self.rates)) @ self.weights)

    def loss(self, steps: Floats) -> Floats:
        """(n,): the expected loss after some numbers of steps, (n,)."""
        return self.floor + self.above(steps)

    def slope(self, steps: Floats) -> Floats:
        """(n,): d loss / d step, (n,)."""
        return np.asarray(np.exp(np.multiply.outer(steps, self.rates)) @ (self.weights * self.rates))

    def error(self, compute: float) -> float:
        """The loss after some FLOPs."""
        return float(self.loss(np.array([compute / self.step_compute]))[0])

    def steps(self, loss: float) -> float:
        """The number of steps after which a loss is reached: 0 from the start on, infinite at and below the floor.
        Of several such points on a curve that also rises, one."""
        from scipy.optimize import brentq

        wanted = loss - self.floor
        if wanted <= 0:
            return math.inf
        if wanted >= self.weights.sum():
            return 0.0

        def gap(log: float) -> float:
            return float(self.above(np.array([math.expm1(log)]))[0]) - wanted

        high = 1.0
        while gap(high) > 0:
            high += 1.0
        return math.expm1(brentq(gap, 0.0, high, xtol=1e-14))

    def compute(self, loss: float) -> float:
        """The FLOPs after which a loss is reached; see `steps`."""
        return self.steps(loss) * self.step_compute


def loss_curve(spectrum: Spectrum, step: float, batch: int, width: float) -> LossCurve:
    """The loss of SGD with a step size gamma and a batch B. Raises ValueError if it does not stay bounded."""
    if not stable(spectrum, step, batch):
        largest = largest_step(spectrum, batch)
        raise ValueError(
            f"the loss is not bounded at a step size of {step:.4g}; the largest stable one is {largest:.4g}"
        )
    fall = _falls(spectrum, step, batch)
    noise = step**2 * batch * np.maximum(spectrum.counts, FAINT) * spectrum.eigenvalues**2
    floor = spectrum.residual / (1 - float((noise / fall).sum()))
    root = np.sqrt(noise)
    speed, modes = np.linalg.eigh(np.diag(fall) - np.outer(root, root))
    weights = (modes.T @ root) * (modes.T @ ((spectrum.energy - noise * floor / fall) / root))
    # Speeds below the rounding error of the largest may come out negative: these modes are not learned.
    return LossCurve(floor, weights, np.log1p(-np.maximum(speed, 0.0)), batch * width)


def stable(spectrum: Spectrum, step: float, batch: int) -> bool:
    """Whether the loss stays bounded: no mode grows by itself, and the noise that a unit of loss causes in total is
    below 1. Exact."""
    grows = step * (batch + 1) * spectrum.eigenvalues.max() >= 2
    return step > 0 and not grows and kernel_norm(spectrum, step, batch) < 1


def kernel_norm(spectrum: Spectrum, step: float, batch: int) -> float:
    """The sum of K over all steps: gamma sum_i lambda_i / (2 - gamma (B + 1) lambda_i). Needs
    gamma (B + 1) lambda < 2."""
    lost = 2 - step * (batch + 1) * spectrum.eigenvalues
    return step * float((spectrum.counts * spectrum.eigenvalues / lost).sum())


def largest_step(spectrum: Spectrum, batch: int) -> float:
    """The step size below which the loss stays bounded."""
    from scipy.optimize import brentq

    limit = 2 / ((batch + 1) * float(spectrum.eigenvalues.max()))
    return float(brentq(lambda share: kernel_norm(spectrum, share * limit, batch) - 1, 0.0, 1 - 1e-15) * limit)


def _falls(spectrum: Spectrum, step: float, batch: int) -> Floats:
    """1 - a_i, formed without cancellation."""
    lam = spectrum.eigenvalues
    return np.asarray(2 * step * batch * lam - step**2 * batch * (batch + 1) * lam**2)
