"""The result of the `resolve` stage: the content of a file with names and units resolved, before laws are fitted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from shapeflow.base.diagnostics import Span
from shapeflow.base.settings import limits, name_of, written
from shapeflow.base.shapes import Shape, Value
from shapeflow.base.units import Amount, Dimension
from shapeflow.ir.components import (
    Architecture,
    Axis,
    Cost,
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
from shapeflow.ir.corpora import LaterWeights
from shapeflow.ir.credits import Pair
from shapeflow.ir.decay import Decay
from shapeflow.ir.parameters import DataFacts, Model, scalars, step_compute
from shapeflow.ir.retention import Retention
from shapeflow.ir.route import Curve, Route
from shapeflow.ir.timing import Timing
from shapeflow.ir.weights import Weights


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
    """Location of the `axis` sentence."""
    via: Span
    """Location of the transition."""
    components: Mapping[Value, Any] = attrs.field(factory=dict)
    """Value -> the component that it names, for an axis of names."""

    def goes_back(self, before: Shape, after: Shape) -> bool:
        """Whether a one-way transition would have to decrease the value of this axis. Always False for names."""
        first, last = before.get(self.name), after.get(self.name)
        numbers = isinstance(first, int) and isinstance(last, int)
        return self.transition.one_way and numbers and last < first  # type: ignore[operator]


@attrs.frozen
class Trained:
    """What is trained. A program that plans for another trainer does not have it."""

    model_component: Architecture
    data: Data
    objectives: Mapping[str, Objective]
    """Name -> objective that a step may minimise: one, or one for each value of the axis `loss`."""
    optimizer: Optimizer
    facts: DataFacts
    model: Model
    timing: Timing | None = None
    """The seconds of every candidate; None until the profile or the table that the file names has been read."""

    def whole(self, shape: Shape) -> Shape:
        """The complete shape of a candidate: the model's settings give the values of axes that the file lacks."""
        return self.model_component.shape(shape)

    @property
    def reserved(self) -> int:
        """Number of ids at the end of the vocabulary that objectives reserve for their sentinel tokens."""
        return max(one.reserved for one in self.objectives.values())

    def objective(self, shape: Shape) -> Objective:
        """The objective that a step in a candidate's shape minimises."""
        return self.objectives[str(shape["loss"])] if "loss" in shape else next(iter(self.objectives.values()))

    def cost(self, shape: Shape) -> float:
        """FLOPs of one step in a candidate's shape, including the forward passes of teachers."""
        whole, convention = self.whole(shape), self.model_component.convention
        additional = self.objective(shape).compute(self.facts, whole, convention)
        return step_compute(self.model, whole, convention) + additional * self.model.samples(whole)

    def count(self, shape: Shape, without: str | None = None) -> int:
        """Number of trained scalars in a candidate's shape, including embeddings and head. `without`: excludes
        parameters that have this dim."""
        return scalars(self.model.parameters, self.model.sizes(self.whole(shape)), without)

    def batch(self, shape: Shape) -> int:
        """Batch of one step in a candidate's shape, in images or tokens."""
        return shape.number("batch") if "batch" in shape else self.facts.batch

    def counted(self, amount: Amount) -> Amount:
        """An amount of epochs converted to samples; any other amount unchanged."""
        if amount.dimension != "epochs":
            return amount
        assert self.facts.samples is not None
        return Amount(amount.value * self.facts.samples, "samples")

    def of_step(self, dimension: Dimension, shape: Shape) -> float:
        """The amount of a dimension that one step in a candidate's shape takes: compute, steps, data or seconds."""
        if dimension == "compute":
            return self.cost(shape)
        if dimension == "seconds":
            return self.seconds(shape)
        return 1.0 if dimension == "steps" else self.batch(shape)

    def seconds(self, shape: Shape) -> float:
        """Seconds of one step in a candidate's shape, by the profile. Raises ValueError without one."""
        found = None if self.timing is None else self.timing.steps.get(shape)
        if found is None:
            raise ValueError(f"no profile contains the seconds of {shape}")
        return found

    @property
    def lengths(self) -> tuple[Dimension, ...]:
        """The dimensions of a budget, in addition to compute."""
        if self.facts.kind == "text":
            return ("steps", "tokens", "seconds")
        epochs: tuple[Dimension, ...] = () if self.facts.samples is None else ("epochs",)
        return ("steps", "samples", *epochs, "seconds")


