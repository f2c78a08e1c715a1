"""A vision transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape, Value
from shapeflow.ir.components import ArchitectureHooks
from shapeflow.ir.edits import EditError, SlotValue
from shapeflow.ir.memory import Activations, Device, integer
from shapeflow.ir.parameters import Compute, Convention, DataFacts, Model, Parameter, grid_of
from shapeflow.models.parts import blocks, head_width, hidden, linear, norm, number, whole, whole_heads

_EMBEDDING = (
    Parameter("patch.weight", ("residual", "channel", "patch", "patch"), "matrix", "residual"),
    Parameter("patch.bias", ("residual",), "bias", "residual"),
    Parameter("pos", ("one", "grid grid", "residual"), "matrix", "residual"),
)
_CLS = Parameter("cls", ("one", "residual"), "matrix", "residual")
_REGISTERS = Parameter("registers", ("register", "residual"), "matrix", "residual")
_BODY = (
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
class Vit(ArchitectureHooks):
    """Vision transformer: pre-norm blocks with LayerNorm and biases, and learned positions. `V640-12` of Anagnostidis
    et al. 2024 is `vit(width: 640, depth: 12, heads: 10)`.

    The head reads the mean over all patches, or a class token (`pool: cls`). `registers` are learned tokens that only
    the blocks read (Darcet et al., arXiv 2309.16588). Class token and registers come before the patches and have no
    position, so they do not depend on patch size or resolution.
    Set `heads` or `head_width`; if the width is an axis, set `head_width`. `depth`, `patch`, `width` and `resolution`
    are settings or axes. Images are resized to `resolution`; default: that of the data.
    `convention: flops` counts 2 for each multiply-accumulate of every matrix product; `paper` counts the
    multiply-accumulates of the blocks only, as in Anagnostidis et al. Both count a class token and registers as tokens
    of the blocks; the models of that paper have neither."""

    axes: ClassVar[frozenset[str]] = frozenset({"batch", "depth", "patch", "resolution", "width"})

    depth: int | None = setting(default=None, low=1, help="blocks, unless it is an axis")
    width: int | None = setting(default=None, low=1, help="channels of the residual stream, unless it is an axis")
    patch: int | None = setting("length", default=None, low=1, help="side of a patch, unless it is an axis")
    resolution: int | None = setting(
        "length",
        default=None,
        low=1,
        help="side of the images that the model sees, unless it is an axis; default: that of the data",
    )
    upsample: bool = setting(default=False, help="allow resolutions above that of the data")
    heads: int | None = setting(default=None, low=1, help="attention heads")
    head_width: int | None = setting(default=None, low=1, help="channels of one head; default: width / heads")
    mlp_ratio: float = setting(default=4.0, above=0.0, help="hidden units of the MLP per channel")
    pool: Literal["mean", "cls"] = setting(default="mean", help="what the head reads: all patches, or a class token")
    registers: int = setting(default=0, low=0, high=1024, help="learned tokens that the head does not read")
    norm_eps: float = setting(default=1e-6, above=0.0, help="added to the variance in LayerNorm")
    convention: Literal["flops", "paper"] = setting(default="flops", help="how compute is counted")

    def shape(self, values: Mapping[str, Value]) -> Shape:
        """A candidate with the values of all axes. Raises EditError `missing-setting`, `setting-and-axis`."""
        settings = {"depth": self.depth, "patch": self.patch, "width": self.width}
        own = {} if self.resolution is None else {"resolution": self.resolution}
        return whole("vit", settings | own, values)

    def declare(self, facts: DataFacts, stored: Mapping[str, int]) -> Model:
        """The model for some images. `stored`: base sizes of `patch` (px) and `grid`, if a transition stores them.

        Raises EditError `wrong-data`, `missing-setting`, `head-width-mismatch`. The model's functions of a shape also
        raise `indivisible-patch` and `resolution-above-data`.
        """
        if facts.image is None or facts.channels is None or facts.classes is None:
            raise EditError("wrong-data", f"`vit` classifies images, the data is {facts.kind}", why="for images")
        image, head = facts.image, head_width("vit", self.width, self.heads, self.head_width)
        fixed = {"channel": facts.channels, "classes": facts.classes, "one": 1}
        if self.registers:
            fixed["register"] = self.registers

        def sizes(shape: Shape) -> dict[str, int]:
            width = number("vit", "width", shape, self.width)
            whole_heads(width, head, self.heads)
            depth, units = number("vit", "depth", shape, self.depth), hidden(width, self.mlp_ratio)
            base = self._patches(shape, image) | dict(stored)
            return {**fixed, **base, "depth": depth, "residual": width, "heads": width, "hidden": units}

        def seen(shape: Shape) -> dict[str, int]:
            return {**sizes(shape), **self._patches(shape, image)}

        return Model(
            kind="vit",
            norm="layer",
            parameters=(*_EMBEDDING, *self._prefix(), *_BODY),
            slots=self._slots(head, facts.batch),
            grains={"heads": head},
            sizes=sizes,
            seen=seen,
            compute=lambda shape, convention: self._compute(sizes(shape), seen(shape), convention),
            samples=lambda shape: shape.number("batch") if "batch" in shape else facts.batch,
        )

    def activations(
        self, sizes: Mapping[str, int], slots: Mapping[str, SlotValue], device: Device
    ) -> Activations | None:
        """As torch keeps them. For each token of a block, always in float32: the stream before attention and before the
        MLP, 4 numbers of the norms and 1 of each head. Then queries, keys, values, what attention read, the inputs of
        the other two groups of matrices (in bfloat16 a copy for each matrix), and 2 arrays of hidden units."""
        d, m, patches = sizes["residual"], sizes["hidden"], sizes["grid"] ** 2
        n, pixels = patches + self.registers + (self.pool == "cls"), patches * sizes["patch"] ** 2 * sizes["channel"]
        half, inputs = (2, 4) if device == "cuda" else (4, 2)
        stream = 4 * (2 * d + 4 + sizes["heads"] // integer(slots, "head_width"))
        return Activations(
            block=n * (stream + half * (4 * d + inputs * d + 2 * m)),
            entry=4.0 * n * d,
            rest=4.0 * n * d + half * pixels,
            working=n * (4.0 * d + 2 * half * m),
            forward=n * (4.0 * d + half * max(5 * d, d + 2 * m)),
            logits=sizes["classes"],
            rows=1,
            head=4.0 * sizes["classes"] * d,
            casts=0.0 if device == "cpu" else 2.0 * sizes["depth"] * (4 * d * d + 2 * d * m),
        )

    def _prefix(self) -> tuple[Parameter, ...]:
        """The tokens that come before the patches."""
        return (*((_CLS,) if self.pool == "cls" else ()), *((_REGISTERS,) if self.registers else ()))

    def _slots(self, head: int, batch: int) -> dict[str, SlotValue]:
        slots: dict[str, SlotValue] = {"norm.eps": self.norm_eps, "head_width": head, "batch": batch}
        fixed = {"patch": self.patch, "resolution": self.resolution}
        return slots | {axis: value for axis, value in fixed.items() if value is not None}

    def _patches(self, shape: Shape, image: int) -> dict[str, int]:
        """The side of a patch in pixels and of the grid in patches, as the forward pass sees them."""
        patch, side = (
            number("vit", "patch", shape, self.patch),
            number("vit", "resolution", shape, self.resolution or image),
        )
        if side > image and not self.upsample:
            raise EditError(
                "resolution-above-data",
                f"a resolution of {side} px is larger than the images",
                why=f"the data has {image} px, and upsampling adds no detail",
                help="lower it, use larger images, or write `upsample: true` in `vit`",
            )
        return {"patch": patch, "grid": grid_of(side, patch, "resolution" in shape)}

    def _compute(self, stored: Mapping[str, int], seen: Mapping[str, int], convention: Convention) -> Compute:
        """Compute of a sample and a step. `paper` counts n (12 d^2 + 9 d) + 2 n^2 d multiply-accumulates per block at
        an MLP ratio of 4, where n is the number of tokens, d the width and 9 d the biases, without patch embedding and
        head. This reproduces all 14 cells of the paper's Fig. 2b.
        """
        d, m, depth, p, grid = (seen[dim] for dim in ("residual", "hidden", "depth", "patch", "grid"))
        patches = grid * grid
        n = patches + self.registers + (self.pool == "cls")
        block = n * (4 * d * d + 2 * d * m) + 2 * n * n * d
        if convention == "paper":
            return Compute(sample=3.0 * depth * (block + n * (5 * d + m)))
        embedding, head = patches * p * p * seen["channel"] * d, d * seen["classes"]
        # Resizing is separable: one axis after the other. Its matrices do not need gradients: one forward, one backward
        # pass.
        resize = seen["channel"] * _resize(stored["patch"], p) + _resize(stored["grid"], grid)
        return Compute(sample=6.0 * (depth * block + embedding + head), step=4.0 * d * resize)


def _resize(old: int, to: int) -> int:
    """Multiply-accumulates to resize one square array."""
    return 0 if old == to else old * old * to + old * to * to
