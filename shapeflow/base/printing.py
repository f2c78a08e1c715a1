"""The only place that prints: text of files is made safe for a terminal, and a stream that fails ends the command with
a diagnostic."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, TextIO

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.safe import safe_json, safe_lines


def say(text: str = "", *, err: bool = False, painted: bool = False) -> None:
    """Print lines on stdout, or on stderr. `painted`: the text is safe, and has codes for colours that a terminal
    should interpret.

    Raises Refused `cannot-write` if stdout cannot be written, and BrokenPipeError if its reader has closed it."""
    emit((text if painted else safe_lines(text)) + "\n", sys.stderr if err else sys.stdout)


def say_json(value: Any, *, indent: int | None = None, err: bool = False) -> None:
    """Print a value as JSON: indented, or on one line. Raises as `say` does, and ValueError for NaN and infinity."""
    stream = sys.stderr if err else sys.stdout
    unicode = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") in ("utf8", "utf16", "utf32")
    emit(safe_json(value, ascii_only=not unicode, indent=indent) + "\n", stream)


def emit(text: str, stream: TextIO) -> None:
    """Write text to stdout or stderr. Raises as `say` does. If stderr fails, there is nobody to tell, and the command
    goes on."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if stream is sys.stderr:
            silence(stream)
        elif isinstance(error, BrokenPipeError):
            raise
        else:
            raise cannot_print(error) from error


def cannot_print(error: OSError) -> Refused:
    """The error for a stdout that cannot be written."""
    silence(sys.stdout)
    reason = (error.strerror or str(error)).lower()
    message = "the output cannot be written"
    return Refused(Diagnostic("cannot-write", message, place="standard output", notes=(reason,)))


def silence(stream: TextIO) -> None:
    """Discard what else is written to a stream, so that Python does not fail again when it flushes it at exit."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def prepare_streams() -> None:
    """Let stdout and stderr write an escape for a character that their encoding lacks, instead of failing, and discard
    what is written to one that was closed before the command began."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - open until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
