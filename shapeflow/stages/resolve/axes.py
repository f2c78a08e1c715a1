"""Resolve axes and candidates: the values of each axis, and the shapes of the candidates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn

import attrs

from shapeflow import registry
from shapeflow.base.diagnostics import Label, Report, Span, did_you_mean
from shapeflow.base.shapes import Shape, Value
from shapeflow.base.units import BASE, Amount, Dimension
from shapeflow.ir.edits import EditError
from shapeflow.ir.program import AxisUse
from shapeflow.language import syntax
from shapeflow.stages.resolve.components import Built, build, usable
from shapeflow.stages.resolve.named import Named, check_order, chosen, named_values, unknown_value
from shapeflow.stages.resolve.values import LARGEST, Names, Unsettled, amount, items

LARGEST_SIZE = 10**12
"""Maximum value of an axis in a file without a model, such as the number of parameters of the model that it plans."""


def axis_use(sentence: syntax.Axis, loose: bool, names: Names, report: Report) -> tuple[AxisUse, dict[str, Built]]:
    """The axis of a sentence and its components: the transition under the key `axis.NAME`, the components of values
    under `NAME.VALUE`. `loose`: unknown names are allowed as values. Raises Unsettled."""
    known = usable("axis", sentence.name, sentence.name_span, report)
    if sentence.name not in known:
        close = did_you_mean(sentence.name, known)
        report.error(
            "unknown-component",
            f"no axis is called `{sentence.name}`",
            sentence.name_span,
            "not an axis",
            notes=[f"known: {', '.join(known)}"],
            help=f"did you mean `{close}`?" if close else None,
        )
        raise Unsettled
    axis = known[sentence.name]
    listed = _listed(sentence, axis, names, report)
    named = Named({}, {})
    if axis.dimension == "name":
        named = named_values(listed, axis.names, loose, names, report)
        values, dimension = named.spans, axis.dimension
    else:
        largest = LARGEST_SIZE if loose else LARGEST
        values, dimension = _numbers(listed, axis, names, report, largest)
    built = build("transition", sentence.transition, names, report)
    if built.component.axis != sentence.name:
        fitting = [n for n, cls in registry.components("transition").items() if cls.axis == sentence.name]
        report.error(
            "wrong-transition",
            f"`{sentence.transition.name}` moves along {built.component.axis}, not along {sentence.name}",
            sentence.transition.name_span,
            "for a different axis",
            also=[Label(sentence.name_span, "this axis")],
            help=f"write `via {fitting[0]}`" if fitting else None,
        )
        raise Unsettled
    _room(built, report)
    _agreement(built, dimension, tuple(values), report)
    use = AxisUse(
        name=sentence.name,
        kind=axis,
        dimension=dimension,
        unit=BASE[dimension],
        values=tuple(values),
        value_spans=values,
        transition=built.component,
        span=sentence.name_span,
        via=built.spans[""],
        components={name: one.component for name, one in named.built.items()},
    )
    return use, {f"axis.{use.name}": built, **{f"{use.name}.{name}": one for name, one in named.built.items()}}


def _room(built: Built, report: Report) -> None:
    """Check that `preview` and `retain` together leave steps for the stage's own shape. Raises Unsettled."""
    preview, retain = built.component.preview, built.component.retain
    if preview + retain < 1:
        return
    said = [name for name in ("preview", "retain") if name in built.spans]
    report.error(
        "out-of-range",
        f"`preview` and `retain` together take {preview + retain:.0%} of a stage's steps",
        built.spans[said[-1]],
        "both together must be below 100%",
        also=[Label(built.spans[name], f"`{name}`") for name in said[:-1]],
        help=f"`preview` is {preview:.0%} and `retain` {retain:.0%}: lower one of them",
    )
    raise Unsettled


def _agreement(built: Built, dimension: Dimension, values: tuple[Value, ...], report: Report) -> None:
    """Check the settings of a transition against the values of its axis. Raises Unsettled."""
    try:
        built.component.agree(dimension, values)
    except EditError as error:
        at = built.spans.get(error.setting, built.spans[""])
        report.error(error.code, error.message, at, error.why, notes=error.notes, help=error.help)
        raise Unsettled from error


