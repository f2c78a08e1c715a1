"""The learning rate of a step: a product of named factors, a pure function of the plan and the step.

    lr(step) = base * shape * warmup * rewarm * schedule * cooldown, times `matrix` for matrices that read channels

Nothing of it is stored: a resumed run has the learning rate that it would have had.
"""

from __future__ import annotations

import math

import attrs

from shapeflow.ir.parameters import Parameter
from shapeflow.ir.plan import Plan

WIDENS = frozenset({"residual", "heads", "kv_heads", "hidden"})
"""Dims whose sizes grow with the width."""


@attrs.frozen
class Factors:
    """What the learning rate of a step is made of; all but `base` are 1 where they say nothing."""

    base: float
    """The optimizer's own `lr`; 1 of an optimizer that has none."""
    shape: float
    """What the stage's shape asks for: its batch."""
    matrix: float
    """What it asks for of matrices whose fan-in grows with the width, beside all the rest."""
    warmup: float
    """Rises to 1 over the first steps of the run."""
    rewarm: float
    """Rises to 1 over the first steps behind a switch that asks for it."""
    schedule: float
    """Falls from 1 over the whole run after the warm-up."""
    cooldown: float
    """Falls from 1 towards 0 over the last steps of the run."""

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.base * self.shape * self.warmup * self.rewarm * self.schedule * self.cooldown

    @property
    def matrix_rate(self) -> float:
        """The learning rate of matrices whose fan-in grows with the width."""
        return self.rate * self.matrix


def factors(plan: Plan, step: int) -> Factors:
    """The factors of the learning rate of a plan's `step`-th step, counted from 0."""
    settings = {} if plan.optimizer is None else plan.optimizer.settings
    stage = plan.stages[plan.stage_at(step + 1)]
    return Factors(
        base=float(settings.get("lr", 1.0)),
        shape=stage.learning_rate,
        matrix=stage.matrix_rate,
        warmup=rising(step, warmup(plan)),
        rewarm=_rewarm(plan, step),
        schedule=_scheduled(plan, step),
        cooldown=1.0 if plan.cooldown is None else falling(step - plan.steps + plan.cooldown, plan.cooldown),
    )


def warmup(plan: Plan) -> int:
    """Steps of the warm-up; 0 for an optimizer that has none."""
    return 0 if plan.optimizer is None else int(plan.optimizer.settings.get("warmup", 0))


def remembered(plan: Plan, step: int, steps: int) -> float:
    """What the last `steps` steps, up to the plan's `step`-th, count as, in steps of the data's own batch. Before
    them a decay b has become b to this power."""
    return sum(
        stage.memory * max(0, min(stage.last_step, step + 1) - max(stage.first_step, step + 1 - steps))
        for stage in plan.stages
    )


def horizon(steps: int, memory: float) -> float:
    """Weight of the newest entry in an average over so many steps, each of which counts as `memory` of them."""
    return 1 / steps if memory == 1 or steps == 1 else -math.expm1(memory * math.log1p(-1 / steps))


def rising(step: int, steps: int) -> float:
    """A linear rise: 1/steps at step 0, 1 from the last of `steps` steps on; 1 throughout for no steps."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


def falling(step: int, steps: int) -> float:
    """1 - sqrt(progress) (Hägele et al., arXiv 2405.18392, section 3): the progress is the share of `steps` steps that
    are done, so that the first is at the full rate and the rate would be 0 behind the last. 1 before them."""
    return 1 - math.sqrt(min(step, steps) / steps) if step > 0 else 1.0


def _scheduled(plan: Plan, step: int) -> float:
    """The schedule's factor. Progress is the share of the steps after the warm-up that are done, as for the cooldown:
    the first of them is at the full rate, and the final one would be reached one step after the last."""
    begin = warmup(plan)
    if plan.schedule is None or step <= begin:
        return 1.0
    return plan.schedule.at((step - begin) / (plan.steps - begin))


def _rewarm(plan: Plan, step: int) -> float:
    """The lowest of the rises behind all switches so far: a rise that is longer than its stage goes on in the next."""
    switches = ((stage.transition, step - stage.first_step) for stage in plan.stages if stage.first_step <= step)
    return min((rising(since, switch.rewarm) for switch, since in switches if switch is not None), default=1.0)


def reads_width(parameter: Parameter) -> bool:
    """Whether a parameter is a matrix whose fan-in grows with the width: every projection, and a head of its own. No
    embedding and no patch kernel, which read tokens or pixels; no vector."""
    return parameter.role == "matrix" and not WIDENS.isdisjoint(set(parameter.logical) - {parameter.writes})
