"""Resolve values: from the text of a file to a Python value in base units, by the type of the field."""

from __future__ import annotations

import itertools
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from shapeflow.base.diagnostics import Label, Report, Span, did_you_mean
from shapeflow.base.settings import Limits
from shapeflow.base.shapes import Shape
from shapeflow.base.units import BASE, UNITS, Amount, Dimension, Unit
from shapeflow.language import syntax

LARGEST = 10**8
"""Maximum whole number of a setting. Sizes are multiplied with each other, and no machine can store larger arrays."""

SMALL, GREAT = 1e-12, 1e37
"""The range of an amount with a unit, and of an error, apart from 0. Larger than any run; their squares are finite."""
TINY, HUGE = 1e-100, 1e100
"""The range of a number without a unit, apart from 0."""


class Unsettled(Exception):  # noqa: N818 - the report already holds the error
    """A value could not be resolved; the error has been reported."""


@attrs.frozen
class Names:
    """The names that `let` and `use` define: `name` or `alias.name` -> the value."""

    lets: Mapping[str, syntax.Value] = attrs.field(factory=dict)
    values: frozenset[str] = frozenset()
    """Names that the file's axes list as values."""

    def chain(self, value: syntax.Value) -> tuple[str, ...]:
        """The name in a value, followed by the names that `let`s define it as. Empty if the value is not a name."""
        found: dict[str, None] = {}
        at: syntax.Value | None = value
        while at is not None and (name := bare(at)) is not None and name not in found:
            found[name] = None
            at = self.lets.get(name)
        return tuple(found)

    def expand(self, value: syntax.Value, report: Report) -> syntax.Value:
        """The value that a name is defined as; the value itself if it is not a name. Raises Unsettled."""
        seen: dict[str, None] = {}
        while (name := bare(value)) is not None and (name in self.lets or not isinstance(value, syntax.Component)):
            if name in seen:
                self.circular(name, tuple(seen), value.span, report)
            if name not in self.lets:
                self.unknown(name, value.span, "not defined by a `let`", report)
            seen[name] = None
            value = self.lets[name]
        return value

    def circular(self, name: str, seen: tuple[str, ...], at: Span, report: Report) -> typing.NoReturn:
        """Report a name that is defined by itself. Raises Unsettled."""
        way = [f"the cycle: {' -> '.join((*seen[seen.index(name) :], name))}"]
        report.error("circular-let", f"`{name}` is defined in terms of itself", at, "refers back to itself", notes=way)
        raise Unsettled

    def unknown(self, name: str, at: Span, why: str, report: Report) -> typing.NoReturn:
        """Report a name that is not defined. Raises Unsettled."""
        close = did_you_mean(name, self.lets)
        report.error(
            "unknown-name",
            f"the name `{name}` is not defined",
            at,
            why,
            notes=[f"known names: {', '.join(sorted(self.lets))}"] if self.lets else ["the file has no `let`"],
            help=f"did you mean `{close}`?" if close else None,
        )
        raise Unsettled


def bare(value: syntax.Value) -> str | None:
    """The name if a value is only a name, such as `teacher` or `imagenet.side`; otherwise None."""
    if isinstance(value, syntax.Reference):
        return ".".join(value.parts)
    return value.name if isinstance(value, syntax.Component) and not value.called else None


def amount(
    value: syntax.Value, accepted: tuple[Dimension, ...], names: Names, report: Report, notes: Iterable[str] = ()
) -> Amount:
    """A number with its unit, in base units. The unit is optional if `number` is accepted, or if only `ratio` is
    accepted (1.2 means 120%). `notes`: notes for the error about a wrong unit. Raises Unsettled."""
    at = value.span
    value = names.expand(value, report)
    if isinstance(value, syntax.Number):
        if "number" in accepted:
            return _real(Amount(value.value, "number"), at, report)
        if accepted == ("ratio",):
            return _real(Amount(value.value, "ratio"), at, report)
        units = " or ".join(f"`{with_unit(value.text, dimension)}`" for dimension in accepted)
        report.error(
            "missing-unit", f"`{value.text}` has no unit", at, "a number without a unit", help=f"write {units}"
        )
        raise Unsettled
    if not isinstance(value, syntax.Quantity):
        wanted = "a number" if accepted == ("number",) else "a number with a unit"
        _wrong_kind(value, wanted, at, names, report)
    assert isinstance(value, syntax.Quantity)
    unit = unit_of(value.unit, value.unit_span, accepted, report)
    if unit.dimension not in accepted:
        wrong_unit(value.unit, value.unit_span, accepted, report, notes)
    return _real(Amount(unit.base(value.number.value), unit.dimension), at, report)