def _listed(sentence: syntax.Axis, axis: Any, names: Names, report: Report) -> syntax.Listing:
    listed = names.expand(sentence.values, report)
    if isinstance(listed, syntax.Listing) and listed.items:
        return listed
    message = f"axis `{sentence.name}` needs a list of values"
    sample = axis.example if axis.dimension == "name" else f"[8, 4] {axis.unit}".rstrip()
    help_ = f"write the values in brackets, such as `{sample}`"
    why = "needs a value" if isinstance(listed, syntax.Listing) else "must be a list"
    report.error("wrong-kind", message, sentence.values.span, why, help=help_)
    raise Unsettled


def _numbers(
    listed: syntax.Listing, axis: Any, names: Names, report: Report, largest: int
) -> tuple[dict[Value, Span], Dimension]:
    """The values with their spans, and their dimension: all values must have the dimension of the first."""
    found: dict[Value, Span] = {}
    failed = False
    accepted = _dimensions(axis)
    for item in items(listed):
        try:
            of = axis_amount(item, accepted, names, report, largest)
        except Unsettled:
            failed = True
            continue
        value, accepted = int(of.value), (of.dimension,)
        if value in found:
            other = (Label(found[value], "the first one"),)
            report.error("repeated-value", f"`{item.span.text}` is listed twice", item.span, "again", also=other)
            failed = True
        found.setdefault(value, item.span)
    if failed:
        raise Unsettled
    return found, accepted[0]


def _dimensions(axis: Any) -> tuple[Dimension, ...]:
    """The dimensions that the values of an axis may have, for all kinds of data."""
    counted = (dimension for fitting in axis.counts.values() for dimension in fitting)
    return tuple(dict.fromkeys(counted)) or (axis.dimension,)


def value_on(axis: AxisUse, item: syntax.Value, names: Names, report: Report) -> Value:
    """A value on an axis of the file: a number in its base unit, or one of its names. Raises Unsettled."""
    if axis.dimension == "name":
        return chosen(item, axis, names, report)
    return int(axis_amount(item, (axis.dimension,), names, report).value)


def axis_amount(
    item: syntax.Value, accepted: tuple[Dimension, ...], names: Names, report: Report, largest: int = LARGEST_SIZE
) -> Amount:
    """One value of an axis in its base unit: a positive whole number. Raises Unsettled."""
    at = item.span
    found = amount(item, accepted, names, report)
    if found.value != int(found.value) or not 1 <= found.value <= largest:
        why = "must be a whole number of 1 or more" if found.value <= largest else f"must be at most {largest:_}"
        report.error("out-of-range", f"`{at.text}` is out of range", at, why)
        raise Unsettled
    return found


MOST = 100_000
"""Combinations of values of the axes, before `where` leaves some out."""


