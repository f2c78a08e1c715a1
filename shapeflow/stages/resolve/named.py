"""Resolve axes whose values are names: the component of each value, and the value that a name refers to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import attrs

from shapeflow import registry
from shapeflow.base.diagnostics import Label, Report, Span, did_you_mean
from shapeflow.base.shapes import Value
from shapeflow.ir.program import AxisUse
from shapeflow.language import syntax
from shapeflow.stages.resolve.components import Built, build
from shapeflow.stages.resolve.values import Names, Unsettled, bare, items


@attrs.frozen
class Named:
    """The values of an axis of names, with the span and, if it exists, the component of each."""

    spans: dict[Value, Span]
    built: Mapping[str, Built]


def named_values(listed: syntax.Listing, kind: str, loose: bool, names: Names, report: Report) -> Named:
    """The values of an axis of names. Raises Unsettled.

    Each value is the name of a component of `kind` without required settings, a name that a `let` gives to such a
    component, or a component with settings, which takes the name of its component. `loose`: other names are allowed
    too, for a file without a model."""
    spans: dict[Value, Span] = {}
    built: dict[str, Built] = {}
    called: set[str] = set()
    failed = False
    for item in items(listed):
        name = item.name if isinstance(item, syntax.Component) else bare(item)
        if name is None:
            message, why = f"`{item.span.text}` is not the name of an {kind}", f"must be an {kind}"
            report.error("wrong-kind", message, item.span, why)
            failed = True
            continue
        with_settings = isinstance(item, syntax.Component) and item.called
        if name in spans:
            _again(name, item.span, spans[name], with_settings or name in called, report)
            failed = True
            continue
        spans[name] = item.span
        called |= {name} if with_settings else set()
        if loose and not with_settings and name not in names.lets and name not in registry.components(kind):
            continue
        try:
            built[name] = build(kind, item, names, report)
        except Unsettled:
            failed = True
    if failed:
        raise Unsettled
    return Named(spans, built)


def _again(name: str, at: Span, first: Span, with_settings: bool, report: Report) -> None:
    if not with_settings:
        report.error("repeated-value", f"`{name}` is listed twice", at, "again", also=[Label(first, "the first one")])
        return
    report.error(
        "ambiguous-value",
        f"two values of the axis are called `{name}`",
        at,
        "called by the name of its component",
        also=[Label(first, "the same name")],
        help="name one of them with a `let`, and list that name",
    )


def chosen(value: syntax.Value, axis: AxisUse, names: Names, report: Report) -> str:
    """The value of an axis that a name refers to, directly or through `let`s. Raises Unsettled."""
    chain = names.chain(value)
    if not chain:
        values = ", ".join(map(str, axis.values))
        message = f"`{value.span.text}` is not a value of {axis.name}"
        report.error("wrong-kind", message, value.span, f"must be a name: {values}", also=[Label(axis.span)])
        raise Unsettled
    found = next((name for name in chain if name in axis.values), None)
    if found is None:
        unknown_value(axis, value, report)
    return found


def unknown_value(axis: AxisUse, value: syntax.Value, report: Report) -> NoReturn:
    """Report a value that the axis does not list. Raises Unsettled."""
    close = did_you_mean(value.span.text, map(str, axis.values)) if axis.dimension == "name" else None
    report.error(
        "unknown-value",
        f"axis {axis.name} has no value {value.span.text}",
        value.span,
        "not in the list of the axis",
        also=[Label(axis.span, f"{', '.join(map(str, axis.values))} {axis.unit}".rstrip())],
        help=f"did you mean `{close}`?" if close else None,
    )
    raise Unsettled


def check_order(condition: syntax.Comparison, axis: AxisUse, report: Report) -> None:
    """Check that names are compared only by `is`, because they do not have an order. Raises Unsettled."""
    if condition.operator == "is":
        return
    report.error(
        "unordered-axis",
        f"the values of {axis.name} are names, which have no order",
        condition.span,
        f"`{condition.operator}` compares numbers",
        also=[Label(axis.span, "an axis of names")],
        help=f"write `{condition.axis} is {condition.value.span.text}`, or put `not` before it",
    )
    raise Unsettled
