"""A component with its settings as it is written in a `.shape` file."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from shapeflow.base.settings import Limits, defaults, limits, name_of, settings_of
from shapeflow.base.units import BASE, amount_in


def call(component: type, settings: Mapping[str, Any]) -> str | None:
    """Return a component as text of a `.shape` file, such as `adamw(lr: 0.0003, warmup: 10 steps)`.

    `settings`: JSON values, as `written` returns them. Those at their defaults are omitted. None if the component does
    not have one of the settings, requires one that is missing, or if the language cannot express a value.
    """
    fields, plain = settings_of(component), defaults(component)
    if not set(settings) <= set(fields) or any(name not in settings and name not in plain for name in fields):
        return None
    hints = typing.get_type_hints(component)
    said = []
    for name, field in fields.items():
        if name not in settings or (name in plain and settings[name] == plain[name]):
            continue
        value = settings[name]
        kinds = (hints[name], *typing.get_args(hints[name]))
        choice = any(value in typing.get_args(each) for each in kinds if typing.get_origin(each) is Literal)
        text = value if choice else _said(value, limits(field))
        if not isinstance(text, str) or (str in kinds and not isinstance(value, str)):
            return None
        said.append(text if limits(field).first else f"{name}: {text}")
    return f"{name_of(component)}({', '.join(said)})"


def _said(value: Any, bounds: Limits) -> str | None:
    """Return a value as text of a `.shape` file. None if the language cannot express it."""
    if isinstance(value, str):
        return None if '"' in value or "\n" in value or "\r" in value else f'"{value}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        in_units = bool(bounds.units) and "number" not in bounds.units
        return _amount(value, bounds.units[0] if in_units else "number")
    if (amount := amount_in(value)) is not None:
        return _amount(amount.value, amount.dimension)
    if isinstance(value, Mapping):
        pairs = {name: _said(each, Limits()) for name, each in value.items() if isinstance(each, str | int | float)}
        if len(pairs) < len(value):
            return None
        return f"({', '.join(f'{name}: {each}' for name, each in pairs.items())})" if all(pairs.values()) else None
    if isinstance(value, Sequence):
        items = [_said(each, bounds) for each in value]
        return f"[{', '.join(each for each in items if each)}]" if all(items) else None
    return None


def _amount(value: float, dimension: Any) -> str | None:
    if isinstance(value, bool) or not math.isfinite(value):
        return None
    return f"{100 * value if dimension == 'ratio' else value!r} {BASE[dimension]}".strip()
