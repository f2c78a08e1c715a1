"""Charts as inline SVG: lines, bands and dots over two axes, with a key below. Colours and letters follow the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from shapeflow.report.markup import Markup, join, node
from shapeflow.report.style import COLORS

WIDE, TALL = 420, 300
"""Small enough for a phone to show all of a chart with letters that can be read."""
LEFT, RIGHT, TOP, BOTTOM = 70, 10, 10, 46
"""Space around the plot."""
LETTER = 7.5
"""The width of a letter, at most."""
DASHES = ("", "7 4", "2 4", "9 3 2 3")
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

    def draw(self, x: Axis, y: Axis) -> Markup:
        path = " ".join(_at(x, y, point) for point in self.points if math.isfinite(point[1]))
        return node("polyline", points=path, **_stroke(self), class_=_class(self.color))


@attrs.frozen
class Band:
    """The area between two values: (x, low, high)."""

    label: str
    points: Sequence[tuple[float, float, float]]
    color: int

    def draw(self, x: Axis, y: Axis) -> Markup:
        around = [(at, low) for at, low, _ in self.points] + [(at, high) for at, _, high in reversed(self.points)]
        path = " ".join(_at(x, y, point) for point in around)
        return node("polygon", points=path, fill="currentColor", fill_opacity="0.22", class_=_class(self.color))


@attrs.frozen
class Dots:
    """Points, each with a text that appears where the pointer rests on it."""

    label: str
    points: Sequence[XY]
    color: int
    titles: Sequence[str]
    radius: float = 3.0

    def draw(self, x: Axis, y: Axis) -> Markup:
        drawn = []
        for point, title in zip(self.points, self.titles, strict=True):
            across, down = _place(x, y, point)
            drawn.append(node("circle", node("title", title), cx=across, cy=down, r=self.radius))
        return node("g", *drawn, fill="currentColor", class_=_class(self.color))


Layer = Line | Band | Dots


def chart(name: str, x: Axis, y: Axis, layers: Sequence[Layer], caption: str = "") -> Markup:
    """A figure: the plot, its key, and what it shows in words. `name`: read out instead of the plot."""
    inside = node(
        "svg",
        *(layer.draw(x, y) for layer in layers),
        x=LEFT,
        y=TOP,
        width=WIDE - LEFT - RIGHT,
        height=TALL - TOP - BOTTOM,
        overflow="hidden",
    )
    drawing = node("svg", _frame(x, y), inside, viewBox=f"0 0 {WIDE} {TALL}", role="img", aria_label=name)
    below = [node("figcaption", caption)] if caption else []
    return node("figure", drawing, key(layers), *below)


def pair(*figures: Markup) -> Markup:
    """Figures next to each other, where there is room for two."""
    return node("div", *(node("div", one) for one in figures if one.html), class_="pair")


def key(layers: Sequence[Layer]) -> Markup:
    """What the colours mean: one entry for each label."""
    named = {layer.label: layer for layer in reversed(layers) if layer.label}
    return node("ul", *(_entry(layer) for layer in reversed(named.values())), class_="key")


def _entry(layer: Layer) -> Markup:
    if isinstance(layer, Line):
        mark = node("line", x1=0, y1=6, x2=26, y2=6, **_stroke(layer))
    elif isinstance(layer, Band):
        mark = node("rect", x=0, y=0, width=26, height=12, fill="currentColor", fill_opacity="0.22")
    else:
        mark = node("circle", cx=13, cy=6, r=4, fill="currentColor")
    sign = node("svg", mark, viewBox="0 0 26 12", aria_hidden="true")
    return node("li", sign, node("span", layer.label), class_=_class(layer.color))


def _stroke(line: Line) -> dict[str, str]:
    found = {"fill": "none", "stroke": "currentColor", "stroke_width": "2.6" if line.heavy else "1.6"}
    dash = DASHES[(line.dash + max(line.color, 0) // COLORS) % len(DASHES)]
    return found | ({"stroke_dasharray": dash} if dash else {})


def _class(color: int) -> str:
    return "plan" if color == PLAN else f"k{color % COLORS}"


def _frame(x: Axis, y: Axis) -> Markup:
    """The grid, the labels of its ticks, and the names of the axes."""
    wide, tall, parts, written = WIDE - LEFT - RIGHT, TALL - TOP - BOTTOM, list[Markup](), -math.inf
    for value, label in sorted(x.ticks(), key=lambda tick: x.part(tick[0])):
        at, half = LEFT + x.part(value) * wide, LETTER * len(label) / 2
        parts.append(node("line", x1=at, y1=TOP, x2=at, y2=TOP + tall, class_="grid"))
        # A label that would touch the one before it is left out.
        if at - half > written:
            parts.append(node("text", label, x=min(at, WIDE - half), y=TOP + tall + 16, text_anchor="middle"))
            written = at + half + LETTER
    for value, label in y.ticks():
        at = TOP + (1 - y.part(value)) * tall
        parts.append(node("line", x1=LEFT, y1=at, x2=LEFT + wide, y2=at, class_="grid"))
        parts.append(node("text", label, x=LEFT - 6, y=at + 4, text_anchor="end"))
    parts.append(node("text", x.label, x=LEFT + wide / 2, y=TALL - 6, text_anchor="middle"))
    turned = f"translate(13 {TOP + tall / 2:.0f}) rotate(-90)"
    return join(*parts, node("text", y.label, transform=turned, text_anchor="middle"))


def _place(x: Axis, y: Axis, point: XY) -> XY:
    """A point in pixels of the plot. Points far outside keep a bounded distance, so that no number is too long."""
    across, up = (min(max(axis.part(value), -9.0), 9.0) for axis, value in zip((x, y), point, strict=True))
    return across * (WIDE - LEFT - RIGHT), (1 - up) * (TALL - TOP - BOTTOM)


def _at(x: Axis, y: Axis, point: XY) -> str:
    return "{:.1f},{:.1f}".format(*_place(x, y, point))


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
