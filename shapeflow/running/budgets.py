"""What the budgets of `shapeflow frontier` are counted in: FLOPs, or seconds where a file minimises time."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount, CostDimension, Dimension, cost, duration, flops
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw

NOUNS: Mapping[Dimension, str] = {
    "compute": "compute",
    "seconds": "time",
    "energy": "energy",
    "carbon": "emissions",
    "money": "money",
}


@attrs.frozen(kw_only=True, eq=False)
class Unit:
    """The unit of the budgets of a file. A law (a, b, c, d) over FLOPs, in a shape where a FLOP takes u seconds, is the
    law (a u^b, b, c, d u) over seconds: both have the same error at C FLOPs and at u C seconds."""

    dimension: Dimension
    """"compute" or "seconds"."""
    paces: Mapping[Shape, float]
    """Seconds of a FLOP in each candidate; empty by compute, where a FLOP is one unit in all of them."""
    coin: CostDimension | None = None
    """What else follows from the seconds by the file's `minimise`: energy, emissions or money."""
    price: float = 1.0
    """The coin of a second of all devices, in base units."""

    @property
    def timed(self) -> bool:
        return self.dimension == "seconds"

    @property
    def noun(self) -> str:
        """What the budgets are an amount of: `compute` or `time`."""
        return NOUNS[self.dimension]

    def pace(self, shape: Shape) -> float:
        """How much of the unit a FLOP takes in a shape."""
        return self.paces.get(shape, 1.0)

    def error(self, laws: Mapping[Shape, AnyLaw], shape: Shape, budget: float) -> float:
        """The error that a fixed shape reaches with a budget, by its law."""
        return laws[shape].error(budget / self.pace(shape))

    def first(self, laws: Mapping[Shape, AnyLaw], shape: Shape) -> float:
        """The smallest budget that the law of a shape was fitted to; 0 if it is stated."""
        measured = laws[shape].provenance.compute
        return 0.0 if measured is None else measured[0] * self.pace(shape)

    def amount(self, budget: float) -> Amount:
        return Amount(budget, self.dimension)

    def written(self, budget: float, digits: int = 4) -> str:
        """A budget as text: `1 TFLOPs`, `20 s`."""
        return duration(budget, digits) if self.timed else flops(budget, digits)

    def cost(self, budget: float) -> str | None:
        """What a budget costs, if the file states a price of its seconds: `2 dollars`."""
        return None if self.coin is None else cost(budget * self.price, self.coin)

    def accepts(self, amount: Amount) -> bool:
        """Whether an amount is one of this unit, or of the coin that pays for it."""
        return amount.dimension in (self.dimension, self.coin)

    def budget(self, amount: Amount) -> float:
        """An amount in this unit; one of the coin as the time that it pays for, as `compile` counts it."""
        return amount.value / self.price if amount.dimension == self.coin else amount.value


def unit_of(program: Program) -> Unit:
    """The unit of the budgets of a program with its profile: seconds, if it minimises time or what follows from time,
    or if its budget is a time; else FLOPs."""
    by_time = program.cost is not None and program.cost.dimension != "compute"
    trained = program.trained
    if trained is None or program.timing is None or not (by_time or program.unit == "seconds"):
        return Unit(dimension="compute", paces={})
    paces = {shape: trained.seconds(shape) / trained.cost(shape) for shape in program.candidates}
    price = None if program.cost is None else program.cost.per_second(program.timing.devices)
    if program.cost is None or price is None or program.cost.dimension == "seconds":
        return Unit(dimension="seconds", paces=paces)
    return Unit(dimension="seconds", paces=paces, coin=program.cost.dimension, price=price)
