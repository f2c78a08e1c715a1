"""The ways to train that a plan file allows: the plan, and the shapes that it trains in, fixed.

A plan file holds the sizes, views and rates of the shapes of its stages and blends alone. Other candidates, and other
traversals, need the `.shape` file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Candidate, Comparator, Comparison, Plan, Point, Stage, Totals
from shapeflow.ir.plan_json import sealed
from shapeflow.running.rivals.ways import PLAN, ROOM, Entry, budget_in, entry, fixed_entry, measured_often
from shapeflow.running.specs import load

CHECKPOINTS = 10
"""The number of checkpoints of a fixed shape."""


@attrs.frozen
class OfPlan:
    """Derives the plan's other seeds and its rivals from a compiled plan."""

    path: Path
    seeds: tuple[int, ...]
    folder: Path
    plan: Entry

    @classmethod
    def of(cls, path: Path, seeds: Sequence[int] | None, folder: Path, report: Report) -> OfPlan:
        """Read the plan. `seeds`: default: the plan's seed. Raises Refused."""
        plan = load(path)
        if not plan.runnable:
            message = "the plan has no model, so there is nothing to compare"
            help_ = "add `model`, `data` and `objective` to its `.shape` file"
            raise Refused(Diagnostic("no-model", message, place=str(path), help=help_))
        if plan.cooldown is not None:
            report.warning("cooldown-left-out", "runs of a comparison do not cool down", place=str(path))
        if plan.weights:
            report.warning("weights-left-out", "runs of a comparison keep the first weights", place=str(path))
        if plan.schedule is not None:
            report.warning("schedule-left-out", "`compare` trains without the schedule", place=str(path))
        if plan.start is not None:
            report.warning("start-left-out", "runs of a comparison start from new weights", place=str(path))
        chosen = tuple(seeds or (plan.seed,))
        plain = attrs.evolve(plan, schedule=None, cooldown=None, weights=(), start=None)
        plans = [measured_often(sealed(seeded(plain, seed))) for seed in chosen]
        return cls(path, chosen, folder, entry(PLAN, "the plan", plans, folder))

    def fixed(self, name: str, what: str, shape: Shape) -> Entry:
        """Raises Refused `not-in-plan` for a shape in which the plan does not train."""
        plan = self.plan.plan
        stage = fixed_stage(plan, shape)
        if stage is None:
            message = f"the plan does not train in {shape.written(plan.units)}"
            help_ = "compare its `.shape` file instead"
            raise Refused(Diagnostic("not-in-plan", message, place=str(self.path), help=help_))
        plans = [fixed_plan(attrs.evolve(plan, seed=seed), stage) for seed in self.seeds]
        return fixed_entry(name, what, shape, plans, self.folder)

    def traversal(self, name: str, what: str) -> Entry:
        """Raises Refused `not-in-plan`."""
        message, help_ = "a compiled plan has one traversal, its own", "compare its `.shape` file instead"
        raise Refused(Diagnostic("not-in-plan", message, place=str(self.path), help=help_))


def seeded(plan: Plan, seed: int) -> Plan:
    """The plan with another seed, unsealed. The compute of stages with blends depends on the seed."""
    if seed == plan.seed:
        return plan
    stages: list[Stage] = []
    compute = 0.0
    for index, stage in enumerate(plan.stages):
        enter = attrs.evolve(stage.enter, compute=compute)
        compute += stage.compute_of(seed, index, stage.last_step - stage.first_step)
        stages.append(attrs.evolve(stage, enter=enter, leave=attrs.evolve(stage.leave, compute=compute)))
    totals = attrs.evolve(plan.totals, compute=compute)
    return attrs.evolve(plan, seed=seed, stages=tuple(stages), totals=totals)


def fixed_stage(plan: Plan, shape: Shape) -> Stage | None:
    """The stage of a run that starts in a shape and stays in it, of the plan's length; None if the plan never trains in
    that shape."""
    for stage in plan.stages:
        alone = attrs.evolve(stage, arrives_by="start", transition=None, blends=())
        if stage.shape == shape:
            return alone
        for blend in stage.blends:
            if blend.shape == shape:
                return attrs.evolve(alone, shape=shape, step_compute=blend.compute, reading=blend.edits)
    return None


def fixed_plan(plan: Plan, stage: Stage) -> Plan:
    """A plan of one stage for `ROOM` times the plan's compute, or its seconds if the plan is compared by these, without
    laws, as a sweep has it."""
    whole, cost = budget_in(plan, stage.shape), stage.cost
    compute = ROOM * whole
    steps = max(1, math.floor(compute / cost * (1 + 1e-12)))
    end = Point(steps, steps * cost, None)
    none = "the plan has no laws"
    return sealed(
        attrs.evolve(
            plan,
            candidates=tuple(Candidate(one.shape, None) for one in plan.candidates),
            stages=(attrs.evolve(stage, steps=steps, enter=Point(0, 0.0, None), leave=end),),
            totals=Totals(end.compute, None, steps),
            comparison=Comparison(Comparator(None, None, None, none), Comparator(stage.shape, None, None, none)),
            uncertainty=None,
            answer=None,
            traversal=None,
            notes=(),
            evaluation=None,
            evaluate=max(1, round(whole / plan.steps * (plan.evaluate or 1) / cost)),
            checkpoint=max(1, round(steps / CHECKPOINTS)),
        )
    )
