"""What resolve makes: the file's meaning, names and units settled, still without laws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from shapeflow.base.diagnostics import Span
from shapeflow.base.settings import name_of, written
from shapeflow.base.shapes import Shape, Value
from shapeflow.base.units import Amount, Dimension
from shapeflow.ir.components import (
    Architecture,
    Axis,
    Data,
    LawForm,
    LawSource,
    Metric,
    Objective,
    Optimizer,
    Schedule,
    Transition,
    Traversal,
)
from shapeflow.ir.credits import Pair
from shapeflow.ir.decay import Decay
from shapeflow.ir.parameters import DataFacts, Model, step_compute
from shapeflow.ir.route import Curve, Route


@attrs.frozen
class AxisUse:
    """An axis of the file: its values in the file's order, and the transition that moves along it."""

    name: str
    kind: type[Axis]
    """The axis component."""
    dimension: Dimension
    unit: str
    values: tuple[Value, ...]
    value_spans: Mapping[Value, Span]
    transition: Transition
    span: Span
    """Of the sentence."""
    via: Span
    """Of the transition."""
    components: Mapping[Value, Any] = attrs.field(factory=dict)
    """What the values stand for, on an axis of names."""

    def goes_back(self, before: Shape, after: Shape) -> bool:
        """Would a one-way transition have to make the number on this axis smaller? Names have no direction."""
        first, last = before.get(self.name), after.get(self.name)
        numbers = isinstance(first, int) and isinstance(last, int)
        return self.transition.one_way and numbers and last < first  # type: ignore[operator]


@attrs.frozen
class Trained:
    """What is trained; there is none in a program that plans for another trainer."""

    model_component: Architecture
    data: Data
    objectives: Mapping[str, Objective]
    """What a step may minimise, by name: one, or one for each value of the axis `loss`."""
    optimizer: Optimizer
    facts: DataFacts
    model: Model

    def whole(self, shape: Shape) -> Shape:
        """A candidate with the model's own settings on the axes that the file does not vary."""
        return self.model_component.shape(shape)

    @property
    def reserved(self) -> int:
        """So many last ids of the vocabulary are no tokens of the data, but marks of objectives."""
        return max(one.reserved for one in self.objectives.values())

    def objective(self, shape: Shape) -> Objective:
        """What a step in a candidate's shape minimises."""
        return self.objectives[str(shape["loss"])] if "loss" in shape else next(iter(self.objectives.values()))

    def cost(self, shape: Shape) -> float:
        """FLOPs of one step in a candidate's shape, the forward passes of a teacher included."""
        whole, convention = self.whole(shape), self.model_component.convention
        beside = self.objective(shape).compute(self.facts, whole, convention)
        return step_compute(self.model, whole, convention) + beside * self.model.samples(whole)

    def count(self, shape: Shape, without: str | None = None) -> int:
        """Numbers that are trained in a candidate's shape, embeddings and head included; `without`: less those of
        parameters that have this dim."""
        sizes = self.model.sizes(self.whole(shape))
        parts = ((*one.listed, *one.logical) for one in self.model.parameters)
        return sum(math.prod(sizes[dim] for dim in dims) for dims in parts if without not in dims)

    def batch(self, shape: Shape) -> int:
        """Images, or tokens, of one step in a candidate's shape."""
        return shape.number("batch") if "batch" in shape else self.facts.batch

    def counted(self, amount: Amount) -> Amount:
        """Epochs as so many samples; any other amount as it is."""
        if amount.dimension != "epochs":
            return amount
        assert self.facts.samples is not None
        return Amount(amount.value * self.facts.samples, "samples")

    def of_step(self, dimension: Dimension, shape: Shape) -> float:
        """What one step in a candidate's shape takes of compute, of steps, or of data."""
        if dimension == "compute":
            return self.cost(shape)
        return 1.0 if dimension == "steps" else self.batch(shape)

    @property
    def lengths(self) -> tuple[Dimension, ...]:
        """What a budget may be counted in beside compute."""
        if self.facts.kind == "text":
            return ("steps", "tokens")
        return ("steps", "samples") if self.facts.samples is None else ("steps", "samples", "epochs")


