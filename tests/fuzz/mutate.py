"""Seeded mutations of texts and JSON values that keep most of their structure."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

from shapeflow.base.sealed import Seal

VALUES: list[Any] = [
    0, 1, -1, 2, 3, 1e308, -1e308, 5e-324, 10**40, -(10**40), 2**31, 2**63, 0.5, True, None, "", "x", "\x1b[31mx",
    "../../etc/passwd", "/dev/zero", "a\nb", "\x00", [], {}, [[]], [1, 2, 3], {"a": 1}, "nan", 10**8, 10**8 + 1,
    "1e400", "x" * 3000,
]  # fmt: skip
WORDS = [
    "0", "-1", "1e308", "1e-308", "99999999999999999999", "100%", "0%", "(", ")", "[", "]", ",", ":", "=", '"', "#",
    "\n", "px", "tokens", "steps", "TFLOPs", "until end", "let a = a", "where", "not", "nan", "inf", "\x00", "\ufeff",
    "é", "[1]", "traversal random", "traversal steepest", "traversal evenly", "stop when error <= 1",
    "budget 1e300 TFLOPs",
]  # fmt: skip
TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


def of_text(source: bytes, draw: Random) -> bytes:
    return text(source.decode(), draw).encode("utf-8", "surrogatepass")


def of_lines(source: bytes, draw: Random) -> bytes:
    """JSON lines, or text."""
    return of_text(source, draw) if draw.random() < 0.15 else lines(source.decode(), draw).encode()


def of_json(source: bytes, draw: Random, seal: Seal | None) -> bytes:
    """JSON, or text. `seal`: closed again most of the time, so that the changed values are read."""
    if draw.random() < 0.15:
        return of_text(source, draw)
    changed = value(json.loads(source), draw)
    if seal is not None and isinstance(changed, dict) and draw.random() < 0.9:
        own = {"format", "version", "digest"}
        try:
            return json.dumps(seal.close({name: part for name, part in changed.items() if name not in own})).encode()
        except ValueError:
            # A digest is of numbers that JSON has, so this one keeps the old digest.
            pass
    return json.dumps(changed).encode()


def text(source: str, draw: Random) -> str:
    """A text with some tokens or lines replaced, removed, repeated or moved."""
    for _ in range(draw.choice([1, 1, 2, 4, 12])):
        parts = TOKEN.findall(source) if draw.random() < 0.6 else source.splitlines(keepends=True)
        if not parts:
            return draw.choice(WORDS)
        at = draw.randrange(len(parts))
        match draw.randrange(6):
            case 0:
                parts[at] = draw.choice(WORDS)
            case 1:
                del parts[at]
            case 2:
                parts[at] *= draw.choice([2, 3, 400])
            case 3:
                parts.insert(at, draw.choice(parts))
            case 4:
                parts.insert(at, draw.choice(WORDS))
            case 5:
                other = draw.randrange(len(parts))
                parts[at], parts[other] = parts[other], parts[at]
        source = "".join(parts)[:400_000]
    return source


def value(whole: Any, draw: Random) -> Any:
    """A JSON value with some of its parts replaced, removed or repeated. It is changed in place."""
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        places = list(_places(whole))
        if not places:
            return draw.choice(VALUES)
        holder, key = draw.choice(places)
        match draw.randrange(6):
            case 0:
                del holder[key]
            case 5 if not isinstance(holder[key], dict | list):
                # The same value in all places of the same name, so that they still agree.
                old, new = holder[key], draw.choice(VALUES)
                for other, name in places:
                    if other is not holder and name == key and type(other[name]) is type(old) and other[name] == old:
                        other[name] = copy.deepcopy(new)
                holder[key] = copy.deepcopy(new)
            case 1 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 2 if isinstance(holder[key], int | float):
                holder[key] = holder[key] * draw.choice([-1, 0, 2, 1000, 10**12, 1e-9])
            case _:
                holder[key] = copy.deepcopy(draw.choice(VALUES))
    return whole


def lines(source: str, draw: Random) -> str:
    """JSON lines, of which some are mutated as values, and the text as a whole at times."""
    found = source.splitlines()
    for _ in range(draw.choice([1, 2, 8])):
        at = draw.randrange(len(found))
        found[at] = json.dumps(value(json.loads(found[at]), draw)) if draw.random() < 0.8 else text(found[at], draw)
        if found[at][:1] not in ("{", "["):
            return "\n".join(found)
        try:
            json.loads(found[at])
        except (ValueError, RecursionError):
            return "\n".join(found)
    return "\n".join(found) + "\n"


def _places(whole: Any) -> Iterator[tuple[Any, Any]]:
    """Each part of a value: what holds it, and its key there."""
    if isinstance(whole, dict | list):
        for key, part in whole.items() if isinstance(whole, dict) else enumerate(whole):
            yield whole, key
            yield from _places(part)
