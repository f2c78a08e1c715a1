"""Measures the profile of a program: the seconds of a step in each of its candidates, on this machine."""

from __future__ import annotations

import datetime
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.units import Amount
from shapeflow.compiler import compile_fixed
from shapeflow.ir.profile import Profile, Timed
from shapeflow.ir.program import Program
from shapeflow.running.backend import backend

LENGTH = Amount(1000, "steps")
"""Length of the plans whose steps are timed. Timing starts again at their first step."""


def profiled(program: Program, root: Path, device: str = "auto", threads: int | None = None) -> Profile:
    """Time every candidate. `root`: base directory of relative data paths; `device`, `threads`: as for a run. Raises
    Refused `no-model`, and what a run raises before its first step."""
    if program.trained is None:
        message = "the file has no model, so there is no step to time"
        raise Refused(
            Diagnostic(
                "no-model", message, place=program.axes[0].span.source.name, help="add `model`, `data` and `objective`"
            )
        )
    # An amount of time cannot be counted in steps yet.
    program = attrs.evolve(program, evaluate=None, checkpoint=None)
    report = Report()
    plans = [compile_fixed(program, shape, LENGTH, report) for shape in program.candidates]
    made = [plan for plan in plans if plan is not None]
    if report.failed:
        raise Refused(*report.errors)
    paces, machine = backend("torch")().profile(made, root=root, device=device, threads=threads)
    timed = (Timed(shape, pace) for shape, pace in zip(program.candidates, paces, strict=True))
    return Profile(program.subject(), machine, datetime.date.today().isoformat(), tuple(timed))
