"""A linear model on random features: the model of paper B, whose loss theory knows exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape, Value
from shapeflow.ir.components import ArchitectureHooks
from shapeflow.ir.edits import EditError, SlotValue
from shapeflow.ir.memory import Activations, Device, integer
from shapeflow.ir.parameters import Compute, Convention, DataFacts, Model, Parameter
from shapeflow.models.parts import number, whole

# A row vector, 0 at the start and not decayed, as a bias is.
_THETA = Parameter("theta", ("one", "feature"), "bias", "one")
LARGEST = 1 << 27
"""Largest number of entries of the random matrix: 1 GiB in float64."""


@attrs.frozen
class RandomFeatures(ArchitectureHooks):
    """A linear model on random features (Paquette et al. 2024, arXiv 2405.15074): it sees `width` random combinations
    W^T x of a vector and trains one parameter for each. W is not trained; its entries are normal with variance
    1 / width and depend on the seed of the run. A wider model sees the features of a narrower one, and more. All
    parameters are 0 at the start.

    Trained by `sgd` without momentum on `power_law` data, its expected loss is known exactly: `laws from phases` gives
    its laws, and `shapeflow run --machine exact` computes what any plan reaches on average over samples.
    `convention: paper` counts one FLOP for each parameter and sample, as the paper does; `flops` counts 6. Neither
    counts the fixed product W^T x."""

    axes: ClassVar[frozenset[str]] = frozenset({"batch", "width"})

    width: int | None = setting(default=None, low=1, help="random features, unless it is an axis")
    convention: Literal["flops", "paper"] = setting(default="paper", help="how compute is counted")

    def shape(self, values: Mapping[str, Value]) -> Shape:
        """A candidate with the values of all axes. Raises EditError `missing-setting`, `setting-and-axis`."""
        return whole("random_features", {"width": self.width}, values)

    def activations(
        self, sizes: Mapping[str, int], slots: Mapping[str, SlotValue], device: Device
    ) -> Activations | None:
        """The random features of a sample, and the random matrix."""
        width, entries = sizes["feature"], integer(slots, "features")
        return Activations(
            block=0.0,
            entry=0.0,
            rest=4.0 * width,
            working=4.0 * width,
            forward=4.0 * width,
            logits=1,
            rows=1,
            fixed=4.0 * width * entries,
        )

    def declare(self, facts: DataFacts, stored: Mapping[str, int]) -> Model:
        """The model for some vectors. Raises EditError `wrong-data`. The sizes of a shape also raise
        `width-above-features` and `matrix-too-large`."""
        if facts.features is None or facts.decay is None:
            message = f"`random_features` reads vectors, the data is {facts.kind}"
            raise EditError("wrong-data", message, why="for vectors")
        entries = facts.features

        def sizes(shape: Shape) -> dict[str, int]:
            return {"one": 1, "feature": _width(number("random_features", "width", shape, self.width), entries)}

        def compute(shape: Shape, convention: Convention) -> Compute:
            return Compute(sample=(1.0 if convention == "paper" else 6.0) * sizes(shape)["feature"])

        return Model(
            kind="random_features",
            norm="none",
            parameters=(_THETA,),
            slots={"features": entries, "alpha": facts.decay, "batch": facts.batch},
            grains={},
            sizes=sizes,
            seen=sizes,
            compute=compute,
            samples=lambda shape: shape.number("batch") if "batch" in shape else facts.batch,
        )


def _width(width: int, features: int) -> int:
    """The width. Raises EditError `width-above-features`, `matrix-too-large`."""
    if width >= features:
        message = f"a width of {width} is not below the {features} features of the data"
        why, help = "the theory needs more features than width", f"write `features: {4 * width}` in the data"
        raise EditError("width-above-features", message, why=why, help=help)
    if width * features > LARGEST:
        message = f"a width of {width} needs a random matrix of {width * features:,} entries"
        help = f"use a width up to {LARGEST // features}, or fewer features"
        raise EditError("matrix-too-large", message, why=f"more than {LARGEST:,}", help=help)
    return width
