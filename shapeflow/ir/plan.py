"""The plan: a complete, self-contained description of a training run.

A plan contains:

- the stages in order: each has a shape, a number of steps, the transition at its start, and the shapes it blends in;
- what is trained: model, data, objective, optimizer and metric, with every setting written out;
- what is expected: laws, errors, and a comparison with fixed shapes.

A plan is data: canonical JSON with a digest, without timestamps and without code. It can run on another machine, and
needs neither its `.shape` file nor the logs that its laws were fitted to.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.base.units import CostDimension
from shapeflow.ir.answer import Answer
from shapeflow.ir.corpora import Weights
from shapeflow.ir.decay import Decay
from shapeflow.ir.decks import DECK, shuffled, sum_of_decks
from shapeflow.ir.edits import Edit, is_reversible
from shapeflow.ir.parameters import Parameter
from shapeflow.ir.retention import Retention
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.ir.timing import Origin

_T = TypeVar("_T")
Pair = tuple[float, float]

FORMAT = "shapeflow-plan"
VERSION = 4


@attrs.frozen
class Spec:
    """The name of a component and all its settings, including defaults."""

    name: str
    settings: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Point:
    """A point of the run. `compute`: FLOPs since the start of the run, in the plan's convention. `error`: as predicted
    by the laws. `seconds`: of the steps since the start of the run, as predicted by the profile. None if not known (no
    model, no laws, no profile)."""

    step: int | None
    compute: float | None
    error: float | None
    seconds: float | None = None


@attrs.frozen
class Blend:
    """A share of the steps of a stage, from `first` to `last` (exclusive), that are taken in another shape.

    The stored parameters stay the same: all edits of a blend are View or Swap. These are absolute, so a step can change
    to this shape from any other. `compute`: FLOPs of one step in this shape.
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
    """The measured credit of a switch along one axis."""

    axis: str
    eta: float
    """The measured value; values above 1 and below 0 are possible."""
    low: float | None
    """Lower end of the 95% interval over the seeds; None with fewer than two seeds."""
    high: float | None
    recovery: float | None
    """FLOPs after the switch until the error before the switch is reached again; None if not every seed reached it."""
    seeds: tuple[int, ...]


@attrs.frozen
class Transition:
    """The change between two stages: edits, in order, and the treatment of the optimizer's state."""

    names: tuple[str, ...]
    edits: tuple[Edit, ...]
    moments: Literal["fresh", "carry", "carry_raw", "reset"]
    """Optimizer state of new entries. `fresh`: zeros, with a step count of their own; `carry`: the mean second moment;
    `carry_raw`: zeros, with the step count of the old entries; `reset`: drops the state of all entries."""
    average: Literal["map", "restart"]
    """`map`: apply the same edits to the averaged weights; `restart`: start them again from the raw weights."""
    preserves: Literal["exact", "shared-positions", "lossy"]
    credit: float
    """eta as used in the plan: the share of the loss decrease predicted by the law that survives the switch. Paper A
    assumes 1."""
    rewarm: int = 0
    """Number of steps of learning-rate warm-up after the switch."""
    seconds: float | None = None
    """Measured duration of the switch itself, if known."""
    delay: float | None = None
    """Seconds of the switch and of its first steps, by the profile. The seconds of the stage after it include them;
    None: they are not known, and not included."""
    credits: tuple[Credit, ...] = ()
    """Measured credits by axis. For axes that are not listed, `credit` contains an assumed value."""


