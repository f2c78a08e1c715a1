"""Diagnostics: errors and warnings for the author of a file, as values. `preview/diagnostic.py` renders them.

A stage adds them to its `Report` and continues, so that all errors of one kind are reported at once. Code outside the
stages (a reader, a checkpoint) raises `Refused`, which carries the same values.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Literal

import attrs


@attrs.frozen(eq=False)
class Source:
    """A text that a user wrote, and its name for the user (the path as typed)."""

    name: str
    text: str


@attrs.frozen
class Span:
    """A part of a source text, by character offsets: `text[start:end]`."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]


@attrs.frozen
class Label:
    """A few words shown under a span."""

    span: Span
    text: str = ""


@attrs.frozen
class Diagnostic:
    """One error or warning: what is wrong, where, why, and what to write instead.

    `at` is the primary place in a source text. An error outside a source text (a flag, a plan's JSON, a machine) has
    no `at` and names its `place` in words. `notes` are facts, `help` is an action; sentences of the language that
    `help` quotes must parse. `details` are further notes, which the screen shows on `--verbose` only.
    """

    code: str
    """Kebab-case, stable, never reused; `shapeflow explain CODE` prints its explanation."""
    message: str
    """One line, lower case, no full stop, names in backticks; says what is wrong, not what failed."""
    at: Label | None = None
    place: str | None = None
    also: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    severity: Literal["error", "warning"] = "error"
    details: tuple[str, ...] = ()


class Refused(Exception):  # noqa: N818 - It is an answer to the user, not a failure of the program.
    """Raised by code without a report; the command line prints the diagnostics and exits with 1. In Python, the text
    of the exception has the notes and the help too, one on each line."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n".join(line for each in diagnostics for line in _lines(each)))
        self.diagnostics = diagnostics


def _lines(diagnostic: Diagnostic) -> Iterator[str]:
    yield f"{diagnostic.code}: {diagnostic.message}"
    yield from (f"  note: {note}" for note in diagnostic.notes)
    if diagnostic.help is not None:
        yield f"  help: {diagnostic.help}"


@attrs.define
class Report:
    """The diagnostics collected so far, in the order they were found."""

    diagnostics: list[Diagnostic] = attrs.field(factory=list)
    _known: set[Diagnostic] = attrs.field(factory=set, init=False, repr=False, eq=False)

    def add(self, diagnostic: Diagnostic) -> None:
        if len(self._known) != len(self.diagnostics):
            self._known = set(self.diagnostics)
        if diagnostic not in self._known:
            self._known.add(diagnostic)
            self.diagnostics.append(diagnostic)

    def error(
        self,
        code: str,
        message: str,
        at: Span | Label | None = None,
        why: str = "",
        *,
        also: Iterable[Label] = (),
        notes: Iterable[str] = (),
        help: str | None = None,
        place: str | None = None,
    ) -> None:
        """Add an error; `why` is the reason shown under the primary span."""
        label = Label(at, why) if isinstance(at, Span) else at
        self.add(Diagnostic(code, message, label, place, tuple(also), tuple(notes), help, "error"))

    def warning(
        self,
        code: str,
        message: str,
        at: Span | Label | None = None,
        why: str = "",
        *,
        also: Iterable[Label] = (),
        notes: Iterable[str] = (),
        help: str | None = None,
        place: str | None = None,
        details: Iterable[str] = (),
    ) -> None:
        """Add a warning: the file still compiles."""
        label = Label(at, why) if isinstance(at, Span) else at
        self.add(Diagnostic(code, message, label, place, tuple(also), tuple(notes), help, "warning", tuple(details)))

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity == "error")

    @property
    def failed(self) -> bool:
        return any(d.severity == "error" for d in self.diagnostics)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one, or None if none is close."""
    return _closest(word, tuple(known))


@functools.lru_cache(maxsize=1024)
def _closest(word: str, known: tuple[str, ...]) -> str | None:
    """A file may hold the same mistake thousands of times."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return close[0] if close else None


def _real(*parts: str) -> Path:
    """A path without links. One that does not exist, or is a circle of links, stays as it is."""
    return Path(os.path.realpath(os.path.join(*parts)))


def outside(path: str, folder: str) -> bool:
    """Whether a path in a file leads out of the file's folder, as written or through a link."""
    return _climbs(path) or "\0" in path or not _real(folder, path).is_relative_to(_real(folder))


def _climbs(path: str) -> bool:
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts


def leaves_folder(path: str, folder: str, what: str, at: Span | None, report: Report) -> bool:
    """Whether a path in a file leads out of the file's folder, as written or through a link. If so, reports
    `path-outside`. `folder`: the folder of the file; `what`: what the path names, in words."""
    if not outside(path, folder):
        return False
    inside = not _climbs(path)
    message = f"`{path}` {'is a link that ' if inside else ''}leads out of the file's folder"
    help_ = f"keep {what} in the folder of the file that names it, or below it"
    report.error("path-outside", message, at, "leaves the folder", help=help_)
    return True
