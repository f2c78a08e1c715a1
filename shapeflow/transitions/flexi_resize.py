"""Patch size: one stored kernel, which is resized to every patch size."""

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
    """Moves along `patch`: the stored kernel is resized with the pseudo-inverse of the image's resize, the stored
    position grid bilinearly (FlexiViT, arXiv 2212.08013; Anagnostidis et al. 2024, section 4).

    The stored parameters do not change, so any patch size can follow any other and the optimizer's state is kept. At a
    fixed resolution, a token covers a different part of the image after a switch, so the error jumps with any kernel.
    Some steps in the next size before the switch (`preview`) remove most of the jump; 0% is the hard switch of
    Anagnostidis et al. Random crops of the images (`crop` of `image_folder` and `cifar10`) reduce it too. Above the
    base size tokens are exact; below it, `antialias` keeps more of the image.

    `credit`: at a small scale, 30% was measured for a switch to half the patch size and 55-78% for ratios of 1.5 and
    less; Anagnostidis et al. assume 100%."""

    axis: ClassVar[str] = "patch"
    one_way: ClassVar[bool] = False
    preserves: ClassVar[Preserves] = "lossy"
    average: ClassVar[Literal["map", "restart"]] = "restart"

    base: int = setting("length", low=1, help="side of the stored kernel")
    grid: int = setting(default=8, low=1, help="positions along a side of the stored grid")
    antialias: bool = setting(default=True, help="antialias the kernel's resize; FlexiViT does not")
    moments: Literal["carry", "reset"] = setting(default="carry", help="the optimizer's moments at the switch")
    preview: float = setting("ratio", default=0.25, low=0.0, below=1.0, help="share of steps in the next patch size")
    preview_from: float = setting("ratio", default=0.75, low=0.0, below=1.0, help="where in a stage the preview begins")
    retain: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="share of steps in the last patch size")
    rewarm: int | None = setting(
        "steps", default=None, low=0, help="learning-rate warm-up after a switch; default: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def stored(self, facts: DataFacts) -> dict[str, int]:
        """Base sizes of the kernel (px) and the position grid. They do not depend on the data."""
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