@attrs.frozen
class Stage:
    """A number of consecutive steps in one shape."""

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
    """The View and Swap edits that select the stage's own shape."""
    blends: tuple[Blend, ...]
    enter: Point
    leave: Point
    learning_rate: float = 1.0
    """Factor on the optimizer's learning rate."""
    matrix_rate: float = 1.0
    """An additional factor for the matrices whose inputs are channels, heads or hidden units."""
    memory: float = 1.0
    """Exponent for the decays of the second moment and the averaged weights. For them, a step counts as this number of
    steps at the batch size of the data component."""
    law: AnyLaw | None = None
    """The law of a stage with constant shares, over `cost` times its steps, blended ones included. None: that of its
    shape."""

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
        """The blend of the stage's `step`-th step; None for the stage's own shape. A pure function of (seed, index of
        the stage, step), so that it is the same in every process and after a resume."""
        if not self.blends:
            return None
        bounds = self._bounds()
        piece = bisect.bisect_right(bounds, step) - 1
        active = self._active(bounds[piece])
        deck, at = divmod(step - bounds[piece], DECK)
        kind = shuffled(tuple(blend.share for blend in active), f"{seed}/{index}/{piece}/{deck}", deck)[at]
        return None if kind == 0 else active[kind - 1]

    def compute_of(self, seed: int, index: int, steps: int) -> float:
        """FLOPs of the stage's first `steps` steps, with the blends that `blend_at` gives."""
        return self.sum_of(seed, index, steps, lambda blend: self.cost if blend is None else blend.compute)

    def sum_of(self, seed: int, index: int, steps: int, of: Callable[[Blend | None], float]) -> float:
        """The sum of an amount over the stage's first `steps` steps. `of`: the amount of a step in a blend, or of one
        in the stage's own shape (None)."""
        own = of(None)
        if not self.blends:
            return steps * own
        bounds, total = self._bounds(), 0.0
        for piece, (first, last) in enumerate(itertools.pairwise(bounds)):
            active, count = self._active(first), max(0, min(last, steps) - first)
            shares = tuple(blend.share for blend in active)
            costs = (own, *map(of, active))
            decks, rest = divmod(count, DECK)
            total = sum_of_decks(shares, costs, decks, total)
            cards = shuffled(shares, f"{seed}/{index}/{piece}/{decks}", decks)[:rest]
            total += sum(costs[kind] for kind in cards)
        return total

    def steps_of(self, seed: int, index: int, steps: int) -> dict[Shape, int]:
        """The number of steps in each shape among the stage's first `steps` steps."""

        def count(shape: Shape) -> int:
            return round(self.sum_of(seed, index, steps, lambda blend: float((blend or self).shape == shape)))

        return {shape: count(shape) for shape in (self.shape, *(blend.shape for blend in self.blends))}

    @property
    def pieces(self) -> list[tuple[int, int, tuple[Blend, ...]]]:
        """(first step, last step (exclusive), active blends) of each stretch in which these do not change. `blend_at`
        deals the steps of each stretch on its own."""
        return [(first, last, self._active(first)) for first, last in itertools.pairwise(self._bounds())]

    def _bounds(self) -> list[int]:
        """Sorted steps at which the set of active blends changes, including 0 and the end of the stage."""
        steps = _known(self.steps)
        inner = {b.first for b in self.blends} | {b.last for b in self.blends}
        return sorted({0, steps} | {bound for bound in inner if 0 < bound < steps})

    def _active(self, step: int) -> tuple[Blend, ...]:
        return tuple(b for b in self.blends if b.first <= step < b.last)


@attrs.frozen
class AxisUnit:
    """An axis and the unit of its values; the unit may be empty."""

    name: str
    unit: str


@attrs.frozen
class Candidate:
    """A shape that the plan may use. `step_compute`, `step_seconds`: FLOPs and seconds of one step, if the plan has
    predicted seconds. `seconds_are`: where these come from."""

    shape: Shape
    law: AnyLaw | None
    step_compute: float | None = None
    step_seconds: float | None = None
    seconds_are: Origin = "measured"

    @property
    def pace(self) -> float | None:
        """Seconds per FLOP; None without predicted seconds."""
        return None if self.step_compute is None or self.step_seconds is None else self.step_seconds / self.step_compute


@attrs.frozen
class Comparator:
    """The compute that one fixed shape would need, by its law, to reach the plan's final error. `saving` = 1 - plan /
    comparator, in seconds for a budget in seconds, else in compute. All are None, with a `reason`, if the shape's law
    starts below that error or never reaches it. The plan's answer has the intervals."""

    shape: Shape | None
    compute: float | None
    saving: float | None
    reason: str | None = None
    seconds: float | None = None
    """None without a budget in seconds."""


