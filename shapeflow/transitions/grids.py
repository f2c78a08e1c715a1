"""The common part of transitions that change the number of patches: reads the stored position grid at another size."""

from __future__ import annotations

from shapeflow.ir.edits import EditError, Resize, View
from shapeflow.ir.parameters import Model


def views(model: Model, rule: Resize, dim: str) -> tuple[View, ...]:
    """Views that resize every parameter with a dim by a rule when it is read."""
    return tuple(View(parameter.name, dim, rule) for parameter in model.bearing(dim))


def grid_views(model: Model, grid: int) -> tuple[View, ...]:
    """Views that resize the position grid when it is read, always antialiased (FlexiViT, arXiv 2212.08013)."""
    return views(model, Resize(grid, "values", antialias=True), "grid")


def check_dims(model: Model, *dims: str) -> None:
    """Raise EditError `no-patch` if the model does not have one of the dims."""
    if not all(model.bearing(dim) for dim in dims):
        raise EditError("no-patch", f"`{model.kind}` has no {' and '.join(NAMES[dim] for dim in dims)} to resize")


NAMES = {"patch": "patch kernel", "grid": "position grid"}
