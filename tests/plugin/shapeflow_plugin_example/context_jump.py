"""A transition along `context` without a preview."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow import Edit, EditError, Model, Shape, Swap, TransitionHooks, setting


@attrs.frozen
class ContextJump(TransitionHooks):
    """Moves along `context` in one step, between contexts that differ by at least a `factor`."""

    axis: ClassVar[str] = "context"
    one_way: ClassVar[bool] = False
    preserves: ClassVar[Literal["shared-positions"]] = "shared-positions"
    average: ClassVar[Literal["map"]] = "map"
    moments: ClassVar[Literal["carry"]] = "carry"
    preview: ClassVar[float] = 0.0
    preview_from: ClassVar[float] = 0.0
    retain: ClassVar[float] = 0.0

    factor: float = setting(default=2.0, above=1.0, help="the least ratio of two contexts")
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `out-of-range`."""
        shorter, longer = sorted((int(before["context"]), int(after["context"])))
        if longer < self.factor * shorter:
            message = f"contexts of {shorter} and {longer} tokens are closer than `factor: {self.factor:g}`"
            raise EditError(
                "out-of-range", message, help=f"set `factor: {longer / shorter:g}`, or leave one of them out"
            )

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        return (Swap("context", int(shape["context"])),)

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        self.check(model, before, after)
        return self.reading(model, after)