@attrs.frozen
class Comparison:
    best_fixed: Comparator
    last_shape_fixed: Comparator


@attrs.frozen
class Totals:
    compute: float | None
    error: float | None
    steps: int | None
    seconds: float | None = None
    """Predicted seconds of all steps; None without a profile."""


@attrs.frozen
class Uncertainty:
    """The intervals of the plan's predicted errors, over draws of the measured curves."""

    level: float
    """Confidence level of all intervals."""
    draws: int
    error: Pair | None
    """Interval of the final error; None, as is the band, where the data do not allow a prediction."""
    band: tuple[tuple[float, float, float], ...]
    """(compute, low, high) of the error, in order of compute."""


@attrs.frozen
class Charge:
    """What the plan minimises, as the file states it."""

    cost: Spec
    """A component of `costs/` with its settings."""
    dimension: CostDimension
    per_second: float | None = None
    """Joules, kg of CO2 equivalent, or dollars of a second of all devices; None for compute and time."""
    devices: int = 1
    """Those of the profile."""

    def of(self, seconds: float) -> float | None:
        """The cost of a time; None for compute and time, which a plan states itself."""
        return None if self.per_second is None else seconds * self.per_second


@attrs.frozen
class TimedBy:
    """Where the predicted seconds of a plan come from."""

    file: str
    """The profile, or the table of stated seconds: its path, as written."""
    sha256: str
    devices: int = 1
    """Number of devices that share a step."""
    machine: str = ""
    """Where the steps were timed, in words; empty for a table."""


@attrs.frozen
class Start:
    """The file of weights that a run starts from."""

    file: str
    """Its path, as written."""
    sha256: str
    shape: Shape
    """The shape that the weights were last trained in, on the axes of their own plan."""


