"""A vision transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs

from shapeflow.edits import EditError
from shapeflow.models.parts import blocks, head_width, hidden, linear, norm, number, whole, whole_heads
from shapeflow.parameters import Compute, Convention, DataFacts, Model, Parameter, grid_of
from shapeflow.settings import setting
from shapeflow.shapes import Shape, Value

_PARAMETERS = (
    Parameter("patch.weight", ("residual", "channel", "patch", "patch"), "matrix", "residual"),
    Parameter("patch.bias", ("residual",), "bias", "residual"),
    Parameter("pos", ("one", "grid grid", "residual"), "matrix", "residual"),
    *blocks(
        (
            *norm("norm1", shift=True),
            *linear("attn.q", "heads", "residual", bias=True),
            *linear("attn.k", "heads", "residual", bias=True),
            *linear("attn.v", "heads", "residual", bias=True),
            *linear("attn.o", "residual", "heads", bias=True),
            *norm("norm2", shift=True),
            *linear("mlp.fc1", "hidden", "residual", bias=True),
            *linear("mlp.fc2", "residual", "hidden", bias=True),
        )
    ),
    *norm("norm", shift=True),
    *linear("head", "classes", "residual", bias=True),
)


@attrs.frozen
class Vit:
    """Vision transformer of pre-norm blocks with LayerNorm and biases, learned positions, mean-pooled head, no class
    token (as paper A's counts require). `V640-12` is `vit(width: 640, depth: 12, heads: 10)`.

    Give `heads` or `head_width`; where the width is an axis, `head_width`. `depth`, `patch` and `width` are settings or
    axes.
    Compute is counted in `flops`, 2 for each multiply-accumulate of every matrix product, or as paper A does: the
    multiply-accumulates of the blocks alone."""

    axes: ClassVar[frozenset[str]] = frozenset({"batch", "depth", "patch", "width"})

    depth: int | None = setting(default=None, low=1, help="blocks, unless an axis says them")
    width: int | None = setting(default=None, low=1, help="channels of the residual stream, unless an axis says them")
    patch: int | None = setting("length", default=None, low=1, help="side of a patch, unless an axis says it")
    heads: int | None = setting(default=None, low=1, help="attention heads")
    head_width: int | None = setting(default=None, low=1, help="channels of one head; default: width / heads")
    mlp_ratio: float = setting(default=4.0, above=0.0, help="hidden units of the MLP for each channel")
    norm_eps: float = setting(default=1e-6, above=0.0, help="added to the variance in LayerNorm")
    convention: Literal["flops", "paper"] = setting(default="flops", help="how compute is counted")

    def shape(self, values: Mapping[str, Value]) -> Shape:
        """A candidate made whole. Raises EditError `missing-setting`, `setting-and-axis`."""
        return whole("vit", {"depth": self.depth, "patch": self.patch, "width": self.width}, values)

    def declare(self, facts: DataFacts, stored: Mapping[str, int]) -> Model:
        """The model for some images. `stored`: base sizes of `patch` (px) and `grid`, where a transition keeps them.

        Raises EditError `wrong-data`, `missing-setting`, `head-width-mismatch`.
        """
        if facts.image is None or facts.channels is None or facts.classes is None:
            raise EditError("wrong-data", f"`vit` classifies images, the data is {facts.kind}", why="for images")
        image, head = facts.image, head_width("vit", self.width, self.heads, self.head_width)
        fixed = {"channel": facts.channels, "classes": facts.classes, "one": 1}

        def sizes(shape: Shape) -> dict[str, int]:
            width, patch = number("vit", "width", shape, self.width), number("vit", "patch", shape, self.patch)
            whole_heads(width, head, self.heads)
            base = {"patch": patch, "grid": grid_of(image, patch)} | dict(stored)
            depth, units = number("vit", "depth", shape, self.depth), hidden(width, self.mlp_ratio)
            return {**fixed, **base, "depth": depth, "residual": width, "heads": width, "hidden": units}

        def seen(shape: Shape) -> dict[str, int]:
            patch = number("vit", "patch", shape, self.patch)
            return {**sizes(shape), "patch": patch, "grid": grid_of(image, patch)}

        slots = {"norm.eps": self.norm_eps, "head_width": head, "batch": facts.batch}
        return Model(
            kind="vit",
            norm="layer",
            parameters=_PARAMETERS,
            slots=slots if self.patch is None else {**slots, "patch": self.patch},
            grains={"heads": head},
            sizes=sizes,
            seen=seen,
            compute=lambda shape, convention: _compute(sizes(shape), seen(shape), convention),
            samples=lambda shape: shape.number("batch") if "batch" in shape else facts.batch,
        )


def _compute(stored: Mapping[str, int], seen: Mapping[str, int], convention: Convention) -> Compute:
    """Paper A: n (12 d^2 + 9 d) + 2 n^2 d multiply-accumulates a block at an MLP ratio of 4, where n is the number of
    patches, d the width and 9 d the biases; no patch embedding, no head. Reproduces all 14 cells of its Fig. 2b.
    """
    d, m, depth, p, grid = (seen[dim] for dim in ("residual", "hidden", "depth", "patch", "grid"))
    n = grid * grid
    block = n * (4 * d * d + 2 * d * m) + 2 * n * n * d
    if convention == "paper":
        return Compute(sample=3.0 * depth * (block + n * (5 * d + m)))
    embedding, head = n * p * p * seen["channel"] * d, d * seen["classes"]
    # Resizing is separable, one axis after the other; its matrices take no gradient: one forward, one backward.
    resize = seen["channel"] * _resize(stored["patch"], p) + _resize(stored["grid"], grid)
    return Compute(sample=6.0 * (depth * block + embedding + head), step=4.0 * d * resize)


def _resize(old: int, to: int) -> int:
    """Multiply-accumulates of resizing one square of numbers."""
    return 0 if old == to else old * old * to + old * to * to
