"""Exact first and second moments of one-pass SGD on random features, for one matrix W.

A step is theta <- theta - gamma sum_{i <= B} W^T x_i (<W^T x_i, theta> - y_i), with the gradient summed over a batch of
B fresh samples. With A = D^1/2 W = U S V^T and t_j = j^-(alpha + beta), the error is e = S V^T theta - U^T t, and the
loss is |e|^2 + F0, where F0 = |t - U U^T t|^2 is what no theta can express. In these coordinates the features are
S z with z ~ N(0, 1), so that with lambda = S^2 a step changes the moments of e in expectation by

    E[e_i]     <- (1 - gamma B lambda_i) E[e_i]
    E[e_i e_j] <- ((1 - gamma B lambda_i) (1 - gamma B lambda_j) + gamma^2 B lambda_i lambda_j) E[e_i e_j]
                  + [i = j] gamma^2 B lambda_i^2 P,                            P = sum_i E[e_i^2] + F0

from E[z z^T M z z^T] = 2 M + tr M. Only the diagonal feels the loss P. This is exact, and linear in the moments, so any
number of steps is one multiplication. Source: arXiv 2405.15074, section 2, for the diagonal. Tests compare all of it
with SGD.

A change of width is affine in e, and needs both moments in full: the diagonal in one basis depends on everything in
another.
"""

from __future__ import annotations

import functools

import attrs
import numpy as np

from shapeflow.ir.noise import Floats
from shapeflow.ir.random_features import deviations, random_matrix


@attrs.frozen(eq=False)
class Basis:
    """The singular value decomposition of A = D^1/2 W at one width d, and the target in it."""

    singular: Floats
    """(d,): S, descending, above 0."""
    right: Floats
    """(d, d): V. Its columns are the right singular vectors."""
    target: Floats
    """(d,): U^T t, the part of the target that the features can express."""
    residual: float
    """F0, the loss that no theta of this width goes below."""

    @property
    def eigenvalues(self) -> Floats:
        """(d,): lambda = S^2, the eigenvalues of the covariance of the features."""
        return self.singular**2

    def error(self, theta: Floats) -> Floats:
        """(..., d): e for parameters theta, (..., d)."""
        return np.asarray(theta @ self.right * self.singular - self.target)


@attrs.frozen(eq=False)
class Moments:
    """The moments of the error over the draws of the data."""

    basis: Basis
    mean: Floats
    """(d,): E[e]."""
    second: Floats
    """(d, d): E[e e^T]."""


@attrs.frozen(eq=False)
class Diagonal:
    """E[e_i^2] alone, advanced by one step at a time at a cost of d."""

    energies: Floats
    """(d,): E[e_i^2]."""
    residual: float
    keeps: Floats
    """(d,): the share of itself that an energy keeps in a step."""
    noise: Floats
    """(d,): the energy that a step adds, per unit of loss."""

    @classmethod
    def of(cls, moments: Moments, step_size: float, batch: int) -> Diagonal:
        """The diagonal of the moments, to be advanced with a step size and a batch."""
        fall, noise = _rates(moments.basis, step_size, batch)
        return cls(np.diag(moments.second).copy(), moments.basis.residual, 1 - fall, noise)

    @property
    def loss(self) -> float:
        """The expected loss."""
        return float(self.energies.sum()) + self.residual

    def next(self) -> Diagonal:
        """The diagonal after one more step."""
        return attrs.evolve(self, energies=self.keeps * self.energies + self.noise * self.loss)


@functools.lru_cache(maxsize=32)
def basis(alpha: float, beta: float, features: int, seed: int, width: int) -> Basis:
    """The basis of the matrix W of a seed at a width. The latest ones are kept.

    Raises ValueError unless the width is below the number of features.
    """
    if not 0 < width < features:
        raise ValueError(f"a width of {width} is not between 0 and the {features} features of the data")
    seen = deviations(alpha, features)[:, None] * random_matrix(seed, features, width)
    left, singular, right = np.linalg.svd(seen, full_matrices=False)
    whole = deviations(alpha + beta, features)
    target = left.T @ whole
    # The difference of the squares would lose the digits of a small residual.
    rest = whole - left @ target
    return Basis(singular, right.T, target, float(rest @ rest))


def start(basis: Basis) -> Moments:
    """The moments before the first step, where theta is 0."""
    return Moments(basis, -basis.target, np.outer(basis.target, basis.target))


def loss(moments: Moments) -> float:
    """The expected loss."""
    return float(np.trace(moments.second)) + moments.basis.residual


def stepped(moments: Moments, step_size: float, batch: int, steps: int) -> Moments:
    """The moments after some steps of SGD with a step size gamma and a batch B, gradients summed over the batch."""
    if steps == 0:
        return moments
    mean, second = _apart(moments, step_size, batch, steps)
    modes, energies = _modes(moments.basis, step_size, batch), np.diag(moments.second)
    np.fill_diagonal(second, modes.after(energies, np.array([float(steps)]))[0] @ modes.back)
    return Moments(moments.basis, mean, second)


