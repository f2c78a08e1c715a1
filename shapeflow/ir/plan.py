"""The plan: what will be done, whole in itself.

    plan = stages in order; a stage = a shape, a count of steps, the transition it arrives by, the shapes it blends in
         + what is trained (model, data, objective, optimizer, metric), with every setting written out
         + what is expected (laws, errors, comparison with fixed shapes)

A plan is data: canonical JSON with a digest inside, no timestamps, no code. It runs on another machine without its
source and without the logs that its laws were fitted to.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.decay import Decay
from shapeflow.ir.decks import DECK, hand, shuffled
from shapeflow.ir.edits import Edit, is_reversible
from shapeflow.ir.law import Law
from shapeflow.ir.parameters import Parameter

_T = TypeVar("_T")
Pair = tuple[float, float]

FORMAT = "shapeflow-plan"
VERSION = 3


@attrs.frozen
class Spec:
    """A component by name with all its settings, defaults too."""

    name: str
    settings: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Point:
    """A place on the way. `compute` in FLOPs of the plan's convention, from the run's start; `error` as predicted by
    the laws. None: not known (no model, no laws)."""

    step: int | None
    compute: float | None
    error: float | None


@attrs.frozen
class Blend:
    """A share of the steps `first` to `last` (exclusive) of a stage, taken in another reading of the same parameters.

    Its edits are all View or Swap, which are absolute: any reading can be entered from any other. `compute`: FLOPs of
    one step of it.
    """

    shape: Shape
    share: float
    first: int
    last: int
    compute: float
    edits: tuple[Edit, ...]

    def __attrs_post_init__(self) -> None:
        if not all(is_reversible(edit) for edit in self.edits):
            raise ValueError(f"a blend may only View and Swap, but {self.shape} asks for more")


@attrs.frozen
class Credit:
    """What was measured of a switch along one axis."""

    axis: str
    eta: float
    """As measured: above 1 and below 0 are possible."""
    low: float | None
    """95% interval over the seeds; None with fewer than two."""
    high: float | None
    recovery: float | None
    """FLOPs behind the switch until the error before it was reached again; None where it was not with every seed."""
    seeds: tuple[int, ...]


@attrs.frozen
class Transition:
    """The change between two stages: edits, in order, and what becomes of the optimizer's state."""

    names: tuple[str, ...]
    edits: tuple[Edit, ...]
    moments: Literal["fresh", "carry", "carry_raw", "reset"]
    """What new entries get: an age of their own; the mean second moment; zeros at the old age; all state dropped."""
    average: Literal["map", "restart"]
    """The averaged weights go through the same edits, or start again from the raw ones."""
    preserves: Literal["exact", "shared-positions", "lossy"]
    credit: float
    """eta as the plan counts it: the share of the law's descent that survives the switch; paper A assumes 1."""
    rewarm: int = 0
    """Steps over which the learning rate rises again behind the switch."""
    seconds: float | None = None
    """What the switch itself takes, where it was measured."""
    credits: tuple[Credit, ...] = ()
    """What of `credit` was measured; on axes that are not here it is assumed."""


