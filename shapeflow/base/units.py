"""Units: the names that may follow a number, and their sizes in base units.

Base units: FLOPs of compute, pixels, tokens, steps, epochs, samples, seconds, joules, kg of CO2 equivalent, dollars,
and 1 for a ratio. Units are resolved by the compiler: a plan contains only base units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

Dimension = Literal[
    "compute",
    "length",
    "tokens",
    "steps",
    "epochs",
    "samples",
    "seconds",
    "energy",
    "carbon",
    "money",
    "ratio",
    "number",
    "name",
]

CostDimension = Literal["compute", "seconds", "energy", "carbon", "money"]
"""What a plan can minimise."""


@attrs.frozen
class Unit:
    """A unit's name as it is written, what it measures, and its size in base units."""

    name: str
    dimension: Dimension
    size: float

    def base(self, value: float) -> float:
        """A value in this unit, converted to the base unit. Divides for units smaller than the base unit, so that 70%
        is exactly 0.7."""
        return value * self.size if self.size >= 1 else value / round(1 / self.size)


_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21}

UNITS: dict[str, Unit] = {
    unit.name: unit
    for unit in (
        *(Unit(f"{prefix}FLOPs", "compute", size) for prefix, size in _PREFIXES.items()),
        Unit("px", "length", 1.0),
        Unit("tokens", "tokens", 1.0),
        Unit("ktokens", "tokens", 1e3),
        Unit("Mtokens", "tokens", 1e6),
        Unit("Gtokens", "tokens", 1e9),
        Unit("steps", "steps", 1.0),
        Unit("epochs", "epochs", 1.0),
        Unit("samples", "samples", 1.0),
        Unit("images", "samples", 1.0),
        *(Unit(name, "seconds", 1.0) for name in ("s", "second", "seconds")),
        *(Unit(name, "seconds", 60.0) for name in ("min", "minute", "minutes")),
        *(Unit(name, "seconds", 3600.0) for name in ("h", "hour", "hours")),
        *(Unit(f"{prefix}J", "energy", size) for prefix, size in _PREFIXES.items() if size <= 1e12),
        *(Unit(f"{prefix}Wh", "energy", 3600 * size) for prefix, size in _PREFIXES.items() if size <= 1e9),
        Unit("g", "carbon", 0.001),
        Unit("kg", "carbon", 1.0),
        Unit("t", "carbon", 1000.0),
        *(Unit(name, "money", 1.0) for name in ("dollar", "dollars")),
        Unit("%", "ratio", 0.01),
    )
}

BASE: dict[Dimension, str] = {
    "compute": "FLOPs",
    "length": "px",
    "tokens": "tokens",
    "steps": "steps",
    "epochs": "epochs",
    "samples": "samples",
    "seconds": "s",
    "energy": "J",
    "carbon": "kg",
    "money": "dollars",
    "ratio": "%",
    "number": "",
    "name": "",
}
"""Dimension -> the unit to suggest if a value lacks one."""


@attrs.frozen
class Amount:
    """A number of a known dimension, in base units."""

    value: float
    dimension: Dimension

    @property
    def said(self) -> str:
        """The amount for use in a sentence: `1 step` instead of `1 steps`."""
        text = str(self)
        return (
            text.removesuffix("s")
            if text.startswith("1 ") and self.dimension not in ("compute", "seconds", "carbon")
            else text
        )

    def __str__(self) -> str:
        if self.dimension == "compute":
            return flops(self.value)
        if self.dimension == "seconds":
            return duration(self.value)
        if self.dimension in ("energy", "carbon", "money"):
            return cost(self.value, self.dimension)
        if self.dimension == "ratio":
            return f"{100 * self.value:g}%"
        return f"{self.value:g} {BASE[self.dimension]}".strip()


def amount_in(value: object) -> Amount | None:
    """The amount that the settings of a plan hold as `{"value": 0.1, "of": "ratio"}`; None for any other JSON."""
    if not isinstance(value, Mapping) or set(value) != {"value", "of"}:
        return None
    number, of = value["value"], value["of"]
    plain = isinstance(number, int | float) and not isinstance(number, bool)
    return Amount(number, of) if plain and isinstance(of, str) and of in BASE else None


def duration(seconds: float, digits: int = 6) -> str:
    """Seconds as text, in the unit that a person would use: `90 s`, `20 minutes`, `2.5 hours`."""
    if seconds < 120:
        return f"{seconds:.{digits}g} s"
    return f"{seconds / 60:.{digits}g} minutes" if seconds < 7200 else f"{seconds / 3600:.{digits}g} hours"


def cost(amount: float, dimension: Dimension, digits: int = 4) -> str:
    """Energy, emissions or money as text: `33.6 kWh`, `14.2 kg CO2e`, `250 dollars`. `amount`: in the base unit."""
    units: tuple[tuple[float, str], ...] = ((1.0, "dollars"),)
    if dimension == "energy":
        units = ((3.6e12, "GWh"), (3.6e9, "MWh"), (3.6e6, "kWh"), (3.6e3, "Wh"), (1.0, "J"))
    elif dimension == "carbon":
        units = ((1e3, "t CO2e"), (1.0, "kg CO2e"), (1e-3, "g CO2e"))
    size, name = next(((size, name) for size, name in units if amount >= size), units[-1])
    return f"{amount / size:.{digits}g} {name}"


def size(amount: float) -> str:
    """Bytes as text, with a prefix of powers of 1000: `1.23 GB`."""
    for prefix, one in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if amount >= one:
            return f"{amount / one:.3g} {prefix}B"
    return f"{amount:.0f} bytes"


def flops(compute: float, digits: int = 4) -> str:
    """Compute as text, with a prefix that gives 1 to 999 before the decimal point: `10.3 EFLOPs`."""
    for prefix, size in reversed(_PREFIXES.items()):
        if abs(compute) >= size and prefix:
            return f"{compute / size:.{digits}g} {prefix}FLOPs"
    return f"{compute:.{digits}g} FLOPs"
