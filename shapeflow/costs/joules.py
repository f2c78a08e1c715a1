"""Energy."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.units import CostDimension


@attrs.frozen
class Joules:
    """Minimise energy: seconds, by the `profile` of a machine, times the mean power of its devices, times the power
    usage effectiveness (PUE) of the building. All candidates are taken to draw the same power, so the plan is that of
    the least time. A budget may be in J, kWh and their multiples."""

    dimension: ClassVar[CostDimension] = "energy"

    watts: float = setting(above=0.0, high=1e6, help="mean power of one device while it trains", example="280")
    pue: float = setting(default=1.1, low=1.0, high=10.0, help="energy of the building per energy of the devices")

    def per_second(self, devices: int) -> float | None:
        """Joules of a second of all devices."""
        return self.watts * self.pue * devices
