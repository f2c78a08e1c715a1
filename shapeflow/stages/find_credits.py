"""Read the credits that a file names and compare them with what the program trains."""

from __future__ import annotations

from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Refused, Report, leaves_folder
from shapeflow.ir.credits import load
from shapeflow.ir.program import Program


def find_credits(program: Program, report: Report) -> Program:
    """The program with its measured credits. Unchanged if the file does not name credits, or after an error was
    reported."""
    if program.credits_path is None:
        return program
    at, path = program.spans["credits.path"], program.credits_path
    if leaves_folder(path, "the file of credits", at, report):
        return program
    if not (Path(program.folder) / path).is_file():
        help_ = "measure them first: `shapeflow probe FILE.shape` prints where it writes them"
        report.error("no-such-file", f"there is no file `{path}`", at, "not found next to the file", help=help_)
        return program
    try:
        credits = load(Path(program.folder) / path)
    except Refused as refused:
        for wrong in refused.diagnostics:
            report.error(wrong.code, wrong.message, at, "cannot be read", notes=wrong.notes, help=wrong.help)
        return program
    other = program.unlike(credits.subject)
    if other is not None:
        report.error(
            "foreign-credits",
            f"the credits were measured with a different {other}",
            at,
            "does not match what this file trains",
            notes=["a credit holds only for the model, data and transitions that it was measured with"],
            help="measure them again with `shapeflow probe`, or leave the sentence out",
        )
        return program
    return attrs.evolve(program, credits=credits.pairs)
