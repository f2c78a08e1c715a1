"""Figures as inline SVG, with a key below. Colours and letters follow the page."""

from __future__ import annotations

from shapeflow.preview.figure import COLORS, PLAN, XY, Axis, Band, Figure, Layer, Line
from shapeflow.report.markup import Markup, join, node

WIDE, TALL = 420, 300
"""Small enough for a phone to show all of a chart with letters that can be read."""
LEFT, RIGHT, TOP, BOTTOM = 70, 10, 10, 46
"""Space around the plot."""
LETTER = 7.5
"""The width of a letter, at most."""


def chart(figure: Figure) -> Markup:
    """The drawing of a figure, its key, and what it shows in words."""
    x, y = figure.x, figure.y
    inside = node(
        "svg",
        *(_drawn(layer, x, y) for layer in figure.layers),
        x=LEFT,
        y=TOP,
        width=WIDE - LEFT - RIGHT,
        height=TALL - TOP - BOTTOM,
        overflow="hidden",
    )
    drawing = node("svg", _frame(x, y), inside, viewBox=f"0 0 {WIDE} {TALL}", role="img", aria_label=figure.name)
    below = [node("figcaption", figure.caption)] if figure.caption else []
    return node("figure", drawing, node("ul", *map(_entry, figure.key), class_="key"), *below)


def _drawn(layer: Layer, x: Axis, y: Axis) -> Markup:
    color = _class(layer.color)
    if isinstance(layer, Line):
        path = " ".join(_at(x, y, point) for point in layer.finite)
        return node("polyline", points=path, **_stroke(layer), class_=color)
    if isinstance(layer, Band):
        around = [(at, low) for at, low, _ in layer.points] + [(at, high) for at, _, high in reversed(layer.points)]
        path = " ".join(_at(x, y, point) for point in around)
        return node("polygon", points=path, fill="currentColor", fill_opacity="0.22", class_=color)
    drawn = []
    for point, title in zip(layer.points, layer.titles, strict=True):
        across, down = _place(x, y, point)
        drawn.append(node("circle", node("title", title), cx=across, cy=down, r=layer.radius))
    fill = {"fill": "var(--page)", "stroke": "currentColor"} if layer.hollow else {"fill": "currentColor"}
    return node("g", *drawn, **fill, class_=color)


def pair(*figures: Markup) -> Markup:
    """Figures next to each other, where there is room for two."""
    return node("div", *(node("div", one) for one in figures if one.html), class_="pair")


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
    dash = " ".join(map(str, line.dashes))
    return found | ({"stroke_dasharray": dash} if dash else {})


def _class(color: int) -> str:
    return "plan" if color == PLAN else f"k{color % len(COLORS)}"


def _frame(x: Axis, y: Axis) -> Markup:
    """The grid, the labels of its ticks, and the names of the axes."""
    wide, tall, parts = WIDE - LEFT - RIGHT, TALL - TOP - BOTTOM, list[Markup]()
    written = x.apart(wide / LETTER)
    for value, label in x.ticks():
        at = LEFT + x.part(value) * wide
        parts.append(node("line", x1=at, y1=TOP, x2=at, y2=TOP + tall, class_="grid"))
        if (value, label) in written:
            middle = min(at, WIDE - LETTER * len(label) / 2)
            parts.append(node("text", label, x=middle, y=TOP + tall + 16, text_anchor="middle"))
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
