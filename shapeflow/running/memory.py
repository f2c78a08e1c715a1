"""The memory that a plan needs, in each of its shapes. It needs neither torch nor the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import Edit, SlotValue
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.memory import HELD_OUT_IMAGES, HELD_OUT_TOKENS, Choices, Device, Memory, Need, integer
from shapeflow.ir.parameters import DataFacts, Parameter, scalars
from shapeflow.ir.plan import Plan, Stage
from shapeflow.running.specs import component


def memories(plan: Plan, choices: Choices) -> tuple[Memory, ...]:
    """The memory of each stage: that of the shape that needs most, blends included. Empty if it is not known."""
    found = needs(plan, choices.device)
    each = [[found.get(shape) for shape, _ in _readings(stage)] for stage in plan.stages]
    known = [[one.memory(choices) for one in ones if one is not None] for ones in each]
    if not all(known):
        return ()
    return tuple(max(ones, key=lambda one: one.peak) for ones in known)


def needs(plan: Plan, device: Device) -> dict[Shape, Need]:
    """What determines the memory in each shape of a plan. Empty for a plan without a model, and for a model that does
    not declare its activations. Teachers are not counted."""
    if plan.model is None or plan.data is None or plan.optimizer is None:
        return {}
    model, data, optimizer = (
        component(kind, spec)
        for kind, spec in (("model", plan.model), ("data", plan.data), ("optimizer", plan.optimizer))
    )
    if None in (model, data, optimizer):
        return {}
    found: dict[Shape, Need] = {}
    for stage in plan.stages:
        for shape, edits in _readings(stage):
            ledger = Ledger.of(plan.parameters, stage.sizes, plan.slots, edits)
            sizes, slots = _seen(ledger), {**ledger.slots, **_fixed(plan, shape)}
            try:
                activations = model.activations(sizes, slots, device)
            except KeyError:
                # A plan that another version compiled may lack a dim or a slot of the model.
                return {}
            if activations is None:
                return {}
            found[shape] = Need(
                samples=_samples(stage, slots),
                depth=sizes.get("depth", 0),
                weights=4.0 * scalars(plan.parameters, stage.sizes),
                state=_state(plan.parameters, stage.sizes, optimizer),
                stored=_stored(data.facts()),
                sample=_sample(data.facts(), slots),
                per_logit=_per_logit(plan, shape),
                activations=activations,
                held_out=max(1, HELD_OUT_TOKENS // activations.rows) if _is_text(slots) else HELD_OUT_IMAGES,
            )
    return found


def _readings(stage: Stage) -> Sequence[tuple[Shape, tuple[Edit, ...]]]:
    return [(stage.shape, stage.reading), *((blend.shape, blend.edits) for blend in stage.blends)]


def _seen(ledger: Ledger) -> dict[str, int]:
    """The size of every dim as the forward pass sees it."""
    seen: dict[str, int] = {}
    for name, sizes in ledger.sizes.items():
        seen |= {**sizes, **{dim: rule.to for dim, rule in ledger.views[name].items()}}
    return seen


def _fixed(plan: Plan, shape: Shape) -> dict[str, SlotValue]:
    """Slots that a shape sets, for plans whose first reading does not."""
    return {axis: value for axis, value in shape.items() if axis in ("batch", "context", "resolution")}


def _is_text(slots: Mapping[str, SlotValue]) -> bool:
    return "context" in slots


def _samples(stage: Stage, slots: Mapping[str, SlotValue]) -> int:
    batch = integer(slots, "batch", stage.batch or 1)
    return batch // integer(slots, "context") if _is_text(slots) else batch


def _state(parameters: Sequence[Parameter], sizes: Mapping[str, int], optimizer: Any) -> float:
    """Bytes of the optimizer's state. Counts are one number for each tensor, and not counted here."""
    parts = ((p, [rule for rule in optimizer.state(p).values() if rule != "count"]) for p in parameters)
    return sum(4.0 * len(rules) * scalars([p], sizes) for p, rules in parts)


def _stored(facts: DataFacts) -> float:
    """Bytes of images that stay in memory, one for each value. Text is mapped or read from its file."""
    if facts.image is None or facts.channels is None:
        return 0.0
    return float(((facts.samples or 0) + (facts.held_out or 0)) * facts.channels * facts.image**2)


def _sample(facts: DataFacts, slots: Mapping[str, SlotValue]) -> float:
    """Bytes of one sample in a step: an image in float32, twice, or token ids and targets."""
    if facts.image is not None and facts.channels is not None:
        return 8.0 * facts.channels * max(facts.image, integer(slots, "resolution", 0)) ** 2
    return 16.0 * integer(slots, "context") if _is_text(slots) else 4.0 * (facts.features or 0)


def _per_logit(plan: Plan, shape: Shape) -> float:
    name = str(shape["loss"]) if "loss" in shape else next(iter(plan.objectives))
    objective = component("objective", plan.objectives[name])
    return 12.0 if objective is None else float(objective.per_logit)
