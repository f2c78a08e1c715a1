"""Reads values of axes from the names of files (`runs/width-64.csv`) and columns (`width64 - loss`)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

import attrs

from shapeflow.doctor import names
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.readers import Row
from shapeflow.laws.logs.readers.wandb import EXTREMES

BETWEEN = " - "
"""The separator between the run and the metric in the export of a chart."""
_EVENTS = re.compile(r"(events\.out\.tfevents)[^/]*$")
"""Event files are named after time and machine, not after their run."""


@attrs.frozen
class Places:
    """A template that matches several names, and the values that each name contains."""

    template: str
    """The common name, with placeholders in braces, in the syntax of `fit`."""
    values: Mapping[str, Mapping[str, str]]
    """Name -> axis, or `run` -> its value."""


SHORT = {
    "w": ("width", 8), "d": ("width", 16), "L": ("depth", 1), "l": ("depth", 1), "T": ("context", 16),
    "p": ("patch", 4), "bs": ("batch", 2),
}  # fmt: skip
"""Word before a number in the names of files -> its axis, and the least number that it may stand for there."""


@functools.cache
def _axes() -> Mapping[str, str]:
    """Word before a number in a name -> its axis."""
    known = {alias: axis for alias, axis in names.columns_of_axes().items() if not names.is_named(axis)}
    return {**{short: axis for short, (axis, _) in SHORT.items()}, **known}


@functools.cache
def _pattern() -> re.Pattern[str]:
    called = "|".join(map(re.escape, sorted(_axes(), key=len, reverse=True)))
    return re.compile(rf"(?<![A-Za-z])({called}|seed|run)([-_=]?)(\d+)(?![\d.]*\d)")


def places_of(texts: Sequence[str]) -> Places | None:
    """The template of names that differ only in the numbers after the names of axes and seeds; None if they differ in
    anything else, or in no axis."""
    found = {text: {_key(match): match[3] for match in _matches(text)} for text in texts}
    keys = [tuple(values) for values in found.values()]
    if len(texts) < 2 or len(set(keys)) != 1:
        return None
    varied = {key for key in keys[0] if len({values[key] for values in found.values()}) > 1}
    if not varied - {"run"}:
        return None
    templates = {
        _EVENTS.sub(
            r"\1*",
            _pattern().sub(lambda match: _place(match) if _key(match) in varied and _may_be(match) else match[0], text),
        )
        for text in texts
    }
    if len(templates) != 1 or any(sign in text for text in texts for sign in "*?[{"):
        return None
    given = {text: {key: value for key, value in values.items() if key in varied} for text, values in found.items()}
    return Places(templates.pop(), given)


def _matches(text: str) -> list[re.Match[str]]:
    return [match for match in _pattern().finditer(text) if _may_be(match)]


def _may_be(match: re.Match[str]) -> bool:
    """Whether a number is large enough for what a short word stands for."""
    return int(match[3]) >= SHORT.get(match[1], ("", 0))[1]


def short_in(template: str) -> Iterator[tuple[str, str]]:
    """Yield each short word before a placeholder of a template, and the axis that it is read as."""
    for word, axis in re.findall(r"(?<![A-Za-z])([A-Za-z]+)[-_=]?\{(\w+)\}", template):
        if SHORT.get(word, ("", 0))[0] == axis:
            yield word, axis


def _place(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}{{{_key(match)}}}"


def _key(match: re.Match[str]) -> str:
    return _axes().get(match[1], "run")


def wide_of(columns: Sequence[str]) -> Places | None:
    """The template of the error columns if a table has one per run, else None. If the names of runs do not contain
    their shape, the runs are separated by name."""
    lines: dict[str, list[str]] = {}
    for name in columns:
        run, between, metric = name.rpartition(BETWEEN)
        if run and between and words.is_error(metric) and not name.endswith(EXTREMES):
            lines.setdefault(metric, []).append(name)
    for metric, found in lines.items():
        if (places := places_of(found)) is not None:
            return places
        if len(found) > 1:
            ending = f"{BETWEEN}{metric}"
            return Places(f"{{run}}{ending}", {name: {"run": name.removesuffix(ending)} for name in found})
    return None


def long_rows(rows: Iterator[Row], places: Places) -> Iterator[Row]:
    """Split each row of a table with one column per run into one row per run. The template is the name of the error
    column."""
    for row in rows:
        rest = {name: cell for name, cell in row.items() if name not in places.values and not name.endswith(EXTREMES)}
        for name, said in places.values.items():
            if name in row:
                yield {**rest, **said, places.template: row[name]}
