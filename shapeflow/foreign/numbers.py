"""Numbers of a config, within the limits of sizes in a `.shape` file."""

from __future__ import annotations

import math
import sys
from typing import TypeGuard

from shapeflow.foreign.folder import Foreign
from shapeflow.ir.plan_check import LARGEST

COUNT = f"a whole number from 1 to {LARGEST:,}"


def is_count(value: object) -> TypeGuard[int]:
    """Whether a value of a config is a size that a model can have."""
    return type(value) is int and 1 <= value <= LARGEST


def is_positive(value: object) -> TypeGuard[int | float]:
    """Whether a value of a config is a number above 0 that a model can have."""
    # Larger whole numbers than a float can hold are not converted.
    return type(value) in (int, float) and 0 < value <= sys.float_info.max  # type: ignore[operator]


def ratio_of(found: Foreign, units: int, width: int, key: str) -> float:
    """The ratio whose product with the width is exactly a number of hidden units. Raises Refused `cannot-import`."""
    ratio = units / width
    for one in (ratio, math.nextafter(ratio, 0.0), math.nextafter(ratio, math.inf)):
        if one * width == units:
            return one
    found.refuse(f"no ratio times {width} is exactly {units}", "import a model with other sizes", place=key)
