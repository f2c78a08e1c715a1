"""Settings: the fields of a component, and the values that a `.shape` file may give them.

A component is an attrs class. Its name in a `.shape` file is its file's name, its fields are its settings, its
docstring is its help. A field's annotation gives the kind of value (`int`, `float`, `str`, `bool`, a `Literal` of bare
names, `Amount`, a tuple of these, or one of them `| None`); `setting(...)` adds the unit and the limits.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount, Dimension

_META = "shapeflow.setting"


@attrs.frozen
class Limits:
    """The checks that `resolve` makes on a setting in addition to its type."""

    units: tuple[Dimension, ...] = ()
    """Accepted dimensions; the value of the field is then in base units. Empty: a number without a unit."""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    """A bound that the value must exceed."""
    below: float | None = None
    """A bound that the value must stay below."""
    kind: str | None = None
    """For a field that contains another component: its kind."""
    first: bool = False
    """Whether the setting may be given first, without its name: `fit("runs/*")`."""
    help: str = ""
    found: bool = False
    """Not a setting: the compiler computes the value and writes it into the plan."""
    omitted: bool = False
    """Whether the setting is left out of JSON at its default: a setting that is newer than plans and laws which must
    keep their digests."""
    compared: bool = True
    """Whether measurements with another value are of something else, and are not used."""
    example: str = ""
    """An example value as written in a file, for a setting that does not accept every value of its type."""


def setting(
    *units: Dimension,
    default: Any = attrs.NOTHING,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    kind: str | None = None,
    first: bool = False,
    help: str = "",
    example: str = "",
    omitted: bool = False,
    compared: bool = True,
) -> Any:
    """An attrs field that a `.shape` file may set. `units`: the accepted dimensions; none for a number without a
    unit."""
    limits = Limits(
        units, low, high, above, below, kind, first, help, omitted=omitted, compared=compared, example=example
    )
    return attrs.field(default=default, metadata={_META: limits})


def found(default: Any) -> Any:
    """An attrs field that the compiler computes. A `.shape` file cannot set it, and every plan contains it."""
    return attrs.field(default=default, metadata={_META: Limits(found=True)})


def limits(field: attrs.Attribute[Any]) -> Limits:
    """The limits of a component's field; none for a plain attrs field."""
    found = field.metadata.get(_META)
    return found if isinstance(found, Limits) else Limits()


def settings_of(component: type) -> dict[str, attrs.Attribute[Any]]:
    """The fields of a component that a `.shape` file may set, by name."""
    return {field.name: field for field in attrs.fields(component) if not limits(field).found}


def name_of(component: type | Any) -> str:
    """A component's name in a `.shape` file: the name of its module."""
    cls = component if isinstance(component, type) else type(component)
    return cls.__module__.rpartition(".")[2]


def written(component: Any) -> dict[str, Any]:
    """All settings of a component as JSON values, including defaults: a changed default must not change an old plan."""
    plain = defaults(type(component))
    values = {field.name: _json(getattr(component, field.name)) for field in attrs.fields(type(component))}
    newer = {field.name for field in attrs.fields(type(component)) if limits(field).omitted}
    return {name: value for name, value in values.items() if name not in newer or value != plain[name]}


def defaults(component: type) -> dict[str, Any]:
    """The default values of a component class, by setting, as JSON values. Settings without a default are left out."""
    found: dict[str, Any] = {}
    for name, field in settings_of(component).items():
        default: Any = field.default
        if default is not attrs.NOTHING:
            found[name] = _json(default.factory() if hasattr(default, "factory") else default)
    return found


def unfit(component: Any) -> Iterator[str]:
    """Yield, in words, the settings of a component whose value has the wrong type or is outside the limits. For
    components that were read from JSON; tuples and nested components are not checked."""
    hints = typing.get_type_hints(type(component))
    for name, field in settings_of(type(component)).items():
        value, options = getattr(component, name), _options(hints[name])
        if not any(_is(value, option) for option in options) or not _within(value, limits(field)):
            yield f"its `{name}` is {value!r}"


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _is(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind if kind in (int, str, bool, type(None)) else True


def _within(value: Any, bounds: Limits) -> bool:
    if type(value) not in (int, float):
        return True
    return (
        (bounds.low is None or value >= bounds.low)
        and (bounds.high is None or value <= bounds.high)
        and (bounds.above is None or value > bounds.above)
        and (bounds.below is None or value < bounds.below)
    )


def _json(value: Any) -> Any:
    if isinstance(value, Amount):
        return {"value": value.value, "of": value.dimension}
    if isinstance(value, Shape):
        return value.json()
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    if attrs.has(type(value)):
        return {"is": name_of(value), **written(value)}
    return value
