"""Checks that a plan is consistent. A digest cannot ensure this for a plan that another program wrote."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping

from shapeflow.ir.answer_check import answer_faults
from shapeflow.ir.contexts import MIXTURE, corpora_of
from shapeflow.ir.edits import EditError, Swap
from shapeflow.ir.law import FLOOR, OFFSET
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Comparison, Plan, Point, Stage, Transition, Uncertainty

LARGEST = 10**8
"""Upper limit of sizes and counts, as in a `.shape` file, and of learning-rate factors and their inverses."""

COUNTS = frozenset({"batch", "context", "features", "head_width", "patch", "resolution"})
"""Slots and axes that hold a whole number above 0."""


def faults(plan: Plan) -> Iterator[str]:
    """Yield the contradictions within a plan, each as a clause in lower case."""
    whole = True
    for fault in _faults(plan):
        whole = False
        yield fault
    if whole:
        yield from _cooldown(plan)


def _faults(plan: Plan) -> Iterator[str]:
    if not plan.stages:
        yield "it has no stage"
        return
    yield from _shapes(plan)
    yield from _comparison(plan.comparison)
    sizes = [fault for number, stage in enumerate(plan.stages, 1) for fault in _sizes(stage, number)]
    if sizes:
        yield from sizes
        return
    counted = plan.totals.steps is not None
    if (plan.model is None) == counted:
        yield "steps are counted where there is a model, and only there"
        return
    if counted and not plan.objectives:
        yield "it has a model and nothing to minimise"
        return
    for number, stage in enumerate(plan.stages, 1):
        yield from (f"stage {number}: {fault}" for fault in _stage(stage, counted))
        yield from (f"stage {number}: {fault}" for fault in _objectives(plan, stage))
    yield from _optimizer(plan)
    if plan.seed < 0:
        yield f"its seed is {plan.seed}"
    yield from _chain(plan)
    yield from _times(plan)
    if plan.uncertainty is not None:
        yield from (f"its uncertainty: {fault}" for fault in _uncertainty(plan, plan.uncertainty))
    if plan.answer is not None:
        yield from (f"its answer: {fault}" for fault in answer_faults(plan.answer))
    yield from _rehearsed(plan)
    for name, every in (
        ("evaluate", plan.evaluate),
        ("held_out", plan.held_out),
        ("checkpoint", plan.checkpoint),
        ("cooldown", plan.cooldown),
    ):
        if every is not None and every < 1:
            yield f"`{name}` is {every}"
    if plan.evaluation is not None and not 0 <= plan.evaluation <= OFFSET:
        yield f"`evaluation` is {plan.evaluation:g}"
    if plan.keep is not None and plan.keep.newest is not None and plan.keep.newest < 1:
        yield f"it keeps {plan.keep.newest} checkpoints"
    if plan.cooldown is not None and plan.cooldown > (plan.totals.steps or 0):
        yield f"it cools down over {plan.cooldown} steps, more than it has"
    yield from _schedule(plan)
    yield from _weights(plan)
    yield from _start(plan)
    yield from _charge(plan)
    if plan.timed_by is not None and plan.timed_by.devices < 1:
        yield f"{plan.timed_by.devices} devices share a step"
    if plan.timed_by is not None and re.fullmatch(r"[0-9a-f]{64}", plan.timed_by.sha256) is None:
        yield "the digest of the file of its seconds is not one"


def _charge(plan: Plan) -> Iterator[str]:
    charge = plan.charge
    if charge is None:
        return
    timed = charge.dimension in ("compute", "seconds")
    if timed != (charge.per_second is None) or not 0 < (charge.per_second or 1.0) <= OFFSET or charge.devices < 1:
        yield f"a second of {charge.devices} devices costs {charge.per_second} of {charge.dimension}"
    elif charge.dimension != "compute" and plan.totals.seconds is None:
        yield f"it minimises {charge.cost.name} and predicts no seconds"


def _schedule(plan: Plan) -> Iterator[str]:
    """Invalid settings of the schedule, and a plan that is too short for it."""
    if plan.schedule is None:
        return
    if not 0 <= plan.schedule.final < 1:
        yield f"`schedule.final` is {plan.schedule.final:g}; it must be at least 0 and below 1"
    if plan.cooldown is not None:
        yield "it has both a schedule and a cooldown"
    warmup = plan.optimizer.settings.get("warmup", 0) if plan.optimizer is not None else 0
    if plan.totals.steps is None or (type(warmup) is int and warmup >= plan.totals.steps):
        yield "its schedule has no steps"


def _weights(plan: Plan) -> Iterator[str]:
    """Weights of corpora that a run could not follow."""
    if not plan.weights:
        return
    if plan.data is None or plan.data.name != MIXTURE or plan.totals.steps is None:
        yield "it changes the weights of corpora, and has no mixture"
        return
    places = [0, *(one.first for one in plan.weights), plan.totals.steps]
    if not all(first < second for first, second in itertools.pairwise(places)):
        yield "the steps at which its weights change are out of order"
    for one in plan.weights:
        finite = all(0 <= share <= LARGEST for share in one.shares)
        if len(one.shares) != len(corpora_of(plan)) or not finite or sum(one.shares) == 0:
            yield f"its weights after step {one.first} are {list(one.shares)}"


def _start(plan: Plan) -> Iterator[str]:
    """First weights that no file can hold."""
    if plan.start is None:
        return
    if plan.model is None:
        yield "it starts from weights, and has no model"
    if not re.fullmatch("[0-9a-f]{64}", plan.start.sha256):
        yield "the digest of the weights that it starts from is not a SHA-256"
    if not plan.start.file or "\0" in plan.start.file:
        yield "it starts from weights in no file"


def _cooldown(plan: Plan) -> Iterator[str]:
    """A cooldown that takes more than half of the compute. A cooldown of one step may take more in a short plan. Needs
    a plan without other faults, because `compute_at` loops over all steps."""
    if plan.cooldown is None or plan.cooldown == 1:
        return
    if plan.compute_at(plan.steps - plan.cooldown) < (0.5 - 1e-6) * plan.compute_at(plan.steps):
        yield f"it cools down over {plan.cooldown} steps, more than half of its compute"


def _optimizer(plan: Plan) -> Iterator[str]:
    """Optimizer settings out of range, of those that every backend reads."""
    settings = plan.optimizer.settings if plan.optimizer is not None else {}
    for name, whole, low in (("lr", False, 0), ("warmup", True, 0)):
        value = settings.get(name, 1)
        number = type(value) is int or (not whole and type(value) is float)
        if not number or not low <= value <= LARGEST or (name == "lr" and value == 0):
            yield f"`{name}` of its optimizer is {value!r}"


def _shapes(plan: Plan) -> Iterator[str]:
    axes, candidates = {axis.name for axis in plan.axes}, {candidate.shape for candidate in plan.candidates}
    compared = (plan.comparison.best_fixed.shape, plan.comparison.last_shape_fixed.shape)
    shapes: list[Mapping[str, object]] = [candidate.shape for candidate in plan.candidates]
    shapes += [shape for shape in compared if shape is not None]
    for stage in plan.stages:
        shapes += [stage.shape, *(blend.shape for blend in stage.blends)]
    for shape in shapes:
        if set(shape) != axes:
            yield f"{shape} is not a shape on {', '.join(sorted(axes)) or 'no axis'}"
        elif shape not in candidates:
            yield f"{shape} is not a candidate"
        for axis in COUNTS & shape.keys():
            if not _count(shape[axis]):
                yield f"the `{axis}` of a shape is {shape[axis]!r}, not a whole number from 1 to {LARGEST:,}"
    for candidate in plan.candidates:
        if candidate.law is not None and not candidate.law.plausible:
            yield f"the law of {candidate.shape} has numbers that no training run has"
    if plan.totals.error is not None and any(plan.law_of(stage) is None for stage in plan.stages):
        yield "it expects an error without a law"


def _comparison(comparison: Comparison) -> Iterator[str]:
    """Comparators that state numbers of no shape, or neither numbers nor a reason why not."""
    if comparison.last_shape_fixed.shape is None:
        yield "its comparison lacks the plan's last shape"
    for name, one in (("best", comparison.best_fixed), ("last", comparison.last_shape_fixed)):
        if (one.compute is None) != (one.saving is None) or (one.compute is None) == (one.reason is None):
            yield f"its comparison with the {name} fixed shape needs a compute and a saving, or a reason"
        elif one.compute is not None and (one.shape is None or not 0 < one.compute <= OFFSET):
            yield f"its comparison with the {name} fixed shape has {one.compute:g} FLOPs of no shape or no run"


def _stage(stage: Stage, counted: bool) -> Iterator[str]:
    known = [stage.steps, stage.batch, stage.step_compute, stage.enter.step, stage.leave.step]
    if any((value is not None) != counted for value in known):
        yield "steps are counted where there is a model, and only there"
        return
    if counted and not 1 <= (stage.steps or 0) <= LARGEST:
        yield f"it has {stage.steps} steps"
    if counted and not _count(stage.batch):
        yield f"its batch is {stage.batch}"
    steps = stage.steps or 0
    for blend in stage.blends:
        if not (0 < blend.share < 1 and 0 <= blend.first < blend.last <= steps):
            yield f"a blend takes {blend.share:g} of the steps {blend.first} to {blend.last}"
    for first in {blend.first for blend in stage.blends}:
        if sum(blend.share for blend in stage.blends if blend.first <= first < blend.last) > 1 + 1e-9:
            yield "its blends take more steps than there are"
    costs = [stage.step_compute, *(blend.compute for blend in stage.blends)]
    if not all(cost is None or 0 < cost <= OFFSET for cost in costs):
        yield "a step costs no FLOPs"
    for rate in (stage.learning_rate, stage.matrix_rate):
        if not 1 / LARGEST <= rate <= LARGEST:
            yield f"its learning rate is multiplied by {rate:g}"
    if not 1 / LARGEST <= stage.memory <= LARGEST:
        yield f"its decays are raised to the power {stage.memory:g}"
    if stage.transition is not None:
        yield from _arrival(stage.transition)


def _sizes(stage: Stage, number: int) -> Iterator[str]:
    """Invalid sizes of a stage. Edits are rehearsed only if all sizes are valid."""
    for dim, size in stage.sizes.items():
        if not _count(size):
            yield f"stage {number}: its `{dim}` is {size!r}, not a whole number from 1 to {LARGEST:,}"


def _count(value: object) -> bool:
    """Whether a value is a size or a count."""
    return type(value) is int and 1 <= value <= LARGEST


def _arrival(transition: Transition) -> Iterator[str]:
    if not 0 <= transition.credit <= 1:
        yield f"the credit of its switch is {transition.credit:g}"
    if not 0 <= transition.rewarm <= LARGEST:
        yield f"the learning rate rises over {transition.rewarm} steps after its switch"
    if transition.seconds is not None and not 0 <= transition.seconds <= OFFSET:
        yield f"its switch takes {transition.seconds:g} s"
    if unmeasured := next((one.axis for one in transition.credits if not one.seeds), None):
        yield f"the credit of its switch along {unmeasured} was measured with no seed"


def _objectives(plan: Plan, stage: Stage) -> Iterator[str]:
    """Losses of a stage or its blends that are not among the plan's objectives."""
    for shape, edits in ((stage.shape, stage.reading), *((blend.shape, blend.edits) for blend in stage.blends)):
        slots = {edit.slot: edit.to for edit in edits if isinstance(edit, Swap)}
        for loss in {slots.get("loss"), shape.get("loss")} - {None}:
            if plan.model is not None and loss not in plan.objectives:
                yield f"it minimises `{loss}`, which is not an objective of the plan"


