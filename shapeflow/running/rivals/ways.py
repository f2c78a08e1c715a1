"""Ways to train that are compared: the plan and its rivals, each with one run per seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import sealed
from shapeflow.running.pool import Job

PLAN = "plan"
ROOM = 2.5
"""A rival is stopped after this many times the plan's compute, or its seconds if its budget is in seconds."""

FIXED = {"last": "the fixed last shape", "best": "the best fixed shape"}
"""Names of the rivals that are fixed shapes."""

RIVALS = (*FIXED, "random")
"""The default rivals: the fixed shape that one would train otherwise, the best fixed shape, and uniform random, the
simplest use of the same shapes without laws."""

MEASURED = 25
"""The plan is evaluated at least this often, and a rival at least this often in the plan's compute. Between two
evaluations that are far apart, and before the first, the compute at which a run reaches the target is not known."""


@attrs.frozen
class Entry:
    """One way to train: the plan or a rival, with a job for each seed."""

    name: str
    what: str
    jobs: tuple[Job, ...]
    same: str | None = None
    """The name of the way that has the same runs."""

    @property
    def plan(self) -> Plan:
        """The plan of the first seed."""
        return self.jobs[0].plan


class Cases(Protocol):
    """Creates the ways to train that are compared, from a `.shape` file or from a plan file."""

    @property
    def plan(self) -> Entry:
        """The plan, without its schedule and cooldown."""
        ...

    def fixed(self, name: str, what: str, shape: Shape) -> Entry:
        """One candidate from the first step to the last. Raises Refused."""
        ...

    def traversal(self, name: str, what: str) -> Entry:
        """The shapes in the order of a traversal, in the syntax of a `.shape` file. Raises Refused."""
        ...


def entry(name: str, what: str, plans: Sequence[Plan], folder: Path) -> Entry:
    """A way to train, with one folder per seed, named after the way."""
    safe = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-")
    jobs = (Job(f"{what}, seed {plan.seed}", plan, folder / f"{safe}-seed{plan.seed}") for plan in plans)
    return Entry(name, what, tuple(jobs))


def fixed_entry(name: str, what: str, shape: Shape, plans: Sequence[Plan], folder: Path) -> Entry:
    """A fixed shape. Its folders are named after the shape, so that all rivals in this shape have the same runs."""
    values = "-".join(
        f"{axis}-{value}" if isinstance(value, str) else f"{axis}{value}" for axis, value in shape.items()
    )
    jobs = (
        Job(f"fixed {shape.written(plan.units)}, seed {plan.seed}", plan, folder / f"fixed-{values}-seed{plan.seed}")
        for plan in plans
    )
    return Entry(name, what, tuple(jobs))


def measured_often(plan: Plan) -> Plan:
    """The plan with at least `MEASURED` evaluations."""
    most = max(1, plan.steps // MEASURED)
    if plan.evaluate is not None and plan.evaluate <= most:
        return plan
    share = None if plan.evaluation is None or plan.evaluate is None else plan.evaluation * plan.evaluate / most
    return sealed(attrs.evolve(plan, evaluate=most, evaluation=share))


def budget_in(plan: Plan, shape: Shape) -> float:
    """FLOPs of the plan's budget in a fixed shape: those of the plan, or as many as the plan's seconds allow if it is
    compared by these."""
    return ((plan.totals.seconds if plan.in_seconds else plan.totals.compute) or 0.0) / plan.pace(shape)


def with_goal(entry: Entry, goal: tuple[str, float]) -> Entry:
    """The same entry, with jobs that stop when they reach a goal (metric, value). The plan's jobs never stop."""
    if PLAN in (entry.name, entry.same):
        return entry
    return attrs.evolve(entry, jobs=tuple(attrs.evolve(job, until=goal) for job in entry.jobs))
