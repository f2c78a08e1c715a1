"""Resolution: larger or smaller images in patches of the same size, with one stored position grid."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Edit, Swap
from shapeflow.ir.parameters import DataFacts, Model, Preserves
from shapeflow.transitions.grids import check_dims, grid_views


@attrs.frozen
class ResolutionResize(TransitionHooks):
    """Moves along `resolution`, in both directions: the images of a step are resized, bilinear and antialiased. The
    patch size stays, so the number of tokens changes, and the stored position grid is resized bilinearly.

    The stored parameters do not change, so any resolution can follow any other and the optimizer's state is kept. If a
    `patch` axis changes by the same factor at the same switch, the number of tokens stays the same. Objects have a
    different size at another resolution (Touvron et al., arXiv 1906.06423), so the error jumps: `preview` takes some
    steps in the next resolution before the switch. Held-out images are evaluated at the resolution of the stage.

    `credit` was not measured for resolutions; 100% is an assumption."""

    axis: ClassVar[str] = "resolution"
    one_way: ClassVar[bool] = False
    preserves: ClassVar[Preserves] = "lossy"
    average: ClassVar[Literal["map", "restart"]] = "restart"

    grid: int = setting(
        default=8, low=1, help="positions along a side of the stored grid; the same as for a `patch` axis"
    )
    moments: Literal["carry", "reset"] = setting(default="carry", help="the optimizer's moments at the switch")
    preview: float = setting("ratio", default=0.25, low=0.0, below=1.0, help="share of steps in the next resolution")
    preview_from: float = setting("ratio", default=0.75, low=0.0, below=1.0, help="where in a stage the preview begins")
    retain: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="share of steps in the last resolution")
    rewarm: int | None = setting(
        "steps", default=None, low=0, help="learning-rate warm-up after a switch; default: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def stored(self, facts: DataFacts) -> dict[str, int]:
        """The size of the stored position grid. It does not depend on the data."""
        return {"grid": self.grid}

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `no-patch`, `indivisible-patch`, `resolution-above-data`."""
        check_dims(model, "grid")
        model.seen(after)

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        side = shape.number("resolution")
        return (*grid_views(model, model.seen(shape)["grid"]), Swap("resolution", side))

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        self.check(model, before, after)
        return self.reading(model, after)