def _chain(plan: Plan) -> Iterator[str]:
    """Each stage must begin where the previous one ends."""
    first, last = plan.stages[0].enter, plan.stages[-1].leave
    if first.step not in (None, 0) or first.compute != 0:
        yield "the first stage does not begin at 0"
    for number, stage in enumerate(plan.stages, 1):
        if stage.steps is not None and (stage.leave.step or 0) - (stage.enter.step or 0) != stage.steps:
            yield f"stage {number}: its steps do not add up"
        if not _numbers((stage.enter, stage.leave)):
            yield f"stage {number}: its compute or its error is beyond that of any training run"
        elif not _spends(stage):
            yield f"stage {number}: its steps do not add up to its compute"
        if number > 1 and _place(plan.stages[number - 2].leave) != _place(stage.enter):
            yield f"stage {number} does not begin where stage {number - 1} ends"
    if any(value is not None and value < 1 / OFFSET for value in (last.compute, last.seconds)):
        yield "it ends without compute, or without time"
    if (plan.totals.steps, plan.totals.compute, plan.totals.seconds) != _place(last):
        yield "its totals are not those of its last stage"


def _spends(stage: Stage) -> bool:
    """Whether the compute of a stage lies between that of its cheapest and its dearest shape, over all its steps."""
    if stage.steps is None or stage.step_compute is None:
        return True
    costs = [stage.step_compute, *(blend.compute for blend in stage.blends)]
    end, hair = stage.leave.compute or 0.0, 1e-6 * (stage.leave.compute or 0.0)
    spent = end - (stage.enter.compute or 0.0)
    return stage.steps * min(costs) - hair <= spent <= stage.steps * max(costs) + hair < math.inf


