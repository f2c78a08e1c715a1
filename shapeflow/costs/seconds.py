"""Time on a measured machine."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.units import CostDimension


@attrs.frozen
class Seconds:
    """Minimise the time of the steps, by the `profile` of a machine. A budget must then be in seconds, minutes or
    hours; such a budget alone has the same meaning."""

    dimension: ClassVar[CostDimension] = "seconds"

    def per_second(self, devices: int) -> float | None:
        """1."""
        return 1.0
