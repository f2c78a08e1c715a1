"""The law of one shape: the error as a function of FLOPs, and the provenance of its four parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs

SCALE, STEEP = (1e-100, 1e100), (1e-9, 1e3)
"""The range of a and of b in a law that describes a real model."""
FLOOR, OFFSET = 1e12, 1e37
"""The largest |c| and |d| in such a law."""

Pair = tuple[float, float]
Quad = tuple[float, float, float, float]


@attrs.frozen(kw_only=True)
class HoldOut:
    """How well a fit to the first half of log compute predicts the second half."""

    points: int
    """Number of held-out points."""
    error: float
    """Mean of |log(law) - log(measured)| over them."""
    last: float
    """log(law) - log(measured) at the last of them."""
    factor: float | None
    """Compute predicted for the lowest errors, divided by the compute spent; None if the law never reaches them."""


@attrs.frozen(kw_only=True)
class Resampling:
    """How the resamples for the intervals were drawn."""

    by: Literal["runs", "noise", "ends"]
    """`runs`: the level of each run and the noise along it are resampled. `noise`: only the noise of a single run is
    resampled, and the intervals hold for this run only. `ends`: the end of each run is resampled with the scatter of
    all ends around their laws."""
    alike: int
    """Number of neighbouring points of a run that carry as much information as one independent point; it grows with
    the autocorrelation of the noise."""
    count: int
    """Number of resamples."""


@attrs.frozen(kw_only=True)
class MeasuredCurve:
    """The measurements that a law was fitted to, averaged over the runs of its shape."""

    compute: tuple[float, ...]
    """FLOPs, ascending."""
    error: tuple[float, ...]
    noise: float
    """Standard deviation of log error from point to point."""
    runs: int
    spread: float
    """Sum over the runs of the mean squared difference in log compute from their mean curve; 0 for one run."""


@attrs.frozen(kw_only=True)
class Drop:
    """How far below its law a run ends whose learning rate fell at its end, as measured.

    For falls of at most 20% of a run it grows with the length of the run and falls with the size of the model, each by
    a power (measured on 18 shapes of Gemstones, McLeish et al. 2025)."""

    BY_LENGTH: ClassVar[float] = 0.10
    BY_SIZE: ClassVar[float] = -0.18

    value: float
    """In units of the error."""
    compute: float
    """FLOPs of the longest run that measured it."""
    share: float
    """The share of a run over which its learning rate fell."""
    runs: int


@attrs.frozen(kw_only=True)
class Provenance:
    """What a law describes, where it comes from, and how reliable it is: all that is needed to judge it or to repeat
    the fit.

    The fields follow the reporting checklist of Li, Kudugunta and Zettlemoyer, "(Mis)Fitting scaling laws" (2025), as
    far as it applies to one curve.
    """

    source: Literal["stated", "fit", "published", "theory"]
    metric: str
    convention: str
    """How compute was counted: `flops` or `paper`."""
    unit: str | None = None
    """Unit of the error: `nats`, `share`, `bits_per_byte` and the like."""
    evaluation: str | None = None
    """Data that errors were measured on: `held-out` or `training`. None: not known; this applies to all fields
    below."""
    data: str | None = None
    """Training data, by a name or a digest."""
    learning_rate: Literal["constant", "falling", "annealed"] | None = None
    """Learning rate over the points that were used, after the warm-up. `annealed`: each point is the end of a run that
    finished its own schedule."""
    averaged: bool = False
    """Whether all errors are known to be those of averaged weights, as those of shapeflow's runs are."""
    citation: str | None = None
    """Source of a published law."""
    files: tuple[tuple[str, str], ...] = ()
    """(name, SHA-256 of the content) of each file; names are relative to the folder of the file that names them."""
    runs: int = 0
    points: int = 0
    """Number of points used by the fit."""
    dropped: Mapping[str, int] = attrs.field(factory=dict)
    """Reason -> number of points that were read but not used."""
    compute: Pair | None = None
    """First and last compute of the points used, in FLOPs."""
    error: Pair | None = None
    """Highest and lowest error of the points used."""
    rms: float | None = None
    """Root mean square of the residuals log(law) - log(measured)."""
    objective: float | None = None
    """Sum of the Huber loss of the residuals, which the fit minimises."""
    autocorrelation: float | None = None
    """Autocorrelation of neighbouring residuals of a run: 0 for noise, near 1 if the curve deviates systematically from
    the law."""
    exponent: Literal["own", "pooled", "fixed"] | None = None
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    """Options of the fit."""
    optima: tuple[Quad, ...] = ()
    """Other (a, b, c, d) whose objective is within 1 % of the best one's."""
    holdout: HoldOut | None = None
    resampling: Resampling | None = None
    intervals: Mapping[str, Pair] = attrs.field(factory=dict)
    """`a`, `b`, `c`, `d` -> the 90% interval."""
    verdict: tuple[str, ...] = ()
    """Reasons why the law is not reliable beyond the measured range, each with its number; empty if it is reliable."""
    curve: MeasuredCurve | None = None
    """None for laws that were not fitted to runs."""
    spent: float | None = None
    """FLOPs of all runs that were read for this law: the cost of finding it."""
    drop: Drop | None = None
    """None if no run was cut where its learning rate began to fall. The JSON of a law without one does not have it."""
    held_out_error: float | None = None
    """Standard error of the errors at the end of the runs, over the windows or images of their held-out set. It is
    nearly common to all evaluations on this set, so it shifts whole curves. None if no run states it, as in logs of
    other programs; the JSON of a law then does not have it."""


