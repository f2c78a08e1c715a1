"""Where a run stands in its text before each step of its plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, Self, TypeVar

import attrs

from shapeflow.ir.plan import Blend, Plan
from shapeflow.ir.workload import batch_of, context_of, samples_of

Stretch = tuple[int, int, int]
"""(steps, context, windows of a step)."""


class Standing(Protocol):
    """Where a run stands in its text."""

    def pass_by(self, context: int, windows: int, steps: int) -> None:
        """Go on by a number of equal steps."""

    def copy(self) -> Self:
        """Return an independent copy."""
        ...


S = TypeVar("S", bound=Standing)


@attrs.define(eq=False)
class Positions(Generic[S]):
    """The position of a run before each of its steps. It depends on the earlier steps alone, so that plans which agree
    up to a step read the same windows up to there.

    Steps in order take constant time each. Another step is found by going through the plan from its start, stretch by
    stretch, and step by step where shapes alternate."""

    plan: Plan
    start: S
    """The position before the first step."""
    _done: int = 0
    _position: S = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._position = self.start.copy()

    def before(self, step: int) -> S:
        """Return the position after the first `step` steps of the plan, to be changed at will."""
        if step < self._done:
            self._done, self._position = 0, self.start.copy()
        for steps, context, windows in stretches(self.plan, self._done, step):
            self._position.pass_by(context, windows, steps)
        self._done = step
        return self._position.copy()


def stretches(plan: Plan, first: int, last: int) -> Iterator[Stretch]:
    """Yield what the steps from `first` to `last` (exclusive) of a plan read, in order."""
    for index in range(plan.stage_at(first + 1), len(plan.stages)):
        stage = plan.stages[index]
        if stage.first_step >= last:
            return
        for begin, end, active in stage.pieces:
            here = range(max(first - stage.first_step, begin), min(last - stage.first_step, end))
            if not here:
                continue
            if not active:
                yield (len(here), *_reads(plan, index, None))
                continue
            known = {id(blend): _reads(plan, index, blend) for blend in (None, *active)}
            for step in here:
                yield (1, *known[id(stage.blend_at(plan.seed, index, step))])


def _reads(plan: Plan, index: int, blend: Blend | None) -> tuple[int, int]:
    """Context and windows of a step of a stage."""
    stage = plan.stages[index]
    edits = stage.reading if blend is None else blend.edits
    context = context_of(plan, edits)
    if context is None:
        raise ValueError("text is read at a context")
    return context, samples_of(batch_of(stage, edits), context)
