"""Prints to the screen: with colours and the full width on a terminal, else as plain text without trailing spaces."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from shapeflow.base.printing import cannot_print, emit, silence
from shapeflow.base.safe import safe_lines

PLAIN_WIDTH = 110
"""The width of text that is written to a file or a pipe, in columns."""


class SafeConsole(Console):
    """A console for texts of files: it interprets no markup in them, and replaces control characters."""

    def __init__(self, **choices: Any) -> None:
        # In a notebook, Rich would display what is only recorded, too.
        super().__init__(highlight=False, markup=False, emoji=False, force_jupyter=False, **choices)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(safe_lines(segment.text), segment.style)

    def print(self, *objects: Any, **choices: Any) -> None:
        """Print. Raises Refused `cannot-write`, BrokenPipeError; if stderr fails, nothing more is printed there."""
        try:
            super().print(*objects, **choices)
        except OSError as error:
            if self.stderr:
                silence(sys.stderr)
            elif isinstance(error, BrokenPipeError):
                raise
            else:
                raise cannot_print(error) from error

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """A console that writes to stdout or stderr."""
    made = SafeConsole(stderr=stderr, soft_wrap=False)
    return made if made.is_terminal else SafeConsole(stderr=stderr, width=PLAIN_WIDTH, no_color=True)


def show(*what: RenderableType, stderr: bool = False) -> None:
    """Print tables and texts. Raises Refused `cannot-write`, BrokenPipeError."""
    out = console(stderr=stderr)
    if out.is_terminal:
        out.print(*what, sep="\n")
        return
    SafeConsole(file=(text := io.StringIO()), width=PLAIN_WIDTH, no_color=True).print(*what, sep="\n")
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    emit("\n".join(lines) + "\n", sys.stderr if stderr else sys.stdout)
