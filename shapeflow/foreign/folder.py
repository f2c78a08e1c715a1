"""The files of a model of another library: its config, and where each of its tensors stands. No tensor is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import open_regular, read_text
from shapeflow.ir.tensor_table import Stored, as_object, read_table
from shapeflow.ir.weights import FORMAT

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
CONFIGS = ("config.json", "model_args.json")
"""Names of the config, the first that exists. `shapeflow export --as timm` writes the second."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npz", ".h5", ".msgpack")
"""Endings of files that are not read: most are executed as code when they are loaded."""


@attrs.frozen
class Piece:
    """A tensor in one of the files. `plus`: one of the same number of entries that is added to it."""

    file: Path
    stored: Stored
    plus: Piece | None = None


@attrs.frozen
class Foreign:
    """A model of another library. `config`: what its config says; `place`: the folder or file that was named."""

    place: Path
    config_file: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Piece]

    def refuse(self, message: str, help_: str, *notes: str, place: str | None = None) -> NoReturn:
        """Raise Refused `cannot-import`. `place`: the tensor, or the key of the config."""
        where = f"{self.place}" if place is None else f"{place} of {self.place}"
        raise Refused(Diagnostic("cannot-import", message, place=where, notes=notes, help=help_))

    def files(self) -> set[Path]:
        """The files that hold tensors."""
        return {piece.file for piece in self.tensors.values()}


def open_foreign(place: Path) -> Foreign:
    """The model in a folder, or in a `.safetensors` file next to its config. Raises Refused `cannot-import`,
    `cannot-read`."""
    if not place.exists():
        raise Refused(Diagnostic("cannot-import", f"there is no folder or file `{place}`", place=str(place)))
    folder = place if place.is_dir() else place.parent
    files = _files(place)
    tensors: dict[str, Piece] = {}
    for file in files:
        for name, stored in _table(file).items():
            if name in tensors:
                _broken(file, f"`{name}` is also in `{tensors[name].file.name}`")
            tensors[name] = Piece(file, stored)
    config = next((folder / name for name in CONFIGS if (folder / name).is_file()), None)
    if config is None:
        message = f"`{folder}` has no `config.json`, so the model of these tensors is not known"
        help_ = "save the model with `save_pretrained` of transformers, or `timm.models.push_to_hf_hub`'s `save_for_hf`"
        raise Refused(Diagnostic("cannot-import", message, place=str(folder), help=help_))
    return Foreign(place, config, as_object(config, read_text(config), "its text", _broken), tensors)


def _files(place: Path) -> list[Path]:
    """The safetensors files of a model. Raises Refused."""
    if place.is_file():
        if place.suffix != ".safetensors":
            _unsafe(place)
        return [place]
    if (place / WHOLE).is_file():
        return [place / WHOLE]
    if (place / INDEX).is_file():
        return _sharded(place)
    if not place.is_dir():
        message, help_ = f"`{place}` is neither a folder nor a regular file", "name the folder of a saved model"
        raise Refused(Diagnostic("cannot-import", message, place=str(place), help=help_))
    names = sorted(each.name for each in place.iterdir() if each.is_file())
    safe = [name for name in names if name.endswith(".safetensors")]
    if len(safe) == 1:
        return [place / safe[0]]
    if safe:
        message, help_ = f"`{place}` has {len(safe)} safetensors files", f"name one of them: `{place / safe[0]}`"
        raise Refused(Diagnostic("cannot-import", message, place=str(place), help=help_))
    for name in names:
        if name.endswith(PICKLES):
            _unsafe(place / name)
    message = f"`{place}` has no `{WHOLE}`"
    raise Refused(Diagnostic("cannot-import", message, place=str(place), help="name the folder of a saved model"))


def _sharded(folder: Path) -> list[Path]:
    """The files that an index lists, all in its folder."""
    index = folder / INDEX
    places = as_object(index, read_text(index), "its text", _broken).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()) or not places:
        _broken(index, "it has no `weight_map` of names and files")
    names = sorted(set(places.values()))
    for name in names:
        if name != os.path.basename(name) or not name.endswith(".safetensors"):
            _broken(index, f"it names the file `{name}`, which is not a safetensors file in its folder")
        if not (folder / name).is_file():
            _broken(index, f"there is no file `{name}`")
    found = [folder / name for name in names]
    tables = {name: set(_table(folder / name)) for name in names}
    for tensor, name in places.items():
        if tensor not in tables[name]:
            _broken(index, f"`{tensor}` is not in `{name}`")
    return found


def _table(file: Path) -> Mapping[str, Stored]:
    try:
        with open_regular(file) as opened:
            table = read_table(opened, file, _broken)
    except OSError as error:
        _broken(file, (error.strerror or str(error)).lower())
    if isinstance(table.metadata, dict) and table.metadata.get("format") == FORMAT:
        message, help_ = f"`{file}` is a file of weights of shapeflow already", f'write `start from "{file.name}"`'
        raise Refused(Diagnostic("cannot-import", message, place=str(file), help=help_))
    return table.tensors


def _broken(file: Path, *why: str) -> NoReturn:
    message, help_ = f"`{file}` is not a readable file of a model", "save or download it again"
    raise Refused(Diagnostic("cannot-import", message, place=str(file), notes=why, help=help_))


def _unsafe(file: Path) -> NoReturn:
    message = f"`{file.name}` is not a safetensors file, and no other kind is read: a pickle can run any code"
    convert = (
        "convert it where you trust it: `save_pretrained(FOLDER)` of transformers, or "
        "`safetensors.torch.save_file(torch.load(FILE, weights_only=True), NAME)`"
    )
    raise Refused(Diagnostic("cannot-import", message, place=str(file), help=convert))