@attrs.frozen
class Space:
    """The axes of a file, and the shapes on these axes that are candidates."""

    axes: tuple[AxisUse, ...]
    candidates: tuple[Shape, ...]
    condition: Span | None = None
    """The span of the `where` condition."""
    known: frozenset[Shape] = attrs.field(init=False, repr=False, eq=False)
    """The candidates, for a quick look-up."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "known", frozenset(self.candidates))

    def partial(self, written: syntax.ShapeLiteral, names: Names, report: Report) -> None:
        """Check the names and units of a shape that names some axes of the file. Raises Unsettled."""
        known = {axis.name: axis for axis in self.axes}
        for setting in written.settings:
            if setting.name not in known:
                _unknown_axis(setting.name, setting.name_span, known, report)
            value_on(known[setting.name], setting.value, names, report)

    def literal(
        self, written: syntax.ShapeLiteral, names: Names, report: Report, *, partial: Shape | None = None
    ) -> Shape:
        """The candidate that a shape in the file names. Raises Unsettled if it is not a candidate. `partial`: values
        for axes that the shape may leave out."""
        known = {axis.name: axis for axis in self.axes}
        found: dict[str, Value] = dict(partial or {})
        for setting in written.settings:
            axis = known.get(setting.name)
            if axis is None:
                _unknown_axis(setting.name, setting.name_span, known, report)
            value = value_on(axis, setting.value, names, report)
            if value not in axis.values:
                unknown_value(axis, setting.value, report)
            found[setting.name] = value
        missing = [name for name in known if name not in found]
        if missing:
            message = f"the shape has no value for {' and '.join(missing)}"
            report.error("incomplete-shape", message, written.span, "needs a value for every axis")
            raise Unsettled
        shape = Shape.of(found)
        if shape not in self.known:
            also = [Label(self.condition, "by this condition")] if self.condition is not None else []
            message = f"{written.span.text} is not a candidate"
            report.error("not-a-candidate", message, written.span, "excluded by `where`", also=also)
            raise Unsettled
        return shape


def _unknown_axis(name: str, span: Span, known: Iterable[str], report: Report) -> NoReturn:
    known = list(known)
    close = did_you_mean(name, known)
    report.error(
        "unknown-axis",
        f"there is no axis `{name}`",
        span,
        "not an axis of this file",
        notes=[f"axes: {', '.join(known)}"],
        help=f"did you mean `{close}`?" if close else None,
    )
    raise Unsettled


def space(axes: Sequence[AxisUse], sentence: syntax.Candidates | None, names: Names, report: Report) -> Space:
    """All candidates: the product of the axes in the order of the file, filtered by `where`. Raises Unsettled."""
    by_name = {axis.name: axis for axis in axes}
    if sentence is not None:
        for name, span in sentence.axes:
            if name not in by_name:
                _unknown_axis(name, span, by_name, report)
        left_out = [axis for axis in axes if axis.name not in {name for name, _ in sentence.axes}]
        if left_out:
            message = f"axis `{left_out[0].name}` is not among the candidates' axes"
            report.error(
                "incomplete-shape", message, sentence.span, "an axis is left out", also=[Label(left_out[0].span)]
            )
            raise Unsettled
    if (count := math.prod(len(axis.values) for axis in axes)) > MOST:
        message, why = f"the axes have {count:,} combinations of values", f"at most {MOST:,} can be compared"
        at, help_ = axes[-1].span if sentence is None else sentence.span, "list fewer values on an axis"
        report.error("too-many-candidates", message, at, why, help=help_)
        raise Unsettled
    product = itertools.product(*(axis.values for axis in axes))
    every = (Shape.of(dict(zip(by_name, values, strict=True))) for values in product) if axes else iter(())
    condition = None if sentence is None else sentence.condition
    shapes = tuple(one for one in every if condition is None or _holds(condition, one, by_name, names, report))
    if condition is not None:
        if not shapes:
            report.error("no-candidates", "no candidates are left", condition.span, "excludes every shape")
            raise Unsettled
        return Space(tuple(axes), shapes, condition.span)
    return Space(tuple(axes), shapes)


def _holds(
    condition: syntax.Condition, shape: Shape, axes: Mapping[str, AxisUse], names: Names, report: Report
) -> bool:
    match condition:
        case syntax.All(tests=tests):
            return all(_holds(test, shape, axes, names, report) for test in tests)
        case syntax.Any_(tests=tests):
            return any(_holds(test, shape, axes, names, report) for test in tests)
        case syntax.Not(test=test):
            return not _holds(test, shape, axes, names, report)
    if condition.axis not in axes:
        _unknown_axis(condition.axis, condition.axis_span, axes, report)
    axis = axes[condition.axis]
    if axis.dimension == "name":
        check_order(condition, axis, report)
        return shape[axis.name] == chosen(condition.value, axis, names, report)
    wanted = axis_amount(condition.value, (axis.dimension,), names, report).value
    return compares(shape.number(axis.name), condition.operator, wanted)


def compares(left: float, operator: str, right: Any) -> bool:
    """The result of `left operator right`, for the operators of the language."""
    operators: dict[Literal["<=", ">=", "<", ">", "is"] | str, bool] = {
        "<=": left <= right,
        ">=": left >= right,
        "<": left < right,
        ">": left > right,
        "is": left == right,
    }
    return operators[operator]
