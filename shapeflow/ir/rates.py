"""The learning rate of a step: a product of named factors, and a pure function of the plan and the step.

    lr(step) = base * shape * warmup * rewarm * schedule * cooldown

It is multiplied by `matrix` for matrices whose fan-in grows with the width. No state is stored, so a resumed run has
the same learning rates as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from shapeflow.ir.parameters import Parameter
from shapeflow.ir.plan import Plan, Stage

Rewarm = tuple[int, int]
"""The first step after a switch, and the number of steps of the warm-up that begins there."""

WIDENS = frozenset({"residual", "heads", "kv_heads", "hidden"})
"""Dims whose size grows with the width."""


@attrs.frozen
class Factors:
    """The factors of the learning rate of a step. All factors except `base` are 1 by default."""

    base: float
    """The optimizer's setting `lr`; 1 if it does not have one."""
    shape: float
    """Factor of the stage's shape, such as for its batch (`Stage.learning_rate`)."""
    matrix: float
    """Additional factor of the stage for matrices whose fan-in grows with the width (`Stage.matrix_rate`)."""
    warmup: float
    """Increases to 1 over the first steps of the run."""
    rewarm: float
    """Increases to 1 over the first steps after a switch with a warm-up."""
    schedule: float
    """Decreases from 1 over the run after the warm-up."""
    cooldown: float
    """Decreases from 1 towards 0 over the last steps of the run."""

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
    stage = plan.stages[plan.stage_at(step + 1)]
    return factors_in(plan, step, stage, rewarms(each for each in plan.stages if each.first_step <= step))


def factors_in(plan: Plan, step: int, stage: Stage, rewarms: Iterable[Rewarm]) -> Factors:
    """The same as `factors`, without a search. `stage`: that of the step; `rewarms`: the warm-ups of all switches so
    far, or those that are not over."""
    settings = {} if plan.optimizer is None else plan.optimizer.settings
    return Factors(
        base=float(settings.get("lr", 1.0)),
        shape=stage.learning_rate,
        matrix=stage.matrix_rate,
        warmup=rising(step, warmup(plan)),
        rewarm=min((rising(step - first, steps) for first, steps in rewarms), default=1.0),
        schedule=_scheduled(plan, step),
        cooldown=1.0 if plan.cooldown is None else falling(step - plan.steps + plan.cooldown, plan.cooldown),
    )


def warmup(plan: Plan) -> int:
    """Number of warm-up steps at the start of the run; 0 for an optimizer without a warm-up."""
    return 0 if plan.optimizer is None else int(plan.optimizer.settings.get("warmup", 0))


def remembered(plan: Plan, step: int, steps: int) -> float:
    """Sum of `Stage.memory` over the last `steps` steps up to and including `step`: the number of steps at the batch
    size of the data component that they count as. Over these steps, a decay b compounds to b to this power."""
    return sum(
        stage.memory * max(0, min(stage.last_step, step + 1) - max(stage.first_step, step + 1 - steps))
        for stage in plan.stages
    )


def horizon(steps: int, memory: float) -> float:
    """Weight of the newest entry in an average with a horizon of `steps`, if a step counts as `memory` steps:
    1 - (1 - 1/steps) ** memory."""
    return 1 / steps if memory == 1 or steps == 1 else -math.expm1(memory * math.log1p(-1 / steps))


def rising(step: int, steps: int) -> float:
    """Linear warm-up factor: 1/steps at step 0, and 1 from step `steps - 1` on. Always 1 if `steps` is 0."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


def falling(step: int, steps: int) -> float:
    """Cooldown factor 1 - sqrt(step / steps) (Hägele et al., arXiv 2405.18392, section 3). It is 1 up to step 0, the
    first step of the cooldown, and would be 0 one step after the last."""
    return 1 - math.sqrt(min(step, steps) / steps) if step > 0 else 1.0


def _scheduled(plan: Plan, step: int) -> float:
    """The factor of the schedule. Progress is the share of completed steps after the warm-up: the first of these steps
    has the full rate, and the final rate would be reached one step after the last."""
    begin = warmup(plan)
    if plan.schedule is None or step <= begin:
        return 1.0
    return plan.schedule.at((step - begin) / (plan.steps - begin))


def rewarms(stages: Iterable[Stage]) -> list[Rewarm]:
    """The warm-ups at the starts of some stages. The lowest factor counts, so one that is longer than its stage
    continues in the next."""
    found = ((stage.first_step, stage.transition.rewarm) for stage in stages if stage.transition is not None)
    return [each for each in found if each[1]]


def reads_width(parameter: Parameter) -> bool:
    """Whether a parameter is a matrix whose fan-in grows with the width: every projection, and an untied head. False
    for embeddings and patch kernels, whose inputs are tokens or pixels, and for vectors."""
    return parameter.role == "matrix" and not WIDENS.isdisjoint(set(parameter.logical) - {parameter.writes})
