"""A language model of one's own, known by a table of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import attrs

from shapeflow.base.diagnostics import Refused, outside
from shapeflow.base.files import read_text
from shapeflow.base.settings import found, setting
from shapeflow.base.shapes import Shape, Value
from shapeflow.ir.components import ArchitectureHooks
from shapeflow.ir.edits import EditError, SlotValue
from shapeflow.ir.parameters import Compute, Convention, DataFacts, Model, fitting, sequences_of
from shapeflow.models.parameter_table import LONGEST, ParameterTable, broken, parse_table, too_long
from shapeflow.models.parts import number, whole, whole_heads


@attrs.frozen
class External(ArchitectureHooks):
    """A language model of your own, which your training loop builds and trains: shapeflow plans for it, and
    `shapeflow.torch.grow` carries out switches on it. `shapeflow run` cannot train it.

    The table is a TOML file with the parameters of your module:

        norm = "layer"
        [sizes]
        residual = "width"
        hidden = "4 width"
        [parameters]
        "h.{depth}.norm.weight" = { dims = ["residual"], role = "scale" }
        "h.{depth}.up.weight" = { dims = ["hidden", "residual"] }

    `examples/trainers/own_gpt.toml` is a whole one. `[sizes]` gives the size of every dim: a number, or a multiple of
    `width`, `depth` or `vocabulary`. `residual` is the residual stream, `heads` the channels of all attention heads,
    `positions` the learned positions, and `part` what is fused, such as queries, keys and values; other names are free.
    `{depth}` is the number of a block. `"part heads"` is one axis of a tensor that fuses two dims.

    `role`: `matrix`, `bias`, or `scale` and `shift` of a norm. `writes`: the dim of the output; by default the last
    name of the first axis. `products`: the number of matrix products of each token with the parameter, from which
    compute follows; by default 1 for a matrix. Write 0 for an embedding that is only looked up. `norm`: whether the
    norms subtract the mean (`layer`) or not (`rms`).

    Compute is that of these products and of attention in full over `heads`; `convention` is as in `transformer`."""

    axes: ClassVar[frozenset[str]] = frozenset({"batch", "context", "depth", "width"})

    table: str = setting(first=True, help="the TOML file", example='"gpt.toml"')
    depth: int | None = setting(default=None, low=1, help="blocks, unless it is an axis")
    width: int | None = setting(default=None, low=1, help="channels of the residual stream, unless it is an axis")
    context: int | None = setting("tokens", default=None, low=1, help="tokens of a sequence, unless it is an axis")
    head_width: int | None = setting(default=None, low=1, help="channels of one head, if the table has `heads`")
    norm_eps: float = setting(default=1e-5, above=0.0, help="added to the variance in the norms")
    convention: Literal["flops", "paper"] = setting(default="flops", help="how compute is counted")
    text: str = found("")

    def found_in(self, folder: Path) -> External:
        """This model with the text of its table. Raises EditError `path-outside`, `no-such-file`,
        `broken-model-table`."""
        path = folder / self.table
        if outside(self.table, str(folder)):
            help_ = "keep the table in the folder of the file that names it, or below it"
            raise EditError("path-outside", f"`{self.table}` leads out of the file's folder", help=help_)
        if not path.is_file():
            help_ = "give the path of the table, from the folder of the `.shape` file"
            raise EditError("no-such-file", f"there is no file `{self.table}`", help=help_)
        try:
            if path.stat().st_size > LONGEST:
                raise too_long(path.stat().st_size)
            text = read_text(path)
        except Refused as refused:
            raise broken("; ".join(refused.diagnostics[0].notes)) from None
        parse_table(text)
        return attrs.evolve(self, text=text)

    def shape(self, values: Mapping[str, Value]) -> Shape:
        """A candidate with the values of all axes. Raises EditError `missing-setting`, `setting-and-axis`."""
        settings = {"context": self.context, "depth": self.depth, "width": self.width}
        return whole("external", settings, values)

    def declare(self, facts: DataFacts, stored: Mapping[str, int]) -> Model:
        """The model for some text; `stored` is not used. Raises EditError `wrong-data`, `broken-model-table`."""
        if facts.vocabulary is None:
            raise EditError("wrong-data", f"`external` reads text, the data is {facts.kind}", why="for text")
        table, vocabulary = parse_table(self.text), facts.vocabulary

        def sizes(shape: Shape) -> dict[str, int]:
            return self._sizes(table, shape, vocabulary)

        slots: dict[str, SlotValue] = {
            "norm.eps": self.norm_eps,
            "batch": facts.batch,
        }
        grains = dict.fromkeys(sorted({"heads", "kv_heads"} & table.sizes.keys()), self._head(table))
        slots |= {"head_width": self._head(table)} if grains else {}
        slots |= {} if self.context is None else {"context": self.context}
        return Model(
            kind="external",
            norm=table.norm,
            parameters=tuple(entry.parameter for entry in table.entries),
            slots=slots,
            grains=grains,
            sizes=sizes,
            seen=sizes,
            compute=lambda shape, convention: _compute(table, sizes(shape), self._context(shape), convention),
            samples=lambda shape: self._sequences(shape, facts, sizes(shape)),
        )

    def _head(self, table: ParameterTable) -> int:
        """Channels of a head; 1 for a model without heads. Raises EditError `missing-setting`, `idle-setting`."""
        heads = {"heads", "kv_heads"} & table.sizes.keys()
        if heads and self.head_width is None:
            help_ = "give `external` the setting `head_width`, the channels of one head"
            raise EditError("missing-setting", "`external` needs the width of the heads in its table", help=help_)
        if self.head_width is not None and not heads:
            message = "the table has no dim `heads`, so `head_width` is not used"
            raise EditError("idle-setting", message, why="has no effect", help="leave it out, or name the dim `heads`")
        return self.head_width or 1

    def _sizes(self, table: ParameterTable, shape: Shape, vocabulary: int) -> dict[str, int]:
        depth = number("external", "depth", shape, self.depth)
        width = number("external", "width", shape, self.width)
        quantities = {"width": width, "depth": depth, "vocabulary": vocabulary}
        found = {dim: multiple.size(dim, quantities) for dim, multiple in table.sizes.items()}
        if found.get("vocabulary", vocabulary) < vocabulary:
            raise broken(f"its `vocabulary` is {found['vocabulary']}, and the data has {vocabulary} ids")
        for dim in ("heads", "kv_heads"):
            if dim in found:
                whole_heads(found[dim], self._head(table), None)
        return {"depth": depth, **found}

    def _sequences(self, shape: Shape, facts: DataFacts, sizes: Mapping[str, int]) -> int:
        context, tokens = self._context(shape), shape.number("batch") if "batch" in shape else facts.batch
        if context > sizes.get("positions", context):
            message = f"a context of {context} tokens is longer than the {sizes['positions']} learned positions"
            help_ = f"use contexts up to {sizes['positions']} tokens, or a module with more positions"
            raise EditError("context-too-long", message, help=help_)
        return sequences_of(tokens, fitting(context, facts))

    def _context(self, shape: Shape) -> int:
        return number("external", "context", shape, self.context)


def _compute(table: ParameterTable, sizes: Mapping[str, int], n: int, convention: Convention) -> Compute:
    """One sequence of n tokens: n multiply-accumulates for each entry of each matrix and each of its products, and
    2 n^2 for each channel of the heads of each block. `paper` counts the blocks alone."""
    macs = 0
    for entry in table.entries:
        one, size = entry.parameter, n * entry.products
        if convention == "paper" and not one.listed:
            continue
        for dim in (*one.listed, *one.logical):
            size *= sizes[dim]
        macs += size
    macs += 2 * n * n * sizes.get("heads", 0) * sizes["depth"]
    return Compute(sample=(3.0 if convention == "paper" else 6.0) * macs)
