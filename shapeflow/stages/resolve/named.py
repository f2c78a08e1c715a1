"""Axes whose values are names: what each name stands for, and which name is meant."""

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
    """The values of an axis of names: where each stands, and the component behind it, if there is one."""

    spans: dict[Value, Span]
    built: Mapping[str, Built]


def named_values(listed: syntax.Listing, kind: str, loose: bool, names: Names, report: Report) -> Named:
    """Each value is the name of a component of `kind` that needs no settings, a name that a `let` gives to one, or a
    component with settings, which then goes by its own name. `loose`: other names stand for themselves; there is no
    model that could minimise them. Raises Unsettled."""
    spans: dict[Value, Span] = {}
    built: dict[str, Built] = {}
    called: set[str] = set()
    failed = False
    for item in items(listed):
        name = item.name if isinstance(item, syntax.Component) else bare(item)
        if name is None:
            message, why = f"`{item.span.text}` is no name of an {kind}", f"must be an {kind}"
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
        "goes by the name of its component",
        also=[Label(first, "and so does this one")],
        help="name one of them by a `let`, and list that name",
    )


def chosen(value: syntax.Value, axis: AxisUse, names: Names, report: Report) -> str:
    """Which value of an axis of names is meant: the name that is written, or one that `let`s lead on to. Raises
    Unsettled."""
    chain = names.chain(value)
    if not chain:
        values = ", ".join(map(str, axis.values))
        message = f"`{value.span.text}` is no value of {axis.name}"
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
        f"{axis.name} never is {value.span.text}",
        value.span,
        "not among the axis' values",
        also=[Label(axis.span, f"{', '.join(map(str, axis.values))} {axis.unit}".rstrip())],
        help=f"did you mean `{close}`?" if close else None,
    )
    raise Unsettled


def check_order(condition: syntax.Comparison, axis: AxisUse, report: Report) -> None:
    """Names are equal or not. Raises Unsettled where one is to be more than another."""
    if condition.operator == "is":
        return
    report.error(
        "unordered-axis",
        f"the values of {axis.name} are names, and no name is more than another",
        condition.span,
        f"`{condition.operator}` compares numbers",
        also=[Label(axis.span, "an axis of names")],
        help=f"write `{condition.axis} is {condition.value.span.text}`, or put `not` before it",
    )
    raise Unsettled
