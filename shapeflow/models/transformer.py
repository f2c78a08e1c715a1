"""A decoder-only language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape, Value
from shapeflow.ir.components import ArchitectureHooks
from shapeflow.ir.edits import EditError, SlotValue
from shapeflow.ir.memory import Activations, Device, integer
from shapeflow.ir.parameters import Compute, Convention, DataFacts, Model, Parameter, fitting, sequences_of
from shapeflow.models.parts import blocks, head_width, hidden, linear, norm, number, whole, whole_heads

_PARAMETERS = (
    Parameter("embed.weight", ("vocabulary", "residual"), "matrix", "residual"),
    *blocks(
        (
            *norm("norm1", shift=False),
            *linear("attn.q", "heads", "residual", bias=False),
            *linear("attn.k", "kv_heads", "residual", bias=False),
            *linear("attn.v", "kv_heads", "residual", bias=False),
            *linear("attn.o", "residual", "heads", bias=False),
            *norm("norm2", shift=False),
            *linear("mlp.gate", "hidden", "residual", bias=False),
            *linear("mlp.up", "hidden", "residual", bias=False),
            *linear("mlp.down", "residual", "hidden", bias=False),
        )
    ),
    *norm("norm", shift=False),
)
_HEAD = linear("head", "vocabulary", "residual", bias=False)


@attrs.frozen
class Transformer(ArchitectureHooks):
    """Decoder-only transformer like Llama: pre-norm blocks with RMSNorm, rotary positions, SwiGLU, no biases.

    Set `heads` or `head_width`; if the width is an axis, set `head_width`. `context`, `depth` and `width` are settings
    or axes.

    `convention: flops` counts 2 for each multiply-accumulate of every matrix product; `paper` counts the
    multiply-accumulates of the blocks only, as in Anagnostidis et al. 2024. Attention is counted in full, with or
    without a mask.

    `attend: document` restricts attention to one document: a window often contains the end of one and the beginning of
    others. Rotary positions are relative, so they do not restart. The mask needs a slower kernel, and memory once for
    all blocks: tokens of a step x context x 2 bytes on a GPU or 4 bytes on a CPU, and one more byte while it is built.

    The language model of Anagnostidis et al. 2024, 137,841,408 parameters, has width 768, depth 12, `mlp_ratio: 4` and
    a vocabulary of 32,000."""

    axes: ClassVar[frozenset[str]] = frozenset({"batch", "context", "depth", "width"})

    depth: int | None = setting(default=None, low=1, help="blocks, unless it is an axis")
    width: int | None = setting(default=None, low=1, help="channels of the residual stream, unless it is an axis")
    context: int | None = setting("tokens", default=None, low=1, help="tokens of a sequence, unless it is an axis")
    heads: int | None = setting(default=None, low=1, help="attention heads")
    head_width: int | None = setting(default=None, low=1, help="channels of one head; default: width / heads")
    kv_ratio: int = setting(default=1, low=1, help="heads that share one key and value head, at every width")
    mlp_ratio: float = setting(default=3.0, above=0.0, help="hidden units of the MLP per channel")
    tied: bool = setting(default=True, help="whether the head is the embedding")
    rope_base: float = setting(
        default=10000.0, above=1.0, help="base of the rotary positions; larger for longer contexts"
    )
    attend: Literal["all", "document"] = setting(
        default="all", help="what a token attends to: all tokens before it, or only those of its document"
    )
    norm_eps: float = setting(default=1e-6, above=0.0, help="added to the mean square in RMSNorm")
    convention: Literal["flops", "paper"] = setting(default="flops", help="how compute is counted")

    def shape(self, values: Mapping[str, Value]) -> Shape:
        """A candidate with the values of all axes. Raises EditError `missing-setting`, `setting-and-axis`."""
        settings = {"context": self.context, "depth": self.depth, "width": self.width}
        return whole("transformer", settings, values)

    def declare(self, facts: DataFacts, stored: Mapping[str, int]) -> Model:
        """The model for some text; `stored` is not used. Raises EditError `wrong-data`, `missing-setting`,
        `head-width-mismatch`, `no-document-ends`."""
        if facts.vocabulary is None:
            raise EditError("wrong-data", f"`transformer` reads text, the data is {facts.kind}", why="for text")
        head = head_width("transformer", self.width, self.heads, self.head_width)
        if head % 2:
            message = f"rotary positions rotate pairs of channels, and a head has {head}"
            raise EditError("head-width-mismatch", message, help="use heads of an even width")
        vocabulary = facts.vocabulary

        def sizes(shape: Shape) -> dict[str, int]:
            width = number("transformer", "width", shape, self.width)
            kv_heads = self._kv_heads(whole_heads(width, head, self.heads))
            return {
                "depth": number("transformer", "depth", shape, self.depth),
                "vocabulary": vocabulary,
                "residual": width,
                "heads": width,
                "kv_heads": kv_heads * head,
                "hidden": hidden(width, self.mlp_ratio),
            }

        slots: dict[str, SlotValue] = {
            "norm.eps": self.norm_eps,
            "head_width": head,
            "rope.base": self.rope_base,
            "batch": facts.batch,
        }
        slots |= {} if self.context is None else {"context": self.context}
        slots |= {} if self.attend == "all" else {"attend.separator": _separator(facts)}
        return Model(
            kind="transformer",
            norm="rms",
            parameters=_PARAMETERS if self.tied else (*_PARAMETERS, *_HEAD),
            slots=slots,
            grains={"heads": head, "kv_heads": head},
            sizes=sizes,
            seen=sizes,
            compute=lambda shape, convention: _compute(sizes(shape), self._context(shape), convention),
            samples=lambda shape: self._sequences(shape, facts),
        )

    def activations(
        self, sizes: Mapping[str, int], slots: Mapping[str, SlotValue], device: Device
    ) -> Activations | None:
        """As torch keeps them: see `_activations`."""
        return _activations(
            sizes, integer(slots, "context"), integer(slots, "head_width"), "attend.separator" in slots, device
        )

    def _kv_heads(self, heads: int) -> int:
        if heads % self.kv_ratio:
            message = f"{heads} heads are not divisible into groups of {self.kv_ratio} that share a key and value head"
            why, help = f"`kv_ratio` is {self.kv_ratio}", f"use a number of heads that is a multiple of {self.kv_ratio}"
            raise EditError("kv-ratio-changed", message, why=why, help=help)
        return heads // self.kv_ratio

    def _sequences(self, shape: Shape, facts: DataFacts) -> int:
        tokens = shape.number("batch") if "batch" in shape else facts.batch
        return sequences_of(tokens, fitting(self._context(shape), facts))

    def _context(self, shape: Shape) -> int:
        return number("transformer", "context", shape, self.context)


def _separator(facts: DataFacts) -> int:
    if facts.separator is None:
        message = "`attend: document` needs the ends of documents, and the data does not mark them"
        raise EditError("no-document-ends", message, help="leave `attend` out, or use data with end-of-document tokens")
    return facts.separator


def _compute(sizes: Mapping[str, int], n: int, convention: Convention) -> Compute:
    """One sequence of n tokens: n (2 d^2 + 2 d kv + 3 d m) + 2 n^2 d multiply-accumulates per block. Attention is
    counted in full, including the masked half. The head is counted only in `flops`; embedding look-ups are not
    counted."""
    d, kv, m = sizes["residual"], sizes["kv_heads"], sizes["hidden"]
    macs = sizes["depth"] * (n * (2 * d * d + 2 * d * kv + 3 * d * m) + 2 * n * n * d)
    if convention == "paper":
        return Compute(sample=3.0 * macs)
    return Compute(sample=6.0 * (macs + n * d * sizes["vocabulary"]))


def _activations(sizes: Mapping[str, int], n: int, head: int, masked: bool, device: Device) -> Activations:
    """What one window of n tokens keeps. For each token of a block, always in float32: the stream before attention and
    before the MLP, both once more as normed without scale, 2 numbers of the norms and 1 of each head. Then queries,
    keys, values, what attention read and its copy by tokens, the inputs of the other two groups of matrices (in
    bfloat16 a copy for each matrix), and 4 arrays of hidden units."""
    d, m, v = sizes["residual"], sizes["hidden"], sizes["vocabulary"]
    kv = d if masked else sizes["kv_heads"]
    half, inputs = (2, 5) if device == "cuda" else (4, 2)
    stream = 4 * (4 * d + 2 + sizes["heads"] // head)
    mask = n * (5 if device == "cpu" else 3) if masked else 0
    return Activations(
        block=n * (stream + half * (3 * d + 2 * kv + inputs * d + 4 * m)),
        entry=4.0 * n * d,
        rest=n * (8.0 * d + half * d + 16 + mask),
        working=n * (4.0 * d + 3 * half * m),
        forward=n * (8.0 * d + half * (d + 3 * m)),
        logits=n * v,
        rows=n,
        head=4.0 * v * d,
        casts=0.0 if device == "cpu" else 2.0 * (v * d + sizes["depth"] * (2 * d * d + 2 * d * kv + 3 * d * m)),
    )