def _finite(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"a law's {attribute.name} must be finite, not {value}")


def _positive(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"a law's {attribute.name} must be above 0, not {value}")


@attrs.frozen
class Law:
    """E = a (C + d)^-b + c: the expected error E of one shape after C FLOPs (paper A, eq. 1).

    `a` is in error times FLOPs^b, `c` in units of the error, `d` in FLOPs. A negative `d` means that the curve begins
    after |d| FLOPs (warm-up). Raises ValueError unless a and b are above 0 and all four are finite.
    """

    a: float = attrs.field(converter=float, validator=_positive)
    b: float = attrs.field(converter=float, validator=_positive)
    c: float = attrs.field(converter=float, validator=_finite)
    d: float = attrs.field(converter=float, validator=_finite)
    provenance: Provenance
    draws: Any = attrs.field(default=None, eq=False, repr=False)
    """None, or a float64 array with one row (a, b, c, d) for each resample. Equal row numbers belong to the same
    resample in all laws of a fit. The law's JSON does not contain them."""

    @property
    def plausible(self) -> bool:
        """Whether all four numbers are within the range of real models."""
        within = SCALE[0] <= self.a <= SCALE[1] and STEEP[0] <= self.b <= STEEP[1]
        return within and abs(self.c) <= FLOOR and abs(self.d) <= OFFSET

    @property
    def floor(self) -> float:
        """The error that the law approaches but never reaches."""
        return self.c

    @property
    def measured(self) -> Pair | None:
        """The highest and the lowest error of the points it was fitted to; None for a stated law."""
        return self.provenance.error

    @property
    def begins(self) -> float:
        """FLOPs up to which the law has no error: the warm-up that a negative d stands for."""
        return max(-self.d, 0.0)

    @property
    def bends(self) -> tuple[float, ...]:
        """Empty: the rate of a power law is a straight line."""
        return ()

    @property
    def knots(self) -> None:
        """None: a power law is no table."""
        return None

    def error(self, compute: float) -> float:
        """The error after `compute` FLOPs (paper A, eq. 1); infinite before the curve begins (compute <= -d)."""
        moved = compute + self.d
        if moved <= 0:
            return math.inf
        return _exp(math.log(self.a) - self.b * math.log(moved)) + self.c

    def compute(self, error: float) -> float:
        """The FLOPs at which the law reaches an error: the inverse of eq. 1; infinite at and below the floor."""
        if error <= self.c:
            return math.inf
        return _exp((math.log(self.a) - math.log(error - self.c)) / self.b) - self.d

    def entered(self, error: float) -> Law:
        """The law of training that goes on at an error above the floor, counted from there. Without draws and the curve
        that was measured, which begin at the start of training."""
        before = self.compute(error)
        about = attrs.evolve(self.provenance, curve=None, compute=None)
        return Law(self.a, self.b, self.c, self.d + before, about)

    def slope(self, compute: float) -> float:
        """dE/dC after `compute` FLOPs, in error per FLOP; negative. Minus infinity before the curve begins."""
        moved = compute + self.d
        if moved <= 0:
            return -math.inf
        return -_exp(math.log(self.a) + math.log(self.b) - (self.b + 1) * math.log(moved))

    def log_rate(self, error: float) -> float:
        """log |dC/dE| at an error: the compute per unit of error; infinite at and below the floor.

        Eq. 2 of paper A maximises dC/dE. Since dC/dE is negative, this is the same as minimising `log_rate`.
        """
        if error <= self.c:
            return math.inf
        s = 1 / self.b + 1
        return -math.log(self.a) - math.log(self.b) - s * (math.log(error - self.c) - math.log(self.a))


def _exp(power: float) -> float:
    return math.exp(power) if power < 709 else math.inf