@attrs.frozen
class Program:
    """All of a file. Amounts are in base units; `spans` says where each sentence stands, by its opening word."""

    name: str
    source: str
    """SHA-256 of the text."""
    folder: str
    axes: tuple[AxisUse, ...]
    candidates: tuple[Shape, ...]
    metric: Metric
    convention: str
    trained: Trained | None
    law_source: LawSource | None
    stated: Mapping[Shape, LawForm]
    """Candidates whose law a sentence states: their `power` component."""
    traversal: Traversal | None
    by_hand: Route | None
    """The legs of `stage` sentences."""
    budget: Amount | None
    start: float | None
    stop: float | None
    schedule: Schedule | None
    """How the learning rate goes over the whole run; None: constant."""
    cooldown: Amount | None
    """The end of the run over which the learning rate falls; never 0."""
    evaluate: Amount | None
    checkpoint: Amount | None
    seed: int
    spans: Mapping[str, Span]
    """`budget`, `laws`, ... -> the sentence; `laws.paths`, ... -> a setting of its component."""
    leg_spans: tuple[Span, ...]
    """Where each `stage` sentence stands."""
    credits_path: str | None = None
    """The file of measured credits, as it is written."""
    credits: tuple[Pair, ...] = ()
    """What that file says, once it has been read."""
    law_sources: Mapping[str, Any] = attrs.field(factory=dict)
    """Name -> class of every law source that is installed; empty where the file names none."""

    @property
    def decay(self) -> Decay | None:
        """How the learning rate falls over the whole run; None where it stays constant."""
        return None if self.schedule is None else self.schedule.decay()

    def axis(self, name: str) -> AxisUse:
        return next(axis for axis in self.axes if axis.name == name)

    @property
    def axes_in_order(self) -> tuple[AxisUse, ...]:
        """The axes in the order in which they change at one switch, whatever the file's order."""
        return tuple(sorted(self.axes, key=lambda axis: (axis.kind.order, axis.name)))

    def moved(self, before: Shape, after: Shape) -> tuple[AxisUse, ...]:
        """The axes that change at a switch, in the order in which they do."""
        changed = before.changed(after)
        return tuple(axis for axis in self.axes_in_order if axis.name in changed)

    def begins_at(self, laws: Mapping[Shape, Curve]) -> float | None:
        """The error at which the plan starts: the file's `start`, else that by which the data of every candidate's fit
        has begun; None without laws, and where one of them was not fitted."""
        if not laws or self.start is not None:
            return self.start if laws else None
        measured = [law.measured for law in laws.values()]
        known = [pair[0] for pair in measured if pair is not None]
        return min(known) if len(known) == len(measured) else None

    def backward(self, before: Shape, after: Shape) -> AxisUse | None:
        """The axis on which a switch would go back where its transition goes one way only, if there is one."""
        return next((axis for axis in self.axes if axis.goes_back(before, after)), None)

    def credit(self, before: Shape, after: Shape) -> float:
        """eta of a switch: the share of the law's descent that survives it, over all axes that it moves on; measured
        where it was, else what the transition is set to."""
        return math.prod(self._kept(name, before, after) for name in before.changed(after))

    def measured(self, axis: str, before: Shape, after: Shape) -> Pair | None:
        """What was measured of a switch along an axis: of just these two values, never of others near them."""
        sought = (axis, before[axis], after[axis])
        return next((pair for pair in self.credits if (pair.axis, pair.before, pair.after) == sought), None)

    def _kept(self, axis: str, before: Shape, after: Shape) -> float:
        pair = self.measured(axis, before, after)
        used = None if pair is None else pair.used
        return self.axis(axis).transition.credit if used is None else used

    def subject(self) -> dict[str, Any]:
        """What is trained and how it switches, with all settings: a measured credit holds for this alone. Objectives go
        by their names, which the values of `loss` in a pair refer to."""
        assert self.trained is not None
        parts = {part: [_component(each) for each in components] for part, components in self._parts().items()}
        objectives = {name: _component(one) for name, one in self.trained.objectives.items()}
        return {"convention": self.convention, "objective": objectives, **parts}

    def unlike(self, measured: Mapping[str, Any]) -> str | None:
        """What is another thing here than in a measured subject, in words; a setting that came later may be missing
        there, where it has its default here."""
        assert self.trained is not None
        if measured.get("convention") != self.convention:
            return "`convention`"
        for part, components in self._parts().items():
            theirs = measured.get(part)
            if not isinstance(theirs, list) or len(theirs) != len(components):
                return f"`{part}`"
            for own, other in zip(components, theirs, strict=True):
                if (wrong := _unlike(part, own, other)) is not None:
                    return wrong
        named = measured.get("objective")
        if not isinstance(named, Mapping) or set(named) != set(self.trained.objectives):
            return "`objective`"
        pairs = ((own, named[name]) for name, own in self.trained.objectives.items())
        return next((wrong for own, other in pairs if (wrong := _unlike("objective", own, other)) is not None), None)

    def _parts(self) -> dict[str, list[Any]]:
        """All of the subject that goes by its place."""
        assert self.trained is not None
        return {
            "metric": [self.metric],
            "model": [self.trained.model_component],
            "data": [self.trained.data],
            "optimizer": [self.trained.optimizer],
            "transition": [axis.transition for axis in self.axes],
        }

    @property
    def laws_wanted(self) -> bool:
        return self.law_source is not None or bool(self.stated)

    @property
    def units(self) -> Mapping[str, str]:
        return {axis.name: axis.unit for axis in self.axes}

    def within(self, sentence: str) -> Mapping[str, Span]:
        """Settings of a sentence's component -> where they stand; "" is the component; and the sentences that bound
        the plan."""
        prefix = f"{sentence}."
        own = {key.removeprefix(prefix): span for key, span in self.spans.items() if key.startswith(prefix)}
        bounds = {key: self.spans[key] for key in ("budget", "stop", "start") if key in self.spans}
        return {**bounds, **own}

    def span(self, axis: str, value: Value) -> Span:
        """Where a value stands in its axis sentence."""
        use = self.axis(axis)
        return use.value_spans.get(value, use.span)


def _component(component: Any) -> dict[str, Any]:
    return {"is": name_of(component), "settings": _settings(component)}


def _unlike(part: str, own: Any, other: Mapping[str, Any]) -> str | None:
    """What is another thing in a component than in a measured one, in words."""
    if other["is"] != name_of(own):
        return f"`{part}`"
    here, there = _settings(own), {**_defaults(own), **other["settings"]}
    wrong = next((name for name in {**there, **here} if here.get(name) != there.get(name)), None)
    return None if wrong is None else f"`{wrong}` of `{name_of(own)}`"


def _settings(component: Any) -> dict[str, Any]:
    """All settings; what is assumed of a switch is no part of how it is made."""
    return {name: value for name, value in written(component).items() if name != "credit"}


def _defaults(component: Any) -> dict[str, Any]:
    """The settings that have a default, at it."""
    fields = [field for field in attrs.fields(type(component)) if field.default is not attrs.NOTHING]
    needed = {f.name: getattr(component, f.name) for f in attrs.fields(type(component)) if f not in fields}
    return {name: value for name, value in _settings(type(component)(**needed)).items() if name not in needed}
