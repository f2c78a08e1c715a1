"""The sentence that fits laws again, by the settings that their report keeps."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from typing import Any, Literal

from shapeflow.base.settings import limits, settings_of, written
from shapeflow.base.units import BASE
from shapeflow.laws.fit import Fit


def sentence(settings: Mapping[str, Any]) -> str | None:
    """`laws from fit("runs/*.csv", points: 40)`, with all settings that are not the defaults; None where a setting is
    none that a file could say."""
    defaults, hints = written(Fit(paths="")), typing.get_type_hints(Fit)
    said = []
    for name, field in settings_of(Fit).items():
        if name not in settings or settings[name] == defaults[name]:
            continue
        choice = any(typing.get_origin(each) is Literal for each in (hints[name], *typing.get_args(hints[name])))
        value = settings[name] if choice else _said(settings[name])
        if not isinstance(value, str):
            return None
        said.append(value if limits(field).first else f"{name}: {value}")
    return f"laws from fit({', '.join(said)})" if isinstance(settings.get("paths"), str) else None


def _said(value: Any) -> str | None:
    """A value as a file writes it; None where it cannot."""
    if isinstance(value, str):
        return None if '"' in value or "\n" in value or "\r" in value else f'"{value}"'
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return repr(value) if math.isfinite(value) else None
    if not isinstance(value, Mapping):
        return None
    if set(value) == {"value", "of"} and value["of"] in BASE and isinstance(value["value"], int | float):
        size = 100 * value["value"] if value["of"] == "ratio" else value["value"]
        return f"{size!r} {BASE[value['of']]}".strip()
    inner = {name: _said(each) for name, each in value.items()}
    return f"({', '.join(f'{name}: {each}' for name, each in inner.items())})" if all(inner.values()) else None