def _real(found: Amount, at: Span, report: Report) -> Amount:
    """An amount, if it is of a real size, so that arithmetic with it stays finite. Raises Unsettled otherwise."""
    low, high = (TINY, HUGE) if found.dimension == "number" else (SMALL, GREAT)
    size = abs(found.value)
    if size == 0 or low <= size <= high:
        return found
    limit = Amount(math.copysign(high if size > high else low, found.value), found.dimension)
    ways = ("most", "least") if found.value > 0 else ("least", "most")
    why = f"must be at {ways[0]} {limit.said}" if size > high else f"must be 0, or at {ways[1]} {limit.said}"
    report.error("out-of-range", f"`{at.text}` is out of range", at, why)
    raise Unsettled


def with_unit(text: str, dimension: Dimension) -> str:
    """A number with the base unit of a dimension, as written in a file: `100 steps`, `100%`."""
    return f"{text}%" if dimension == "ratio" else f"{text} {BASE[dimension]}"


def unit_of(name: str, span: Span, accepted: tuple[Dimension, ...], report: Report) -> Unit:
    """The unit of a name. Raises Unsettled."""
    if name in UNITS:
        return UNITS[name]
    fitting = [unit.name for unit in UNITS.values() if unit.dimension in accepted]
    close = did_you_mean(name, fitting) or did_you_mean(name, UNITS)
    report.error(
        "unknown-unit",
        f"no unit is called `{name}`",
        span,
        "not a unit",
        notes=[f"units that fit: {', '.join(fitting)}" if fitting else "no unit is allowed here"],
        help=f"did you mean `{close}`?" if close else None,
    )
    raise Unsettled


def wrong_unit(
    name: str, span: Span, accepted: tuple[Dimension, ...], report: Report, notes: Iterable[str] = ()
) -> typing.NoReturn:
    """Report a unit of the wrong kind. Raises Unsettled."""
    units = " or ".join(f"`{BASE[dimension]}`" for dimension in accepted if BASE[dimension])
    report.error(
        "wrong-unit",
        f"`{name}` is not a unit of {' or '.join(accepted)}",
        span,
        f"a unit of {UNITS[name].dimension}",
        notes=notes,
        help=f"use {units}" if units else "write the number without a unit",
    )
    raise Unsettled


def settle(value: syntax.Value, kind: Any, limits: Limits, names: Names, report: Report) -> Any:
    """The value of a setting, converted to the type of its field. Raises Unsettled after reporting the error."""
    at = value.span
    if bare(value) in _words(kind):
        return bare(value)
    value = names.expand(value, report)
    options = _options(kind)
    if options is not None:
        return _choice(value, options, at, report)
    kind = _without_none(kind)
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _tuple(value, typing.get_args(kind)[0], limits, names, report)
    if kind is Shape or origin is Mapping or origin is dict:
        return _mapping(value, kind, names, report)
    if kind is str:
        return (
            value.value
            if isinstance(value, syntax.Text)
            else _wrong_kind(value, 'a string in quotes, like `"..."`', at, names, report)
        )
    if kind is bool:
        return _choice(value, ("true", "false"), at, report) == "true"
    if kind is Amount:
        return _bounded(amount(value, limits.units, names, report), limits, at, report)
    return _number(value, kind, limits, names, at, report)


def _number(value: syntax.Value, kind: Any, limits: Limits, names: Names, at: Span, report: Report) -> Any:
    found = _bounded(amount(value, limits.units or ("number",), names, report), limits, at, report)
    if kind is int:
        if found.value != int(found.value):
            report.error("not-whole", f"`{at.text}` is not a whole number", at, "must be whole")
            raise Unsettled
        if abs(found.value) > LARGEST:
            report.error("out-of-range", f"`{at.text}` is out of range", at, f"must be at most {LARGEST:_}")
            raise Unsettled
        return int(found.value)
    return found.value


