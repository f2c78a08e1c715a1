"""The spectrum on average over W: its deterministic equivalent, at a cost that depends neither on d nor on v.

With m(z) = 1 / (1 + (1/d) sum_j D_j / (D_j m - z)) the resolvent (K - z)^-1 is equivalent to diag(1 / (D_j m - z))
(arXiv 2405.15074, section 3). Everything here is written in kappa = z / m, in which the inverse is explicit:

    z = kappa (1 - (1/d) sum_j D_j / (D_j - kappa)) = kappa + (1/d) sum_j D_j - (1/d) sum_j D_j^2 / (D_j - kappa)

For kappa = x + iy the imaginary part of z is y (1 - g) with g = (1/d) sum_j D_j^2 / ((D_j - x)^2 + y^2), so that the
real axis of z, seen from above, is the curve on which g = 1, or y = 0 where g < 1. g falls with y: one Newton iteration
finds the curve, and no branch can be missed (Silverstein and Choi, 1995). The mass of eigenvalues between two points of
the curve is the integral of the trace of the resolvent along any path between them above the real axis of kappa, where
it is analytic. So no density is evaluated, and the atom at 0 does not leak into small eigenvalues.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.ir.edits import Floats
from shapeflow.laws.random_features.problem import RandomFeatures, nodes
from shapeflow.laws.random_features.spectrum import Spectrum

Complex = NDArray[np.complex128]
Number = TypeVar("Number", np.float64, np.complex128)

PER_DECADE = 40
"""Cells of the measure per factor 10 of the eigenvalue: changes the loss by less than 0.1%."""
ANGLES = 12
"""Gauss-Legendre points of the path across a cell."""
CLOSE = 0.15
"""Distance from a pole at which no path across a cell may end, as a share of a cell or of the distance between two
poles."""
EMPTY = 1e-6
"""Cells with fewer eigenvalues are gaps: an outlier is a whole eigenvalue, at every width."""
CHUNK = 32
"""Points that are evaluated at once: few enough for the arrays to stay in a processor's cache."""


