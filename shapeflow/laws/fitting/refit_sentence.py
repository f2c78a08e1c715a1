"""The settings that a fitted law records of its source, and the sentence that fits the law again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shapeflow.base.call import call
from shapeflow.base.settings import name_of, written

FIRST = "fit"
"""The source of laws that do not record a source."""
SOURCE = "is"
"""The key of `settings` that names the source. The word is reserved in the language, so no setting has this name."""


def recorded(source: Any) -> dict[str, Any]:
    """Return the settings of a law source as JSON values, with its name unless it is `fit`."""
    name = name_of(source)
    return written(source) if name == FIRST else {SOURCE: name, **written(source)}


def source_of(settings: Mapping[str, Any], sources: Mapping[str, Any]) -> Any | None:
    """Return the class of the source that recorded these settings. None if it is not in `sources`."""
    return sources.get(settings.get(SOURCE, FIRST))


def sentence(settings: Mapping[str, Any], sources: Mapping[str, Any]) -> str | None:
    """Return recorded settings as a sentence of a `.shape` file, such as `laws from fit("runs/*.csv", points: 40)`.
    Settings at their defaults are omitted.

    `sources`: name -> class. None if the source is not installed, does not have one of the settings, requires a setting
    that was not recorded, or if the language cannot express a value.
    """
    source = source_of(settings, sources)
    if source is None:
        return None
    rest = {name: value for name, value in settings.items() if name != SOURCE}
    text = call(source, rest)
    return None if text is None else f"laws from {text}"
