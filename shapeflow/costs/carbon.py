"""Emissions."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.units import CostDimension

JOULES = 3.6e6
"""Of a kWh."""


@attrs.frozen
class Carbon:
    """Minimise emissions, in kg of CO2 equivalent: energy, as `joules` counts it, times the carbon intensity of the
    grid. The defaults are those of Anagnostidis et al. 2024, appendix E: a PUE of 1.1, and 0.385 kg per kWh. A budget
    may be in g, kg and t."""

    dimension: ClassVar[CostDimension] = "carbon"

    watts: float = setting(above=0.0, high=1e6, help="mean power of one device while it trains", example="280")
    pue: float = setting(default=1.1, low=1.0, high=10.0, help="energy of the building per energy of the devices")
    grid: float = setting(default=0.385, above=0.0, high=10.0, help="kg of CO2 equivalent per kWh")

    def per_second(self, devices: int) -> float | None:
        """kg of CO2 equivalent of a second of all devices."""
        return self.watts * self.pue * devices / JOULES * self.grid
