"""Read the credits that a file names and compare them with what the program trains."""

from __future__ import annotations

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.ir.credits import load
from shapeflow.ir.program import Program
from shapeflow.stages.measured_files import read


def find_credits(program: Program, report: Report) -> Program:
    """The program with its measured credits. Unchanged if the file does not name credits, or after an error was
    reported."""
    if program.credits_path is None:
        return program
    at, path = program.spans["credits.path"], program.credits_path
    missing = "measure them first: `shapeflow probe FILE.shape` prints where it writes them"
    credits = read(program, path, at, "the file of credits", load, missing, report)
    if credits is None:
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