@attrs.frozen
class Program:
    """The content of a file. Amounts are in base units. `spans` gives the location of each sentence by its opening
    word."""

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
    """Schedule of the learning rate over the whole run; None: constant."""
    cooldown: Amount | None
    """Length of the cooldown at the end of the run; never 0."""
    evaluate: Amount | None
    held_out: int | None
    """Tokens or images of an evaluation, if stated."""
    checkpoint: Amount | None
    keep: Retention | None
    """Which checkpoints are kept, if stated."""
    seed: int
    spans: Mapping[str, Span]
    """`budget`, `laws`, ... -> the sentence; `laws.paths`, ... -> a setting of its component."""
    leg_spans: tuple[Span, ...]
    """Location of each `stage` sentence."""
    credits_path: str | None = None
    """Path of the file of measured credits, as written in the source."""
    credits: tuple[Pair, ...] = ()
    """The measured credits in that file; empty until it has been read."""
    profile_path: str | None = None
    """Path of the profile, or of a table of seconds, as written in the source; None if plans do not record predicted
    seconds."""
    profile_for_all: bool = False
    """Whether the profile must have the seconds of all candidates, so that none are interpolated."""
    start_path: str | None = None
    """Path of the file of weights that the first stage starts from, as written in the source; None: new weights."""
    first: Weights | None = None
    """What is in that file."""
    cost: Cost | None = None
    """What the plan minimises, if the file states it."""
    weights: tuple[LaterWeights, ...] = ()
    """Where the weights of the corpora change."""
    law_sources: Mapping[str, Any] = attrs.field(factory=dict)
    """Name -> class of every installed law source; empty if the file does not use one."""

    @property
    def unit(self) -> Dimension:
        """What is optimized, and what the plan is compared by: the unit of the budget, or that of the stated cost.
        Seconds for costs that follow from time."""
        if self.budget is not None:
            return (self.budget if self.trained is None else self.trained.counted(self.budget)).dimension
        return "compute" if self.cost is None or self.cost.dimension == "compute" else "seconds"

    @property
    def decay(self) -> Decay | None:
        """Decay of the learning rate over the whole run; None if it stays constant."""
        return None if self.schedule is None else self.schedule.decay()

    @property
    def timing(self) -> Timing | None:
        """The seconds by which plans record predicted seconds; None if they do not."""
        return None if self.trained is None or self.profile_path is None else self.trained.timing

    def delay(self, before: Shape | None, after: Shape) -> float:
        """Seconds of a switch between two candidates, by the profile; 0 without one, and at the start of a run."""
        known = self.timing is not None and before is not None and before != after
        return self.timing.switch(before, after) if known else 0.0  # type: ignore[union-attr, arg-type]

    @property
    def amounts(self) -> tuple[tuple[Amount, Span], ...]:
        """The amounts in the file's sentences, with the location of each."""
        once = {"budget": self.budget, "cooldown": self.cooldown}
        once |= {"evaluate": self.evaluate, "checkpoint": self.checkpoint}
        legs = () if self.by_hand is None else self.by_hand.legs
        found = [(amount, self.spans[word]) for word, amount in once.items() if amount is not None]
        ends = ((leg.until.amount, span) for leg, span in zip(legs, self.leg_spans, strict=True))
        found += [(one.start, one.span) for one in self.weights]
        return (*found, *((amount, span) for amount, span in ends if amount is not None))

    def axis(self, name: str) -> AxisUse:
        return next(axis for axis in self.axes if axis.name == name)

    @property
    def axes_in_order(self) -> tuple[AxisUse, ...]:
        """The axes in the order in which they change at one switch; the order in the file does not matter."""
        return tuple(sorted(self.axes, key=lambda axis: (axis.kind.order, axis.name)))

    def moved(self, before: Shape, after: Shape) -> tuple[AxisUse, ...]:
        """The axes that change at a switch, in the order in which they change."""
        changed = before.changed(after)
        return tuple(axis for axis in self.axes_in_order if axis.name in changed)

    def begins_at(self, laws: Mapping[Shape, Curve]) -> float | None:
        """The error at which the plan starts: the file's `start`, or by default the lowest of the candidates' highest
        fitted errors. None without laws, or if `start` is missing and a law was not fitted."""
        if not laws or self.start is not None:
            return self.start if laws else None
        measured = [law.measured for law in laws.values()]
        known = [pair[0] for pair in measured if pair is not None]
        return min(known) if len(known) == len(measured) else None

    def backward(self, before: Shape, after: Shape) -> AxisUse | None:
        """An axis on which a switch would have to reverse a one-way transition; None if there is none."""
        return next((axis for axis in self.axes if axis.goes_back(before, after)), None)

    def learning_rate(self, shape: Shape) -> float:
        """The factor on the optimizer's learning rate in a shape: the product of the transitions' factors."""
        assert self.trained is not None
        facts = self.trained.facts
        return math.prod(axis.transition.learning_rate(facts, shape) for axis in self.axes)

    def credit(self, before: Shape, after: Shape) -> float:
        """eta of a switch: the share of the loss decrease predicted by the law that survives it. The product over all
        axes that change; each factor is the measured credit (`indicated`), or the setting of the transition."""
        return math.prod(self.kept(name, before, after) for name in before.changed(after))

    @property
    def credit_range(self) -> tuple[float, float]:
        """Bounds on the credit of a switch: along all axes with the smallest, along one with the largest."""
        axes = {axis.name: {axis.transition.credit} for axis in self.axes}
        for pair in self.credits:
            if pair.used is not None and pair.axis in axes:
                axes[pair.axis].add(pair.used)
        return math.prod(map(min, axes.values())), max(map(max, axes.values()))

    def measured(self, axis: str, before: Shape, after: Shape) -> Pair | None:
        """The measured credit of a switch along an axis, for exactly these two values; None if not measured."""
        sought = (axis, before[axis], after[axis])
        return next((pair for pair in self.credits if (pair.axis, pair.before, pair.after) == sought), None)

    def indicated(self, axis: str, before: Shape, after: Shape) -> Pair | None:
        """The measurement that a switch along an axis goes by: its own, or the lowest of the smaller switches that it
        jumps over. A plan must not avoid a poor measured switch by a larger one that nobody measured."""
        own = self.measured(axis, before, after)
        if own is not None and own.used is not None:
            return own
        over = [pair for pair in self.credits if pair.axis == axis and _jumps(before[axis], after[axis], pair)]
        return min(over, key=lambda pair: pair.used or 0.0, default=None)

    def kept(self, axis: str, before: Shape, after: Shape) -> float:
        """The factor of one axis in the credit of a switch. It depends on the two values of this axis only."""
        pair = self.indicated(axis, before, after)
        used = None if pair is None else pair.used
        return self.axis(axis).transition.credit if used is None else used

    def subject(self) -> dict[str, Any]:
        """What is trained and which transitions are used, with all settings. A measured credit is valid only for this
        subject. Objectives are listed by name, because the values of `loss` in a pair refer to these names."""
        assert self.trained is not None
        parts = {part: [_component(each) for each in components] for part, components in self._parts().items()}
        objectives = {name: _component(one) for name, one in self.trained.objectives.items()}
        return {"convention": self.convention, "objective": objectives, **parts}

    def unlike(self, measured: Mapping[str, Any]) -> str | None:
        """The first difference between this program and a measured subject, in words; None if they are equal. A setting
        that the measured subject lacks counts as its default."""
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

    def trains_unlike(self, measured: Mapping[str, Mapping[str, Any] | None]) -> str | None:
        """The first difference between what this program trains and some measured components, in words; None if there
        is none. `measured`: `model`, `data`, `optimizer` or the name of an objective -> the component as JSON."""
        trained = self.trained
        assert trained is not None
        own = {"model": trained.model_component, "data": trained.data, "optimizer": trained.optimizer}
        for part, other in measured.items():
            component = own[part] if part in own else trained.objectives.get(part)
            kind = part if part in own else "objective"
            if component is None or other is None:
                if component is not other:
                    return f"`{kind}`"
            elif (wrong := _unlike(kind, component, other)) is not None:
                return wrong
        return None

    def _parts(self) -> dict[str, list[Any]]:
        """The parts of the subject that are compared by position."""
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
        """Setting of a sentence's component -> its location. "" is the component itself. Also contains the `budget`,
        `stop` and `start` sentences."""
        prefix = f"{sentence}."
        own = {key.removeprefix(prefix): span for key, span in self.spans.items() if key.startswith(prefix)}
        bounds = {key: self.spans[key] for key in ("budget", "stop", "start") if key in self.spans}
        return {**bounds, **own}

    def span(self, axis: str, value: Value) -> Span:
        """The location of a value in its `axis` sentence; the sentence itself if the value is not listed."""
        use = self.axis(axis)
        return use.value_spans.get(value, use.span)


