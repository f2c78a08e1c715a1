"""The side of an image patch."""

from __future__ import annotations

from typing import ClassVar

import attrs

from shapeflow.base.shapes import Value
from shapeflow.base.units import Dimension
from shapeflow.ir.components import AxisHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts, Model, grid_of


@attrs.frozen
class Patch(AxisHooks):
    """The side of a vision transformer's square patches, in pixels. It must divide the side of the images that the
    model sees. Smaller patches give more tokens: (side / patch)^2."""

    dimension: ClassVar[Dimension] = "length"
    unit: ClassVar[str] = "px"
    example: ClassVar[str] = "[16, 8] px"
    order: ClassVar[int] = 30
    usual: ClassVar[str] = "flexi_resize(base: {first} px)"
    columns: ClassVar[tuple[str, ...]] = ("patch_size",)
    data: ClassVar[str] = "images"
    falls: ClassVar[bool] = True

    def check(self, value: Value, facts: DataFacts, model: Model | None = None) -> None:
        """Raises EditError `wrong-value`, `wrong-data`, `indivisible-patch`."""
        if not isinstance(value, int) or value < 1:
            raise EditError("wrong-value", f"a patch of `{value}` is not a positive whole number")
        if facts.image is None:
            raise EditError("wrong-data", f"`patch` is an axis of images, the data is {facts.kind}")
        if facts.image:
            grid_of(facts.image, value)
