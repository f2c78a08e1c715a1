"""One shape's law: the error that a number of FLOPs buys, and where its four numbers come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import attrs

Pair = tuple[float, float]
Quad = tuple[float, float, float, float]


@attrs.frozen(kw_only=True)
class HoldOut:
    """How a fit to the first half of log compute foretells the rest."""

    points: int
    """Points that it was tried on."""
    error: float
    """Mean of |log(law) - log(measured)| over them."""
    last: float
    """log(law) - log(measured) at the last of them."""
    factor: float | None
    """Compute foretold for the lowest errors, over that really spent; None where the law never gets there."""


@attrs.frozen(kw_only=True)
class Resampling:
    """How the resamples behind the intervals were drawn."""

    by: Literal["runs", "noise"]
    """The level of each run and the noise along it, or the noise of the one run: then intervals hold for it only."""
    alike: int
    """Neighbouring points of a run that tell no more than one point would: the more, the more alike their noise is."""
    count: int


@attrs.frozen(kw_only=True)
class Provenance:
    """What a law is a law of, where it comes from, and how far it is to be trusted; what a reader needs to judge it, or
    to fit it again.

    The list is the reporting checklist of Li, Kudugunta and Zettlemoyer, "(Mis)Fitting scaling laws" (2025), as far as
    it concerns one curve.
    """

    source: Literal["stated", "fit", "published"]
    metric: str
    convention: str
    """How compute was counted: `flops` or `paper`."""
    unit: str | None = None
    """Of the error: `nats`, or `share`."""
    evaluation: str | None = None
    """What errors were measured on, `held-out` or `training`; None: not known, as for all below."""
    data: str | None = None
    """What was trained on, by a name or a digest."""
    learning_rate: Literal["constant", "falling"] | None = None
    """Over the points that were used, behind the warm-up."""
    citation: str | None = None
    """Where a published law stands."""
    files: tuple[tuple[str, str], ...] = ()
    """Name relative to the folder of the file that asked, and SHA-256 of the content."""
    runs: int = 0
    points: int = 0
    """Points the fit used."""
    dropped: Mapping[str, int] = attrs.field(factory=dict)
    """Reason -> points that were read and not used."""
    compute: Pair | None = None
    """First and last compute of the points used, in FLOPs."""
    error: Pair | None = None
    """Highest and lowest error of the points used."""
    rms: float | None = None
    """Root mean square of the residuals log(law) - log(measured)."""
    objective: float | None = None
    """Huber's loss of the residuals, summed: what the fit made least."""
    autocorrelation: float | None = None
    """Of neighbouring residuals of a run: 0 for noise, near 1 where the curve is no such law."""
    exponent: Literal["own", "pooled", "fixed"] | None = None
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    """The fit's options."""
    optima: tuple[Quad, ...] = ()
    """Other (a, b, c, d) whose objective is within 1 % of the best one's."""
    holdout: HoldOut | None = None
    resampling: Resampling | None = None
    intervals: Mapping[str, Pair] = attrs.field(factory=dict)
    """`a`, `b`, `c`, `d` -> the 90 % interval."""
    verdict: tuple[str, ...] = ()
    """Why the data do not carry this law beyond themselves, each with the number that decided; empty: they do."""
    spent: float | None = None
    """FLOPs of all the runs that were read for this law: what finding it cost."""


def _finite(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"a law's {attribute.name} must be finite, not {value}")


def _positive(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"a law's {attribute.name} must be above 0, not {value}")


@attrs.frozen
class Law:
    """E = a (C + d)^-b + c: the expected error E of one shape after C FLOPs (paper A, eq. 1).

    `a` is in error times FLOPs^b, `c` in units of the error, `d` in FLOPs. A negative `d` says that |d| FLOPs were
    spent before the curve set in (warm-up). Raises ValueError unless a and b are above 0 and all four are finite.
    """

    a: float = attrs.field(converter=float, validator=_positive)
    b: float = attrs.field(converter=float, validator=_positive)
    c: float = attrs.field(converter=float, validator=_finite)
    d: float = attrs.field(converter=float, validator=_finite)
    provenance: Provenance
    draws: Any = attrs.field(default=None, eq=False, repr=False)
    """None, or a float64 array of rows (a, b, c, d), the law of each resample; rows of one resample belong together,
    over all laws of a fit. They are no part of the law's JSON."""

    @property
    def floor(self) -> float:
        """The error below which the law never gets."""
        return self.c

    @property
    def measured(self) -> Pair | None:
        """The highest and the lowest error of the points it was fitted to; None for a stated law."""
        return self.provenance.error

    def error(self, compute: float) -> float:
        """The error after `compute` FLOPs (paper A, eq. 1); infinite where the law has not set in yet."""
        moved = compute + self.d
        if moved <= 0:
            return math.inf
        return _exp(math.log(self.a) - self.b * math.log(moved)) + self.c

    def compute(self, error: float) -> float:
        """The FLOPs at which the law passes an error: the inverse of eq. 1; infinite at and below the floor."""
        if error <= self.c:
            return math.inf
        return _exp((math.log(self.a) - math.log(error - self.c)) / self.b) - self.d

    def slope(self, compute: float) -> float:
        """dE/dC after `compute` FLOPs, in error per FLOP: below 0; minus infinity where the law has not set in yet."""
        moved = compute + self.d
        if moved <= 0:
            return -math.inf
        return -_exp(math.log(self.a) + math.log(self.b) - (self.b + 1) * math.log(moved))

    def log_rate(self, error: float) -> float:
        """log |dC/dE| at an error: what a unit of error costs here; infinite at and below the floor.

        Paper A's eq. 2 maximises dC/dE, which is negative: the same as minimising this.
        """
        if error <= self.c:
            return math.inf
        s = 1 / self.b + 1
        return -math.log(self.a) - math.log(self.b) - s * (math.log(error - self.c) - math.log(self.a))


def _exp(power: float) -> float:
    return math.exp(power) if power < 709 else math.inf
