"""Reads values of axes from the names of files (`runs/width-64.csv`) and columns (`width64 - loss`)."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import attrs

from shapeflow.doctor import names
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.readers import Row
from shapeflow.laws.logs.readers.wandb import EXTREMES
from shapeflow.laws.logs.template import PART

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

    @property
    def axes(self) -> frozenset[str]:
        """The axes whose values the names contain."""
        return frozenset(key for values in self.values.values() for key in values) & names.axes().keys()


SHORT = {
    "w": ("width", 8), "d": ("width", 16), "L": ("depth", 1), "l": ("depth", 1), "T": ("context", 16),
    "p": ("patch", 4), "bs": ("batch", 2),
}  # fmt: skip
"""Word before a number in the names of files -> its axis, and the least number that it may stand for there."""


RUN_WORDS = ("seed", "run", "rep", "repeat", "replica", "replicate", "trial", "exp", "rng", "fold", "version", "try")
"""Words before the number of a run of a shape."""
PART_WORDS = ("part", "chunk", "segment", "seg", "piece", "shard", "teil", "partie", "parte")
"""Words before the number of a file of a run whose log is several files."""
PEAK = "peak_lr"
"""What a learning rate in a name is called. It is a setting of the run, and not the rate along it."""
OTHER_WORDS = (
    "learning_rate", "lr", "peak_lr", "max_lr", "weight_decay", "wd", "dropout", "drop", "warmup", "wu", "beta",
    "beta1", "beta2", "momentum", "mom", "clip", "eps", "ema", "gpu", "gpus", "node", "nodes", "job", "rank", "temp",
)  # fmt: skip
"""Words before the number of a setting that is no axis. Runs that differ in it are of one shape."""
RUN_LETTERS = ("s", "r", "v", "")
"""Letters before the number of a run; empty: none. They may stand before much else."""
MULTIPLE = 8
"""Sizes are multiples of this, from twice as much on; seeds are not."""


@functools.cache
def _axes() -> Mapping[str, str]:
    """Word before a number in a name -> its axis."""
    known = {alias: axis for alias, axis in names.columns_of_axes().items() if not names.is_named(axis)}
    return {**{short: axis for short, (axis, _) in SHORT.items()}, **known}


@functools.cache
def _pattern() -> re.Pattern[str]:
    known = sorted((*_axes(), *RUN_WORDS, *PART_WORDS, *filter(None, RUN_LETTERS)), key=len, reverse=True)
    called, others = "|".join(map(re.escape, known)), "|".join(sorted(OTHER_WORDS, key=len, reverse=True))
    other = rf"(?P<other>{others})[-_=]?(?P<value>\d+(?:[.p]\d+)?(?:[eE][-+]?\d+)?)"
    bare = r"(?<=[-_/])(?<!e-)(?<!E-)(?P<bare>\d{1,6})(?=[-_/]|\.[A-Za-z]|$)"
    return re.compile(
        rf"(?<![A-Za-z])(?P<word>{called})(?P<sign>[-_=]?)(?P<number>\d+)(?![\d.]*\d)|(?<![A-Za-z]){other}|{bare}"
    )


def places_of(texts: Sequence[str], held: Collection[str] = ()) -> Places | None:
    """The template of names that differ only in the numbers after the names of axes and seeds; None if they differ in
    anything else, or in no axis. A number that tells the runs of a shape apart is `{run}`, several are `*`, and so are
    the values of axes that are known without the names (`held`)."""
    found = [_matches(text) for text in texts]
    if len(texts) < 2 or len({tuple(_word(match) for match in each) for each in found}) != 1:
        return None
    varied = [at for at in range(len(found[0])) if len({_number(each[at]) for each in found}) > 1]
    keys = {at: _key(found[0][at]) for at in varied}
    of_runs = [at for at in varied if keys[at] == "run"]
    if not set(keys.values()) & set(names.axes()) - set(held) or any(_may_be_size(found, at) for at in of_runs):
        return None
    if len(of_runs) > 1:
        keys.update(dict.fromkeys(of_runs, "*"))
    keys = {at: "*" if key in held else key for at, key in keys.items()}
    made = {_filled(text, each, keys) for text, each in zip(texts, found, strict=True)}
    if len(made) != 1 or any(sign in text for text in texts for sign in "*?[{"):
        return None
    given = {
        text: {key: _number(each[at]) for at, key in keys.items() if key != "*"}
        for text, each in zip(texts, found, strict=True)
    }
    return Places(made.pop(), given)


def _filled(text: str, matches: Sequence[re.Match[str]], keys: Mapping[int, str]) -> str:
    """A name with placeholders in place of the numbers that vary."""
    made, last = "", 0
    for at, match in enumerate(matches):
        begin, end = match.span("number" if match["word"] else "value" if match["other"] else "bare")
        if at in keys:
            made += text[last:begin] + ("*" if keys[at] == "*" else f"{{{keys[at]}}}")
            last = end
    return _EVENTS.sub(r"\1*", made + text[last:])


def _may_be_size(found: Sequence[Sequence[re.Match[str]]], at: int) -> bool:
    """Whether the number of a run, after a letter or nothing, may be a size: all of them are multiples."""
    numbers = {int(_number(each[at])) for each in found}
    plain = _word(found[0][at]) in RUN_LETTERS
    return plain and all(number % MULTIPLE == 0 and number >= 2 * MULTIPLE for number in numbers)


def _word(match: re.Match[str]) -> str:
    return match["word"] or match["other"] or ""


def _number(match: re.Match[str]) -> str:
    return match["number"] or match["value"] or match["bare"]


def _matches(text: str) -> list[re.Match[str]]:
    return [match for match in _pattern().finditer(text) if _may_be(match)]


def _may_be(match: re.Match[str]) -> bool:
    """Whether a number is large enough for what a short word stands for."""
    return match["other"] is not None or int(_number(match)) >= SHORT.get(_word(match), ("", 0))[1]


def short_in(template: str) -> Iterator[tuple[str, str]]:
    """Yield each short word before a placeholder of a template, and the axis, or `run`, that it is read as."""
    for word, axis in re.findall(r"(?<![A-Za-z])([A-Za-z]*)[-_=/]?\{(\w+)\}", template):
        if SHORT.get(word, ("", 0))[0] == axis or (axis == "run" and word in RUN_LETTERS):
            yield word, axis


def _key(match: re.Match[str]) -> str:
    if match["other"]:
        return PEAK if words.is_learning_rate(match["other"]) else match["other"]
    return PART if _word(match) in PART_WORDS else _axes().get(_word(match), "run")


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
