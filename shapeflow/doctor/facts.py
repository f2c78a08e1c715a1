"""The result of inspecting logs: facts about files, columns and curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from shapeflow.laws.logs.finding.words import Role

Span = tuple[float, float]


@attrs.frozen(kw_only=True)
class FileFacts:
    """One file, or one run's folder."""

    name: str
    """Its path, as given."""
    format: str
    rows: int
    torn: bool = False
    """Whether its last row is incomplete."""
    broken: int = 0
    """The number of other rows that cannot be read."""
    sampled: bool = False
    """Whether it may contain only a sample of what was logged."""
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class ColumnFacts:
    """One column of all files of a table."""

    name: str
    kind: Literal["whole numbers", "numbers", "text", "empty"]
    low: float | None = None
    high: float | None = None
    """The lowest and highest of its finite numbers."""
    distinct: int | None = None
    """The number of distinct values; None if there are more than were counted."""
    values: tuple[str, ...] = ()
    """Some of the values, if there are few."""
    blank: int = 0
    """The number of rows without a value."""
    not_finite: int = 0
    """The number of cells that are NaN or infinite."""
    odd: int = 0
    """The number of cells that are not numbers, in a numeric column."""
    role: Role = ""
    why: str = ""
    """How the role was found; for an axis, its name."""
    sure: Literal["certain", "likely", "guess"] = "likely"
    """How sure the role is: `certain` for the names that a fit looks for, `guess` if only the values say so."""


@attrs.frozen(kw_only=True)
class Cut:
    """Runs whose learning rate is constant and falls at their end, cut at the fall: what is before is a curve at a
    constant rate."""

    runs: int
    at: Span
    """The first and the last place of a cut: a step, or compute in FLOPs."""
    steps: bool
    """Whether places are steps."""
    points: tuple[int, int]
    """The smallest and largest number of points that remain of a run."""


@attrs.frozen(kw_only=True)
class CurveFacts:
    """The curves that a fit would see."""

    shapes: int
    runs: int
    points: tuple[int, int]
    """The smallest and largest number of points per run."""
    decades: Span
    """log10 of last over first compute: the minimum and maximum over shapes."""
    compute: Span
    """In FLOPs; in steps, or in tokens or samples, if no column counts compute."""
    error: Span
    repeated: int = 0
    """The number of steps that were logged more than once."""
    restarted: int = 0
    """The number of runs that logged steps again with lower errors: their counter began again."""
    goes_on: int = 0
    """The number of runs whose compute begins again, and is not known from their steps."""
    by_steps: int = 0
    """The number of runs whose compute begins again, and is counted by their steps."""
    falls: int = 0
    """The number of rows whose compute is below that of the previous row."""
    excluded: Mapping[str, int] = attrs.field(factory=dict)
    """Reason -> number of rows that are not points."""
    diverged: int = 0
    """The number of runs that diverged: they end far above their lowest error."""
    learning_rate: Literal["constant", "falling"] | None = None
    """From the column of the learning rate, up to where runs are cut; None without one."""
    falling: int = 0
    """The number of runs whose learning rate falls, and that are not cut."""
    cut: Cut | None = None
    """None if no run is cut where its learning rate falls."""
    steepens: bool = False
    """Whether most curves become steeper per decade later in the run, as with a falling learning rate."""
    warmup: float | None = None
    """The number of steps over which the learning rate rises, from its column; None if it does not rise."""
    early: int = 0
    """The number of points at the start of a run that deviate from the curve of the others."""


@attrs.frozen(kw_only=True)
class Table:
    """Logs with the same columns, and how laws can be fitted to them."""

    files: tuple[FileFacts, ...]
    columns: tuple[ColumnFacts, ...]
    curves: CurveFacts | None
    """None if no column contains an error, or none counts compute or steps."""
    sentences: tuple[str, ...]
    """Sentences for a `.shape` file; empty if the logs cannot be fitted."""
    needs_model: bool
    """Whether the file must declare a model to know the FLOPs per step: no column counts compute."""
    counts: str | None
    """What the curves count if no column counts compute, unless it is steps: `tokens`, or `images`."""
    folder: str
    """The folder in which to save the `.shape` file so that its paths are correct, relative to the current folder."""
    advice: tuple[str, ...]
    """Problems and how to fix them, in lower case and without a full stop."""


@attrs.frozen(kw_only=True)
class Examined:
    """The whole result."""

    tables: tuple[Table, ...]
    passed: int = 0
    """The number of files in folders that are not logs, and were passed over."""