def _component(component: Any) -> dict[str, Any]:
    return {"is": name_of(component), "settings": _settings(component)}


def _unlike(part: str, own: Any, other: Mapping[str, Any]) -> str | None:
    """The first difference between a component and a measured one, in words; None if they are equal."""
    if other["is"] != name_of(own):
        return f"`{part}`"
    here, there = _settings(own), {**_defaults(own), **other["settings"]}
    alike = {field.name for field in attrs.fields(type(own)) if not limits(field).compared}
    wrong = next((name for name in {**there, **here} if name not in alike and here.get(name) != there.get(name)), None)
    return None if wrong is None else f"`{wrong}` of `{name_of(own)}`"


def _settings(component: Any) -> dict[str, Any]:
    """All settings except `credit`, which is an assumption and does not change the training."""
    return {name: value for name, value in written(component).items() if name != "credit"}


def _defaults(component: Any) -> dict[str, Any]:
    """The default values of the settings that have one."""
    fields = [field for field in attrs.fields(type(component)) if field.default is not attrs.NOTHING]
    needed = {f.name: getattr(component, f.name) for f in attrs.fields(type(component)) if f not in fields}
    return {name: value for name, value in _settings(type(component)(**needed)).items() if name not in needed}


def _jumps(before: Value, after: Value, pair: Pair) -> bool:
    """Whether a switch between two values passes over the measured switch of a pair, in the same direction."""
    values = (before, pair.before, pair.after, after)
    numbers = [value for value in values if isinstance(value, int)]
    ascending = sorted(numbers)
    return len(numbers) == 4 and pair.used is not None and numbers in (ascending, ascending[::-1])