@attrs.frozen(eq=False)
class Equivalent:
    """The model with its sums: variances D and energies D b^2 at the nodes, with their weights."""

    model: RandomFeatures
    variance: Floats
    energy: Floats
    weight: Floats

    @classmethod
    def of(cls, model: RandomFeatures) -> Equivalent:
        j, weight = nodes(model.features)
        return cls(model, model.variances(j), model.energies(j), weight)

    @property
    def kappa0(self) -> float:
        """kappa0 > 0 with (1/d) sum_j D_j / (D_j + kappa0) = 1: variances far below it are not resolved."""
        return self._falls_to_one(lambda u: self._over_width(self.variance / (self.variance + u)))

    @property
    def residual(self) -> float:
        """F0 = sum_j D_j b_j^2 kappa0 / (D_j + kappa0): the loss that no theta of this width goes below."""
        kappa0 = self.kappa0
        return float(self.weight @ (self.energy * kappa0 / (self.variance + kappa0)))

    @property
    def edge(self) -> float:
        """The smallest eigenvalue: the maximum of u ((1/d) sum_j D_j / (D_j + u) - 1) over 0 < u < kappa0."""
        u = self._lowest
        return u * (self._over_width(self.variance / (self.variance + u)) - 1)

    def companion(self, z: complex) -> complex:
        """m(z) for z above the real axis, or on it below the smallest eigenvalue. Follows kappa from far above, where
        it is about z, down to z.

        Raises ValueError if the iteration does not end.
        """
        high = 50 * (abs(z) + self._over_width(self.variance))
        kappa = complex(z.real, high)
        for height in [*np.geomspace(high, max(z.imag, 1e-9 * abs(z)), 60).tolist(), z.imag]:
            for _ in range(50):
                share = self.variance / (self.variance - kappa)
                value = kappa * (1 - self.weight @ share / self.model.width) - complex(z.real, height)
                change = complex(value / (1 - self.weight @ share**2 / self.model.width))
                while (kappa - change).imag < 0 < height:
                    change /= 2
                kappa -= change
                if abs(change) <= 1e-14 * abs(kappa):
                    break
            else:
                raise ValueError(f"m({z}) was not found")
        return z / kappa

    def spectrum(self, per_decade: int = PER_DECADE) -> Spectrum:
        """The measure of eigenvalues and of the target along them, in at most a few hundred cells. The eigenvalue of a
        cell is its mean, so that the number of eigenvalues, their sum and the target's energy are kept."""
        kappa = self._curve(self._places(per_decade))
        count, total, energy = self._masses(kappa[:-1], kappa[1:])
        real = count > EMPTY
        return Spectrum(total[real] / count[real], np.maximum(energy[real], 0.0), count[real], self.residual)

    @property
    def _lowest(self) -> float:
        """u > 0 where the curve leaves the negative axis, at kappa = -u."""
        return self._falls_to_one(lambda u: self._over_width((self.variance / (self.variance + u)) ** 2))

    def _falls_to_one(self, function: Callable[[float], float]) -> float:
        """u > 0 at which a falling function is 1."""
        from scipy.optimize import brentq

        low = high = self._over_width(self.variance)
        while function(low) < 1:
            low /= 1e3
        while function(high) > 1:
            high *= 1e3
        return math.exp(brentq(lambda log: function(math.exp(log)) - 1, math.log(low), math.log(high), xtol=1e-14))

    def _over_width(self, values: Floats) -> float:
        """(1/d) times the sum over features."""
        return float(self.weight @ values) / self.model.width

    def _places(self, per_decade: int) -> Floats:
        """Re kappa of the ends of the cells, ascending: about geometric in the eigenvalue."""
        low, top = self._lowest, float(self.variance.max())
        high = top + self._falls_to_one(lambda u: self._over_width((self.variance / (top + u - self.variance)) ** 2))
        count = math.ceil(2 * per_decade * math.log10(high / low))
        rough = np.concatenate([-low * np.geomspace(1.0, 1e-2, 100), low * np.geomspace(1e-2, high / low, count + 200)])
        z = np.log(self._eigenvalue(self._curve(rough)))
        cells = math.ceil((z[-1] - z[0]) / math.log(10) * per_decade)
        return self._between_poles(np.interp(np.linspace(z[0], z[-1], cells + 1), z, rough))

    def _between_poles(self, x: Floats) -> Floats:
        """Move places whose kappa is close to a variance, which is a pole, to the middle between two variances: the
        path across a cell must not end near a pole."""
        poles = self.variance[::-1]
        poles = np.append(poles, max(2 * poles[-1] - poles[-2], 2 * x[-1] - poles[-1]))
        left = np.clip(np.searchsorted(poles, x) - 1, 0, len(poles) - 2)
        gap, kappa = poles[left + 1] - poles[left], self._curve(x)
        apart = np.minimum(np.abs(kappa - poles[left]), np.abs(kappa - poles[left + 1]))
        close = (poles[0] < x) & (apart < CLOSE * np.minimum(gap, np.gradient(x)))
        return np.unique(np.where(close, poles[left] + gap / 2, x))

    def _curve(self, x: Floats) -> Complex:
        """kappa above the real axis of z, for each Re kappa: the y >= 0 with g(x, y) = 1, or 0 where g(x, 0) < 1.

        1 / g is concave in y^2 and rises, so Newton's iteration from y = 0 approaches the root from below.
        """
        return np.concatenate([self._height(part) for part in _parts(x)])

    def _height(self, x: Floats) -> Complex:
        distance = (self.variance - x[:, None]) ** 2
        mass = self.weight * self.variance**2 / self.model.width
        square, open_ = 1e-24 * x**2, np.arange(len(x))
        for _ in range(60):
            inverse = 1 / (distance + square[open_, None])
            g = inverse @ mass
            np.multiply(inverse, inverse, out=inverse)
            step = np.maximum((g - 1) * g / (inverse @ mass), 0.0)
            moves = step > 1e-13 * (square[open_] + step)
            open_, distance = open_[moves], distance[moves]
            if not len(open_):
                break
            square[open_] += step[moves]
        square = np.where(square <= 4e-24 * x**2, 0.0, square)
        return np.asarray(x + 1j * np.sqrt(square))

    def _eigenvalue(self, kappa: Complex) -> Floats:
        """z on the curve, where it is real."""
        return np.concatenate([(one * (1 - self._shares(one)[0])).real for one in _parts(kappa)])

    def _shares(self, kappa: Complex) -> tuple[Complex, Complex, Complex]:
        """Sums over j of D / (D - kappa) / d, its square, and D b^2 / (D - kappa)."""
        # With real numbers, since complex division takes longer than all else here:
        # 1 / (D - kappa) = (D - x + iy) / |D - kappa|^2, and D^2 / (D - kappa)^2 from its real and imaginary part.
        height, width = kappa.imag[:, None], self.model.width
        apart = self.variance - kappa.real[:, None]
        size = 1 / (apart * apart + height * height)
        sums = np.stack([self.weight * self.variance / width, self.weight * self.energy], axis=1)
        across = size @ sums
        np.multiply(apart, size, out=apart)
        along = apart @ sums
        first, energy = (along + 1j * height * across).T
        mass = self.weight * self.variance**2 / width
        mixed = (apart * size) @ mass
        np.multiply(apart, apart, out=apart)
        np.multiply(size, size, out=size)
        second = apart @ mass - kappa.imag**2 * (size @ mass) + 2j * kappa.imag * mixed
        return first, second, energy

    def _masses(self, left: Complex, right: Complex) -> Floats:
        """(3, cells): number of eigenvalues, their sum, and the target's energy along them, between points of the
        curve. Each is (1/pi) Im of an integral over z along a half circle above them, in kappa."""
        place, weight = np.polynomial.legendre.leggauss(ANGLES)
        turn = np.exp(0.5j * np.pi * (1 - place))
        middle, radius = (left + right)[:, None] / 2, (right - left)[:, None] / 2
        kappa, along = middle + radius * turn, radius * turn * -0.5j * np.pi * weight
        found = np.concatenate([self._densities(one) for one in _parts(kappa.ravel())], axis=1)
        return np.asarray((found.reshape(3, *kappa.shape) * along).sum(2).imag / np.pi)

    def _densities(self, kappa: Complex) -> Complex:
        """(3, points): tr R, z tr R and <t, R t>, times dz / dkappa. R is the resolvent without its atom at z = 0."""
        first, second, energy = self._shares(kappa)
        inverse_m = 1 / (1 - first)
        trace = self.model.width * first
        return np.asarray(np.stack([trace * inverse_m / kappa, trace, energy * inverse_m]) * (1 - second))


def _parts(values: NDArray[Number]) -> list[NDArray[Number]]:
    return np.array_split(values, math.ceil(len(values) / CHUNK))
