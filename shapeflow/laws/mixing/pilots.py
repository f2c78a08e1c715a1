"""What the law of a mixture is fitted to: runs with constant shares, and the checks that they can be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from shapeflow.ir.edits import Floats

FIRST = 0.25
"""Where the points of all pilots begin, as a share of the compute of the shortest one: before, the form does not
hold."""
RATIO = 1.15
"""Points of a run are at least this far apart in compute, so that its end does not dominate."""
ALIKE = 0.15
"""Two pilots have the same share if their logarithms differ by less."""
FEWEST = 4
"""Smallest number of points of a pilot."""
SAME = 0.01
"""Shares of two records of one run differ by less: relative."""


@attrs.frozen(eq=False)
class Trial:
    """A pilot as it was measured: data at every shape and the error, at each measurement."""

    name: str
    data: Floats
    """(points, shapes): tokens or samples so far."""
    error: Floats
    """(points,): at the target shape."""
    compute: Floats
    """(points,): FLOPs so far, ascending."""
    seed: int | None = None
    about: Mapping[str, Any] = attrs.field(factory=dict)
    """What was trained, and how: part -> its description. Empty if it is not known."""
    trained: Mapping[str, Mapping[str, Any] | None] = attrs.field(factory=dict)
    """The components of the run's plan, as `Program.trains_unlike` compares them. Empty if they are not known."""
    held_out_error: float | None = None
    """Standard error of the last error over the held-out set; None if it is not known, as in a table."""

    def repeats(self, other: Trial) -> bool:
        """Whether the run is that of another record: with the same seed and shares, or the same errors at the same
        data."""
        ends = [trial.data[-1] / trial.data[-1].sum() for trial in (self, other)]
        if None not in (self.seed, other.seed) and self.seed != other.seed:
            return False
        if self.seed is not None and self.seed == other.seed and np.allclose(ends[0], ends[1], rtol=SAME, atol=0.0):
            return True
        own, theirs = (
            {(round(float(data.sum())), f"{error:.4g}") for data, error in zip(trial.data, trial.error, strict=True)}
            for trial in (self, other)
        )
        return own <= theirs

    def share(self, target: int) -> float:
        """Share of the target in all data of the run."""
        return float(self.data[-1, target] / self.data[-1].sum())


def kept(trials: Sequence[Trial], target: int, first: float = FIRST) -> list[Trial]:
    """The points that a fit uses: from a common start on, evenly spaced in log compute. Before the first data at the
    target, the form has no error."""
    begin = first * min(trial.compute[-1] for trial in trials)
    return [_thinned(trial, target, begin) for trial in trials]


def _thinned(trial: Trial, target: int, begin: float) -> Trial:
    chosen: list[int] = []
    usable = (trial.compute >= begin * (1 - 1e-9)) & (trial.data[:, target] > 0)
    # From the end on, so that the last measurement is always a point.
    for place in reversed(np.flatnonzero(usable).tolist()):
        if not chosen or trial.compute[chosen[-1]] >= RATIO * trial.compute[place]:
            chosen.append(place)
    rows = chosen[::-1]
    return attrs.evolve(trial, data=trial.data[rows], error=trial.error[rows], compute=trial.compute[rows])


def second_half(trial: Trial) -> Trial | None:
    """The later half of a pilot in log data; None if it is too short to be halved."""
    total = trial.data.sum(1)
    rows = total >= math.sqrt(total[0] * total[-1])
    if rows.sum() < 3 or total[-1] < 1.6 * total[0]:
        return None
    return attrs.evolve(trial, data=trial.data[rows], error=trial.error[rows], compute=trial.compute[rows])
