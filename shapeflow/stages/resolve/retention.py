"""Resolve which checkpoints are kept."""

from __future__ import annotations

from shapeflow.base.diagnostics import Report
from shapeflow.ir.retention import Retention
from shapeflow.language import syntax
from shapeflow.stages.resolve.values import LARGEST


def retention(sentence: syntax.Checkpoint | None, report: Report) -> Retention | None:
    """The checkpoints to keep; None if the file does not state them, or after an error was reported."""
    if sentence is None or sentence.keep is None:
        return None
    number = sentence.keep.newest
    if number is None:
        return Retention(None)
    whole = number.whole
    if whole is None or not 1 <= whole <= LARGEST:
        why, help_ = f"must be a whole number from 1 to {LARGEST:,}", "write `keep 3`, or `keep all`"
        report.error("out-of-range", f"`{number.text}` checkpoints", number.span, why, help=help_)
        return None
    return Retention(whole, sentence.keep.best)
