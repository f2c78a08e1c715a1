"""The side of the images that a model sees."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.shapes import Value
from shapeflow.base.units import Dimension
from shapeflow.ir.components import AxisHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts, Model


@attrs.frozen
class Resolution(AxisHooks):
    """The side of the square images that a vision transformer sees, in pixels; the data's images are resized to it. The
    patch must divide it. Larger images give more tokens: (resolution / patch)^2."""

    dimension: ClassVar[Dimension] = "length"
    unit: ClassVar[str] = "px"
    example: ClassVar[str] = "[32, 64] px"
    order: ClassVar[int] = 40
    usual: ClassVar[str] = "resolution_resize"
    columns: ClassVar[tuple[str, ...]] = ("image_size", "img_size")
    data: ClassVar[str] = "images"
    caution: ClassVar[str] = (
        "each error is measured at its shape's own resolution, and errors at different resolutions are not directly "
        "comparable: held-out images are resized like those of the stage"
    )
    fact: ClassVar[str] = "image"

    def check(self, value: Value, facts: DataFacts, model: Model | None = None) -> None:
        """Raises EditError `wrong-value`, `wrong-data`. That the patch divides the resolution is checked for whole
        shapes."""
        if not isinstance(value, int) or value < 1:
            raise EditError("wrong-value", f"a resolution of `{value}` is not a positive whole number")
        if facts.kind != self.data:
            raise EditError("wrong-data", f"`resolution` is an axis of images, the data is {facts.kind}")
