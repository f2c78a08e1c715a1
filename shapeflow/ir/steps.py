"""What a step of a plan is, for a training loop that is not ours. No torch, and no state: any step, in any order."""

from __future__ import annotations

import functools
import itertools

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import Edit, Swap
from shapeflow.ir.plan import Plan, Transition
from shapeflow.ir.rates import Factors, factors_in, rewarms
from shapeflow.ir.workload import Cursor, batch_of, samples_of


@attrs.frozen
class Step:
    """One step of a plan. Steps and stages are counted from 0."""

    index: int
    stage: int
    shape: Shape
    """The shape of this step, which in a blended step is that of the blend."""
    batch: int
    """Images, or tokens, of the step, in all processes together."""
    samples: int
    """Images, or sequences, of the step, in all processes together."""
    context: int | None
    """Tokens of a sequence; None for images."""
    resolution: int | None
    """Pixels along a side of the images that the model sees; None: as many as the data has."""
    patch: int | None
    """Pixels along a side of a patch; None for a model without patches."""
    loss: str
    """Name of the plan's objective that the step minimises."""
    rates: Factors
    """The factors of the learning rate."""
    memory: float
    """Exponent for the decays of the second moment and of the averaged weights (`Stage.memory`)."""
    reading: tuple[Edit, ...]
    """The View and Swap edits that select the shape."""
    switch: int | None
    """Number of the switch before this step, from 0; None unless the step is the first after a switch."""
    transition: Transition | None
    """What is done at the switch before this step; None without one."""
    before: int
    """Images, or tokens, of all earlier steps."""
    cost: float
    """FLOPs of the step, in the plan's convention."""
    compute: float
    """FLOPs of all steps up to and including this one."""
    measure: bool
    """Whether the plan evaluates after this step."""
    save: bool
    """Whether the plan saves a checkpoint after this step."""
    last: bool

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self.rates.rate


class Steps:
    """The steps of a plan, each found by bisection.

    A step costs O(log stages). The first use of a stage whose steps alternate between several batch sizes counts its
    steps once."""

    def __init__(self, plan: Plan) -> None:
        """Raises Refused `no-model` for a plan without a model, which has no steps."""
        if not plan.runnable:
            message = "the plan has no model, so it has no steps to follow"
            raise Refused(Diagnostic("no-model", message, help="add a `model` sentence to the `.shape` file"))
        self.plan = plan
        self._cursor = Cursor(plan)
        spent = (stage.compute_of(plan.seed, at, stage.steps or 0) for at, stage in enumerate(plan.stages))
        self._compute = list(itertools.accumulate(spent, initial=0.0))
        self._rewarms = _lasting(plan)

    def __len__(self) -> int:
        return self.plan.steps

    def at(self, n: int) -> Step:
        """Return step `n`, counted from 0. Raises Refused `no-such-step`."""
        plan = self.plan
        if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < plan.steps:
            message, help_ = f"the plan has no step {n!r}", f"use a whole number from 0 to {plan.steps - 1}"
            raise Refused(Diagnostic("no-such-step", message, place="at", help=help_))
        index = plan.stage_at(n + 1)
        stage = plan.stages[index]
        within = n - stage.first_step
        blend = stage.blend_at(plan.seed, index, within)
        edits, shape = (stage.reading, stage.shape) if blend is None else (blend.edits, blend.shape)
        slots = {**plan.slots, **{edit.slot: edit.to for edit in edits if isinstance(edit, Swap)}}
        batch, context = batch_of(stage, edits), _number(slots.get("context"))
        arrives = stage.transition if within == 0 else None
        loss = slots.get("loss")
        return Step(
            index=n,
            stage=index,
            shape=shape,
            batch=batch,
            samples=samples_of(batch, context),
            context=context,
            resolution=_number(slots.get("resolution")),
            patch=_number(shape["patch"] if "patch" in shape else slots.get("patch")),
            loss=loss if isinstance(loss, str) else next(iter(plan.objectives)),
            rates=factors_in(plan, n, stage, self._rewarms[index]),
            memory=stage.memory,
            reading=tuple(edits),
            switch=None if arrives is None else index - 1,
            transition=arrives,
            before=self._cursor.before(n),
            cost=stage.cost if blend is None else blend.compute,
            compute=self._compute[index] + stage.compute_of(plan.seed, index, within + 1),
            measure=plan.measures_at(n + 1),
            save=plan.saves_at(n + 1),
            last=n + 1 == plan.steps,
        )


@attrs.frozen(hash=True)
class _Same:
    """A plan that is compared by identity: plans hold mappings, which have no hash."""

    plan: Plan = attrs.field(eq=id, hash=True)


@functools.lru_cache(maxsize=4)
def _steps_of(same: _Same) -> Steps:
    return Steps(same.plan)


def at(plan: Plan, n: int) -> Step:
    """Return step `n` of a plan, counted from 0, without the steps before it.

    Raises Refused `no-model`, `no-such-step`."""
    return _steps_of(_Same(plan)).at(n)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _lasting(plan: Plan) -> list[list[tuple[int, int]]]:
    """For each stage, the warm-ups after switches that are not over at its start."""
    found: list[list[tuple[int, int]]] = []
    open_: list[tuple[int, int]] = []
    for stage in plan.stages:
        open_ = [(first, steps) for first, steps in open_ if first + steps > stage.first_step]
        open_ += rewarms([stage])
        found.append(open_)
    return found
