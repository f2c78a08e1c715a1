"""What files that commands write may replace: only files of the same kind, as another one would be lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs

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
        except OSError:
            # What is wrong with it is said where it is written.
            return True


def _sealed(form: str, path: Path) -> bool:
    from shapeflow.base.diagnostics import Refused
    from shapeflow.base.files import read_text
    from shapeflow.base.json_text import parse_json

    try:
        found = parse_json(read_text(path))
    except (Refused, ValueError):
        return False
    return isinstance(found, dict) and found.get("format") == form


def _begins(pattern: bytes, path: Path) -> bool:
    with path.open("rb") as file:
        return re.match(pattern, file.read(HEAD), re.DOTALL) is not None


PLAN = Kind("a plan", partial(_sealed, "shapeflow-plan"))
PROFILE = Kind("a profile", partial(_sealed, "shapeflow-profile"))
LAWS = Kind("a file of laws", partial(_sealed, "shapeflow-laws"))
CREDITS = Kind("a file of credits", partial(_sealed, "shapeflow-credits"))
PAGE = Kind("a report", partial(_begins, rb"<!doctype html>.{,2000}- shapeflow report</title>"))
PICTURE = Kind("a picture", partial(_begins, rb"\x89PNG|%PDF|\s*<\?xml|\s*<svg"))
TABLE = Kind("a table of runs", partial(_begins, rb"run,"))
WEIGHTS = Kind("a file of weights", partial(_begins, rb".{8}\{"))
