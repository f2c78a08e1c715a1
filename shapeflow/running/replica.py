"""Creates a replica of a plan: the same edits on a model with few channels, so that every switch can be tested quickly.

All channel sizes of the plan are divided by one factor and all depths by another; grains, views and slots are adapted.
Ratios stay the same, so an edit that preserves the function of the small model also preserves that of the large model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from shapeflow.ir.edits import Along, Copy, Edit, Grow, Map, Swap, View
from shapeflow.ir.parameters import divisors as whole_divisors
from shapeflow.ir.plan import Blend, Plan, Spec, Stage

CHANNELS = frozenset({"residual", "heads", "kv_heads", "hidden"})
"""Dims that are divided by the same factor."""
NARROWEST = 4
"""The minimum number of channels of a head. Even, since rotary positions rotate pairs."""
SHALLOWEST = 2
"""The minimum number of blocks of the shallowest stage."""
LENGTHS = frozenset({"context", "rope.trained"})
"""Slots that count tokens of a sequence. They are divided by the same factor, and so are axes in tokens except
`batch`."""
LONGEST = 1024
"""Sequences of at most this many tokens are not shortened."""
SHORTEST = 8
"""The minimum number of tokens of a sequence: with fewer, an objective may have no targets."""
TOKENS, IMAGES = 64, 4
"""The minimum size of the smallest batch, in tokens or images, unless the batch of the plan is smaller."""
TAUGHT = frozenset({"distill", "mixture"})
"""Objectives that may read the file of a teacher."""
RATIO = 8
"""The largest ratio between batches of a replica."""


@attrs.frozen
class Divisors:
    """The divisor of each kind of size. If all are 1, the plan cannot be made smaller."""

    channels: int = 1
    depth: int = 1
    length: int = 1
    lengths: frozenset[str] = attrs.field(default=LENGTHS, eq=False)
    """The slots that `length` divides."""

    def dim(self, name: str) -> int:
        """The divisor of the size of a dim."""
        return self.channels if name in CHANNELS else self.depth if name == "depth" else 1


def replica(plan: Plan, by: Divisors | None = None) -> Plan:
    """The replica of a plan. It has no digest, since it is not the compiled plan. Shapes and the number of steps stay
    the same. Warm-ups are removed, so that the first step already changes the weights.

    `by`: the divisors; default: those of `divisors(plan)`. `Divisors()` does not change the size of the model."""
    by = divisors(plan) if by is None else by
    batches = _batches(plan, by)
    optimizer = plan.optimizer
    if optimizer is not None and "warmup" in optimizer.settings:
        optimizer = Spec(optimizer.name, {**optimizer.settings, "warmup": 0})
    return attrs.evolve(
        plan,
        stages=tuple(_stage(stage, by, batches) for stage in plan.stages),
        slots={name: _slot(name, value, by, batches) for name, value in plan.slots.items()},
        objectives={name: _untaught(spec, plan) for name, spec in plan.objectives.items()},
        optimizer=optimizer,
        cooldown=None,
        schedule=None,
        weights=(),
        start=None,
        digest="",
    )


def _untaught(objective: Spec, plan: Plan) -> Spec:
    """Replace an objective that may read a teacher by one that uses labels, since any gradient is sufficient here."""
    if objective.name not in TAUGHT:
        return objective
    text = any("vocabulary" in stage.sizes for stage in plan.stages)
    return Spec("next_token") if text else Spec("cross_entropy", {"label_smoothing": 0.0})


def divisors(plan: Plan) -> Divisors:
    """The divisors of a plan: the largest that keep sizes whole, heads wide enough and networks deep enough, and for
    lengths the smallest that shortens sequences to `LONGEST` tokens."""
    sizes = list(_sizes(plan))
    channels = math.gcd(*(size for dim, size in sizes if dim in CHANNELS))
    head = plan.slots.get("head_width")
    narrowest = head if isinstance(head, int) else channels
    depths = [size for dim, size in sizes if dim == "depth"]
    slots = LENGTHS | {axis.name for axis in plan.axes if axis.unit == "tokens" and axis.name != "batch"}
    lengths = [value for slot, value in _numbers(plan) if slot in slots]
    room = max(min(lengths, default=0) // SHORTEST, 1)
    return Divisors(
        channels=_largest(math.gcd(channels, narrowest), lambda k: _even(narrowest // k)),
        depth=_largest(math.gcd(*depths), lambda k: min(depths) // k >= SHALLOWEST),
        length=_smallest(math.gcd(*lengths), lambda k: max(lengths) // k <= LONGEST, room),
        lengths=slots,
    )


def _even(head: int) -> bool:
    return head >= NARROWEST and head % 2 == 0


def _largest(common: int, fits: Callable[[int], bool]) -> int:
    return max((k for k in whole_divisors(common) if fits(k)), default=1)


def _smallest(common: int, fits: Callable[[int], bool], most: int) -> int:
    """The smallest divisor of `common` up to `most` that fits; the largest one if none fits."""
    within = [k for k in whole_divisors(common) if k <= most]
    return next((k for k in within if fits(k)), max(within, default=1))


def _sizes(plan: Plan) -> Iterator[tuple[str, int]]:
    """Yield every (dim, size) in the plan: sizes of stages, of edits, and of groups of entries that are copied
    together."""
    for stage in plan.stages:
        yield from stage.sizes.items()
    for edit in _edits(plan):
        if isinstance(edit, Grow):
            for along in edit.along:
                yield along.dim, along.to
                if isinstance(along.fill, Copy) and along.fill.grain > 1:
                    yield along.dim, along.fill.grain
        elif isinstance(edit, Map | View):
            yield edit.dim, edit.rule.to
        elif isinstance(edit, Swap) and edit.slot == "head_width" and isinstance(edit.to, int):
            yield "heads", edit.to


def _edits(plan: Plan) -> Iterator[Edit]:
    for stage in plan.stages:
        yield from () if stage.transition is None else stage.transition.edits
        yield from stage.reading
        yield from itertools.chain.from_iterable(blend.edits for blend in stage.blends)


def _numbers(plan: Plan) -> Iterator[tuple[str, int]]:
    """All integers in slots, as (slot, value), including those that edits set."""
    swaps = ((edit.slot, edit.to) for edit in _edits(plan) if isinstance(edit, Swap))
    return ((slot, to) for slot, to in (*plan.slots.items(), *swaps) if type(to) is int)


def _batches(plan: Plan, by: Divisors) -> dict[int, int]:
    """Batch -> batch of the replica: a few samples, a whole number of sequences of every context, with the ratios of
    the plan up to `RATIO`."""
    found = {value for slot, value in _numbers(plan) if slot == "batch"}
    found |= {stage.batch for stage in plan.stages if stage.batch is not None}
    contexts = [value // by.length for slot, value in _numbers(plan) if slot == "context"]
    whole, common = math.lcm(*contexts), math.gcd(*found)
    unit = whole * -(-TOKENS // whole) if contexts else IMAGES
    return {batch: min(unit * min(batch // common, RATIO), batch // by.length) for batch in found}


def _stage(stage: Stage, by: Divisors, batches: Mapping[int, int]) -> Stage:
    transition = stage.transition
    if transition is not None:
        transition = attrs.evolve(transition, edits=_small(transition.edits, by, batches), rewarm=0)
    return attrs.evolve(
        stage,
        transition=transition,
        batch=None if stage.batch is None else batches[stage.batch],
        sizes={dim: size // by.dim(dim) for dim, size in stage.sizes.items()},
        reading=_small(stage.reading, by, batches),
        blends=tuple(_blend(blend, by, batches) for blend in stage.blends),
    )


def _blend(blend: Blend, by: Divisors, batches: Mapping[int, int]) -> Blend:
    return attrs.evolve(blend, edits=_small(blend.edits, by, batches))


def _small(edits: Iterable[Edit], by: Divisors, batches: Mapping[int, int]) -> tuple[Edit, ...]:
    return tuple(_edit(edit, by, batches) for edit in edits)


def _edit(edit: Edit, by: Divisors, batches: Mapping[int, int]) -> Edit:
    match edit:
        case Grow(_, alongs):
            return attrs.evolve(edit, along=tuple(_along(along, by.dim(along.dim)) for along in alongs))
        case Map(_, dim, rule):
            return attrs.evolve(edit, rule=attrs.evolve(rule, to=rule.to // by.dim(dim)))
        case View(_, dim, resize):
            return attrs.evolve(edit, rule=attrs.evolve(resize, to=resize.to // by.dim(dim)))
        case Swap(slot, to):
            return Swap(slot, _slot(slot, to, by, batches))
        case _:
            return edit


def _along(along: Along, by: int) -> Along:
    fill = along.fill
    if isinstance(fill, Copy) and fill.grain > 1:
        fill = attrs.evolve(fill, grain=fill.grain // by)
    return Along(along.dim, along.to // by, fill)


def _slot(name: str, value: Any, by: Divisors, batches: Mapping[int, int]) -> Any:
    if type(value) is not int:
        return value
    if name == "batch":
        return batches[value]
    if name in by.lengths:
        return value // by.length
    return value // by.channels if name == "head_width" else value
