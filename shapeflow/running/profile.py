"""Measures the profile of a program on this machine: the seconds of a step in each of its candidates, and of switches
between neighbours."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.compiler import compile_fixed, compile_route
from shapeflow.ir.plan import Plan
from shapeflow.ir.profile import Profile, Timed, TimedSwitch
from shapeflow.ir.program import Program
from shapeflow.ir.route import END, Leg, Route, Until
from shapeflow.running.backend import backend

LENGTH = Amount(1000, "steps")
"""Length of the plans whose steps are timed. Timing starts again at their first step."""
MOST = 64
"""At most this number of switches are timed."""


def profiled(program: Program, root: Path, **choices: Any) -> Profile | None:
    """Time every candidate. `root`: base directory of relative data paths; `choices`: `device`, `processes`, `gpus`,
    `threads`, `micro_batch`, `recompute` and `peak_flops`, as for a run. None in a process of a launcher that does not
    lead. Raises Refused `no-model`, `batch-not-divisible`, `out-of-memory`, `worker-lost`, and what a run raises before
    its first step."""
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
    switching = _switching(program)
    times = backend("torch")().profile(made, list(switching.values()), root, **choices)
    if times is None:
        return None
    timed = (Timed(shape, pace) for shape, pace in zip(program.candidates, times.paces, strict=True))
    switches = (TimedSwitch(*pair, taken) for pair, taken in zip(switching, times.switches, strict=True))
    date = datetime.date.today().isoformat()
    return Profile(program.subject(), times.machine, date, tuple(timed), tuple(switches), times.checkpoint)


def neighbours(program: Program) -> Iterator[tuple[Shape, Shape]]:
    """Pairs of candidates between which a plan may switch, and that differ on one axis, by one value of it."""
    for before, after in itertools.permutations(program.candidates, 2):
        changed = before.changed(after)
        if len(changed) == 1 and program.backward(before, after) is None:
            values = program.axis(changed[0]).values
            if abs(values.index(before[changed[0]]) - values.index(after[changed[0]])) == 1:
                yield before, after


def _switching(program: Program) -> dict[tuple[Shape, Shape], Plan]:
    """Plans that switch between neighbours. Switches that no plan can make are left out."""
    half, report = Until(amount=Amount(LENGTH.value / 2, "steps")), Report()
    plans: dict[tuple[Shape, Shape], Plan] = {}
    for before, after in itertools.islice(neighbours(program), MOST):
        plan = compile_route(program, Route((Leg(before, half), Leg(after, END))), LENGTH, report)
        if plan is not None and len(plan.stages) == 2:
            plans[before, after] = plan
    return plans