@attrs.frozen
class Stage:
    """A stretch of steps in one shape."""

    shape: Shape
    arrives_by: str
    """`start`, or the names of the transitions, joined by ` + `."""
    transition: Transition | None
    steps: int | None
    batch: int | None
    """Images, or tokens, of one step."""
    step_compute: float | None
    """FLOPs of one step in the stage's own shape."""
    sizes: Mapping[str, int]
    """Stored size of every dim of the parameters."""
    reading: tuple[Edit, ...]
    """The View and Swap edits of the shape itself."""
    blends: tuple[Blend, ...]
    enter: Point
    leave: Point
    learning_rate: float = 1.0
    """Factor on the optimizer's learning rate."""
    matrix_rate: float = 1.0
    """A further factor for the matrices that read channels, heads or hidden units."""
    memory: float = 1.0
    """Steps of the data's own batch that a step counts as for the second moment and the average: their decays are
    taken to this power."""

    @property
    def first_step(self) -> int:
        return _known(self.enter.step)

    @property
    def last_step(self) -> int:
        return _known(self.leave.step)

    @property
    def cost(self) -> float:
        return _known(self.step_compute)

    def blend_at(self, seed: int, index: int, step: int) -> Blend | None:
        """Which blend the stage's `step`-th step is taken in, None for its own shape: a pure function of (seed,
        index of the stage, step), so that it is the same on every process and after a resume."""
        if not self.blends:
            return None
        bounds = self._bounds()
        piece = bisect.bisect_right(bounds, step) - 1
        active = self._active(bounds[piece])
        deck, at = divmod(step - bounds[piece], DECK)
        kind = shuffled(tuple(blend.share for blend in active), f"{seed}/{index}/{piece}/{deck}", deck)[at]
        return None if kind == 0 else active[kind - 1]

    def compute_of(self, seed: int, index: int, steps: int) -> float:
        """FLOPs of the stage's first steps, blends as they will fall."""
        if not self.blends:
            return steps * self.cost
        bounds, total = self._bounds(), 0.0
        for piece, (first, last) in enumerate(itertools.pairwise(bounds)):
            active, count = self._active(first), max(0, min(last, steps) - first)
            shares = tuple(blend.share for blend in active)
            costs = (self.cost, *(blend.compute for blend in active))
            decks, rest = divmod(count, DECK)
            for deck in range(decks):
                total += sum(cards * cost for cards, cost in zip(hand(shares, deck), costs, strict=True))
            cards = shuffled(shares, f"{seed}/{index}/{piece}/{decks}", decks)[:rest]
            total += sum(costs[kind] for kind in cards)
        return total

    def _bounds(self) -> list[int]:
        """Where the blends in force change, from 0 to the stage's end."""
        steps = _known(self.steps)
        inner = {b.first for b in self.blends} | {b.last for b in self.blends}
        return sorted({0, steps} | {bound for bound in inner if 0 < bound < steps})

    def _active(self, step: int) -> tuple[Blend, ...]:
        return tuple(b for b in self.blends if b.first <= step < b.last)


@attrs.frozen
class AxisUnit:
    """An axis and the unit behind its values, or nothing."""

    name: str
    unit: str


@attrs.frozen
class Candidate:
    shape: Shape
    law: Law | None


@attrs.frozen
class Comparator:
    """What one fixed shape would need for the plan's final error. `saving` = 1 - plan / comparator; both None, with a
    `reason`, where it never gets there or the laws do not carry a saving."""

    shape: Shape | None
    compute: float | None
    saving: float | None
    reason: str | None = None


@attrs.frozen
class Comparison:
    best_fixed: Comparator
    last_shape_fixed: Comparator


@attrs.frozen
class Totals:
    compute: float | None
    error: float | None
    steps: int | None


@attrs.frozen
class Uncertainty:
    """What resampled laws make of the plan as it stands: its steps stay, the laws move. All intervals are at `level`;
    a law that was stated does not move."""

    level: float
    resamples: int
    by: Literal["runs", "noise"] | None
    """What was drawn anew; `noise` where the law of any candidate is of one run: then the intervals hold for these runs
    only. None where there are no resamples, only reasons."""
    switches: tuple[Pair | None, ...]
    """For each switch the errors between which its place lies, by the laws on both sides; None where they do not cross
    in nearly all resamples, or a traversal puts it elsewhere than at a crossing."""
    error: Pair | None
    """The error at the end."""
    compute: tuple[float, float | None] | None
    """FLOPs at which the plan, its last stage cut or drawn out, gets to `totals.error`; None: never, or not known."""
    unreached: float
    """The share of resamples in which it never gets there."""
    best_fixed: Pair | None
    """The saving against the best fixed shape of each resample."""
    last_shape_fixed: Pair | None
    band: tuple[tuple[float, float, float], ...]
    """(compute, low, high) of the error, in order of compute."""
    reasons: tuple[str, ...]
    """Why no saving is quoted; empty where one is."""


