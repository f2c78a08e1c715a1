"""One shape's law in every resample: its four parameters as arrays with one entry per resample."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law

Floats = NDArray[np.float64]


@attrs.frozen(eq=False)
class Sample:
    """E = a (C + d)^-b + c, elementwise over (resamples,). Each entry gives the same values as a `Law`."""

    a: Floats
    b: Floats
    c: Floats
    d: Floats

    @classmethod
    def of(cls, law: Law, count: int) -> Sample:
        """The law's first `count` draws; a law that was not resampled is repeated."""
        rows = np.tile([law.a, law.b, law.c, law.d], (count, 1)) if law.draws is None else np.asarray(law.draws)
        return cls(*np.ascontiguousarray(rows[:count].T, dtype=np.float64))

    def error(self, compute: Floats) -> Floats:
        """The error after `compute` FLOPs, of shape (resamples,) or (points, resamples); infinite where C + d <= 0."""
        moved = compute + self.d
        with np.errstate(all="ignore"):
            return np.where(moved > 0, np.exp(np.log(self.a) - self.b * np.log(moved)) + self.c, np.inf)

    def compute(self, error: Floats | float) -> Floats:
        """The FLOPs at which each law reaches an error; infinite at and below its floor."""
        above = error - self.c
        with np.errstate(all="ignore"):
            return np.where(above > 0, np.exp((np.log(self.a) - np.log(above)) / self.b) - self.d, np.inf)


def samples(laws: Mapping[Shape, Law]) -> dict[Shape, Sample]:
    """The laws of every resample; row i of all draws belongs together. Empty if no law was resampled."""
    counts = [len(law.draws) for law in laws.values() if law.draws is not None]
    count = min(counts, default=0)
    return {shape: Sample.of(law, count) for shape, law in laws.items()} if count else {}


def interval(values: Floats, level: float) -> tuple[float, float] | None:
    """The central interval that contains a share `level` of the values; None if a bound is not finite."""
    low, high = quantiles(values, level)
    return None if low is None or high is None else (low, high)


def quantiles(values: Floats, level: float) -> tuple[float | None, float | None]:
    """The bounds of `interval`, each rounded to six digits; None: not finite."""
    low, high = bounds(values, level)
    return rounded(float(low)), rounded(float(high))


def bounds(values: Floats, level: float) -> Floats:
    """(2, ...): the bounds of the central interval with a share `level` of the values, along the last axis."""
    with np.errstate(invalid="ignore"):
        found: Floats = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], axis=-1)
    return found


def rounded(value: float) -> float | None:
    """Six digits: the last digits of a fit differ between processors."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
