"""The joint law of size and tokens: loss = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, arXiv 2203.15556)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs
import numpy as np

from shapeflow.ir.edits import Floats
from shapeflow.ir.law import Pair
from shapeflow.ir.quantiles import quantiles

NAMES = ("E", "A", "B", "alpha", "beta")
NOTHING = 1e-9
"""A term below this share of the lowest loss is 0: the data do not show it."""
EXPONENTS = (0.01, 3.0)
"""Range of alpha and beta in a fit. The data do not determine an exponent that ends at a limit."""


@attrs.frozen(kw_only=True)
class PerToken:
    """FLOPs of one token of training in a model of N parameters: factor * N^power."""

    factor: float = 6.0
    power: float = 1.0
    off: float = 0.0
    """Largest relative error of this formula at the sizes that were measured."""

    def of(self, size: float) -> float:
        return float(self.factor * size**self.power)

    @property
    def written(self) -> str:
        """The formula, in a report: `6 N`."""
        return f"{self.factor:.3g} N" if self.power == 1 else f"{self.factor:.3g} N^{self.power:.3g}"


@attrs.frozen(kw_only=True)
class SizeHoldOut:
    """How well a fit to the smaller sizes predicts the larger ones."""

    below: float
    """The largest size of the fit."""
    sizes: int
    """Number of larger sizes, which were held out."""
    points: int
    error: float
    """Mean of |log(law) - log(measured)| over their points."""
    bias: float
    """Mean of log(law) - log(measured)."""


@attrs.frozen(kw_only=True)
class Best:
    """The best model for a budget: its size, its tokens and its loss, each with its interval if the law has draws."""

    compute: float
    size: float
    tokens: float
    error: float
    size_range: Pair | None = None
    tokens_range: Pair | None = None
    error_range: Pair | None = None


@attrs.frozen(kw_only=True, eq=False)
class JointLaw:
    """The law, and what it was fitted to. `size`: parameters; compute in FLOPs."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    per_token: PerToken
    draws: Floats | None = None
    """(resamples, 5): the five numbers in each resample."""
    size: Pair
    """Smallest and largest size that was measured; for tokens and compute the same."""
    tokens: Pair
    compute: Pair
    lowest: float
    """The lowest measured loss."""
    sizes: int
    points: int
    runs: int
    by: str
    """What was resampled: `runs`, or `noise` along runs."""
    measured: Floats
    """(points, 4): size, tokens, loss and index of the run of each point."""
    rms: float
    """Root mean square of log(law) - log(measured)."""
    holdout: SizeHoldOut | None = None

    @property
    def numbers(self) -> Floats:
        """The five numbers in the order of `NAMES`."""
        return np.array([self.E, self.A, self.B, self.alpha, self.beta])

    def error(self, size: float, tokens: float) -> float:
        """The expected loss of a model of this size after this number of tokens."""
        return float(self.E + self.A * size**-self.alpha + self.B * tokens**-self.beta)

    def intervals(self) -> dict[str, Pair]:
        """Number of `NAMES`, `exponent` or `tokens_exponent` -> its 90% interval; empty without draws."""
        if self.draws is None:
            return {}
        power = self.per_token.power
        exponent = _exponent(self.draws, power)[:, None]
        every = np.concatenate([self.draws, exponent, 1 - power * exponent], 1)
        low, high = quantiles(every, [0.05, 0.95], axis=0)
        named = zip((*NAMES, "exponent", "tokens_exponent"), low, high, strict=True)
        return {name: (float(f"{x:.6g}"), float(f"{y:.6g}")) for name, x, y in named}

    @property
    def exponent(self) -> float:
        """The power of compute with which the best size grows."""
        return float(_exponent(self.numbers[None], self.per_token.power)[0])

    @property
    def tokens_exponent(self) -> float:
        """The power of compute with which the best number of tokens grows."""
        return 1 - self.per_token.power * self.exponent

    @property
    def factors(self) -> Pair:
        """The factors of N_opt = factor * C^exponent and of D_opt, with C in FLOPs."""
        one = self.best(math.sqrt(self.compute[0] * self.compute[1]))
        return one.size / one.compute**self.exponent, one.tokens / one.compute**self.tokens_exponent

    def open(self) -> Iterator[str]:
        """Yield, in words, the numbers that the data do not determine. Without A or B, or with an exponent at its
        limit, the best size of a budget is not determined either."""
        middle = math.sqrt(self.size[0] * self.size[1]), math.sqrt(self.tokens[0] * self.tokens[1])
        terms = {"A / N^alpha": self.A * middle[0] ** -self.alpha, "B / D^beta": self.B * middle[1] ** -self.beta}
        yield from (f"{name} is 0" for name, term in terms.items() if term < NOTHING * self.lowest)
        for name, value in (("alpha", self.alpha), ("beta", self.beta)):
            if not 1.001 * EXPONENTS[0] < value < 0.999 * EXPONENTS[1]:
                yield f"{name} is at the limit of the search range, {value:.3g}"

    def best(self, compute: float) -> Best:
        """The size and the tokens with the lowest loss for a budget: the minimum of the law along it, in closed form
        (Hoffmann et al. 2022, eq. 4)."""
        size, tokens, error = (float(each[0]) for each in self._best(self.numbers[None], compute))
        if self.draws is None:
            return Best(compute=compute, size=size, tokens=tokens, error=error)
        drawn = self._best(self.draws, compute)
        ranges = [tuple(map(float, quantiles(each, [0.05, 0.95]))) for each in drawn]
        return Best(
            compute=compute,
            size=size,
            tokens=tokens,
            error=error,
            size_range=(ranges[0][0], ranges[0][1]),
            tokens_range=(ranges[1][0], ranges[1][1]),
            error_range=(ranges[2][0], ranges[2][1]),
        )

    def _best(self, laws: Floats, compute: float) -> tuple[Floats, Floats, Floats]:
        E, A, B, alpha, beta = laws.T
        factor, power = self.per_token.factor, self.per_token.power
        with np.errstate(all="ignore"):
            ratio = np.log(alpha) + np.log(A) - np.log(beta * power) - np.log(B)
            log_size = (ratio + beta * (math.log(compute) - math.log(factor))) / (alpha + beta * power)
            log_tokens = math.log(compute) - math.log(factor) - power * log_size
            # Without A the best size is 0 and without B infinite: the term with the other then vanishes too.
            first = np.where(A > 0, np.exp(np.log(A) - alpha * log_size), 0.0)
            second = np.where(B > 0, np.exp(np.log(B) - beta * log_tokens), 0.0)
            return np.exp(log_size), np.exp(log_tokens), E + first + second


def _exponent(laws: Floats, power: float) -> Floats:
    return np.asarray(laws[:, 4] / (laws[:, 3] + power * laws[:, 4]))