def _uncertainty(plan: Plan, found: Uncertainty) -> Iterator[str]:
    """Intervals must be ordered pairs of finite numbers."""
    if plan.totals.error is None:
        yield "nothing is predicted that could be uncertain"
    if not 0 < found.level < 1 or found.draws < 1:
        yield f"{found.draws} draws at the level {found.level:g}"
    pairs = [found.error, *((one[1], one[2]) for one in found.band)]
    if not all(pair is None or (math.isfinite(pair[0]) and pair[0] <= pair[1] < math.inf) for pair in pairs):
        yield "an interval is not an ordered pair of finite numbers"
    places = [0.0, *(one[0] for one in found.band), math.inf]
    if not all(first <= second for first, second in itertools.pairwise(places)):
        yield "its compute is out of order"


def _rehearsed(plan: Plan) -> Iterator[str]:
    """The first error if every edit is applied to sizes alone, without tensors."""
    try:
        ledger = Ledger.of(plan.parameters, plan.stages[0].sizes, plan.slots, plan.stages[0].reading)
        for number, stage in enumerate(plan.stages, 1):
            for edit in (*(stage.transition.edits if stage.transition is not None else ()), *stage.reading):
                ledger.apply(edit)
            yield from (f"stage {number}: {fault}" for fault in _arrived(ledger, stage))
            for blend in stage.blends:
                for edit in blend.edits:
                    ledger.apply(edit)
                yield from (f"stage {number}: a blend: {fault}" for fault in _read(ledger))
    except EditError as error:
        yield error.message
    except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
        yield f"its edits cannot be made: {error}"


