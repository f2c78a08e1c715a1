"""Find files by a shell pattern, also across circular symbolic links."""

from __future__ import annotations

import glob
import os
import re
from collections import deque
from collections.abc import Iterator

from shapeflow.base.walk import Entries, is_pseudo_real

ANY = "**"
"""The part of a pattern that matches any number of folders."""


def matches(pattern: str, root: str, most: int | None = None) -> list[str]:
    """Return the paths that match the pattern, relative to `root`, in natural order: `checkpoint-500` before
    `checkpoint-1000`. Raises Refused `too-many-entries` if it looks at more than the limit, or `most`."""
    return sorted(_found(pattern, root or ".", Entries(pattern, "logs", most)), key=_counted)


def _counted(path: str) -> list[tuple[bool, str]]:
    return [(part.isdecimal(), part.zfill(40)) for part in re.split(r"(\d+)", path)]


def _found(pattern: str, root: str, entries: Entries) -> dict[str, None]:
    """Return the matching paths as keys. `glob.glob` follows circular links at `**` and may never finish, so this
    function expands `**` itself and enters each folder once."""
    parts = pattern.split("/")
    if ANY not in parts:
        return dict.fromkeys(entries.each(glob.iglob(pattern, root_dir=root)))
    at = parts.index(ANY)
    head, rest = "/".join(parts[:at]) or "/" * (at > 0), parts[at + 1 :]
    found: dict[str, None] = {}
    for base in glob.glob(head, root_dir=root) if head else [""]:
        for folder in _folders(os.path.join(root, base), entries):
            inner = os.path.normpath(os.path.join(base, os.path.relpath(folder, os.path.join(root, base))))
            lead = "" if inner == "." else f"{glob.escape(inner)}/"
            found.update(_found(lead + "/".join(rest or ["*"]), root, entries))
            found.update(dict.fromkeys([inner] if lead and not rest else []))
    return found


def _folders(base: str, entries: Entries) -> Iterator[str]:
    """Yield a folder and the folders below it, each once. Targets of links come last, so a folder is listed under its
    own path rather than that of a link."""
    seen: set[str] = set()
    waiting = deque([base])
    while waiting:
        for folder, inner, files in os.walk(waiting.popleft()):
            real = os.path.realpath(folder)
            if real in seen or is_pseudo_real(real):
                inner.clear()
                continue
            seen.add(real)
            entries.add(len(inner) + len(files))
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            paths = [os.path.join(folder, name) for name in inner]
            waiting.extend(path for path in paths if os.path.islink(path))
            yield folder
