"""Where two plans part: how many first steps they make alike, and what they do differently then.

Two steps are alike if everything that changes weights, optimizer state or their order is the same: stage, shape, blend,
samples, factors of the learning rate and of memory, objective, and the switch before the step. What is measured, saved,
predicted or noted does not count, and neither does the path of the data, whose digest a run's folder has.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.contexts import MIXTURE, data_of, weights_of
from shapeflow.ir.decks import DECK, next_mixed
from shapeflow.ir.edits import REVERSIBLE, Edit
from shapeflow.ir.plan import Blend, Plan, Spec, Stage
from shapeflow.ir.rates import factors, warmup

_TRIED = 100_000
"""Steps of a schedule that are compared. Two schedules are rarely equal for longer than one step after the warm-up."""


@attrs.frozen
class Parting:
    """The first difference between two plans. As a sentence: WHAT `one` in the first plan, `other` in the second."""

    step: int
    """Number of first steps that both plans make alike: a checkpoint after at most this number serves both."""
    what: str
    one: str
    other: str
    remedy: str | None = None
    """What to write so that the second plan begins like the first."""

    def said(self, first: str, second: str) -> str:
        """The difference as a clause. `first`, `second`: what the plans are called, such as `that plan`."""
        verb, _, rest = self.other.partition(" ")
        again = rest if rest and self.one.startswith(f"{verb} ") else self.other
        return f"{self.what} {self.one} in {first}, {again} in {second}"


def parting(one: Plan, other: Plan, rates: bool = True) -> Parting | None:
    """Where two plans part; None if they make the same steps. Both need a model. `rates`: whether the settings of their
    optimizers, their schedules and cooldowns count.

    Looks at stages, stretches of blends and formulas of rates, not at each step."""
    start = next(_from_the_start(one, other, rates), None)
    if start is not None:
        return start
    counted = (_stages, _weights, *((_cooldown, _schedule) if rates else ()))
    found = [each for of in counted if (each := of(one, other)) is not None]
    return min(found, key=lambda each: each.step, default=None)


def _from_the_start(one: Plan, other: Plan, rates: bool) -> Iterator[Parting]:
    """Differences that matter in every step."""
    for name in ("model", "data", "optimizer"):
        first, second = (_told(plan, name) for plan in (one, other))
        if name == "optimizer" and not rates:
            yield from _value(0, "the optimizer", first.name, second.name)
        else:
            yield from _spec(f"the {name}", first, second)
    yield from _order(one, other)
    for name in ("seed", "convention"):
        yield from _value(0, f"`{name}`", getattr(one, name), getattr(other, name))
    yield from _value(0, "the file of the first weights", *(each.start and each.start.sha256 for each in (one, other)))
    yield from _fields("the slot", one.slots, other.slots)
    for name in ("parameters", "apart"):
        if getattr(one, name) != getattr(other, name):
            yield Parting(0, f"the table `{name}`", "has other entries", "those of this version of the model")


def _told(plan: Plan, name: str) -> Spec:
    """A component without the settings that do not count, or that count later."""
    spec = getattr(plan, name)
    if spec is None:
        return Spec("none")
    settings = dict(spec.settings)
    if name == "data":
        settings = {each: value for each, value in settings.items() if each not in ("path", "order", "block")}
        if spec.name == MIXTURE:
            parts = data_of(plan).settings["of"]
            settings["of"] = [{each: value for each, value in one.items() if each != "path"} for one in parts]
    if name == "optimizer" and "warmup" in settings:
        # A warm-up of one step has the full rate, as has none.
        settings["warmup"] = max(1, settings["warmup"])
    return Spec(spec.name, settings)


def _order(one: Plan, other: Plan) -> Iterator[Parting]:
    """Differences in the order of text, as it is read and not as it is written."""
    a, b = (data_of(plan).settings for plan in (one, other))
    for name, unit in (("order", ""), ("block", " tokens")):
        remedy = f"write `{name}: {a.get(name)}{unit}` among the settings of the data"
        found = _value(0, f"the data's setting `{name}`", a.get(name), b.get(name))
        yield from (attrs.evolve(each, remedy=remedy) for each in found)


def _spec(what: str, one: Spec, other: Spec) -> Iterator[Parting]:
    yield from _value(0, what, one.name, other.name)
    yield from _fields(f"{what}'s setting", one.settings, other.settings)


def _fields(what: str, one: Mapping[str, Any], other: Mapping[str, Any], step: int = 0) -> Iterator[Parting]:
    for name in sorted(one.keys() | other.keys()):
        yield from _value(step, f"{what} `{name}`", one.get(name), other.get(name))


def _value(step: int, what: str, one: Any, other: Any) -> Iterator[Parting]:
    if one != other:
        yield Parting(step, what, *(f"is {'not set' if value is None else value}" for value in (one, other)))


def _stages(one: Plan, other: Plan) -> Parting | None:
    """The first difference between stages, apart from factors that follow from the length of the run."""
    for index, (a, b) in enumerate(zip(one.stages, other.stages, strict=False)):
        found = next(_stage(one, other, index), None) or _blends(one, other, index)
        if found is not None:
            return found
        if a.last_step != b.last_step:
            last = any(stage is plan.stages[-1] for plan, stage in ((one, a), (other, b)))
            ends = (plan.steps if last else stage.last_step for plan, stage in ((one, a), (other, b)))
            what = "the plan" if last else f"stage {index + 1}"
            said, other_said = (f"ends after step {end:,}" for end in ends)
            remedy = "write a larger budget" if last else _same_end(one, other, index)
            return Parting(min(a.last_step, b.last_step), what, said, other_said, remedy)
    if len(one.stages) == len(other.stages):
        return None
    return Parting(min(one.steps, other.steps), "the plan", *(f"ends after step {end.steps:,}" for end in (one, other)))


def _same_end(one: Plan, other: Plan, index: int) -> str | None:
    """What to write so that a stage of the second plan ends as in the first; None if that plan ends with it."""
    end = one.stages[index].last_step
    if one.stages[index] is one.stages[-1]:
        return None
    if end >= other.steps:
        return "write a larger budget"
    return f"end stage {index + 1} with `until {end} steps`: a percentage grows with the budget"


def _stage(one: Plan, other: Plan, index: int) -> Iterator[Parting]:
    """Differences between two stages that begin at the same step, apart from their blends and lengths."""
    a, b = one.stages[index], other.stages[index]
    step, name = a.first_step, f"stage {index + 1}"
    yield from _switch(one, other, index)
    if a.shape != b.shape:
        yield Parting(step, name, *(f"has the shape {s.shape.written(p.units)}" for p, s in ((one, a), (other, b))))
    for field, what in _OF_STAGE.items():
        yield from _value(step, f"the {what} of {name}", getattr(a, field), getattr(b, field))
    yield from _fields(f"the size in {name} of", a.sizes, b.sizes, step)
    yield from _objective(step, one, other, a.shape)
    if a.reading != b.reading:
        yield Parting(step, f"the reading of {name}", "has other edits", "those of this version")


_OF_STAGE = {
    "batch": "batch",
    "step_compute": "FLOPs of a step",
    "learning_rate": "factor of the learning rate",
    "matrix_rate": "factor of the learning rate of matrices",
    "memory": "memory",
}


def _objective(step: int, one: Plan, other: Plan, shape: Shape) -> Iterator[Parting]:
    a, b = (_objective_of(plan, shape) for plan in (one, other))
    yield from (attrs.evolve(found, step=step) for found in _spec("the objective", a, b))


def _objective_of(plan: Plan, shape: Shape) -> Spec:
    """The objective of the steps in a shape."""
    name = shape["loss"] if "loss" in shape else next(iter(plan.objectives))
    return plan.objectives[str(name)]


def _switch(one: Plan, other: Plan, index: int) -> Iterator[Parting]:
    """Differences between the switches at the start of a stage. Their credits and their time change no step."""
    (a, effect), (b, effect_of_other) = (_effect(plan, index) for plan in (one, other))
    step, what = one.stages[index].first_step, f"the switch to stage {index + 1}"
    yield from _value(step, what, a, b)
    if effect.pop("edits", ()) != effect_of_other.pop("edits", ()):
        yield Parting(step, what, "makes other edits", "those of this version")
    yield from _fields(f"{what}: its", effect, effect_of_other, step)


def _effect(plan: Plan, index: int) -> tuple[str, dict[str, Any]]:
    stage = plan.stages[index]
    switch = stage.transition
    if switch is None:
        return stage.arrives_by, {}
    effect: dict[str, Any] = {name: getattr(switch, name) for name in ("edits", "moments", "average", "rewarm")}
    if switch.moments == "fresh" and not all(isinstance(edit, REVERSIBLE) for edit in switch.edits):
        # The longest memory to come decides whether new entries keep an age of their own.
        effect["smallest memory of later stages"] = min(later.memory for later in plan.stages[index:])
    return stage.arrives_by, effect


def _blends(one: Plan, other: Plan, index: int) -> Parting | None:
    """The first step of two stages that is dealt to different shapes. Stretches that are dealt by the same key are
    alike."""
    a, b = one.stages[index], other.stages[index]
    for first, last in _common(a, b):
        dealt = [_key(stage, first) for stage in (a, b)]
        if dealt[0] == dealt[1] or not (dealt[0][2] or dealt[1][2]):
            step = None
        else:
            step = _unlike(one.seed, index, (a, b), (first, last))
        for shape in {blend.shape for _, _, active in dealt for blend in active} if step is None else ():
            found = next(_objective(a.first_step + first, one, other, shape), None)
            if found is not None:
                return found
        if step is not None:
            taken = [stage.blend_at(one.seed, index, step) or stage for stage in (a, b)]
            shapes = (each.shape.written(plan.units) for plan, each in zip((one, other), taken, strict=True))
            start = a.first_step + step
            said, other_said = (f"is in the shape {shape}" for shape in shapes)
            # A preview is a share of its stage, and begins elsewhere if the stage ends elsewhere.
            remedy = _same_end(one, other, index) if a.last_step != b.last_step else None
            remedy = remedy or f"write the previews and shares of stage {index + 1} as the plan of the run has them"
            return Parting(start, f"step {start + 1:,}", said, other_said, remedy)
    return None


def _common(a: Stage, b: Stage) -> Iterator[tuple[int, int]]:
    """Stretches of the steps that two stages have in common, within which neither changes its blends."""
    end = min(a.last_step - a.first_step, b.last_step - b.first_step)
    bounds = {end} | {first for stage in (a, b) for first, _, _ in stage.pieces if first < end}
    return itertools.pairwise(sorted(bounds))


def _key(stage: Stage, step: int) -> tuple[int, int, tuple[Blend, ...]]:
    """What decides the deal of the stretch that contains a step: its number, its first step, and its blends without
    their ends."""
    number, (first, _, active) = next(each for each in enumerate(stage.pieces) if each[1][0] <= step < each[1][1])
    return number, first, tuple(attrs.evolve(blend, first=0, last=0) for blend in active)


def _unlike(seed: int, index: int, stages: tuple[Stage, Stage], within: tuple[int, int]) -> int | None:
    """The first step that two stages deal to different shapes, in a stretch in which both have constant blends."""
    step, last = within
    while (step := min(_next_mixed(stage, step, last) for stage in stages)) < last:
        end = min(step + DECK, last)
        for each in range(step, end):
            a, b = (_taken(stage, stage.blend_at(seed, index, each)) for stage in stages)
            if a != b:
                return each
        step = end
    return None


def _taken(stage: Stage, blend: Blend | None) -> tuple[Shape, tuple[Edit, ...]]:
    """The shape of a step, and the edits that select it."""
    return (stage.shape, stage.reading) if blend is None else (blend.shape, blend.edits)


def _next_mixed(stage: Stage, step: int, last: int) -> int:
    """The first step from `step` on whose deck contains a blended step; `last` if there is none before it."""
    _, first, active = _key(stage, step) if step < last else (0, 0, ())
    shares = tuple(blend.share for blend in active)
    if not shares:
        return last
    deck = next_mixed(shares, (step - first) // DECK, -(-(last - first) // DECK))
    return min(last, max(step, first + deck * DECK))


def _weights(one: Plan, other: Plan) -> Parting | None:
    """The first step with other weights of the corpora."""
    if not (one.weights or other.weights):
        return None
    changes = [weights_of(plan) for plan in (one, other)]
    for step in sorted({each.first for found in changes for each in found}):
        a, b = (next(each.shares for each in reversed(found) if each.first <= step) for found in changes)
        if step >= min(one.steps, other.steps):
            return None
        if a != b:
            said = (f"are {', '.join(f'{100 * share:.4g}%' for share in shares)}" for shares in (a, b))
            return Parting(step, f"the weights of the corpora after step {step:,}", *said)
    return None


def _cooldown(one: Plan, other: Plan) -> Parting | None:
    """The second step of the earlier cooldown: its first has the full rate."""
    a, b = ((plan.cools_from, plan.cooldown) for plan in (one, other))
    if a == b:
        return None
    step = min(plan.cools_from for plan in (one, other) if plan.cools_from is not None) + 1
    if step >= min(one.steps, other.steps):
        return None
    said = ("does not begin" if cools is None else f"begins after step {cools:,}" for cools, _ in (a, b))
    if a[0] == b[0]:
        said = (f"takes {steps:,} steps" for _, steps in (a, b))
    return Parting(step, "the cooldown", *said)


def _schedule(one: Plan, other: Plan) -> Parting | None:
    """The first step at which two schedules have different factors."""
    a, b = ((plan.schedule, plan.schedule and (warmup(plan), plan.steps)) for plan in (one, other))
    if a == b:
        return None
    begin = min(warmup(plan) for plan in (one, other) if plan.schedule is not None) + 1
    end = min(one.steps, other.steps)
    tried = range(begin, min(end, begin + _TRIED))
    alike = (factors(one, step).schedule == factors(other, step).schedule for step in tried)
    step = next((step for step, same in zip(tried, alike, strict=True) if not same), begin + _TRIED)
    if step >= end:
        return None
    what = (
        "is constant"
        if plan.schedule is None
        else f"is {plan.schedule.form} to {plan.schedule.final:g} at step {plan.steps:,}"
        for plan in (one, other)
    )
    return Parting(step, "the schedule of the learning rate", *what)
