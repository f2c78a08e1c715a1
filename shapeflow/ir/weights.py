"""Files of weights: safetensors files (`tensor_table.py`) whose header describes the model.

Shapeflow writes the texts `format`, `version` and `about`; `about` is JSON that describes the model, its sizes and its
views. Reading a file needs no tensor library and does not execute code.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import open_regular
from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import Edit, EditError, SlotValue, View, edit_from_json, edit_to_json
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.parameters import DataFacts, Parameter
from shapeflow.ir.tensor_table import WIDTHS, Sizes, as_object, read_table

FORMAT, VERSION = "shapeflow-weights", "1"


@attrs.frozen
class Weights:
    """The description of the model in a file of weights."""

    model: str
    """The architecture's name."""
    settings: Mapping[str, Any]
    shape: Shape
    """The shape that the weights were last trained in, on the plan's axes."""
    sizes: Mapping[str, int]
    """Stored size of every dim."""
    slots: Mapping[str, SlotValue]
    reading: tuple[Edit, ...]
    """The View edits that apply to the parameters."""
    parameters: tuple[Parameter, ...]
    plan: str
    """Digest of the plan that was trained."""
    step: int
    averaged: bool
    reserved: int = 0
    """Number of ids at the end of the vocabulary that an objective reserves for its sentinel tokens."""
    sha256: str = ""
    """SHA-256 of the whole file."""

    def ledger(self) -> Ledger:
        """The stored sizes, views and slots. Raises EditError."""
        return Ledger.of(self.parameters, self.sizes, self.slots, self.reading)

    def facts(self) -> DataFacts:
        """The properties of the model's data, derived from its sizes. The vocabulary includes reserved ids."""
        seen = {**self.sizes, **{edit.dim: edit.rule.to for edit in self.reading if isinstance(edit, View)}}
        if "vocabulary" in seen:
            separator = self.slots.get("attend.separator")
            ends = separator if isinstance(separator, int) else None
            return DataFacts(kind="text", vocabulary=seen["vocabulary"], separator=ends)
        side = seen["patch"] * seen["grid"] if {"patch", "grid"} <= seen.keys() else None
        return DataFacts(kind="images", image=side, channels=seen.get("channel"), classes=seen.get("classes"))


def metadata(weights: Weights) -> dict[str, str]:
    """The `__metadata__` texts of a header for these weights."""
    about = {
        "model": {"is": weights.model, "settings": dict(weights.settings)},
        "shape": weights.shape.json(),
        "sizes": dict(weights.sizes),
        "slots": dict(weights.slots),
        "reading": [edit_to_json(edit) for edit in weights.reading],
        "parameters": [attrs.asdict(parameter) for parameter in weights.parameters],
        "plan": weights.plan,
        "step": weights.step,
        "averaged": weights.averaged,
        "reserved": weights.reserved,
    }
    return {"format": FORMAT, "version": VERSION, "about": json.dumps(about, sort_keys=True, allow_nan=False)}


def read_weights(path: Path) -> Weights:
    """The description of the model in a file. Checks the names, types and sizes of the tensors, not their values.

    Raises Refused `teacher-missing` if the file does not exist, and `teacher-broken` if it is not a complete file
    written by shapeflow."""
    try:
        with open_regular(path) as file:
            table = read_table(file, path, broken)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        help_ = "make one with `shapeflow export`; paths are relative to the `.shape` file"
        raise Refused(
            Diagnostic("teacher-missing", f"there is no file `{path}`", place=str(path), help=help_)
        ) from None
    except OSError as error:
        broken(path, (error.strerror or str(error)).lower())
    metadata = table.metadata
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        broken(path, f"its header does not say what the model is: no `{FORMAT}` in it")
    if metadata.get("version") != VERSION:
        broken(
            path, f"it has version {metadata.get('version')!r}, and this version of shapeflow reads version {VERSION}"
        )
    tensors = {name: stored.sizes for name, stored in table.tensors.items()}
    weights = attrs.evolve(
        _about(path, as_object(path, metadata.get("about"), "what it says of the model", broken)), sha256=digest
    )
    _compare(path, weights, tensors)
    return weights


