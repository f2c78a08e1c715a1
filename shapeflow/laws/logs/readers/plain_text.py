"""Reader of lines that a training script prints in a form of its own: pairs of a name and a number.

`[INFO] step=100 loss=3.21 lr=0.0003`, `epoch 1 | step 100 | train loss 3.21` and `Step [100/4000], Loss: 3.21` are
read. A line counts if it holds an error and what says how far the run is; others are passed over. A file is read so
only if no trainer of `text_log.py` prints such lines, and several of its lines count.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.readers.ends import Ends
from shapeflow.laws.logs.readers.lines import Lines
from shapeflow.laws.logs.readers.log import Log, Row

LEAST = 3
"""Fewest lines with the same names that show what a file is."""
LONGEST = 2000
"""Longer lines are not looked at."""
COUNTERS = ("step", "epochs", "tokens", "samples", "compute")
TEXT = {"a", "an", "the", "of", "in", "with", "for", "to", "at", "and", "is", "was", "than", "by", "from", "after"}
"""Words that are in no name of a number."""
_NUMBER = r"[-+]?(?:\d+(?:[.,]\d+)*\.?|\.\d+)(?:[eE][-+]?\d+)?|nan|inf"
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?"
)
_LEVEL = re.compile(r"\b(?:DEBUG|INFO|WARNING|WARN|ERROR)\b:?")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_APART = re.compile(r"[|;\t]|, |,$| - |  +|[\[\](){}](?!\s*\d)")
"""What stands between pairs. A bracket may also hold a number: `Step [100/4000]`."""
_KEY = r"[A-Za-z_][\w/.@-]*(?:\[[\w ]+\])?(?: [A-Za-z_][\w/.@-]*){0,3}"
_PAIR = re.compile(
    rf"(?P<key>{_KEY})[\"']?\s*+(?P<sign>[:=])?\s*+[\[(\"']?\s*+"
    rf"(?P<value>{_NUMBER})(?P<unit>[A-Za-z%]+)?(?=$|[\s,;:\])\"'/])"
)
"""`key: value`, `key=value` or `key value`."""
_HINT = re.compile(r"(?i)loss|err|ce\b|nll|bp[bc]|xent|entropy")


def rows(log: Log) -> Iterator[Row]:
    """Yield a row for each line that counts. Raises Unreadable."""
    lines, ends = Lines(log), Ends()
    for line in lines:
        row = row_of(line)
        if row is None:
            continue
        name, value = list(row.items())[-1]
        if not lines.ended and not ends.whole(name, value, ""):
            log.torn = True
            continue
        ends.see(name, value)
        yield row
    log.notes.append("lines that hold an error and a step, or what else counts; other lines are passed over")


def row_of(line: str) -> dict[str, str] | None:
    """Return the pairs of a line. None if it holds no error, or nothing that counts."""
    if len(line) > LONGEST or not _HINT.search(line):
        return None
    text = _LEVEL.sub(" ", _TIME.sub(" ", _ANSI.sub("", line)))
    row: dict[str, str] = {}
    for part in _APART.split(text):
        signed = ":" in part or "=" in part
        for found in _PAIR.finditer(part):
            # In a part with marks, words before numbers are text: `rank 0: loss=3.2`.
            if signed and found["sign"] is None and not _says(found["key"]):
                continue
            key = _named(found["key"], found["sign"] is not None)
            if key:
                # A number with a unit of its own, as `1.2M`, is not read as one.
                row.setdefault(key, found["value"] + (found["unit"] or ""))
    roles = {_role(name) for name in row}
    return row if "error" in roles and not roles.isdisjoint(COUNTERS) else None


def looks_so(head: bytes) -> bool:
    """Return whether several lines count, and hold the same names. Binary files have none."""
    if b"\0" in head[:1024]:
        return False
    found: dict[tuple[str, ...], int] = {}
    for line in head.decode(errors="replace").splitlines():
        if (row := row_of(line)) is not None:
            names = tuple(row)
            found[names] = found.get(names, 0) + 1
            if found[names] >= LEAST:
                return True
    return False


@functools.lru_cache(10_000)
def _named(key: str, signed: bool) -> str:
    """The name in the words before a number: the most of its last words that say what it is; without such words, all of
    them if a mark follows, otherwise the last."""
    parts = key.split(" ")
    while parts and not TEXT.isdisjoint(word.lower() for word in parts):
        parts.pop(0)
    if not parts:
        return ""
    said = next((" ".join(parts[at:]) for at in range(len(parts)) if _says(" ".join(parts[at:]))), None)
    return said or (parts[-1] if not signed or len(parts) > 2 else " ".join(parts))


def _says(key: str) -> bool:
    return bool(_role(key)) or words.may_be_learning_rate(key)


@functools.lru_cache(10_000)
def _role(key: str) -> str:
    return words.role_of(key)