def _bounded(found: Amount, limits: Limits, at: Span, report: Report) -> Amount:
    def said(limit: float) -> str:
        return Amount(limit, found.dimension).said

    bounds = (
        (limits.low is not None and found.value < limits.low, "at least", limits.low),
        (limits.high is not None and found.value > limits.high, "at most", limits.high),
        (limits.above is not None and found.value <= limits.above, "above", limits.above),
        (limits.below is not None and found.value >= limits.below, "below", limits.below),
        (found.dimension == "ratio" and len(limits.units) > 1 and found.value > 1, "at most", 1.0),
    )
    for broken, words, limit in bounds:
        if broken and limit is not None:
            report.error("out-of-range", f"`{at.text}` is out of range", at, f"must be {words} {said(limit)}")
            raise Unsettled
    return found


def _options(kind: Any) -> tuple[str, ...] | None:
    kind = _without_none(kind)
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else None


def _words(kind: Any) -> tuple[str, ...]:
    """The names that a field accepts in place of a value of another type: `int | Literal["ends"]`."""
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    union = typing.get_origin(kind) in (typing.Union, types.UnionType) and len(parts) > 1
    return tuple(itertools.chain.from_iterable(typing.get_args(p) for p in parts if union and _options(p) is not None))


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [option for option in typing.get_args(kind) if option is not type(None)]
        return rest[0]
    return kind


def _choice(value: syntax.Value, options: tuple[str, ...], at: Span, report: Report) -> str:
    if isinstance(value, syntax.Component) and not value.called and value.name in options:
        return value.name
    close = did_you_mean(at.text, options)
    report.error(
        "unknown-choice",
        f"`{at.text}` is not one of the choices",
        at,
        f"must be one of: {', '.join(options)}",
        help=f"did you mean `{close}`?" if close else None,
    )
    raise Unsettled


def _tuple(value: syntax.Value, kind: Any, limits: Limits, names: Names, report: Report) -> tuple[Any, ...]:
    if not isinstance(value, syntax.Listing):
        return (settle(value, kind, limits, names, report),)
    return tuple(settle(item, kind, limits, names, report) for item in items(value))


def items(value: syntax.Listing) -> list[syntax.Value]:
    """The values of a list, each with the unit after the bracket."""
    if value.unit is None or value.unit_span is None:
        return list(value.items)
    return [
        syntax.Quantity(number=item, unit=value.unit, unit_span=value.unit_span, span=item.span)
        if isinstance(item, syntax.Number)
        else item
        for item in value.items
    ]


def _mapping(value: syntax.Value, kind: Any, names: Names, report: Report) -> Any:
    if not isinstance(value, syntax.ShapeLiteral):
        _wrong_kind(value, "a shape, like `(patch: 8 px)`", value.span, names, report)
    assert isinstance(value, syntax.ShapeLiteral)
    found: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    for setting in value.settings:
        if setting.name in found:
            other = (Label(spans[setting.name], "first set here"),)
            report.error("repeated-setting", f"`{setting.name}` is set twice", setting.name_span, "again", also=other)
            raise Unsettled
        found[setting.name], spans[setting.name] = plain(setting.value, names, report), setting.name_span
    return Shape.of(found) if kind is Shape else found


def plain(value: syntax.Value, names: Names, report: Report) -> Any:
    """A value without a declared type: a whole number in base units, a text, or a bare name. Raises Unsettled."""
    at = value.span
    listed = next((name for name in names.chain(value) if name in names.values), None)
    if listed is not None:
        return listed
    value = names.expand(value, report)
    if isinstance(value, syntax.Text):
        return value.value
    if isinstance(value, syntax.Component) and not value.called:
        return value.name
    if isinstance(value, syntax.Number | syntax.Quantity):
        accepted: tuple[Dimension, ...] = ("number", "length", "tokens", "samples")
        found = amount(value, accepted, names, report).value
        if found != int(found):
            report.error("not-whole", f"`{at.text}` is not a whole number", at, "must be whole")
            raise Unsettled
        return int(found)
    return _wrong_kind(value, "a number, a text or a name", at, names, report)


def _wrong_kind(value: syntax.Value, wanted: str, at: Span, names: Names, report: Report) -> typing.NoReturn:
    if isinstance(value, syntax.Component) and not value.called:
        names.unknown(value.name, at, f"must be {wanted}, or a name that a `let` defines as one", report)
    report.error("wrong-kind", f"`{_short(at.text)}` is the wrong kind of value", at, f"must be {wanted}")
    raise Unsettled


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
