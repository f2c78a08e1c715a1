"""Weights of another library as a file of weights of ours. Bytes are copied: no tensor is computed, but the token of
`timm` that has a position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import open_regular, real, write_pieces
from shapeflow.base.settings import defaults, name_of, unfit, written
from shapeflow.base.shapes import Shape
from shapeflow.foreign import hugging_face, timm
from shapeflow.foreign.adapters import HF_LLAMA, TIMM_VIT, Adapter
from shapeflow.foreign.cells import cells
from shapeflow.foreign.folder import Foreign, Piece, open_foreign
from shapeflow.ir.edits import EditError, Floats
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.parameters import DataFacts
from shapeflow.ir.weights import Weights, table_bytes
from shapeflow.models.transformer import Transformer
from shapeflow.models.vit import Vit

COMPUTED = ("rotary_emb.inv_freq",)
"""Endings of tensors that old versions of `transformers` saved, and that follow from the config."""
AT_ONCE = 1 << 24
"""Bytes that are copied at once."""
SHOWN = 4


@attrs.frozen
class Part:
    """A tensor of ours: the bytes from `begin` to `end` of a file, or the entries of two tensors, added."""

    file: Path
    dtype: str
    begin: int
    end: int
    sum: Piece | None = None

    @property
    def written(self) -> str:
        """The type that is written."""
        return self.dtype if self.sum is None or self.dtype == "F64" else "F32"


@attrs.frozen
class Imported:
    """What was imported. `sentence`: the `model` sentence of a `.shape` file that has this model."""

    weights: Weights
    tensors: int
    sentence: str


def import_weights(place: Path, output: Path) -> Imported:
    """Write a model of another library to a file of weights. `place`: a folder of `transformers` or `timm`, or a
    `.safetensors` file next to its config.

    Raises Refused `cannot-import`, before anything is written, for a model that ours does not compute; `cannot-read`,
    `disk-full`, `cannot-write`."""
    found = open_foreign(place)
    for file in sorted(found.files()):
        if real(file) == real(output):
            message, help_ = f"`{output}` is a file of the model itself", "name another file with `-o`"
            raise Refused(Diagnostic("cannot-import", message, place=str(output), help=help_))
    architecture, weights, parts = _translated(found)
    write_pieces(output, _bytes(weights, parts))
    return Imported(weights, len(parts), sentence_of(architecture))


def read_foreign(place: Path) -> tuple[Weights, Iterator[bytes]]:
    """The description of a model of another library, and the bytes of the file that an import writes. Raises Refused
    `cannot-import`, `cannot-read`; the iterator raises `cannot-read`."""
    _, weights, parts = _translated(open_foreign(place))
    return weights, _bytes(weights, parts)


def _translated(found: Foreign) -> tuple[Transformer | Vit, Weights, dict[str, Part]]:
    """The model of ours, its description, and where its tensors are. Raises Refused `cannot-import`."""
    architecture, facts, adapter, found = _understood(found)
    weights = _described(found, architecture, facts)
    return architecture, weights, _parts(found, adapter, weights.ledger())


def _understood(found: Foreign) -> tuple[Transformer | Vit, DataFacts, Adapter, Foreign]:
    """The model of ours, what it needs of data, and where its tensors are. Raises Refused `cannot-import`."""
    if "architecture" in found.config:
        return *(one := timm.model_of(found))[:2], TIMM_VIT, one[2]
    return *hugging_face.model_of(found), HF_LLAMA, found


def _described(found: Foreign, architecture: Transformer | Vit, facts: DataFacts) -> Weights:
    """The description of a model. Raises Refused `cannot-import` for sizes that a model of ours cannot have."""
    try:
        wrong = list(unfit(architecture))
        if wrong:
            found.refuse(f"{wrong[0]}, which no model of ours has", "import a model with other sizes", *wrong[1:])
        shape = architecture.shape({})
        model = architecture.declare(facts, {})
        sizes = model.sizes(shape)
    except (EditError, ValueError, ArithmeticError) as error:
        found.refuse(f"a model of ours cannot have its sizes: {error}", "import a model with other sizes")
    if sizes["depth"] > len(found.tensors):
        found.refuse(
            f"its config states {sizes['depth']} blocks, and it has {len(found.tensors)} tensors", "save it again"
        )
    return Weights(
        model=name_of(architecture),
        settings=written(architecture),
        shape=Shape.of(),
        sizes=sizes,
        slots={name: value for name, value in model.slots.items() if name != "batch"},
        reading=(),
        parameters=model.parameters,
        plan="",
        step=0,
        averaged=False,
    )


def _parts(found: Foreign, adapter: Adapter, ledger: Ledger) -> dict[str, Part]:
    """Where the bytes of each tensor of ours are. Raises Refused `cannot-import`, which names the first tensor that
    does not fit."""
    ours = ledger.tensors()
    wanted = {cell.theirs: cell for cell in cells(adapter, ledger)}
    have = {name: piece for name, piece in found.tensors.items() if not name.endswith(COMPUTED)}
    wrong = [f"`{name}`: no model of ours has it" for name in sorted(have.keys() - wanted.keys())]
    wrong += [f"`{name}` is missing" for name in sorted(wanted.keys() - have.keys())]
    for name in sorted(wanted.keys() & have.keys()):
        if not wanted[name].fits(have[name].stored.sizes, ours):
            sizes = [ours[each] for each in wanted[name].ours]
            wrong.append(f"`{name}` has sizes {have[name].stored.sizes}, and the config states {sizes}")
    if wrong:
        more = (f"and {len(wrong) - SHOWN} more",) if len(wrong) > SHOWN else ()
        message = f"{len(wrong)} tensors do not fit `{adapter.name}`: {wrong[0]}"
        found.refuse(message, hugging_face.TRAIN_OTHER, *wrong[1:SHOWN], *more, place=wrong[0].split("`")[1])
    parts: dict[str, Part] = {}
    for name, cell in wanted.items():
        parts |= _split(have[name], cell.ours, ours)
    return {name: parts[name] for name in ours}


def _split(piece: Piece, names: tuple[str, ...], ours: Mapping[str, tuple[int, ...]]) -> dict[str, Part]:
    """The parts of a tensor, which are fused along its first axis and so follow each other."""
    stored, found = piece.stored, dict[str, Part]()
    rows = [ours[name][0] for name in names]
    row = (stored.end - stored.begin) // sum(rows)
    at = stored.begin
    for name, count in zip(names, rows, strict=True):
        found[name] = Part(piece.file, stored.dtype, at, at + count * row, piece.plus)
        at += count * row
    return found


def _bytes(weights: Weights, parts: Mapping[str, Part]) -> Iterator[bytes]:
    """The bytes of a file of weights. Raises Refused `cannot-read`."""
    sizes = weights.ledger().tensors()
    yield table_bytes(weights, {name: (part.written, sizes[name]) for name, part in parts.items()})
    for part in parts.values():
        own = _read(part.file, part.begin, part.end)
        if part.sum is None:
            yield from own
        else:
            yield _added(part, b"".join(own), part.sum)


def _read(path: Path, at: int, end: int) -> Iterator[bytes]:
    """The bytes of a file from `at` to `end`. Raises Refused `cannot-read`."""
    try:
        with open_regular(path) as file:
            file.seek(at)
            while at < end:
                read = file.read(min(end - at, AT_ONCE))
                if not read:
                    raise OSError(0, "it became shorter while it was read")
                at += len(read)
                yield read
    except OSError as error:
        reason, message = (error.strerror or str(error)).lower(), f"`{path}` cannot be read"
        raise Refused(Diagnostic("cannot-read", message, place=str(path), notes=(reason,))) from error


def _added(part: Part, own: bytes, other: Piece) -> bytes:
    """The sum of two tensors, in float32, or in float64 if the first has it."""
    raw = b"".join(_read(other.file, other.stored.begin, other.stored.end))
    wide = "<f8" if part.written == "F64" else "<f4"
    found = _numbers(own, part.dtype).astype(wide) + _numbers(raw, other.stored.dtype).astype(wide)
    raw_sum: bytes = found.astype(wide).tobytes()
    return raw_sum


def _numbers(raw: bytes, dtype: str) -> Floats:
    import numpy as np

    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(raw, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype])


UNITS = {"context": " tokens", "patch": " px"}
"""Setting -> its unit in a `.shape` file."""


def sentence_of(architecture: Transformer | Vit) -> str:
    """The `model` sentence of an architecture, without settings that have their default."""
    plain = defaults(type(architecture))
    said = {name: value for name, value in written(architecture).items() if value != plain.get(name)}
    settings = (f"{name}: {_said(value)}{UNITS.get(name, '')}" for name, value in said.items())
    return f"model {name_of(architecture)}({', '.join(settings)})"


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"
