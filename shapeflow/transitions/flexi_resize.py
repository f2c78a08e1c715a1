"""Patch size: one stored kernel, read at every size."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Edit, Resize, Swap
from shapeflow.ir.parameters import DataFacts, Model, Preserves
from shapeflow.transitions.grids import check_dims, grid_views, views


@attrs.frozen
class FlexiResize(TransitionHooks):
    """Moves along `patch`: the stored kernel is read through the pseudo-inverse of the image's resize, the stored
    position grid through a bilinear one (FlexiViT, arXiv 2212.08013; paper A, section 4).

    What is stored never changes, so every patch size can be entered from any other and the optimizer's state is kept.
    At a fixed resolution a token covers another part of the image, so the error jumps at a switch whatever the kernel:
    taking some steps in the next size before it (`preview`) is what removes most of the jump; 0% is the hard switch
    of paper A. Random squares of the images (`crop` of `image_folder` and `cifar10`) lower it too. Above the base
    size tokens are exact; below it, `antialias` keeps more of the image.

    `credit`: 30% was measured for a switch to half the patch size, 55-78% for notches of 1.5 and less, at a small
    scale; paper A assumes 100%."""

    axis: ClassVar[str] = "patch"
    one_way: ClassVar[bool] = False
    preserves: ClassVar[Preserves] = "lossy"
    average: ClassVar[Literal["map", "restart"]] = "restart"

    base: int = setting("length", low=1, help="side of the stored kernel")
    grid: int = setting(default=8, low=1, help="positions along a side of the stored grid; paper A's models have 8")
    antialias: bool = setting(default=True, help="antialias the kernel's resize; FlexiViT does not")
    moments: Literal["carry", "reset"] = setting(default="carry", help="the optimizer's moments at the switch")
    preview: float = setting("ratio", default=0.25, low=0.0, below=1.0, help="share of steps in the next patch size")
    preview_from: float = setting("ratio", default=0.75, low=0.0, below=1.0, help="where in a stage the preview begins")
    retain: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="share of steps in the last patch size")
    rewarm: int | None = setting(
        "steps", default=None, low=0, help="rise of the learning rate behind a switch; unsaid: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def stored(self, facts: DataFacts) -> dict[str, int]:
        """Base sizes of the kernel (px) and the position grid, whatever the data."""
        return {"patch": self.base, "grid": self.grid}

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `no-patch`, `indivisible-patch`."""
        check_dims(model, "patch", "grid")
        model.seen(after)

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        seen = model.seen(shape)
        kernel = views(model, Resize(seen["patch"], "kernel", self.antialias), "patch")
        return (*kernel, *grid_views(model, seen["grid"]), Swap("patch", seen["patch"]))

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        self.check(model, before, after)
        return self.reading(model, after)
