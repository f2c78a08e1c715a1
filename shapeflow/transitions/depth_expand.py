"""Depth: adds blocks, which are new or copies of existing blocks."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Along, Constant, Copy, Edit, EditError, Fill, Grow, Normal
from shapeflow.ir.parameters import Model, Parameter, Preserves


@attrs.frozen
class DepthExpand(TransitionHooks):
    """Moves along `depth`, to deeper models only. Existing blocks do not change. They keep their optimizer state, also
    if their number changes.

    `copyzero`: copies are added after each block, with output projections of zero, so the function is kept exactly.
    `zero`: new blocks are added after the last one, with weights of the same scale as the old blocks and output
    projections of zero; this also keeps the function exactly. In both, only the output projections of a new block learn
    in the first step, the rest from the second on. `stack` repeats all blocks in order, 0 1 0 1 (G_stack, arXiv
    2405.15319); `interleave` repeats each block after itself, 0 0 1 1. These two change the function: the error jumps.
    A copy has its block's second moment, and a first moment of zero.

    `credit` was not measured for depth; 100% is an assumption."""

    axis: ClassVar[str] = "depth"
    one_way: ClassVar[bool] = True
    preview: ClassVar[float] = 0.0
    preview_from: ClassVar[float] = 0.0
    retain: ClassVar[float] = 0.0

    init: Literal["copyzero", "zero", "stack", "interleave"] = setting(
        default="copyzero", help="how new blocks are made"
    )
    moments: Literal["fresh", "reset"] = setting(
        default="fresh", help="the optimizer's state: new for the new blocks only, or reset for all"
    )
    rewarm: int | None = setting(
        "steps", default=None, low=0, help="learning-rate warm-up after a switch; default: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    @property
    def preserves(self) -> Preserves:
        return "exact" if self.init in ("copyzero", "zero") else "lossy"

    @property
    def average(self) -> Literal["map", "restart"]:
        """`restart` if the function changes, since an average over both sides of the switch would mix two functions."""
        return "map" if self.init in ("copyzero", "zero") else "restart"

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        """No edits: all stored blocks are read."""
        return ()

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `one-way-transition`, and the errors of the model's sizes."""
        old, new = model.sizes(before)["depth"], model.sizes(after)["depth"]
        if new < old:
            raise EditError(
                "one-way-transition",
                f"`depth_expand` cannot go from depth {old} to depth {new}",
                why="shallower than the stage before",
                help="order the stages from shallow to deep",
            )

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        self.check(model, before, after)
        to = model.sizes(after)["depth"]
        if to == model.sizes(before)["depth"]:
            return ()
        return tuple(Grow(p.name, (Along("depth", to, self._fill(p)),)) for p in model.bearing("depth"))

    def _fill(self, parameter: Parameter) -> Fill:
        """How new blocks are filled in one parameter."""
        # Whether the parameter adds to the residual stream. The output of a norm has the same dim, but is used inside
        # the block.
        adds = parameter.writes == "residual" and parameter.role in ("matrix", "bias")
        if self.init == "zero":
            if parameter.role == "scale":
                return Constant(1.0)
            return Normal(1.0) if parameter.role == "matrix" and not adds else Constant(0.0)
        order: Literal["cycle", "spread"] = "cycle" if self.init == "stack" else "spread"
        return Copy(order, values=1.0 if adds and self.init == "copyzero" else None, momentum=False)