def of_start(refused: Refused) -> Refused:
    """What is said of the file of a teacher, of weights that a run starts from: they have codes of their own."""
    wrong = refused.diagnostics[0]
    if not wrong.code.startswith("teacher-"):
        return refused
    where, notes = wrong.place, wrong.notes
    if wrong.code == "teacher-missing":
        help_ = "make one with `shapeflow export` or `shapeflow import`; paths are relative to the `.shape` file"
        return Refused(Diagnostic("start-missing", wrong.message, place=where, notes=notes, help=help_))
    help_ = "write it again: `shapeflow export RUN -o FILE.safetensors`, or `shapeflow import`"
    return Refused(Diagnostic("start-broken", wrong.message, place=where, notes=notes, help=help_))


def broken(path: Path, *why: str) -> NoReturn:
    """Raise Refused `teacher-broken`; `why` are the notes."""
    help_ = "write it again: `shapeflow export RUN -o FILE.safetensors`"
    message = f"`{path}` is not a readable file of weights"
    raise Refused(Diagnostic("teacher-broken", message, place=str(path), notes=why, help=help_))


def _about(path: Path, about: Mapping[str, Any]) -> Weights:
    try:
        return Weights(
            model=_of(about["model"]["is"], str),
            settings=_of(about["model"]["settings"], dict),
            shape=Shape.from_json(about["shape"]),
            sizes={str(dim): _of(size, int) for dim, size in about["sizes"].items()},
            slots=_of(about["slots"], dict),
            reading=tuple(edit_from_json(edit) for edit in about["reading"]),
            parameters=tuple(_parameter(one) for one in about["parameters"]),
            plan=_of(about["plan"], str),
            step=_count(about["step"]),
            averaged=_of(about["averaged"], bool),
            # Files of older versions lack this field.
            reserved=_of(about.get("reserved", 0), int),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, EditError) as error:
        broken(path, f"what it says of the model is not whole: {error}")


def _of(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r} is not a {kind.__name__}")
    return value


def _count(value: Any) -> int:
    if _of(value, int) < 0:
        raise ValueError(f"{value} is not a count")
    return int(value)


def _parameter(entry: Mapping[str, Any]) -> Parameter:
    return Parameter(**{**entry, "dims": tuple(_of(dim, str) for dim in entry["dims"])})


def _compare(path: Path, weights: Weights, tensors: Mapping[str, Sizes]) -> None:
    """Check that the tensors are those of the described model. Raises Refused."""
    if not 0 <= weights.reserved <= max(0, weights.sizes.get("vocabulary", 0) - 1):
        broken(path, f"it reserves {weights.reserved} ids, of a vocabulary of {weights.sizes.get('vocabulary', 0)}")
    if weights.sizes.get("depth", 0) > len(tensors):
        broken(path, f"its model has {weights.sizes['depth']} blocks, and the file {len(tensors)} tensors")
    try:
        wanted = weights.ledger().tensors()
    except (EditError, TypeError, ValueError) as error:
        broken(path, str(error))
    wrong = sorted(name for name in wanted.keys() | tensors.keys() if wanted.get(name) != tensors.get(name))
    if wrong:
        name = wrong[0]
        broken(path, f"`{name}` has sizes {tensors.get(name)}, its model says {wanted.get(name)}")


def table_bytes(weights: Weights, tensors: Mapping[str, tuple[str, Sizes]]) -> bytes:
    """The bytes of a file of weights before its tensors, which follow in the given order. `tensors`: name -> type and
    sizes."""
    header: dict[str, Any] = {"__metadata__": metadata(weights)}
    at = 0
    for name, (dtype, sizes) in tensors.items():
        end = at + math.prod(sizes) * WIDTHS[dtype]
        header[name] = {"dtype": dtype, "shape": list(sizes), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    # Tensors begin at a multiple of 8 bytes.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