def advanced(moments: Moments, diagonal: Diagonal, step_size: float, batch: int, steps: int) -> Moments:
    """The moments after some steps, given their diagonal there: what `stepped` returns, without an eigenvalue
    decomposition."""
    mean, second = _apart(moments, step_size, batch, steps)
    np.fill_diagonal(second, diagonal.energies)
    return Moments(moments.basis, mean, second)


def losses(moments: Moments, step_size: float, batch: int, steps: Floats) -> Floats:
    """(n,): the expected losses after some numbers of steps, (n,), at a cost of n d."""
    modes, energies = _modes(moments.basis, step_size, batch), np.diag(moments.second)
    return np.asarray(modes.after(energies, steps) @ modes.back.sum(1) + moments.basis.residual)


def moved(moments: Moments, to: Basis, theta_map: Floats) -> Moments:
    """The moments at another width, with the parameters theta' = T theta. `theta_map` is T, (d', d).

    e' = M e + c, with M = S' V'^T T V S^-1 and c = M U^T t - U'^T t.
    """
    old = moments.basis
    matrix = to.singular[:, None] * (to.right.T @ theta_map @ old.right) / old.singular
    shift = matrix @ old.target - to.target
    mean = matrix @ moments.mean
    cross = np.outer(mean, shift)
    second = matrix @ moments.second @ matrix.T + cross + cross.T + np.outer(shift, shift)
    return Moments(to, mean + shift, second)


def diverges(basis: Basis, step_size: float, batch: int) -> bool:
    """Whether the loss grows without limit. Exact: a mode grows by itself, or a unit of loss causes a unit of noise or
    more in total. The criterion of `stable` in `shapeflow/laws/random_features/loss.py`, for one W."""
    left = 2 - step_size * (batch + 1) * basis.eigenvalues
    return bool(left.min() <= 0 or step_size * (basis.eigenvalues / left).sum() >= 1)


def largest_step(basis: Basis, batch: int) -> float:
    """The step size from which on the loss grows without limit, to six digits."""
    low, high = 0.0, 2 / ((batch + 1) * float(basis.eigenvalues.max()))
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if diverges(basis, middle, batch) else (middle, high)
    return low


def _apart(moments: Moments, step_size: float, batch: int, steps: int) -> tuple[Floats, Floats]:
    """E[e] and E[e_i e_j] after some steps; the diagonal is not that of the second moment."""
    shrinks = step_size * batch * moments.basis.eigenvalues
    factor = np.multiply.outer(1 - shrinks, 1 - shrinks) + np.multiply.outer(shrinks, shrinks) / batch
    return moments.mean * (1 - shrinks) ** steps, moments.second * factor**steps


def _rates(basis: Basis, step_size: float, batch: int) -> tuple[Floats, Floats]:
    """1 - a_i and c_i of the energies p_i <- a_i p_i + c_i P. The first is formed without cancellation."""
    pull = step_size * batch * basis.eigenvalues
    return np.asarray(2 * pull - pull**2 * (batch + 1) / batch), np.asarray(pull**2 / batch)


@attrs.frozen(eq=False)
class _Modes:
    """The matrix diag(a) + c 1^T of a step on the energies p, diagonalised. Divided by sqrt(c) they follow a symmetric
    matrix, so that y = Q^T (p / sqrt(c)) follows y <- (1 - nu) y + Q^T sqrt(c) F0."""

    to: Floats
    """(d, d): Q^T / sqrt(c), from energies to y."""
    back: Floats
    """(d, d): the transpose of its inverse; y @ back are energies."""
    falls: Floats
    """(d,): log(1 - nu)."""
    drive: Floats
    """(d,): what a step adds to y."""

    def after(self, energies: Floats, steps: Floats) -> Floats:
        """(n, d): y after some numbers of steps, (n,)."""
        along = np.multiply.outer(steps, self.falls)
        with np.errstate(divide="ignore", invalid="ignore"):
            # The sum of exp(s falls) over s < steps.
            ratio = np.expm1(along) / np.expm1(self.falls)
        total = np.where(self.falls == 0, steps[:, None], ratio)
        return np.asarray(np.exp(along) * (self.to @ energies) + total * self.drive)


@functools.lru_cache(maxsize=32)
def _modes(basis: Basis, step_size: float, batch: int) -> _Modes:
    fall, noise = _rates(basis, step_size, batch)
    root = np.sqrt(noise)
    speed, modes = np.linalg.eigh(np.diag(fall) - np.outer(root, root))
    # 1 - nu is above 0, since a and c are.
    return _Modes(modes.T / root, modes.T * root, np.log1p(-speed), modes.T @ root * basis.residual)
