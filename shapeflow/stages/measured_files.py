"""What `find_credits` and `find_profile` share: reading a file of measurements that a sentence names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from shapeflow.base.diagnostics import Refused, Report, Span, leaves_folder
from shapeflow.ir.program import Program

T = TypeVar("T")


def read(
    program: Program, path: str, at: Span, what: str, load: Callable[[Path], T], help: str, report: Report
) -> T | None:
    """The content of a file next to the program's own; None after reporting `path-outside`, `no-such-file`, or what
    `load` raises. `what`: what the file is, in words; `help`: what to do if it is missing."""
    if leaves_folder(path, program.folder, what, at, report):
        return None
    if not (Path(program.folder) / path).is_file():
        report.error("no-such-file", f"there is no file `{path}`", at, "not found next to the file", help=help)
        return None
    try:
        return load(Path(program.folder) / path)
    except Refused as refused:
        for wrong in refused.diagnostics:
            report.error(wrong.code, wrong.message, at, "cannot be read", notes=wrong.notes, help=wrong.help)
        return None
