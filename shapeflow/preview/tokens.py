"""Shows token files: a progress bar while one is written, and a summary of its contents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Group, RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from shapeflow.data.bins import Header
from shapeflow.preview.screen import console
from shapeflow.tokenize import Made


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar over the bytes of the sources on stderr, if it is a terminal."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda seen, of: None
        return
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=out, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda seen, of: bars.update(task, completed=min(seen, of), total=of)


def made_view(path: Path, made: Made) -> RenderableType:
    """A summary of what `shapeflow tokenize` wrote and left out."""
    table = _table(made.header)
    table.add_row("bytes per token", f"{made.bytes_per_token:.2f}")
    for reason, count in made.dropped.items():
        table.add_row("skipped", f"{count:,} x {reason}")
    return Group(table, Text(f'\n  written to {path}: `data tokens("{path.as_posix()}")` reads it'))


def header_view(path: Path, header: Header, checked: bool) -> RenderableType:
    """The contents of a token file, from its header."""
    words = "the digest matches the header" if checked else "digest not checked; `--verify` checks it"
    return Group(_table(header), Text(f"\n  {path}: {words}"))


def _table(header: Header) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2))
    end = "no end-of-document token" if header.end_of_document is None else f"end of document: {header.end_of_document}"
    drawn = (
        f" tokens of {header.held_out_documents:,} document{'s' * (header.held_out_documents != 1)}"
        if header.held_out_by == "documents"
        else " tokens, at the end"
    )
    rows = {
        "documents": f"{header.documents:,}",
        "tokens": f"{header.count:,} ({header.dtype}, {header.size:,} bytes)",
        "held out": f"{header.held_out:,}" + (drawn if header.held_out else ""),
        "tokenizer": f"{header.tokenizer}, {header.vocabulary:,} ids, {end}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table
