"""Build small plans directly, without the compiler, from a list of shapes and their numbers of steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from shapeflow.axes import COMPONENTS as AXES
from shapeflow.base.settings import name_of, written
from shapeflow.base.shapes import Shape
from shapeflow.data.digits import Digits
from shapeflow.data.python_source import PythonSource
from shapeflow.ir.components import Architecture, Optimizer
from shapeflow.ir.components import Transition as Mover
from shapeflow.ir.edits import joined
from shapeflow.ir.parameters import DataFacts, Model, step_compute
from shapeflow.ir.plan import (
    AxisUnit,
    Blend,
    Candidate,
    Comparator,
    Comparison,
    Plan,
    Point,
    Spec,
    Stage,
    Totals,
    Transition,
)
from shapeflow.ir.plan_json import sealed
from shapeflow.models.transformer import Transformer
from shapeflow.models.vit import Vit
from shapeflow.objectives.cross_entropy import CrossEntropy
from shapeflow.objectives.denoising import Denoising
from shapeflow.objectives.next_token import NextToken
from shapeflow.optimizers.adamw import Adamw
from shapeflow.stages.lower.switches import PRESERVES
from shapeflow.transitions.batch_resize import BatchResize
from shapeflow.transitions.context_grow import ContextGrow
from shapeflow.transitions.depth_expand import DepthExpand
from shapeflow.transitions.flexi_resize import FlexiResize
from shapeflow.transitions.loss_switch import LossSwitch
from shapeflow.transitions.resolution_resize import ResolutionResize
from shapeflow.transitions.width_expand import WidthExpand

Leg = tuple[Mapping[str, int | str], int]
"""One stage: its shape and its number of steps."""


@attrs.frozen
class Parts:
    """The components of a plan, from which `make_plan` builds its stages."""

    architecture: Architecture
    data: Any
    objective: Any
    movers: Mapping[str, Mover]
    metric: str
    optimizer: Optimizer
    losses: Mapping[str, Any]
    """Further objectives by name: values of the axis `loss`."""

    def objectives(self, legs: Sequence[Leg]) -> dict[str, Any]:
        """All objectives of the plan by name; `losses` only counts if the legs use the axis `loss`."""
        return {name_of(self.objective): self.objective, **(self.losses if "loss" in legs[0][0] else {})}


def toy_text_plan(
    legs: Sequence[Leg] = (({"context": 16}, 6), ({"context": 64}, 6)),
    *,
    preview: float = 0.0,
    init: Literal["normal", "preserve", "net2net"] = "preserve",
    moments: Literal["fresh", "carry", "carry_raw", "reset"] = "fresh",
    context: ContextGrow | None = None,
    depth: DepthExpand | None = None,
    batch: BatchResize | None = None,
    optimizer: Optimizer | None = None,
    data: Any = None,
    objective: Any = None,
    model: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Plan:
    """A plan for a transformer on Python source code: width 32, 2 blocks, head width 8, 256 tokens per step.

    The shape of a leg sets any of `batch`, `context`, `depth`, `loss` (`next_token` or `denoising`) and `width`.
    `preview` is the share of steps that each stage but the last trains in the next stage's shape.
    """
    fixed = {axis: value for axis, value in (("depth", 2), ("width", 32), ("context", 32)) if axis not in legs[0][0]}
    parts = Parts(
        Transformer(**{**fixed, "head_width": 8, **(model or {})}),
        data or PythonSource(batch=256),
        objective or NextToken(),
        {
            "batch": batch or BatchResize(),
            "context": context or ContextGrow(),
            "depth": depth or DepthExpand(),
            "loss": LossSwitch(),
            "width": WidthExpand(init=init, moments=moments),
        },
        "loss@own",
        optimizer or Adamw(lr=2e-3, warmup=4, average=20),
        {"denoising": Denoising(sentinels=12)},
    )
    return make_plan(parts, legs, preview, **fields)


def toy_image_plan(
    legs: Sequence[Leg] = (({"patch": 4}, 6), ({"patch": 2}, 6)),
    *,
    preview: float = 0.0,
    init: Literal["normal", "preserve", "net2net"] = "preserve",
    moments: Literal["fresh", "carry", "carry_raw", "reset"] = "fresh",
    depth: DepthExpand | None = None,
    batch: BatchResize | None = None,
    optimizer: Optimizer | None = None,
    data: Any = None,
    base: int = 4,
    grid: int = 2,
    metric: str = "classification_error",
    model: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Plan:
    """A plan for a vision transformer on digits: width 32, 2 blocks, head width 8, 32 images per step.

    The shape of a leg sets any of `batch`, `depth`, `loss` (`cross_entropy` or `smooth`), `patch`, `resolution` and
    `width`. `preview` is as in `toy_text_plan`.
    """
    every = (("depth", 2), ("width", 32), ("patch", base))
    fixed = {axis: value for axis, value in every if axis not in legs[0][0]}
    patches, widths = FlexiResize(base=base, grid=grid), WidthExpand(init=init, moments=moments)
    parts = Parts(
        Vit(**fixed, head_width=8, **(model or {})),
        data or Digits(batch=32),
        CrossEntropy(),
        {
            "batch": batch or BatchResize(),
            "depth": depth or DepthExpand(),
            "loss": LossSwitch(),
            "patch": patches,
            "resolution": ResolutionResize(grid=grid),
            "width": widths,
        },
        metric,
        optimizer or Adamw(lr=2e-3, warmup=4, average=20, beta2=0.999, weight_decay=0.01),
        {"smooth": CrossEntropy(label_smoothing=0.2)},
    )
    return make_plan(parts, legs, preview, **fields)


def make_plan(parts: Parts, legs: Sequence[Leg], preview: float = 0.0, **fields: Any) -> Plan:
    """A sealed plan with one stage per leg. `fields` override fields of the plan, such as `seed` or `evaluate`."""
    facts: DataFacts = parts.data.facts()
    if facts.vocabulary is not None:
        reserved = max(objective.reserved for objective in parts.objectives(legs).values())
        facts = attrs.evolve(facts, vocabulary=facts.vocabulary + reserved)
    stored = {
        dim: size
        for axis in parts.movers
        if axis in legs[0][0]
        for dim, size in parts.movers[axis].stored(facts).items()
    }
    model = parts.architecture.declare(facts, stored)
    stages = tuple(_stage(parts, model, facts, legs, at, preview) for at in range(len(legs)))
    shapes = dict.fromkeys(stage.shape for stage in stages)
    by_hand = Comparator(None, None, None, "by hand")
    last = stages[-1].leave
    plan = Plan(
        name="toy",
        convention="flops",
        metric=parts.metric,
        axes=tuple(AxisUnit(axis, "") for axis in legs[0][0]),
        candidates=tuple(Candidate(shape, None) for shape in shapes),
        stages=stages,
        totals=Totals(last.compute, None, last.step),
        comparison=Comparison(by_hand, attrs.evolve(by_hand, shape=stages[-1].shape)),
        uncertainty=None,
        traversal=None,
        model=Spec(name_of(parts.architecture), written(parts.architecture)),
        data=Spec(name_of(parts.data), written(parts.data)),
        objectives={name: Spec(name_of(one), written(one)) for name, one in parts.objectives(legs).items()},
        optimizer=Spec(name_of(parts.optimizer), written(parts.optimizer)),
        parameters=model.parameters,
        apart=tuple(sorted(model.apart)),
        slots=model.slots,
        evaluate=None,
        checkpoint=None,
        cooldown=None,
        seed=0,
        source="",
    )
    return sealed(attrs.evolve(plan, **fields))


def _stage(parts: Parts, model: Model, facts: DataFacts, legs: Sequence[Leg], at: int, preview: float) -> Stage:
    shape, steps = Shape.of(legs[at][0]), legs[at][1]
    whole = parts.architecture.shape(shape)
    cost = step_compute(model, whole, "flops")
    first = sum(leg[1] for leg in legs[:at])
    before = sum((n * step_compute(model, parts.architecture.shape(Shape.of(s)), "flops") for s, n in legs[:at]), 0.0)
    transition = None if at == 0 else _transition(parts, model, Shape.of(legs[at - 1][0]), shape)
    blends: tuple[Blend, ...] = ()
    if preview and at + 1 < len(legs):
        following = Shape.of(legs[at + 1][0])
        after = parts.architecture.shape(following)
        blends = (
            Blend(following, preview, 0, steps, step_compute(model, after, "flops"), _reading(parts, model, after)),
        )
    return Stage(
        shape=shape,
        arrives_by="start" if transition is None else " + ".join(transition.names),
        transition=transition,
        steps=steps,
        batch=shape.number("batch") if "batch" in shape else facts.batch,
        learning_rate=BatchResize().learning_rate(facts, shape) if "batch" in shape else 1.0,
        memory=parts.movers["batch"].memory(facts, shape) if "batch" in shape else 1.0,  # type: ignore[attr-defined]
        step_compute=cost,
        sizes=model.sizes(whole),
        reading=_reading(parts, model, whole),
        blends=blends,
        enter=Point(first, before, None),
        leave=Point(first + steps, before + steps * cost, None),
    )


def _reading(parts: Parts, model: Model, whole: Shape) -> tuple[Any, ...]:
    moved = in_order(axis for axis in parts.movers if axis in whole)
    return joined(parts.movers[axis].reading(model, whole) for axis in moved)


def in_order(axes: Iterable[str]) -> list[str]:
    """The axes in the order in which one switch changes them."""
    order = {name_of(axis): axis.order for axis in AXES}
    return sorted(axes, key=order.__getitem__)


def _transition(parts: Parts, model: Model, before: Shape, after: Shape) -> Transition:
    moved = {axis: parts.movers[axis] for axis in before.changed(after)}
    movers = tuple(moved.values())
    made, here, goal = {}, parts.architecture.shape(before), parts.architecture.shape(after)
    for axis in in_order(moved):
        there = here.with_({axis: after[axis]}) if moved[axis].one_way else goal
        made[axis] = moved[axis].edits(model, here, there)
        here = there if moved[axis].one_way else here
    return Transition(
        names=tuple(name_of(mover) for mover in movers),
        edits=joined(made.values()),
        moments=next((m.moments for m in movers if name_of(m) == "width_expand"), movers[0].moments),
        average="restart" if any(mover.average == "restart" for mover in movers) else "map",
        preserves=max((mover.preserves for mover in movers), key=PRESERVES.index),
        credit=1.0,
    )