@attrs.frozen
class Plan:
    """See the module. `digest` is the SHA-256 of all the rest."""

    name: str
    convention: str
    metric: str
    axes: tuple[AxisUnit, ...]
    """In the order of the file."""
    candidates: tuple[Candidate, ...]
    stages: tuple[Stage, ...]
    totals: Totals
    comparison: Comparison
    uncertainty: Uncertainty | None
    """None where no law was resampled and none is doubted."""
    traversal: Spec | None
    model: Spec | None
    data: Spec | None
    objectives: Mapping[str, Spec]
    """What a step may minimise, by name; where there are several, the slot `loss` says which at present."""
    optimizer: Spec | None
    parameters: tuple[Parameter, ...]
    apart: tuple[str, ...]
    """Dims along which slices are tensors of their own (see `edits.py`)."""
    slots: Mapping[str, Any]
    evaluate: int | None
    """Held-out evaluation every so many steps, and at the end of every stage."""
    checkpoint: int | None
    cooldown: int | None
    """The last so many steps, over which the learning rate falls to 0 as 1 - sqrt; they are part of the budget."""
    seed: int
    source: str
    """SHA-256 of the `.shape` text."""
    notes: tuple[str, ...] = ()
    schedule: Decay | None = None
    """How the learning rate falls from the end of the warm-up to the end of the run; None where it stays constant."""
    digest: str = ""

    @property
    def steps(self) -> int:
        return _known(self.totals.steps)

    @property
    def units(self) -> dict[str, str]:
        return {axis.name: axis.unit for axis in self.axes}

    @property
    def runnable(self) -> bool:
        """False for a plan without a model: it compiles and simulates, for a trainer that is not ours."""
        return self.model is not None and self.totals.steps is not None

    @property
    def is_best_fixed(self) -> bool:
        """Is it the best fixed shape itself? Then it saves nothing, however well the laws are known."""
        (first, *rest) = self.stages
        return not rest and not first.blends and first.shape == self.comparison.best_fixed.shape

    def law(self, shape: Shape) -> Law | None:
        return next((c.law for c in self.candidates if c.shape == shape), None)

    def stage_at(self, done: int) -> int:
        """The stage that the last of `done` steps belongs to; the first where none is done."""
        ends = [stage.last_step for stage in self.stages]
        return min(bisect.bisect_left(ends, done), len(ends) - 1)

    def compute_at(self, done: int) -> float:
        """FLOPs of the first `done` steps."""
        index = self.stage_at(done)
        whole = sum(s.compute_of(self.seed, i, _known(s.steps)) for i, s in enumerate(self.stages[:index]))
        return whole + self.stages[index].compute_of(self.seed, index, done - self.stages[index].first_step)

    @property
    def cools_from(self) -> int | None:
        """Steps before the cooldown; None where there is none."""
        return None if self.cooldown is None else self.steps - self.cooldown

    def measures_at(self, done: int) -> bool:
        at_end = done == self.cools_from or any(done == stage.last_step for stage in self.stages)
        return at_end or (self.evaluate is not None and done % self.evaluate == 0)

    def predicted(self, done: int) -> float | None:
        """The error that the laws expect after `done` steps, in the terms of paper A: a stage goes on along its
        shape's law from the error it was entered with; a blended step counts as a step of the stage's own shape."""
        stage = self.stages[self.stage_at(done)]
        return forecast(self.law(stage.shape), stage.enter, (done - stage.first_step) * stage.cost)


def forecast(law: Law | None, enter: Point, spent: float) -> float | None:
    """The error after `spent` FLOPs on a law, entered at a point; at compute 0 the law itself says where it starts.
    None where the law says nothing (none at all, or inside the warm-up that a negative d stands for)."""
    if law is None:
        return None
    if enter.compute == 0 or enter.error is None:
        error = law.error(spent)
    else:
        error = law.error(max(0.0, law.compute(enter.error)) + spent)
    return error if math.isfinite(error) else None


def _known(value: _T | None) -> _T:
    if value is None:
        raise ValueError("the plan has no model, so it has no steps")
    return value
