"""The common part of transitions that change the number of random features."""

from __future__ import annotations

from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import Model


def widths(name: str, model: Model, before: Shape, after: Shape) -> tuple[int, int]:
    """The number of random features before and after a switch of the transition `name`. Raises EditError
    `no-random-features`, `one-way-transition`, and the errors of the model's sizes."""
    if not model.bearing("feature"):
        raise EditError(
            "no-random-features",
            f"`{name}` adds random features, and `{model.kind}` has none",
            why="for the model `random_features`",
            help="use `via width_expand`",
        )
    old, to = model.sizes(before)["feature"], model.sizes(after)["feature"]
    if to < old:
        raise EditError(
            "one-way-transition",
            f"`{name}` cannot go from width {old} to width {to}",
            why="narrower than the stage before",
            help="order the stages from narrow to wide",
        )
    return old, to
