"""The result of inspecting logs: facts about files, columns and curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

Span = tuple[float, float]
Role = Literal[
    "compute", "error", "step", "run", "axis", "learning rate", "parameters", "tokens", "accuracy", "time", ""
]
"""The role of a column; empty: unknown, or not used by a fit."""


@attrs.frozen(kw_only=True)
class FileFacts:
    """One file, or one run's folder."""

    name: str
    """Its path, as given."""
    format: str
    rows: int
    torn: bool = False
    """Is its last row incomplete?"""
    broken: int = 0
    """Rows inside it that cannot be read."""
    sampled: bool = False
    """May it hold only a sample of what was logged?"""
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
    """Different values; None: more than were counted."""
    values: tuple[str, ...] = ()
    """Some of them, where there are few."""
    blank: int = 0
    """Rows without it."""
    not_finite: int = 0
    """NaN and infinity."""
    odd: int = 0
    """Cells that are not numbers in a numeric column."""
    role: Role = ""
    why: str = ""
    """How the role was found; for an axis, its name."""


@attrs.frozen(kw_only=True)
class CurveFacts:
    """The curves that a fit would see."""

    shapes: int
    runs: int
    points: tuple[int, int]
    """The fewest and the most of a run."""
    decades: Span
    """log10 of last over first compute: the least and the most of a shape."""
    compute: Span
    """In FLOPs; in steps where no column counts compute."""
    error: Span
    repeated: int = 0
    """Steps that were logged again."""
    falls: int = 0
    """Rows whose compute is below that of the row before."""
    excluded: Mapping[str, int] = attrs.field(factory=dict)
    """Reason -> rows that are not points."""
    diverged: int = 0
    """Runs that end above their lowest error."""
    learning_rate: Literal["constant", "falling"] | None = None
    """By its column; None without one."""
    steepens: bool = False
    """Do the curves fall faster per decade again later on, as under a falling learning rate?"""
    warmup: float | None = None
    """Steps over which the learning rate rises, by its column."""
    early: int = 0
    """Points at the start that do not lie on the curve of the rest."""


@attrs.frozen(kw_only=True)
class Table:
    """Logs with the same columns, and how laws can be fitted to them."""

    files: tuple[FileFacts, ...]
    columns: tuple[ColumnFacts, ...]
    curves: CurveFacts | None
    """None where no column holds an error, or none counts compute or steps."""
    sentences: tuple[str, ...]
    """For a `.shape` file; none where a fit would be refused."""
    needs_model: bool
    """Must the file have a model, to get the FLOPs per step? True where no column counts compute."""
    folder: str
    """Where the `.shape` file must stand for their paths to be right, relative to where the logs were named."""
    advice: tuple[str, ...]
    """Problems and how to fix them: lower case, no full stop."""


@attrs.frozen(kw_only=True)
class Examined:
    """The whole result."""

    tables: tuple[Table, ...]
