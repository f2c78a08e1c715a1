"""The file of laws that `shapeflow fit -o laws.json` writes: each law with its shape, provenance and draws.

The file carries a checksum (`base/sealed.py`) and is formatted for reading, with one draw per line. File names in the
provenance of a law are relative to the folder of this file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text, write_text
from shapeflow.base.sealed import Seal, laid_out
from shapeflow.base.shapes import Shape
from shapeflow.ir.law import FLOOR, OFFSET, STEEP, Law
from shapeflow.ir.law_json import law_from_json, law_to_json
from shapeflow.laws.logs.points import Floats

SEAL = Seal("shapeflow-laws", 2)
LARGEST = 1 << 28
"""Maximum size of a file of laws in bytes."""
_DIGITS = 9
"""Significant digits of a draw. The rounding error is far below the sampling error of the draws."""


def save(path: Path, laws: Mapping[Shape, Law]) -> None:
    """Write the file atomically. Raises Refused if the file cannot be written, ValueError if a draw is not finite."""
    write_text(path, dumps(laws))


def dumps(laws: Mapping[Shape, Law]) -> str:
    """Return the text of a file of laws."""
    held = [
        {"shape": shape.json(), "law": law_to_json(law), "draws": _rounded(law.draws)} for shape, law in laws.items()
    ]
    text = laid_out(SEAL.close({"laws": held}))
    # A JSON string never contains a line break, so the expression matches only lists of numbers.
    return re.sub(r"\[\n([^\[\]{}\"]*)\]", lambda found: f"[{' '.join(found[1].split())}]", text)


def load(path: Path) -> Mapping[Shape, Law]:
    """Return the laws of a file, in the order of the file. Raises Refused (`cannot-read`, `broken-laws`)."""
    place = str(path)
    if path.is_file() and (size := path.stat().st_size) > LARGEST:
        raise _broken(place, f"it has {size} bytes, more than {LARGEST}")
    try:
        return _laws(SEAL.open(read_text(path)))
    except (ValueError, TypeError, ArithmeticError) as error:
        raise _broken(place, str(error)) from None


def _laws(body: Mapping[str, Any]) -> dict[Shape, Law]:
    """Return the laws in the body of a file. Raises ValueError, TypeError or ArithmeticError for an invalid body."""
    if set(body) != {"laws"} or not isinstance(body["laws"], list) or not body["laws"]:
        raise ValueError("it must hold `laws`, a list of one or more, and nothing else")
    laws: dict[Shape, Law] = {}
    counts: set[int] = set()
    for entry in body["laws"]:
        if not isinstance(entry, dict) or set(entry) != {"shape", "law", "draws"} or not isinstance(entry["law"], dict):
            raise ValueError("each of `laws` must have a shape, a law and draws")
        shape = Shape.from_json(entry["shape"])
        if shape in laws:
            raise ValueError(f"it contains two laws for {shape!r}")
        draws = None if entry["draws"] is None else _draws(entry["draws"], shape)
        law = law_from_json(entry["law"])
        _check_size(np.array([[law.a, law.b, law.c, law.d]]), f"the law of {shape!r}")
        laws[shape] = attrs.evolve(law, draws=draws)
        counts.add(-1 if draws is None else len(draws))
    if len(counts) > 1:
        raise ValueError("its laws have unequally many draws, though rows of one resample belong together")
    return laws


def _draws(value: Any, shape: Shape) -> Floats:
    """Return draws as an array of rows (a, b, c, d). Raises ValueError, TypeError or OverflowError for invalid
    draws."""
    if not isinstance(value, list) or not all(
        isinstance(row, list) and len(row) == 4 and all(type(each) in (int, float) for each in row) for row in value
    ):
        raise ValueError(f"the draws of {shape!r} must be rows of four numbers")
    draws = np.array(value, dtype=np.float64).reshape(-1, 4)
    if not len(draws) or not np.isfinite(draws).all() or (draws[:, :2] <= 0).any():
        raise ValueError(f"the draws of {shape!r} must be finite rows (a, b, c, d), a and b above 0")
    _check_size(draws, f"a draw of {shape!r}")
    return draws


def _check_size(rows: Floats, which: str) -> None:
    """Raise ValueError for rows (a, b, c, d) with numbers too large or too small for a fit to real measurements."""
    b, c, d = rows[:, 1], np.abs(rows[:, 2]), np.abs(rows[:, 3])
    if (b < STEEP[0]).any() or (b > STEEP[1]).any() or (c > FLOOR).any() or (d > OFFSET).any():
        raise ValueError(f"{which} has numbers of no real size")


def _rounded(draws: Any) -> list[list[float]] | None:
    """Return draws as JSON values, rounded to `_DIGITS` significant digits."""
    return None if draws is None else [[float(f"{each:.{_DIGITS}g}") for each in row] for row in draws.tolist()]


def _broken(place: str, *reasons: str) -> Refused:
    help_ = "fit them again: `shapeflow fit FILE.shape -o laws.json`"
    return Refused(
        Diagnostic("broken-laws", "the file does not contain readable laws", place=place, notes=reasons, help=help_)
    )