def _arrived(ledger: Ledger, stage: Stage) -> Iterator[str]:
    """Sizes that the edits up to a stage do not give, and what its forward pass cannot read."""
    for name, sizes in ledger.sizes.items():
        for dim, size in sizes.items():
            if stage.sizes.get(dim) != size:
                yield f"`{name}` has {size} of `{dim}` after its edits, and the stage {stage.sizes.get(dim)}"
                return
    yield from _read(ledger)


def _read(ledger: Ledger) -> Iterator[str]:
    """Views and slots that no model can read."""
    for name, views in ledger.views.items():
        for dim, rule in views.items():
            if not 1 <= rule.to <= LARGEST:
                yield f"`{name}` is read with {rule.to} of `{dim}`"
    for slot in COUNTS & ledger.slots.keys():
        value = ledger.slots[slot]
        if not _count(value):
            yield f"its `{slot}` is {value!r}, not a whole number from 1 to {LARGEST:,}"


def _place(point: Point) -> tuple[int | None, float | None, float | None]:
    return point.step, point.compute, point.seconds


def _longer(stage: Stage) -> bool:
    """Whether the switch to a stage takes more seconds than the whole stage, which include them."""
    begin, end = stage.enter.seconds, stage.leave.seconds
    if stage.transition is None or stage.transition.delay is None or begin is None or end is None:
        return False
    return stage.transition.delay > (end - begin) * (1 + 1e-9) + 1e-9


def _times(plan: Plan) -> Iterator[str]:
    """Predicted seconds that are not times."""
    points = [point.seconds for stage in plan.stages for point in (stage.enter, stage.leave)]
    if any(seconds is not None and not 0 <= seconds <= OFFSET for seconds in points):
        yield "a stage begins or ends at a time that is not a number of seconds"
    delays = [stage.transition.delay for stage in plan.stages if stage.transition is not None]
    if any(delay is not None and not 0 <= delay <= OFFSET for delay in delays):
        yield "a switch takes a time that is not a number of seconds"
    elif any(_longer(stage) for stage in plan.stages):
        yield "a switch takes longer than its stage"
    of_steps = [value for one in plan.candidates for value in (one.step_compute, one.step_seconds)]
    if any(value is not None and not 0 < value <= OFFSET for value in of_steps):
        yield "a step of a candidate takes no FLOPs or no time"


def _numbers(points: Iterable[Point]) -> bool:
    return all(
        point.compute is not None and 0 <= point.compute <= OFFSET and abs(point.error or 0.0) <= FLOOR
        for point in points
    )
