"""Measures the profile of a program on this machine: the seconds of a step in each of its candidates, and of switches
between neighbours."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.compiler import compile_fixed, compile_route
from shapeflow.ir.parameters import scalars
from shapeflow.ir.plan import Plan
from shapeflow.ir.profile import Profile, Timed, TimedSwitch
from shapeflow.ir.program import Program
from shapeflow.ir.route import END, Leg, Route, Until
from shapeflow.running.backend import backend

LENGTH = Amount(1000, "steps")
"""Length of the plans whose steps are timed. Timing starts again at their first step."""
MOST = 64
"""At most this number of switches are timed."""


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
    # Compiled models of the switches' shapes would shorten their first steps.
    switches = _switches(program, root, device, threads)
    paces, machine = backend("torch")().profile(made, root=root, device=device, threads=threads)
    timed = (Timed(shape, pace) for shape, pace in zip(program.candidates, paces, strict=True))
    dearest = max(made, key=lambda plan: scalars(plan.parameters, plan.stages[0].sizes))
    checkpoint = backend("torch")().saving(dearest, root=root, device=device, threads=threads)
    date = datetime.date.today().isoformat()
    return Profile(program.subject(), machine, date, tuple(timed), switches, checkpoint)


def neighbours(program: Program) -> Iterator[tuple[Shape, Shape]]:
    """Pairs of candidates between which a plan may switch, and that differ on one axis, by one value of it."""
    for before, after in itertools.permutations(program.candidates, 2):
        changed = before.changed(after)
        if len(changed) == 1 and program.backward(before, after) is None:
            values = program.axis(changed[0]).values
            if abs(values.index(before[changed[0]]) - values.index(after[changed[0]])) == 1:
                yield before, after


def _switches(program: Program, root: Path, device: str, threads: int | None) -> tuple[TimedSwitch, ...]:
    """The seconds of switches between neighbours. Switches that no plan can make are left out."""
    half, report = Until(amount=Amount(LENGTH.value / 2, "steps")), Report()
    plans: dict[tuple[Shape, Shape], Plan] = {}
    for before, after in itertools.islice(neighbours(program), MOST):
        plan = compile_route(program, Route((Leg(before, half), Leg(after, END))), LENGTH, report)
        if plan is not None and len(plan.stages) == 2:
            plans[before, after] = plan
    if not plans:
        return ()
    seconds = backend("torch")().switches(list(plans.values()), root=root, device=device, threads=threads)
    return tuple(TimedSwitch(*pair, taken) for pair, taken in zip(plans, seconds, strict=True))
