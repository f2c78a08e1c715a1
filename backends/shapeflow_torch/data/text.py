"""A text file or a folder of text files, read as bytes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from shapeflow.base.diagnostics import Refused
from shapeflow.base.walk import Entries
from shapeflow.data.text import SEPARATOR, held_out_of
from shapeflow_torch.data.windows import Windows, missing, of_bytes, read

_SHUFFLE = 0
"""Seed for choosing the held-out files. It is fixed, so that the choice does not depend on the run's seed."""


def open_(settings: Mapping[str, Any], root: Path, contexts: Sequence[int], device: torch.device) -> Windows:
    """Read a text. A relative path is resolved against `root`. Of a single file, the end is held out; of a folder,
    whole files are held out.

    Raises Refused `data-missing`, `context-too-long`."""
    path = root / settings["path"]
    share = float(settings["held_out"])
    if path.is_dir():
        training, held_out, names = _folder(path, settings["files"], share)
    else:
        whole = read(path)
        cut = len(whole) - held_out_of(len(whole), share)
        training, held_out, names = whole[: max(cut, 0)], whole[max(cut, 0) :], [path.name]
    about = {"data": "text", "path": settings["path"], "files": names}
    return of_bytes(training, held_out, about, contexts, device)


def _folder(path: Path, pattern: str, share: float) -> tuple[bytes, bytes, list[str]]:
    entries = Entries(str(path), "data")
    names = sorted(found.relative_to(path).as_posix() for found in entries.each(path.rglob(pattern)) if found.is_file())
    if len(names) < 2:
        help_ = "at least two files are needed, because one is held out; of a single file, the end is held out"
        raise Refused(missing(path, f"{len(names)} files match `{pattern}`", help=help_))
    drawn = list(names)
    random.Random(_SHUFFLE).shuffle(drawn)
    count = min(len(names) - 1, max(1, round(len(names) * share)))
    training, held_out = (_joined(path, part) for part in (drawn[count:], drawn[:count]))
    return training, held_out, names


def _joined(path: Path, names: Sequence[str]) -> bytes:
    return bytes([SEPARATOR]).join(read(path / name) for name in names)
