"""What transitions that change the number of patches have in common: the stored grid of positions, read at another
size."""

from __future__ import annotations

from shapeflow.ir.edits import EditError, Resize, View
from shapeflow.ir.parameters import Model


def views(model: Model, rule: Resize, dim: str) -> tuple[View, ...]:
    """Read every parameter that bears a dim through a rule."""
    return tuple(View(parameter.name, dim, rule) for parameter in model.bearing(dim))


def grid_views(model: Model, grid: int) -> tuple[View, ...]:
    """Read the positions as a grid of another size, always antialiased, as in FlexiViT (arXiv 2212.08013)."""
    return views(model, Resize(grid, "values", antialias=True), "grid")


def check_dims(model: Model, *dims: str) -> None:
    """Raises EditError `no-patch` where the model has nothing that could be read at another size."""
    if not all(model.bearing(dim) for dim in dims):
        raise EditError("no-patch", f"`{model.kind}` has no {' and '.join(NAMES[dim] for dim in dims)} to resize")


NAMES = {"patch": "patch kernel", "grid": "position grid"}
