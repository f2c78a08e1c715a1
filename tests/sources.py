"""Small `.shape` texts, and helpers that compile them or return their errors."""

from __future__ import annotations

from pathlib import Path

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.compiler import compile_file, program_of
from shapeflow.ir.plan import Plan
from shapeflow.ir.program import Program

LAWS_ONLY = """
plan "two laws"
axis width in [1, 2] via width_expand
law for (width: 1) is power(a: 1, b: 1, c: 0.2, d: 0)
law for (width: 2) is power(a: 4, b: 1, c: 0, d: 0)
"""
TWO_LAWS = LAWS_ONLY + "traversal steepest\nstart at error 1.2\nstop when error <= 0.25\n"
"""Paper A's rule, worked out by hand: the first law descends faster above an error of 0.4, the second below it."""

IMAGES = """
model vit(depth: 2, width: 32, heads: 2)
data digits(batch: 64)
objective cross_entropy
"""
PATCHES = IMAGES + "axis patch in [4, 2] px via flexi_resize(base: 4 px)\n"
BY_HAND = PATCHES + "stage (patch: 4 px) until 40%\nstage (patch: 2 px) until end\nbudget 600 steps\n"

TEXTS = """
model transformer(depth: 2, width: 64, head_width: 16)
data python_source(batch: 512 tokens)
objective next_token
axis context in [64, 128, 256] tokens via context_grow
"""


def compiled(folder: Path, text: str, *sentences: str, report: Report | None = None) -> Plan:
    """The plan compiled from a text, which is written to a file in `folder`; `sentences` are those of `--set`."""
    return compile_file(written(folder, text), sentences, report)


def resolved(folder: Path, text: str, *sentences: str) -> Program:
    """The resolved program of a text that must have no errors."""
    report = Report()
    program = program_of(written(folder, text), sentences, report)
    assert program is not None, report.diagnostics
    return program


def refused(folder: Path, text: str, *sentences: str) -> list[Diagnostic]:
    """The errors of a text that must not compile."""
    try:
        compiled(folder, text, *sentences)
    except Refused as error:
        return [one for one in error.diagnostics if one.severity == "error"]
    raise AssertionError("it compiled")


def written(folder: Path, text: str) -> Path:
    """Write a text to `a.shape` in the folder and return its path."""
    file = folder / "a.shape"
    file.write_text(text)
    return file
