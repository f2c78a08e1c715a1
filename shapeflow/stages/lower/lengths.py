"""Convert legs to steps: the length and the compute of each stage, and the error that the laws predict."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount, Dimension
from shapeflow.ir.plan import Point, Stage, forecast
from shapeflow.ir.program import Program, Trained
from shapeflow.ir.route import Leg
from shapeflow.ir.tabulated import AnyLaw


@attrs.frozen
class Stretch:
    """A leg with its length. `steps` is None without a model."""

    leg: Leg
    steps: int | None
    enter: Point
    spent: float
    """Compute of the leg on the law of its own shape, as the forecast counts it. Infinite if the leg does not end."""
    stops: bool = False
    """Whether the plan ends with this leg because it reaches its target error."""

    def shorter(self, steps: int, cost: float) -> Stretch:
        """The stretch without its last steps, each of `cost` in its own shape."""
        assert self.steps is not None
        left = max(0, self.steps - steps)
        return attrs.evolve(self, steps=left, spent=left * cost, stops=False)


@attrs.frozen
class Ruler:
    """Computes the length of legs, one after the other."""

    program: Program
    laws: Mapping[Shape, AnyLaw]

    def measure(self, leg: Leg, here: Point, data: float, credit: float, delay: float = 0.0) -> Stretch:
        """The length of a leg that a transition with this credit enters from `here`. `data`: images or tokens of all
        earlier steps; `delay`: seconds of the switch."""
        law = self.laws.get(leg.shape)
        enter = entered(law, here, credit)
        begun = here if here.seconds is None else attrs.evolve(here, seconds=here.seconds + delay)
        target, budget, own = self.ends(leg, begun, data, enter, law)
        spent = min(target, budget, own)
        stops = spent == target
        if self.program.trained is None or not math.isfinite(spent):
            return Stretch(leg, None if self.program.trained is None else 0, enter, spent, stops)
        cost = self.program.trained.cost(leg.shape)
        # Round up to the target, down to the budget, and to the nearest step at a switch.
        last = _up(target / cost)
        steps = int(min(last, _down(budget / cost), round(own / cost) if math.isfinite(own) else math.inf))
        return Stretch(leg, steps, enter, steps * cost, steps == last)

    def ends(self, leg: Leg, here: Point, data: float, enter: Point, law: AnyLaw | None) -> tuple[float, float, float]:
        """The leg's compute on its own law until the plan's target error, until the budget, and until its own end. Each
        is infinite if it does not exist."""
        target = budget = own = math.inf
        if self.program.stop is not None and law is not None:
            target = self.until_error(self.program.stop, enter, law)
        if self.program.budget is not None:
            budget = self.until_amount(self.program.budget, leg, here, data)
        if leg.until.error is not None:
            own = self.until_error(leg.until.error, enter, law)
        if leg.until.amount is not None:
            own = min(own, self.until_amount(leg.until.amount, leg, here, data))
        return target, budget, own

    def until_error(self, error: float, enter: Point, law: AnyLaw | None) -> float:
        assert law is not None
        begun = 0.0 if enter.compute == 0 or enter.error is None else max(0.0, law.compute(enter.error))
        return max(0.0, law.compute(error) - begun)

    def until_amount(self, amount: Amount, leg: Leg, here: Point, data: float) -> float:
        """The leg's own compute until an amount counted from the run's start."""
        amount = self.of_budget(amount)
        trained = self.program.trained
        if trained is None:
            return max(0.0, amount.value - (here.compute or 0.0))
        amount = trained.counted(amount)
        known = {"compute": here.compute or 0.0, "steps": here.step or 0, "seconds": here.seconds or 0.0}
        done = known.get(amount.dimension, data)
        steps = (amount.value - done) / self.mean(leg, amount.dimension)
        return max(0.0, steps * trained.cost(leg.shape))

    def of_budget(self, amount: Amount) -> Amount:
        """A ratio converted to an amount of the budget; any other amount unchanged."""
        if amount.dimension != "ratio":
            return amount
        budget = self.program.budget
        assert budget is not None
        return Amount(amount.value * budget.value, budget.dimension)

    def mean(self, leg: Leg, dimension: Dimension) -> float:
        """The amount of a dimension that a step of the leg takes, on average over its blends."""
        trained = self.program.trained
        assert trained is not None
        own = trained.of_step(dimension, leg.shape)
        extra = ((trained.of_step(dimension, s.shape) - own) * s.share * (s.last - s.first) for s in leg.shares)
        return own + sum(extra)


HAIR = 1e-9
"""The relative rounding error allowed in an amount and in a number of steps."""


def _up(steps: float) -> float:
    return math.ceil(steps - HAIR * max(1.0, steps)) if math.isfinite(steps) else steps


def _down(steps: float) -> float:
    return math.floor(steps + HAIR * max(1.0, steps)) if math.isfinite(steps) else steps


def entered(law: AnyLaw | None, here: Point, credit: float) -> Point:
    """The point at which the next law is entered: the error of `here`, raised by what the switch loses (`credit` is
    eta)."""
    if law is None or here.error is None or here.compute == 0 or credit == 1.0:
        return here
    position = law.compute(here.error)
    if not math.isfinite(position) or position <= 0:
        return here
    error = law.error(credit * position)
    # With a low credit the position may be inside the law's warm-up, where the law is undefined: start at compute 0.
    return attrs.evolve(here, error=error if math.isfinite(error) else None)


def leave(stretch: Stretch, law: AnyLaw | None, compute: float, seconds: float | None) -> Point:
    """The point at which a stretch ends. `compute`, `seconds`: its FLOPs and seconds, including blends."""
    enter = stretch.enter
    step = None if stretch.steps is None else (enter.step or 0) + stretch.steps
    time = None if seconds is None else (enter.seconds or 0.0) + seconds
    return Point(step, (enter.compute or 0.0) + compute, forecast(law, enter, stretch.spent), time)


def seconds_of(trained: Trained, stage: Stage, seed: int, index: int, steps: int) -> float:
    """Seconds of a stage's first `steps` steps, including blends. Needs a profile."""
    return stage.sum_of(seed, index, steps, lambda blend: trained.seconds((blend or stage).shape))


