"""Which measurements can be points of a law, and why others cannot."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

COMPUTE, ERROR = (1e-6, 1e36), (1e-12, 1e12)
"""Valid ranges of compute in FLOPs and of errors. The largest training runs took about 1e27 FLOPs, and a column may be
in units as large as 1e24 FLOPs."""


def unusable(compute: Any, error: Any) -> str | None:
    """Return why a measurement is not a point; None if it is one. `compute`, `error`: a number, `blank` or
    `no number`."""
    if compute == "blank":
        return "no compute"
    if not (isinstance(compute, float) and isinstance(error, float)):
        return "no number"
    if not (math.isfinite(compute) and math.isfinite(error)):
        return "not finite"
    if error <= 0:
        return "an error of 0 or less"
    if compute <= 0:
        return "before any compute"
    return None if COMPUTE[0] <= compute <= COMPUTE[1] and ERROR[0] <= error <= ERROR[1] else "of no real size"


def faults(excluded: Counter[str]) -> Counter[str]:
    """Return the exclusions that are worth a warning. Points before the first step, points removed by thinning, and
    those after a run was cut are normal."""
    normal = ("before any compute", "resampling", "where the learning rate falls")
    return Counter({why: count for why, count in excluded.items() if why not in normal})
