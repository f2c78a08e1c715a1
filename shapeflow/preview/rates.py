"""Describes the learning rate of a plan: its factors in each stage."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.ir.decay import Decay
from shapeflow.ir.plan import Plan, Stage
from shapeflow.ir.rates import factors, horizon, warmup
from shapeflow.preview.numbers import count, error, flops


def rate_lines(plan: Plan) -> Iterator[str]:
    """Yield a line for the run, one for each stage whose learning rate differs, and one for the schedule or cooldown.

    Yields nothing for a plan without a model, or with the optimizer's learning rate throughout.
    """
    if not plan.runnable:
        return
    stages = [(number, line) for number, stage in enumerate(plan.stages, 1) if (line := _stage(plan, stage))]
    if not stages and plan.cooldown is None and plan.schedule is None:
        return
    settings = {} if plan.optimizer is None else plan.optimizer.settings
    rise = settings.get("warmup")
    rises = f", linear warm-up over the first {count(rise)} steps" if rise else ""
    yield f"learning rate: {factors(plan, 0).base:.4g}{rises}"
    for number, line in stages:
        yield f"  stage {number}: {line}"
    if plan.schedule is not None:
        yield f"  {_schedule(plan, plan.schedule)}"
    if plan.cools_from is not None:
        yield f"  {_cooldown(plan, plan.cools_from)}"


def _stage(plan: Plan, stage: Stage) -> str:
    found = factors(plan, stage.first_step)
    said = []
    if found.shape != 1:
        said.append(f"x {found.shape:.4g} for this shape = {found.base * found.shape:.4g}")
    if found.matrix != 1:
        own = found.base * found.shape * found.matrix
        said.append(f"x {found.matrix:.4g} for matrices whose inputs are channels = {own:.4g}")
    if stage.transition is not None and stage.transition.rewarm:
        said.append(f"linear warm-up over its first {count(stage.transition.rewarm)} steps")
    if found.schedule != 1:
        said.append(f"x {found.schedule:.4g} from the schedule at its start")
    settings = {} if plan.optimizer is None else plan.optimizer.settings
    if stage.memory != 1 and "average" in settings:
        # An optimizer without a second moment has no beta2.
        beta2 = f"beta2 {settings['beta2'] ** stage.memory:.6g} and " if "beta2" in settings else ""
        said.append(
            f"{beta2}averaging horizon {1 / horizon(settings['average'], stage.memory):.3g} steps, for its batch"
        )
    return ", ".join(said)


def _schedule(plan: Plan, decay: Decay) -> str:
    begin = warmup(plan)
    after = f"step {count(begin)} ({flops(plan.compute_at(begin))})"
    return f"schedule: {decay.form} from x 1 at {after} to x {decay.final:.4g} at the end"


def _cooldown(plan: Plan, begin: int) -> str:
    spent, reached = plan.compute_at(begin), plan.predicted(begin)
    expected = "" if reached is None else f"; the laws predict {error(reached, plan.metric)} at its start"
    last = "step" if plan.cooldown == 1 else f"{count(plan.cooldown)} steps"
    steps = f"over the last {last}, from step {count(begin)} ({flops(spent)})"
    return f"cooldown: x (1 - sqrt(progress)) {steps}; evaluated at its start{expected}"
