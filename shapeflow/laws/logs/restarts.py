"""Amounts that begin again while a run goes on, as the FLOPs that a trainer counts do after some resumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import numpy as np

from shapeflow.laws.logs.points import Point

AFTER = 3
"""An amount began again if it is below what it was for this many points. Fewer may hold a wrong number each."""
CLOSE = 0.02
"""Largest difference between the amounts of a step in the parts of a run, as a share."""
CHANGED = -0.05
"""A run goes on after a fall of its compute if its log error is lower by this than where it had spent as much."""
FEW = 0.05
"""Largest share of rows at which compute falls, if it begins again rather than is in no order."""


def per_step(points: Sequence[Point]) -> float | None:
    """Return the compute of a step of a run whose compute begins again while its steps go on; infinite if it is not the
    same in all parts of the run. None if compute does not begin again. `points`: those of a run, in any order."""
    stepped = [(point.step, point.compute) for point in points if point.step is not None]
    if len(stepped) < len(points) or len(stepped) < 2 * AFTER:
        return None
    step, compute = np.array(sorted(stepped)).T
    falls = np.flatnonzero(np.diff(compute) < 0)
    begun = [
        at + 1
        for at in falls.tolist()
        if at + AFTER < len(compute) and (compute[at + 1 : at + 1 + AFTER] < compute[at]).all()
    ]
    if not begun:
        return None
    parts = [slice(low, high) for low, high in pairwise([0, *begun, len(compute)]) if high - low > 1]
    slopes = [(compute[one][-1] - compute[one][0]) / (step[one][-1] - step[one][0]) for one in parts]
    each = median(slopes)
    steady = each > 0 and all(abs(slope / each - 1) <= CLOSE for slope in slopes)
    whole = abs(compute[parts[0]][-1] / (each * step[parts[0]][-1]) - 1) <= CLOSE if steady else False
    return float(each) if whole else math.inf


def began_again(point: Point, last: Point, earlier: Sequence[Point]) -> bool:
    """Return whether a run goes on at a point whose compute is below that of the last one: its error is
    closer to that of the last one than to the error of the run when it had spent as much. `earlier`: its points."""
    known = [one for one in earlier if one.compute <= point.compute]
    first = min(earlier, key=lambda one: one.compute)
    before = max(known, key=lambda one: one.compute, default=first)
    change = math.log(point.error / before.error)
    return change < CHANGED and abs(math.log(point.error / last.error)) < abs(change)
