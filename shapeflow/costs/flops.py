"""Compute."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.units import CostDimension


@attrs.frozen
class Flops:
    """Minimise compute, which is the default. A budget must then be in FLOPs."""

    dimension: ClassVar[CostDimension] = "compute"

    def per_second(self, devices: int) -> float | None:
        """None: compute does not follow from time."""
        return None
