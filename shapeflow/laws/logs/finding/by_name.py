"""The roles of columns that their names say and their values allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import attrs

from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.axis_words import AxisWords
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.finding.values import counts_up, groups, is_product, numbers_of
from shapeflow.laws.logs.finding.words import Role
from shapeflow.laws.logs.readers import Row

RUNS = ("run", "run_name", "seed")
"""Columns that identify runs without a setting."""
FILE = "\0file"
"""The key under which a row stores its file, or the run of that file. Rows with different values never belong to one
run."""
HIGHEST_RATE = 100.0
"""No learning rate is above this."""
MAY_BE_RATE = 1.0
"""A column that may be a learning rate or a time by its name is a learning rate if it is never above this."""
LETTERS: Mapping[str, tuple[Role, float]] = {"N": ("parameters", 1e3), "D": ("tokens", 1e5), "C": ("compute", 1e10)}
"""Letter -> what it stands for in papers on scaling laws, and the least that its largest value is."""
LETTER = "the letter of papers on scaling laws"
LARGEST_LOSS = 100.0
"""No loss of a model that learns is above this."""
LARGEST_LOGARITHM = 100.0
"""No logarithm of an amount is above this."""
LEAST_TOKENS = 1e5
"""Fewer tokens than this in all rows are in a unit that the name of the column does not state."""
UNSTATED = f"named like tokens, but never above {LEAST_TOKENS:.0f}: in a unit that its name does not state"
LOGARITHM = "the logarithm of an amount, by its name and values"
PROGRESS: tuple[Role, ...] = ("step", "compute", "tokens", "samples", "epochs")
"""Roles of columns that rise along a run."""
RISES = "it rises along the runs, but its name does not say what it counts"


@attrs.frozen
class Found:
    """The role of a column."""

    role: Role = ""
    why: str = ""
    """How the role was found; for an axis, its name."""
    sure: Literal["certain", "likely", "guess"] = "likely"

    @property
    def said(self) -> str:
        """How sure the role is, and how it was found."""
        return f"{self.sure}, by {self.why}"


def named(columns: Mapping[str, Column], rows: Sequence[Row], axes: AxisWords) -> dict[str, Found]:
    """Column -> the role that its name says, if its values allow it."""
    keys = [FILE, *(name for name in columns if words.plain(name) in (*RUNS, *words.RUNS) and columns[name].few)]
    found: dict[str, Found] = {}
    for name, column in columns.items():
        if column.present and (one := _one(column, rows, keys, axes)) is not None:
            found[name] = one
    found.update((name, Found("", RISES)) for name in _row_numbers(columns, rows, found))
    found.update((name, one) for name, one in _letters(columns, rows).items() if found.get(name, one).role != "axis")
    return found


def _row_numbers(columns: Mapping[str, Column], rows: Sequence[Row], found: Mapping[str, Found]) -> list[str]:
    """Columns called like the name of a run that number its rows: they rise from row to row, as progress does there."""
    likely = [name for name, one in found.items() if one.role == "run" and one.sure != "certain"]
    likely = [name for name in likely if columns[name].numeric and _rises(rows, name)]
    return likely if any(one.role in PROGRESS and _rises(rows, name) for name, one in found.items()) else []


def _rises(rows: Sequence[Row], name: str) -> bool:
    """Whether a column rises from nearly each row of a file to the next."""
    each = [numbers_of(one, name) for one in groups(rows, [FILE])]
    moves = [after > before for values in each for before, after in pairwise(values)]
    return sum(moves) > 0.9 * len(moves) > 0


def _letters(columns: Mapping[str, Column], rows: Sequence[Row]) -> dict[str, Found]:
    """The letters of papers on scaling laws: C = 6 N D, or N and one of the others, of the size that they have."""
    named = {letter[0]: name for name in columns if (letter := words.letter_of(name)) is not None}
    if {"C", "N", "D"} <= set(named) and is_product(rows, *((named[one], words.count_of(named[one])) for one in "CND")):
        return {
            named["C"]: Found("compute", "it is 6 N D", "certain"),
            named["N"]: Found("parameters", "C is 6 N D", "certain"),
            named["D"]: Found("tokens", "C is 6 N D", "certain"),
        }
    fits = letters_in(columns) or _small_letters(columns)
    others = len(fits) > 1 or any(words.role_of(name) in ("tokens", "compute") for name in columns)
    if not (others and any(one.role == "parameters" for one in fits.values())):
        return {}
    errors = [name for name in ("L", "l") if name in columns and _may_be_loss(columns[name])]
    return {**fits, **{name: Found("error", LETTER, "guess") for name in errors[:1]}}


def _small_letters(columns: Mapping[str, Column]) -> dict[str, Found]:
    """Columns `n` and `d`, and `c`: much else is called so, and only both together, in sizes of models and of data, are
    those of papers."""
    found: dict[str, Found] = {}
    for letter, (role, least) in LETTERS.items():
        column = columns.get(letter.lower())
        if column is not None and column.numeric and column.whole and column.low >= least:
            found[column.name] = Found(role, LETTER, "guess")
    return found if {"n", "d"} <= set(found) or {"n", "c"} <= set(found) else {}


def _may_be_loss(column: Column) -> bool:
    """Whether a column of this letter holds losses, and no numbers of layers."""
    return column.numeric and not column.whole and 0 < column.low <= column.high < LARGEST_LOSS


def letters_in(columns: Mapping[str, Column]) -> dict[str, Found]:
    """The letters of papers on scaling laws whose values are of the size of what they stand for."""
    found: dict[str, Found] = {}
    for name, column in columns.items():
        letter = words.letter_of(name)
        if letter is not None and column.high * letter[1] >= LETTERS[letter[0]][1]:
            found[name] = Found(LETTERS[letter[0]][0], LETTER, "guess")
    return found


def _one(column: Column, rows: Sequence[Row], keys: Sequence[str], axes: AxisWords) -> Found | None:
    name, plain = column.name, words.plain(column.name)
    # A number that is not whole is no name: `schedule` may hold factors of the learning rate.
    names = column.few and (column.whole or not column.numeric)
    if plain in RUNS or (plain in words.RUNS and (names or _unlike(name, column, rows))):
        return Found("run", "its name", "certain" if plain in RUNS else "likely")
    axis = axes.of(name)
    fits = axis is not None and (axis in axes.named) != column.numeric and (not column.numeric or column.whole)
    if fits and not (column.numeric and counts_up(rows, name, keys)):
        return Found("axis", axis or "", "certain" if plain == axis else "likely")
    if not column.numeric:
        return None
    role: Role = "step" if fits else words.role_of(name)
    if role == "compute" and column.high <= 0:
        return Found("", "named like compute, but never above 0")
    amount = role in ("compute", "tokens", "samples", "parameters")
    if amount and column.high <= LARGEST_LOGARITHM and words.is_logarithm(name):
        return Found("", LOGARITHM)
    if role == "tokens" and words.count_of(name) == 1 and 0 < column.high < LEAST_TOKENS:
        return Found("", UNSTATED)
    if role == "learning rate" and not 0 <= column.low <= column.high <= HIGHEST_RATE:
        return Found("", "named like a learning rate, but not between 0 and 100")
    unclear = role in ("", "time", "rate") or (role == "step" and not column.whole)
    if unclear and words.may_be_learning_rate(name) and 0 <= column.low <= column.high <= MAY_BE_RATE:
        return Found("learning rate", f"its name and its values, which are {MAY_BE_RATE:g} at most", "guess")
    if role == "step" and not column.whole:
        return None
    if fits:
        # `batch` may number the updates; nothing else that is called like an axis does.
        batches = words.words(name)[-1:] in (("batch",), ("batches",))
        return Found("step", "it rises along every run", "guess") if batches else Found("", RISES)
    return Found(role, "its name", "certain" if plain == role else "likely") if role else None


def _unlike(name: str, column: Column, rows: Sequence[Row]) -> bool:
    """Whether a column of texts is different in every row."""
    return not column.numeric and len(rows) > 3 and len(groups(rows, [FILE, name])) == len(rows)