def data_of(stages: Iterable[Stage]) -> int:
    """Images, or tokens, of all steps of some stages. All steps of a stage have the same batch size."""
    return sum((stage.steps or 0) * (stage.batch or 0) for stage in stages)


def interval(amount: Amount | None, default: float, program: Program, stages: Sequence[Stage]) -> int | None:
    """Steps between two evaluations or checkpoints."""
    end = stages[-1].leave
    if end.step is None or program.trained is None:
        return None
    if amount is None:
        amount = Amount(default, "ratio")
    if amount.dimension == "ratio":
        return max(1, round(amount.value * end.step))
    amount = program.trained.counted(amount)
    whole = {"compute": end.compute or 0.0, "steps": end.step}.get(amount.dimension, data_of(stages))
    if amount.dimension == "seconds":
        times = ((stage, index, stage.steps or 0) for index, stage in enumerate(stages))
        whole = sum(seconds_of(program.trained, stage, program.seed, *rest) for stage, *rest in times)
    return max(1, round(amount.value / (whole / end.step)))


def whole_of(stages: Sequence[Stage], dimension: Dimension) -> float:
    """A whole plan as an amount of the given dimension."""
    if dimension == "ratio":
        return 1.0
    if dimension == "compute":
        return stages[-1].leave.compute or 0.0
    if dimension == "seconds":
        return stages[-1].leave.seconds or 0.0
    return float(sum((stage.steps or 0) * (1 if dimension == "steps" else stage.batch or 0) for stage in stages))


def last_steps(program: Program, stages: Sequence[Stage], amount: Amount) -> int:
    """The largest number of last steps that take at most the given amount; a ratio is one of the
    plan's compute."""
    left, dimension, seed, trained = amount.value, amount.dimension, program.seed, program.trained
    assert trained is not None
    if dimension == "ratio":
        left, dimension = left * whole_of(stages, "compute"), "compute"
    found = 0
    for index in reversed(range(len(stages))):
        stage = stages[index]
        assert stage.steps is not None

        def rest(done: int, index: int = index, stage: Stage = stage) -> float:
            steps = (stage.steps or 0) - done
            if dimension == "compute":
                return stage.compute_of(seed, index, stage.steps or 0) - stage.compute_of(seed, index, done)
            if dimension == "seconds":
                whole = seconds_of(trained, stage, seed, index, stage.steps or 0)
                return whole - seconds_of(trained, stage, seed, index, done)
            return float(steps if dimension == "steps" else steps * (stage.batch or 0))

        room = left * (1 + HAIR)
        kept = bisect.bisect_left(range(stage.steps), True, key=lambda done: rest(done) <= room)
        found += stage.steps - kept
        left -= rest(kept)
        if kept:
            break
    return found
