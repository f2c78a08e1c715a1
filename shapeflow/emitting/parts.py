"""What all targets share: stretches of equal settings, and what a target cannot carry."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.edits import View
from shapeflow.ir.plan import Plan
from shapeflow.ir.steps import Step, Steps


@attrs.frozen
class LeftOut:
    """Something of a plan that a target does not do. `what`: a name, such as an axis; `step`: the first step, from 0,
    that differs."""

    what: str
    why: str
    step: int = 0


@attrs.frozen
class Facts:
    """What a plan does not know, and a target needs. None: not given."""

    model: str | None = None
    """timm's name of the model."""
    images: int | None = None
    """Number of training images."""
    image_side: int | None = None
    """Pixels along a side, for a plan without an axis `resolution`."""


@attrs.frozen
class Emitted:
    """A plan as files of another trainer."""

    target: str
    written_for: str
    """The version of the target whose sources the files follow."""
    files: Mapping[str, str]
    """Name -> text."""
    left_out: tuple[LeftOut, ...]


@attrs.frozen
class Stretch:
    """Consecutive steps with the same settings, from `first` to `last` (exclusive). `step`: the first of them, without
    its blend."""

    first: int
    last: int
    values: tuple[int | None, ...]
    step: Step


def stretches(plan: Plan, *names: str) -> list[Stretch]:
    """Stages with the same values of the named fields of a step, joined. Blends are not seen."""
    steps, found = Steps(plan), list[Stretch]()
    for stage in plan.stages:
        inner = range(stage.first_step, stage.last_step)
        # A stage has at least one step of its own shape: the shares of its blends are below 1.
        own = next((step for n in inner if (step := steps.at(n)).shape == stage.shape), steps.at(stage.first_step))
        values = tuple(getattr(own, name) for name in names)
        if found and found[-1].values == values:
            found[-1] = attrs.evolve(found[-1], last=stage.last_step)
        else:
            found.append(Stretch(stage.first_step, stage.last_step, values, own))
    return found


def samples_before(plan: Plan, made: list[Stretch]) -> list[int]:
    """The number of sequences or images before each of some stretches that follow each other. No step is blended."""
    counts = ((each.last - each.first) * each.step.samples for each in made)
    return list(itertools.accumulate(counts, initial=0))[:-1]


def not_carried(plan: Plan, axes: Collection[str], rates: Collection[str] = ()) -> list[LeftOut]:
    """What no setting of a target does. `axes`: those that it can vary; `rates`: the factors of the learning rate that
    it carries, of `shape` and `matrix`."""
    left: dict[str, LeftOut] = {}

    def leave(what: str, why: str, step: int) -> None:
        left.setdefault(what, LeftOut(what, why, step))

    for before, stage in itertools.pairwise(plan.stages):
        for axis in before.shape.changed(stage.shape):
            if axis not in axes:
                leave(axis, "it has no setting that changes this during training", stage.first_step)
    for stage in plan.stages:
        for blend in stage.blends:
            first = stage.first_step + blend.first
            leave("blends", "it has one setting at a time, not a share of the steps in another shape", first)
        if any(isinstance(edit, View) for edit in stage.reading):
            leave(
                "views",
                "it trains the parameters that it stores, and does not read them through a view",
                stage.first_step,
            )
        if stage.memory != 1:
            leave("beta2", "its decay of the second moment does not follow the batch", stage.first_step)
        if stage.learning_rate != plan.stages[0].learning_rate and "shape" not in rates:
            leave("lr", "it has no factor on the learning rate for a shape", stage.first_step)
        if stage.matrix_rate != 1 and "matrix" not in rates:
            leave("matrix lr", "it has no learning rate of its own for matrices", stage.first_step)
        if stage.transition is not None and stage.transition.rewarm:
            leave("rewarm", "its learning rate does not rise again after a switch", stage.first_step)
    if plan.start is not None:
        leave("start", f"it does not read `{plan.start.file}`: start it from these weights yourself", 0)
    for weights in plan.weights:
        leave("mixture weights", "the weights of its corpora do not change during training", weights.first)
    return sorted(left.values(), key=lambda each: each.step)


def head(plan: Plan, written_for: str, left: list[LeftOut], notes: list[str]) -> str:
    """The first lines of a file: where it comes from, what it leaves out, and what is left to the user."""
    first, settings = Steps(plan).at(0), {} if plan.optimizer is None else plan.optimizer.settings
    base = float(settings.get("lr", 1.0)) * plan.stages[0].learning_rate
    rate = f"{base!r} in the first stage, warm-up of {settings.get('warmup', 0)} steps"
    if plan.cooldown is not None:
        rate += f", 1 - sqrt cooldown over the last {plan.cooldown} steps"
    if plan.schedule is not None:
        rate += ", then a schedule over all steps (`schedule` of the plan)"
    lines = [
        f"Plan {plan.name!r}, {plan.steps} steps, digest {plan.digest}",
        f"Written for {written_for}.",
        f"Set yourself: model, data, objective ({first.loss}), optimizer, and the learning rate ({rate}).",
        *notes,
        *(f"LEFT OUT from step {each.step} (of 0..{plan.steps - 1}): {each.what}: {each.why}." for each in left),
    ]
    # A name in a plan file must not end the comment.
    return "".join(f"# {' '.join(line.split())}\n" for line in lines)


def require_text(plan: Plan, target: str) -> None:
    """Raise Refused `cannot-emit` for a plan that does not train on text."""
    if Steps(plan).at(0).context is None:
        message = f"{target} trains on sequences of tokens, and the plan does not"
        help_ = "images: `--to timm`; any loop: `shapeflow.follow`"
        raise Refused(Diagnostic("cannot-emit", message, place=plan.name, help=help_))
