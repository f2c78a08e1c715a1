"""Decides when a probe switches, and how long it trains each branch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Literal

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.compiler import compile_program
from shapeflow.ir.program import Program, Trained
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.running.probe.switches import Switch

AT, LENGTH = 0.5, 0.25
"""Shares of the budget: before the switch, if the plan does not make this switch; and after every switch."""


@attrs.frozen
class Asked:
    """The choices of the command line for a probe."""

    at: Amount | float | None = None
    """When to switch: an amount from the start of the run, or an error, which the law of the old shape converts to
    compute."""
    length: Amount | None = None
    """How long each branch is trained after the switch."""
    reference: Literal["law", "run"] | None = None


def trained_of(program: Program) -> Trained:
    assert program.trained is not None
    return program.trained


def steps_before(program: Program, laws: Mapping[Shape, AnyLaw], switch: Switch, asked: Asked) -> int:
    """The number of steps of the trunk. Raises Refused."""
    trained = trained_of(program)
    if isinstance(asked.at, Amount):
        return _steps(program, asked.at, switch.before)
    if asked.at is None:
        own = _of_plan(program, laws, switch)
        return own if own is not None else _steps(program, Amount(AT, "ratio"), switch.before)
    law = laws.get(switch.before)
    if law is None:
        message = f"there is no law for {switch.before.written(program.units)} to find an error by"
        raise Refused(Diagnostic("no-laws", message, place="--at", help="give an amount, such as '40%' or '500 steps'"))
    compute = law.compute(asked.at)
    if not 0 < compute < math.inf:
        message = f"the law for {switch.before.written(program.units)} never reaches error {asked.at:g}"
        raise Refused(Diagnostic("target-out-of-reach", message, place="--at", help="give an amount, such as '40%'"))
    return max(1, round(compute / trained.cost(switch.before)))


def _of_plan(program: Program, laws: Mapping[Shape, AnyLaw], switch: Switch) -> int | None:
    """The number of steps before the plan of the file makes this switch, or another switch between the same values;
    None if it does not."""
    plan = compile_program(program, Report())
    for stage, next_ in itertools.pairwise(plan.stages if plan is not None else ()):
        same = stage.shape[switch.axis], next_.shape[switch.axis]
        if same == (switch.before[switch.axis], switch.after[switch.axis]):
            law, error = laws.get(switch.before), stage.leave.error
            compute = law.compute(error) if law is not None and error is not None else math.inf
            compute = compute if 0 < compute < math.inf else stage.leave.compute or 0.0
            return max(1, round(compute / trained_of(program).cost(switch.before)))
    return None


def compute_behind(program: Program, switch: Switch, asked: Asked, start: int) -> float:
    """FLOPs of each branch after the switch."""
    trained = trained_of(program)
    if asked.length is None and program.budget is None:
        return 0.5 * start * trained.cost(switch.before)
    amount = asked.length or Amount(LENGTH, "ratio")
    return _steps(program, amount, switch.after) * trained.cost(switch.after)


def _steps(program: Program, amount: Amount, shape: Shape) -> int:
    """An amount as a number of steps in one shape, at least 1."""
    trained = trained_of(program)
    if amount.dimension == "ratio":
        if program.budget is None:
            message = "a percentage of the budget needs a budget, and the file has none"
            help_ = "give `--at` and `--for` in steps or FLOPs, or add a `budget`"
            raise Refused(Diagnostic("ratio-without-budget", message, place="probe", help=help_))
        amount = Amount(amount.value * program.budget.value, program.budget.dimension)
    amount = trained.counted(amount)
    return max(1, round(amount.value / trained.of_step(amount.dimension, shape)))
