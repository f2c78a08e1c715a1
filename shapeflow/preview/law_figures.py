"""The figures of laws: the laws with their points and bands, and the residuals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import attrs

from shapeflow.base.units import flops
from shapeflow.preview.figure import XY, Axis, Band, Dots, Figure, Layer, Line, scaled
from shapeflow.preview.numbers import error
from shapeflow.preview.plan_axes import errors_axis, spaced

HALF = "prediction of the fit to the first half"
HALF_DASH = 2
SPACE = 1.04
"""Factor of compute before the first and after the last point, so that whole dots are seen."""
Axes = Callable[[float, float], tuple[Axis, float]]
"""From the lowest and the highest amount to the axis of amounts, and the size of its unit."""


@attrs.frozen
class LawDrawing:
    """A law as it is drawn, over FLOPs, or over seconds if the plan is compared by them."""

    name: str
    color: int
    error: Callable[[float], float]
    """The error after an amount; infinite where the law has none."""
    span: XY
    """The first and the last amount."""
    points: Sequence[XY] = ()
    """(amount, error), by amount."""
    band: Sequence[tuple[float, float, float]] = ()
    pace: float = 1.0
    """What a FLOP takes."""
    half: Callable[[float], float] | None = None
    """The law of the first half of the points, which predicts those after `split`."""
    split: float = math.inf

    def beyond(self) -> list[float]:
        """The amounts at which the prediction of the first half is drawn."""
        return [] if self.half is None or self.split >= self.span[1] else spaced(self.split, self.span[1])


def laws_figure(found: Sequence[LawDrawing], metric: str, axis: Axes, caption: str = "") -> Figure | None:
    """The laws with their points; None if no law has an error that can be drawn."""
    lines = [Line(one.name, _finite((at, one.error(at)) for at in spaced(*one.span)), one.color) for one in found]
    if not any(line.points for line in lines):
        return None
    layers: list[Layer] = [Band("", one.band, one.color) for one in found if one.band]
    layers += [dots for one in found for dots in _dots(one, metric)]
    layers += lines
    for one in found:
        if one.half is not None and (after := one.beyond()):
            layers.append(Line("", _finite((at, one.half(at)) for at in after), one.color, HALF_DASH))
    shown = [value for one in found for _, value in one.points] or [value for one in lines for _, value in one.points]
    first, last = min(at for line in lines for at, _ in line.points), max(one.span[1] for one in found)
    x, size = axis(first / SPACE, last * SPACE)
    name = f"Laws of {len(found)} shapes: {metric} over compute"
    y = errors_axis(metric, min(shown), max(shown))
    return Figure(name, x, y, [scaled(one, size) for one in layers], caption)


def residuals_figure(
    found: Sequence[LawDrawing], axis: Axes, most: float | None = None, *, joined: bool = True
) -> Figure | None:
    """Measured over law, minus 1; None without points. `most`: the end of the axis; by default, all points are inside.
    `joined`: a line joins the points."""
    layers = [layer for one in found for layer in _residuals(one, joined)]
    ends = [at for one in found if one.points for at in (one.points[0][0], one.points[-1][0])]
    values = [abs(value) for layer in layers if isinstance(layer, Dots) for _, value in layer.points]
    if not values:
        return None
    x, size = axis(min(ends) / SPACE, max(ends) * SPACE)
    end = most or 1.1 * max(values) or 0.01
    y = Axis("measured / law - 1", -end, end, share=True)
    return Figure("Residuals of the laws", x, y, [scaled(one, size) for one in layers])


def residuals(one: LawDrawing) -> list[XY]:
    """(amount, measured / law - 1) at the points of a law."""
    known = [(at, value, one.error(at)) for at, value in one.points]
    return [(at, value / by - 1) for at, value, by in known if by > 0 and math.isfinite(by)]


def _residuals(one: LawDrawing, joined: bool) -> Iterator[Layer]:
    found = residuals(one)
    if not found:
        return
    over = [(at, by, low, high) for at, low, high in one.band if (by := one.error(at)) > 0 and math.isfinite(by)]
    if over and not joined:
        yield Band("", [(at, low / by - 1, high / by - 1) for at, by, low, high in over], one.color)
    yield Line("", found if joined else [(at, 0.0) for at in one.span], one.color)
    for held in (False, True):
        kept = [(at, value) for at, value in found if (at > one.split) == held]
        if kept:
            titles = [f"{one.name}: {100 * value:+.2f}%" for _, value in kept]
            yield Dots("" if held else one.name, kept, one.color, titles, 2.4, hollow=held)
    if one.half is not None:
        pairs = [(at, one.half(at) / one.error(at) - 1) for at in one.beyond()]
        yield Line("", _finite(pairs), one.color, HALF_DASH)


def _dots(one: LawDrawing, metric: str) -> Iterator[Dots]:
    for held in (False, True):
        kept = [(at, value) for at, value in one.points if (at > one.split) == held]
        if kept:
            titles = [f"{one.name}: {error(value, metric)} after {flops(at / one.pace)}" for at, value in kept]
            yield Dots("", kept, one.color, titles, 2.4, hollow=held)


def _finite(points: Iterator[XY] | Sequence[XY]) -> list[XY]:
    return [point for point in points if math.isfinite(point[1])]