@attrs.frozen
class Plan:
    """A compiled plan; the module's docstring describes it. `digest` is the SHA-256 of all other fields."""

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
    """None if no law was fitted to runs, or if the laws cannot answer."""
    traversal: Spec | None
    model: Spec | None
    data: Spec | None
    objectives: Mapping[str, Spec]
    """Name -> objective that a step may minimise. If there are several, the slot `loss` names the current one."""
    optimizer: Spec | None
    parameters: tuple[Parameter, ...]
    apart: tuple[str, ...]
    """Dims along which each slice counts as a tensor of its own (`Model.apart`)."""
    slots: Mapping[str, Any]
    evaluate: int | None
    """Number of steps between held-out evaluations. The end of every stage is evaluated too."""
    checkpoint: int | None
    cooldown: int | None
    """Number of steps at the end of the run over which the learning rate decays to 0 as 1 - sqrt. They are part of the
    budget."""
    seed: int
    source: str
    """SHA-256 of the `.shape` text."""
    answer: Answer | None = None
    """Whether the plan pays; None without laws."""
    notes: tuple[str, ...] = ()
    schedule: Decay | None = None
    """Decay of the learning rate from the end of the warm-up to the end of the run; None if it stays constant."""
    held_out: int | None = None
    """Tokens or images that every evaluation predicts. None: `HELD_OUT_TARGETS` tokens, or all held-out images."""
    keep: Retention | None = None
    """Which checkpoints are kept; None: the newest two."""
    weights: tuple[Weights, ...] = ()
    """Where the weights of the corpora of a mixture change. Until the first of them, those in the settings hold."""
    start: Start | None = None
    """The weights that the first stage starts from; None: new ones."""
    charge: Charge | None = None
    """What the plan minimises, if the file states it."""
    timed_by: TimedBy | None = None
    """None without predicted seconds."""
    evaluation: float | None = None
    """FLOPs of all evaluations over those of all steps, which do not include them; None if it is not known."""
    digest: str = ""

    @property
    def steps(self) -> int:
        return _known(self.totals.steps)

    @property
    def units(self) -> dict[str, str]:
        return {axis.name: axis.unit for axis in self.axes}

    @property
    def runnable(self) -> bool:
        """Whether the plan can be run. A plan without a model can only be simulated; it is for another trainer."""
        return self.model is not None and self.totals.steps is not None

    @property
    def is_best_fixed(self) -> bool:
        """Whether the plan trains only the best fixed shape. Such a plan saves nothing, however certain the laws."""
        (first, *rest) = self.stages
        return not rest and not first.blends and first.shape == self.comparison.best_fixed.shape

    def law(self, shape: Shape) -> AnyLaw | None:
        return next((c.law for c in self.candidates if c.shape == shape), None)

    def law_of(self, stage: Stage) -> AnyLaw | None:
        """The law that predicts a stage."""
        return self.law(stage.shape) if stage.law is None else stage.law

    def data_of(self, done: int) -> dict[Shape, int]:
        """Images, or tokens, at each shape in the first `done` steps."""
        found: dict[Shape, int] = {}
        for index, stage in enumerate(self.stages):
            steps = min(done, stage.last_step) - stage.first_step
            for shape, count in stage.steps_of(self.seed, index, steps).items() if steps > 0 else ():
                size = shape.number("batch") if "batch" in shape else _known(stage.batch)
                found[shape] = found.get(shape, 0) + count * size
        return found

    def stage_at(self, done: int) -> int:
        """Index of the stage that contains the last of the first `done` steps; 0 for `done` = 0."""
        found = bisect.bisect_left(self.stages, done, key=lambda stage: stage.last_step)
        return min(found, len(self.stages) - 1)

    def compute_at(self, done: int) -> float:
        """FLOPs of the first `done` steps."""
        index = self.stage_at(done)
        whole = sum(s.compute_of(self.seed, i, _known(s.steps)) for i, s in enumerate(self.stages[:index]))
        return whole + self.stages[index].compute_of(self.seed, index, done - self.stages[index].first_step)

    @property
    def in_seconds(self) -> bool:
        """Whether the plan is compared by predicted seconds: its budget is a time, or it minimises what follows from
        time."""
        return self.answer is not None and self.answer.unit == "seconds"

    def pace(self, shape: Shape) -> float:
        """How much one FLOP in a shape takes of what the plan is compared by: seconds, or 1."""
        pace = next((one.pace for one in self.candidates if one.shape == shape), None)
        return pace if self.in_seconds and pace is not None else 1.0

    @property
    def cools_from(self) -> int | None:
        """Number of steps before the cooldown; None without a cooldown."""
        return None if self.cooldown is None else self.steps - self.cooldown

    @property
    def turns(self) -> tuple[int, ...]:
        """Steps after which the run switches, begins to cool down or changes the weights of its corpora, in order."""
        switches = {stage.last_step for stage in self.stages[:-1]} | {one.first for one in self.weights}
        return tuple(sorted(switches | ({self.cools_from} if self.cools_from else set())))

    def measures_at(self, done: int) -> bool:
        """Whether the run evaluates after `done` steps."""
        ends = done in (self.cools_from, self.stages[self.stage_at(done)].last_step)
        at_end = ends or any(done == one.first for one in self.weights)
        best = self.keep is not None and self.keep.best and self.saves_at(done)
        return at_end or best or (self.evaluate is not None and done % self.evaluate == 0)

    def saves_at(self, done: int) -> bool:
        """Whether the run saves a checkpoint after `done` steps. Before switches and the cooldown only if the plan
        states which checkpoints are kept."""
        turns = self.keep is not None and done in self.turns
        return done == self.steps or turns or (self.checkpoint is not None and done % self.checkpoint == 0)

    def predicted(self, done: int) -> float | None:
        """The error that the laws predict after `done` steps. As in paper A, a stage follows its shape's law from the
        error at its start. A blended step counts as a step in the stage's own shape."""
        stage = self.stages[self.stage_at(done)]
        return forecast(self.law_of(stage), stage.enter, (done - stage.first_step) * stage.cost)


def forecast(law: AnyLaw | None, enter: Point, spent: float) -> float | None:
    """The error after `spent` FLOPs along a law, starting at the error of `enter`. At compute 0, the law itself gives
    the initial error. None without a law, or where its error is not finite (during the warm-up that a negative d
    represents)."""
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
