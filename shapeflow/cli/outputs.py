"""What files that commands write may replace: only files of the same kind, as another one would be lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Refused
from shapeflow.base.files import open_regular, read_text
from shapeflow.base.json_text import parse_json

HEAD = 4096
"""Bytes of a file that show its kind."""


@attrs.frozen
class Kind:
    """A kind of files. `what`: its name, for a sentence; `is_one`: whether a file that exists is of the kind."""

    what: str
    is_one: Callable[[Path], bool]

    def may_replace(self, path: Path) -> bool:
        """Whether a file may be written: it does not exist, is empty or a device, or is of this kind."""
        try:
            return not path.is_file() or not path.stat().st_size or self.is_one(path)
        except (OSError, Refused):
            # What is wrong with it is said where it is written.
            return True


def _sealed(form: str, path: Path) -> bool:
    try:
        found = parse_json(read_text(path))
    except (Refused, ValueError):
        return False
    return isinstance(found, dict) and found.get("format") == form


def _begins(pattern: bytes, path: Path) -> bool:
    with open_regular(path) as file:
        return re.match(pattern, file.read(HEAD), re.DOTALL) is not None


def _weights(path: Path) -> bool:
    """Whether a file has the header of safetensors: its length, then an object."""
    with open_regular(path) as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8


PLAN = Kind("a plan", partial(_sealed, "shapeflow-plan"))
PROFILE = Kind("a profile", partial(_sealed, "shapeflow-profile"))
LAWS = Kind("a file of laws", partial(_sealed, "shapeflow-laws"))
PAGE = Kind("a report", partial(_begins, rb"<!doctype html>.{,2000}- shapeflow report</title>"))
PICTURE = Kind(
    "a picture",
    partial(
        _begins,
        rb"\x89PNG|%PDF|\xff\xd8\xff|RIFF.{4}WEBP|\x1f\x8b|%!PS|II\*\x00|MM\x00\*|%% Creator: Matplotlib|GIF8"
        rb"|\s*(<\?xml[^>]*>\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg",
    ),
)
TABLE = Kind("a table of runs", partial(_begins, rb"run,[^\r\n]*,convention\r?\n"))
WEIGHTS = Kind("a file of weights", _weights)
