"""Money."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.units import CostDimension


@attrs.frozen
class Dollars:
    """Minimise money: seconds, by the `profile` of a machine, times the price of its devices. One price holds for all
    candidates, so the plan is that of the least time. A budget may be in dollars."""

    dimension: ClassVar[CostDimension] = "money"

    price: float = setting(above=0.0, high=1e6, help="dollars of one device for an hour", example="2.50")

    def per_second(self, devices: int) -> float | None:
        """Dollars of a second of all devices."""
        return self.price * devices / 3600
