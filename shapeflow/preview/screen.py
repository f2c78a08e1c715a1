"""Prints to the screen: with colours and the full width on a terminal, else as plain text without trailing spaces."""

from __future__ import annotations

import sys

from rich.console import Console, RenderableType

PLAIN_WIDTH = 110
"""The width of text that is written to a file or a pipe, in columns."""


def console(*, stderr: bool = False) -> Console:
    """A console that writes to stdout or stderr."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH, no_color=True)


def show(*what: RenderableType, stderr: bool = False) -> None:
    """Print tables and texts."""
    out = console(stderr=stderr)
    if out.is_terminal:
        out.print(*what, sep="\n")
        return
    with out.capture() as captured:
        out.print(*what, sep="\n")
    lines = (line.rstrip() for line in captured.get().splitlines())
    print("\n".join(lines), file=sys.stderr if stderr else sys.stdout, flush=True)
