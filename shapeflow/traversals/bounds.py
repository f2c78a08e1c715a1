"""The bounds of a plan: its budget in FLOPs of each shape, its target and its start. Reports an error if one is
missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount, Dimension
from shapeflow.ir.route import Curve, Problem
from shapeflow.ir.tabulated import Knots


@attrs.frozen
class Budget:
    """A budget, and how much of it one FLOP uses in each candidate."""

    value: float
    """In FLOPs, steps, images, tokens or seconds."""
    unit: tuple[float, ...]
    """1 for a budget of compute, else the steps, images, tokens or seconds per FLOP; one for each candidate."""

    dimension: Dimension = "compute"

    def compute(self, candidate: int) -> float:
        """FLOPs of the whole budget in one candidate."""
        return self.value / self.unit[candidate]


@attrs.frozen
class InUnit:
    """A law over steps, images, tokens or seconds. Each step of a shape has a fixed amount of FLOPs, of data and of
    time, so this only changes the scale."""

    law: Curve
    unit: float
    """Steps, images, tokens or seconds per FLOP."""

    @property
    def floor(self) -> float:
        return self.law.floor

    @property
    def measured(self) -> tuple[float, float] | None:
        return self.law.measured

    @property
    def bends(self) -> tuple[float, ...]:
        return self.law.bends

    @property
    def knots(self) -> Knots | None:
        found = self.law.knots
        if found is None:
            return None
        return attrs.evolve(found, place=tuple(each + math.log(self.unit) for each in found.place))

    def error(self, amount: float) -> float:
        return self.law.error(amount / self.unit)

    def compute(self, error: float) -> float:
        """The amount at which the law reaches an error."""
        return self.law.compute(error) * self.unit

    def log_rate(self, error: float) -> float:
        """log |d amount / dE|."""
        return self.law.log_rate(error) + math.log(self.unit)


def written(shape: Shape, problem: Problem) -> str:
    return f"`{shape.written(problem.units)}`"


def laws_of(problem: Problem, name: str, report: Report) -> list[Curve] | None:
    """The law of each candidate; None after reporting that there are none (`missing-laws`)."""
    without = [shape for shape in problem.candidates if shape not in problem.laws]
    if not without:
        return [problem.laws[shape] for shape in problem.candidates]
    report.error(
        "missing-laws",
        f"`{name}` needs a law for every candidate",
        problem.spans.get(""),
        f"{len(without)} of {len(problem.candidates)} candidates have none",
        notes=[f"without a law: {', '.join(written(shape, problem) for shape in without[:5])}"],
        help="`shapeflow ask` trains the candidates and answers; or fit laws to your runs, "
        '`laws from fit("runs/*.csv")`, or pick a traversal that needs none',
    )
    return None


def budget_of(problem: Problem, report: Report) -> Budget | None:
    """The budget; None if the file has none, or after reporting that it cannot be counted (`uncounted-budget`)."""
    amount = problem.budget
    if amount is None:
        return None
    found = prices(problem, amount.dimension)
    if found is not None:
        return Budget(amount.value, tuple(1 / price for price in found), amount.dimension)
    known: dict[Dimension, str] = {
        "steps": "the FLOPs of a step are not known",
        "seconds": "the seconds of a step are not known",
    }
    why = known.get(amount.dimension, f"{amount.dimension} cannot be counted in steps")
    help = "give the budget in compute, such as `budget 10 EFLOPs`"
    report.error("uncounted-budget", f"a budget of {amount} needs a model", problem.spans.get("budget"), why, help=help)
    return None


def prices(problem: Problem, unit: Dimension) -> list[float] | None:
    """FLOPs of each candidate per unit of a budget; None if they are not known."""
    if unit == "compute":
        return [1.0] * len(problem.candidates)
    costs, taken = problem.step_compute, problem.step_data
    if unit == "seconds":
        taken = problem.step_seconds
    if costs is None or (taken is None and unit != "steps"):
        return None
    if taken is None or unit == "steps":
        return [costs[shape] for shape in problem.candidates]
    return [costs[shape] / taken[shape] for shape in problem.candidates]


def no_end(problem: Problem, name: str, report: Report, *, stop: bool = True) -> None:
    """Report that the plan has no end (`no-end`). `stop`: whether a target error is enough."""
    either = "add `budget 10 EFLOPs`" + (", `stop when error <= 20%`, or both" if stop else "")
    message = f"`{name}` needs " + ("a budget or a target error" if stop else "a budget")
    why = "the file has neither" if stop else "the file has none"
    report.error("no-end", message, problem.spans.get(""), why, help=either)


def reachable(problem: Problem, last: Sequence[Shape], report: Report) -> bool:
    """Whether the law of some shape that the plan may end in passes the target. False after reporting that none does
    (`target-out-of-reach`); shapes without a law are ignored."""
    target = problem.target
    floors = {shape: problem.laws[shape].floor for shape in last if shape in problem.laws}
    if target is None or not floors or min(floors.values()) < target:
        return True
    shape = min(floors, key=lambda one: floors[one])
    floor, name = floors[shape], written(shape, problem)
    alone = len(last) == 1 < len(problem.candidates)
    report.error(
        "target-out-of-reach",
        f"{f'{name} never' if alone else 'no candidate'} reaches error {target:.4g}",
        problem.spans.get("stop", problem.spans.get("")),
        "below the floor of its law" if alone else "below the floor of every law",
        notes=[
            f"the plan ends in this shape, and its law approaches {floor:.4g} but never reaches it"
            if alone
            else f"the lowest floor is {floor:.4g}, of {name}: a law approaches its floor but never reaches it"
        ],
        help=f"raise the target well above {floor:.4g}, or "
        + ("end in a candidate with a lower floor" if alone else "add a candidate with a lower floor"),
    )
    return False


def start_of(problem: Problem, report: Report) -> float | None:
    """The error at which the plan starts: the stated one, or the highest error that every law was fitted to; None after
    reporting `missing-start` or `target-above-start`."""
    start = problem.start
    measured = [problem.laws[shape].measured for shape in problem.candidates]
    if start is None and any(pair is None for pair in measured):
        stated = problem.candidates[measured.index(None)]
        report.error(
            "missing-start",
            "the error at which the run starts is not known",
            problem.spans.get(""),
            f"the law of {written(stated, problem)} was stated, not measured",
            help="add it, such as `start at error 1.2`",
        )
        return None
    if start is None:
        start = min(pair[0] for pair in measured if pair is not None)
    if problem.target is not None and problem.target >= start:
        report.error(
            "target-above-start",
            f"the target, error {problem.target:.4g}, is not below the start, error {start:.4g}",
            problem.spans.get("stop", problem.spans.get("")),
            "already reached",
            help="lower the target",
        )
        return None
    return start


def per_step(amount: Amount, problem: Problem, report: Report, setting: str) -> list[float] | None:
    """FLOPs of each candidate for an amount of steps; None after reporting `steps-without-model`."""
    if problem.step_compute is None:
        report.error(
            "steps-without-model",
            f"`{setting}` in steps needs a model",
            problem.spans.get(setting, problem.spans.get("")),
            "the FLOPs of a step are not known",
            help=f"write it in compute, such as `{setting}: 1 PFLOPs`",
        )
        return None
    return [amount.value * problem.step_compute[shape] for shape in problem.candidates]
