"""Reader of a JSON document: a list of rows, or an object with columns as lists. `trainer_state.py` uses its parser."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from shapeflow.base.json_text import parse_json
from shapeflow.laws.logs.readers import nested
from shapeflow.laws.logs.readers.log import Log, Row, Unreadable

LARGEST = 32 << 20
"""Maximum size of a document in bytes. A document is read into memory as a whole."""
INNER = 1 << 20
"""Maximum number of objects and lists in a document. Empty ones take up to 40 times their text size in memory."""


def rows(log: Log) -> Iterator[Row]:
    """Yield the rows of a document `[{"step": 1, ...}, ...]` or `{"step": [1, ...], ...}`, also within objects. Raises
    Unreadable."""
    found = parsed(log)
    if isinstance(found, list):
        for row in found:
            if isinstance(row, dict):
                yield nested.flat(row)
            else:
                log.broken += 1
    else:
        made = nested.rows_in(found)
        if made is None:
            raise Unreadable("it is one JSON object, neither rows nor columns of equal length")
        yield from made


def parsed(log: Log) -> dict[str, Any] | list[Any]:
    """Return the object or list in a file, and set the SHA-256 of `log`. NaN and Infinity are accepted, since trainers
    write them. Raises Unreadable, also for a file that is too large."""
    with log.path.open("rb") as file:
        data = file.read(LARGEST + 1) if log.path.stat().st_size <= LARGEST else None
    if data is None or len(data) > LARGEST:
        raise Unreadable(f"it is one JSON document of more than {LARGEST >> 20} MiB; write an object a line instead")
    if data.count(b"[") + data.count(b"{") > INNER:
        raise Unreadable(f"it is one JSON document of more than {INNER} objects or lists; write one a line instead")
    log.sha256 = hashlib.sha256(data).hexdigest()
    try:
        found = parse_json(data.decode("utf-8-sig"), finite=False)
    except UnicodeDecodeError:
        raise Unreadable("it is not text") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"it is not JSON: {error.msg.lower()} (line {error.lineno})") from None
    except ValueError as error:
        # Python's message about a number with too many digits gives advice about Python settings, so replace it.
        why = str(error) if str(error).startswith("it ") else "it contains a whole number that is too long"
        raise Unreadable(why) from None
    if not isinstance(found, dict | list):
        raise Unreadable("it is JSON, and neither an object nor a list")
    return found
