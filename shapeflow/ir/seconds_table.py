"""Tables of seconds per step that somebody stated: CSV or JSON, a row for each shape."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text
from shapeflow.base.json_text import parse_json
from shapeflow.base.shapes import Shape, Value
from shapeflow.ir.timing import LONGEST, SHORTEST, Timing

SECONDS = ("seconds per step", "seconds_per_step", "seconds")
"""Names of the column of seconds."""
DEVICES = "devices"
SEPARATORS = ",;\t"
SUFFIXES = (".csv", ".tsv")
SHOWN = 3
"""Faults that are listed."""

Row = Mapping[str, Any]


def is_table(path: Path) -> bool:
    """Whether a file is a table by its name: `.csv` and `.tsv`, and `.json` that begins with a list."""
    if path.suffix.lower() in SUFFIXES:
        return True
    return path.suffix.lower() == ".json" and read_text(path).lstrip().startswith("[")


def load_seconds(path: Path, axes: Mapping[str, bool]) -> Timing:
    """The seconds that a table states. `axes`: the axes of the `.shape` file, and whether their values are numbers.
    Raises Refused `cannot-read`, `wrong-seconds`."""
    text = read_text(path)
    try:
        header, rows = _of_json(text) if path.suffix.lower() == ".json" else _of_csv(text)
    except (ValueError, csv.Error) as error:
        raise _wrong(path, axes, [str(error)]) from None
    faults = [*_columns(header, axes)]
    found: dict[Shape, float] = {}
    lines: dict[Shape, int] = {}
    devices: set[int] = set()
    for number, row in enumerate(rows if not faults else (), 1):
        try:
            shape = Shape.of({axis: _value(row.get(axis), axis, numeric) for axis, numeric in axes.items()})
            found[shape] = _seconds(next(row[name] for name in SECONDS if name in row))
            devices.add(_devices(row[DEVICES]) if DEVICES in row else 1)
        except ValueError as error:
            faults.append(f"row {number}: {error}")
            continue
        if lines.setdefault(shape, number) != number:
            faults.append(f"rows {lines[shape]} and {number} are of the same shape")
    if len(devices) > 1:
        several = ", ".join(map(str, sorted(devices)))
        faults.append(f"steps on {several} devices are not compared by their seconds: state device-seconds instead")
    if faults or not found:
        raise _wrong(path, axes, faults or ["it has no rows"])
    return Timing("stated", found, devices.pop())


def needed(axes: Mapping[str, bool]) -> str:
    """The columns of a table, in words."""
    return f"{', '.join(f'`{axis}`' for axis in axes)} and `{SECONDS[0]}`"


def _of_csv(text: str) -> tuple[list[str], list[Row]]:
    first = text.partition("\n")[0]
    separator = max(SEPARATORS, key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator, strict=True) if any(row)]
    if not rows:
        raise ValueError("it is empty")
    header = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, and the header {len(header)}")
    return header, [dict(zip(header, (cell.strip() for cell in row), strict=True)) for row in rows[1:]]


def _of_json(text: str) -> tuple[list[str], list[Row]]:
    rows = parse_json(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is not a list of objects")
    header = list(rows[0]) if rows else []
    for number, row in enumerate(rows, 1):
        if set(row) != set(header):
            raise ValueError(f"row {number} does not have the fields of row 1")
    return header, rows


def _columns(header: Sequence[str], axes: Mapping[str, bool]) -> Iterator[str]:
    """Faults of the columns."""
    named = [name for name in header if name in SECONDS]
    yield from (f"it has no column `{axis}`" for axis in axes if axis not in header)
    if not named:
        yield f"it has no column `{SECONDS[0]}`"
    if len(named) > 1:
        yield f"it has the columns `{named[0]}` and `{named[1]}`"
    yield from (f"it has two columns `{name}`" for name in dict.fromkeys(header) if header.count(name) > 1)
    known = {*axes, *SECONDS, DEVICES}
    yield from (f"column `{name[:40]}` is not an axis of the file" for name in header if name not in known)


def _value(cell: Any, axis: str, numeric: bool) -> Value:
    number = _number(cell) if numeric else None
    if numeric and (number is None or not number.is_integer() or abs(number) >= 2**53):
        raise ValueError(f"{cell!r:.40} is not a whole number, as `{axis}` has")
    if not numeric and not (isinstance(cell, str) and cell):
        raise ValueError(f"{cell!r:.40} is not a name, as `{axis}` has")
    return cell if number is None else int(number)


def _seconds(cell: Any) -> float:
    number = _number(cell)
    if number is None or not SHORTEST <= number <= LONGEST:
        raise ValueError(f"{cell!r:.40} is not a number of seconds from {SHORTEST:g} to {LONGEST:g}")
    return number


def _devices(cell: Any) -> int:
    number = _number(cell)
    if number is None or not number.is_integer() or not 1 <= number <= LONGEST:
        raise ValueError(f"{cell!r:.40} is not a number of devices")
    return int(number)


def _number(cell: Any) -> float | None:
    """The finite number in a cell."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    if isinstance(cell, str) and "_" in cell:
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _wrong(path: Path, axes: Mapping[str, bool], faults: Sequence[str]) -> Refused:
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    message = "the table does not state the seconds of steps as the file needs them"
    help_ = f"write one row for each candidate, with the columns {needed(axes)}"
    return Refused(Diagnostic("wrong-seconds", message, place=str(path), notes=(*faults[:SHOWN], *more), help=help_))
