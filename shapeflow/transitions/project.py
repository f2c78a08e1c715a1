"""Width of random features: the parameters of the wider model that predict best what the narrower one predicts."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Edit, EditError, Map, Project
from shapeflow.ir.parameters import Model, Preserves
from shapeflow.transitions.features import widths


@attrs.frozen
class ProjectWidth(TransitionHooks):
    """Moves along the `width` of `random_features`, to wider models only. The new parameters are
    Cov(phi', phi) Cov(phi)^-1 theta, with the features phi before and phi' after the switch: what theta says of the
    data, written in the new features.

    The function changes and the error jumps, but falls below the old one again within a few steps, and from then on the
    run is about where a run of the wide model from scratch would be at this loss. Compare `append`, which keeps the
    function and loses the progress (`python benchmarks/phase_growth.py`). Computing the covariances is not counted."""

    axis: ClassVar[str] = "width"
    one_way: ClassVar[bool] = True
    preview: ClassVar[float] = 0.0
    preview_from: ClassVar[float] = 0.0
    retain: ClassVar[float] = 0.0
    preserves: ClassVar[Preserves] = "lossy"
    moments: ClassVar[Literal["fresh", "carry", "carry_raw", "reset"]] = "fresh"
    average: ClassVar[Literal["map", "restart"]] = "restart"

    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        """No edits: the stored width is read."""
        return ()

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `no-random-features`, `one-way-transition`, and the errors of the model's sizes."""
        widths("project", model, before, after)

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        old, to = widths("project", model, before, after)
        if old == to:
            return ()
        features, alpha = model.slots["features"], model.slots["alpha"]
        if not isinstance(features, int) or not isinstance(alpha, float):
            message = f"`project` needs the spectrum of the data, which `{model.kind}` does not know"
            raise EditError("no-random-features", message, why="for the model `random_features`")
        return (Map("theta", "feature", Project(to, features, alpha)),)
