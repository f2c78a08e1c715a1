"""Depth: more blocks, made anew or of the blocks there are."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Along, Constant, Copy, Edit, EditError, Fill, Grow, Normal
from shapeflow.ir.parameters import DataFacts, Model, Parameter, Preserves


@attrs.frozen
class DepthExpand(TransitionHooks):
    """Moves along `depth`, to deeper only. Old blocks are untouched, and keep the optimizer's state under their new
    numbers.

    `copyzero`: behind each block stand copies of it that write nothing yet, so that the function is kept exactly.
    `zero`: fresh blocks behind the last one, their weights as large as those of the old blocks, that write nothing yet;
    exact too. In both only what a new block writes learns in the first step, the rest from the second on.
    `stack` repeats all blocks in order, 0 1 0 1 (G_stack, arXiv 2405.15319); `interleave` each block beside itself,
    0 0 1 1. Their function is another one: the error jumps.
    A copy has its block's second moment, and a first moment of zero.

    `credit`: was not measured for depth; 100% is an assumption."""

    axis: ClassVar[str] = "depth"
    one_way: ClassVar[bool] = True
    preview: ClassVar[float] = 0.0
    preview_from: ClassVar[float] = 0.0
    retain: ClassVar[float] = 0.0

    init: Literal["copyzero", "zero", "stack", "interleave"] = setting(
        default="copyzero", help="how new blocks are made"
    )
    moments: Literal["fresh", "reset"] = setting(
        default="fresh", help="the optimizer's state: fresh for new blocks alone, or all state dropped"
    )
    rewarm: int | None = setting(
        "steps", default=None, low=0, help="rise of the learning rate behind a switch; unsaid: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    @property
    def preserves(self) -> Preserves:
        return "exact" if self.init in ("copyzero", "zero") else "lossy"

    @property
    def average(self) -> Literal["map", "restart"]:
        """Where the function changes, an average over both sides is one of two functions."""
        return "map" if self.init in ("copyzero", "zero") else "restart"

    def stored(self, facts: DataFacts) -> dict[str, int]:
        """Nothing that outlasts a switch."""
        return {}

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        """Nothing: blocks are what is stored."""
        return ()

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `one-way-transition`, and what the model's sizes raise."""
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
        """New blocks' part of one parameter."""
        # What a block adds to the residual stream. A norm writes there by name only: its output is read by the block.
        adds = parameter.writes == "residual" and parameter.role in ("matrix", "bias")
        if self.init == "zero":
            if parameter.role == "scale":
                return Constant(1.0)
            return Normal(1.0) if parameter.role == "matrix" and not adds else Constant(0.0)
        order: Literal["cycle", "spread"] = "cycle" if self.init == "stack" else "spread"
        return Copy(order, values=1.0 if adds and self.init == "copyzero" else None, momentum=False)
