"""A figure as values: lines, bands and dots over two axes. A report paints it as SVG, `--plot` by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

COLORS = ("#0b62a4", "#b3261e", "#2a7d3f", "#7b3fa0", "#a35200", "#00757a", "#ad1a6b", "#5f6b73")
"""Colours on white. A figure with more lines uses them again, with other dashes."""
DASHES: tuple[tuple[int, ...], ...] = ((), (7, 4), (2, 4), (9, 3, 2, 3))
"""Lengths of dashes and of the spaces between them."""
PLAN = -1
"""The colour of the plan: that of the text."""
XY = tuple[float, float]


@attrs.frozen
class Axis:
    """An axis from `low` to `high`. `share`: values are written in percent. `unit`: that of the values, for texts."""

    label: str
    low: float
    high: float
    log: bool = False
    share: bool = False
    unit: str = ""

    def part(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end."""
        if not self.log:
            return (value - self.low) / ((self.high - self.low) or 1.0)
        if value <= 0:
            return -1.0
        return (math.log(value) - math.log(self.low)) / ((math.log(self.high) - math.log(self.low)) or 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """The places of ticks, and their labels."""
        low, high = sorted((self.low, self.high))
        places = _decades(low, high) if self.log else _steps(low, high)
        return [(place, self.written(place)) for place in places]

    def apart(self, letters: float) -> list[tuple[float, str]]:
        """The ticks, without those whose labels would touch the one before. `letters`: the length of the axis."""
        kept, free = list[tuple[float, str]](), -math.inf
        for place, label in sorted(self.ticks(), key=lambda tick: self.part(tick[0])):
            at, half = letters * self.part(place), len(label) / 2
            if at - half > free:
                kept.append((place, label))
                free = at + half + 1
        return kept

    def written(self, value: float) -> str:
        if self.share:
            return f"{100 * value:.4g}%"
        ends = [abs(one) for one in (self.low, self.high) if one]
        if not value or not ends or (max(ends) < 1e6 and min(ends) >= 1e-4) or not self.log:
            return f"{value:.5g}"
        power = math.floor(math.log10(abs(value)) + 1e-9)
        digits = f"{value / 10.0**power:.3g}"
        return ("" if digits == "1" else f"{digits} × ") + "10" + f"{power}".translate(_RAISED)


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@attrs.frozen
class Line:
    """A line through points."""

    label: str
    points: Sequence[XY]
    color: int
    dash: int = 0
    heavy: bool = False

    @property
    def dashes(self) -> tuple[int, ...]:
        """The lengths of its dashes and spaces; empty for a whole line."""
        return DASHES[(self.dash + max(self.color, 0) // len(COLORS)) % len(DASHES)]

    @property
    def finite(self) -> Sequence[XY]:
        """The points that can be drawn."""
        return [point for point in self.points if math.isfinite(point[1])]


@attrs.frozen
class Band:
    """The area between two values: (x, low, high)."""

    label: str
    points: Sequence[tuple[float, float, float]]
    color: int


@attrs.frozen
class Dots:
    """Points, each with a text that appears where the pointer rests on it. `hollow`: held out of a fit."""

    label: str
    points: Sequence[XY]
    color: int
    titles: Sequence[str]
    radius: float = 3.0
    hollow: bool = False


Layer = Line | Band | Dots


@attrs.frozen
class Figure:
    """What is drawn, the lowest layer first. `name`: read out instead of the drawing. `caption`: what it shows."""

    name: str
    x: Axis
    y: Axis
    layers: Sequence[Layer]
    caption: str = ""

    @property
    def key(self) -> list[Layer]:
        """One layer for each label, in the order of the layers: what the colours mean."""
        named = {layer.label: layer for layer in reversed(self.layers) if layer.label}
        return list(reversed(named.values()))


def scaled(layer: Layer, size: float) -> Layer:
    """A layer with its x values in units of `size`."""
    if isinstance(layer, Band):
        return attrs.evolve(layer, points=[(at / size, low, high) for at, low, high in layer.points])
    return attrs.evolve(layer, points=[(at / size, value) for at, value in layer.points])


def _decades(low: float, high: float) -> list[float]:
    """Ticks of a log axis: at powers of ten, or closer together over a short range."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    apart = max(1, math.ceil((last - first) / 8))
    within = (1.0, 2.0, 5.0) if high < 300 * low else (1.0,)
    found = [one * 10.0**power for power in range(first, last + 1, apart) for one in within]
    inside = [one for one in found if low * (1 - 1e-9) <= one <= high * (1 + 1e-9)]
    return inside if len(inside) > 1 else _steps(low, high)


def _steps(low: float, high: float) -> list[float]:
    """Four to eight ticks of a linear axis, at round numbers."""
    if not high > low:
        return [low]
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]
