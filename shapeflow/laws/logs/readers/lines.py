"""Read lines of text from an untrusted file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import attrs

from shapeflow.laws.logs.readers.log import Log, Unreadable

LONGEST = 1 << 20
"""Maximum length of a line in bytes. A file with a longer line is not a log."""


@attrs.define
class Lines:
    """Iterates over the lines of a log that are not blank, without their line ends. Sets `log.torn` if the last line is
    incomplete and not valid text. Raises Unreadable for other invalid text and for a line that is too long."""

    log: Log
    ended: bool = True
    """Whether the last line that was read had a line end."""
    text: str = ""
    """The last line that was read."""

    def __iter__(self) -> Iterator[str]:
        digest = hashlib.sha256()
        with self.log.path.open("rb") as file:
            begun, count = False, 0
            while raw := file.readline(LONGEST):
                digest.update(raw)
                count += 1
                self.ended = raw.endswith(b"\n")
                text = _text(raw)
                if text is None and begun and not self.ended and len(raw) < LONGEST:
                    self.log.torn = True
                    break
                if text is None or (len(raw) == LONGEST and not self.ended):
                    why = "is not text" if text is None else f"is longer than {LONGEST >> 20} MiB"
                    raise Unreadable(f"its line {count} {why}")
                if text.strip():
                    begun, self.text = True, text
                    yield text
        self.log.sha256 = digest.hexdigest()


def _text(raw: bytes) -> str | None:
    if b"\0" in raw:
        return None
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return None
