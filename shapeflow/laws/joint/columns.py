"""The columns of a table of size, tokens and loss, as the finder that `fit` and `doctor` share finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.axis_words import AxisWords
from shapeflow.laws.logs.finding.by_name import FILE, UNSTATED, Found, letters_in
from shapeflow.laws.logs.finding.notation import with_commas, with_dots
from shapeflow.laws.logs.finding.roles import STILL, Roles, may_be_size, other_sizes, roles_of, size_of
from shapeflow.laws.logs.finding.summary import Column, columns_of
from shapeflow.laws.logs.processes import processes_of, why_of_one
from shapeflow.laws.logs.readers import Row
from shapeflow.laws.logs.readers.numerals import notations
from shapeflow.laws.logs.series import Product

CELLS = 400_000
"""The number of cells that are inspected to find the roles of columns."""
SEVERAL, MANY = 5, 20
"""Rows of one size, at least, that are a curve rather than the ends of runs: with a step, and with rising tokens."""
NAMES_OF_RUNS = ("run", "run_name", "run_id")
"""Columns that identify a run where no column counts steps."""


@attrs.frozen
class Columns:
    """What was found in a table."""

    products: Mapping[str, Product]
    """`parameters`, `tokens`, `compute`, `loss` -> the column, in its unit; those that were found."""
    runs: tuple[str, ...]
    """The columns that identify a run together with its file and size, if a run may have several rows."""
    along: bool
    """Whether the rows of a file and size are known to be along runs."""
    rate: str | None
    """The column of the learning rate."""
    sure: Mapping[str, str]
    """Column -> how sure its role is, and how it was found."""
    other_sizes: tuple[str, ...] = ()
    """Other columns of parameters than the one that was found."""


def columns_in(rows: Sequence[Row], place: str, given: Sequence[str]) -> Columns:
    """Find the columns of a table. `rows`: each with its file as `FILE`; `given`: what the user names, of
    `parameters`, `tokens`, `compute`, `loss`, `run`. Raises Refused: `number-format`, `mixed-laws`, `wrong-counter`."""
    columns: dict[str, Column] = {}
    columns_of(({name: cell for name, cell in row.items() if name != FILE} for row in rows), columns)
    roles = roles_of(columns, rows[: max(CELLS // max(len(columns), 1), 20)], AxisWords())
    _no_commas(columns, place)
    _of_one_kind(columns, roles, place, given)
    alone = letters_in(columns) if "parameters" in given else {}
    roles = attrs.evolve(roles, of={**alone, **roles.of})
    products = {what: product for what in ("parameters", "tokens") if (product := _counted(what, columns, roles, rows))}
    compute = _compute(columns, roles)
    if compute is None and "tokens" in products and "C" in columns and not roles.of.get("C", Found()).role:
        # In a unit that its name does not state: it is compared with 6 N D.
        compute = Product(("C",))
    if compute is None and "tokens" not in products:
        small = next((name for name, one in roles.of.items() if one.why == UNSTATED), None)
        products |= {"tokens": Product((small,))} if small is not None else {}
    if compute is None and not {"tokens", "compute"} & set(given):
        _of_all_processes(products.get("tokens"), columns, place)
    errors = [name for name in roles.errors if not words.is_share(name)]
    perplexity = next((name for name in columns if words.is_perplexity(name)), None)
    if not errors and perplexity is not None and "loss" not in given:
        message = f"`{perplexity}` is a perplexity, not a loss"
        help = "add a column of its natural logarithm"
        raise Refused(Diagnostic("wrong-counter", message, place=place, help=help))
    products |= {"compute": compute} if compute is not None else {}
    products |= {"loss": Product((errors[0],))} if errors else {}
    sure = {name: one.said for name, one in roles.of.items() if one.role}
    size = products["parameters"].columns if "parameters" in products else ()
    runs = tuple(name for name in _runs(columns, roles) if name not in size)
    along = not roles.ends and _are_curves(rows, products, roles.step)
    others = tuple(other_sizes(size, roles.of, columns))
    # A peak may differ between runs, and says nothing of the rate along them.
    rate = None if roles.rate is None or words.is_setting(roles.rate) else roles.rate
    return Columns(products, runs, along, rate, sure, others)


def _are_curves(rows: Sequence[Row], products: Mapping[str, Product], step: str | None) -> bool:
    """Whether the rows of each file and size are those of a curve: in several rows with a step, or in many in which
    tokens, or compute, rise from row to row."""
    progress = products.get("tokens", products.get("compute"))
    if progress is None or "parameters" not in products:
        return False
    found: dict[tuple[str, float | str], list[float]] = {}
    for row in rows:
        if isinstance(value := progress.of(row), float):
            found.setdefault((str(row[FILE]), products["parameters"].of(row)), []).append(value)
    if step is not None:
        return bool(found) and median(map(len, found.values())) >= SEVERAL
    return bool(found) and all(
        len(values) >= MANY and all(before < after for before, after in pairwise(values)) for values in found.values()
    )


def _no_commas(columns: Mapping[str, Column], place: str) -> None:
    commas, dots = with_commas(columns), with_dots(columns)
    if commas or dots:
        column = (commas or dots)[0]
        cell = column.commas[0] if commas else next(text for text in column.values if "." in text)
        listed = " or ".join(notations([cell]) if commas else ("decimal_comma", "plain")) or "no known notation"
        message = f"`{column.name}` holds `{cell}`, which is not a plain number"
        help = "write its numbers with a decimal point and without separators of thousands, or say how they are: "
        help += "`--numbers decimal_comma` or `--numbers thousands_comma`"
        notes = (f"it may be {listed}",)
        raise Refused(Diagnostic("number-format", message, place=place, notes=notes, help=help))


def _of_one_kind(columns: Mapping[str, Column], roles: Roles, place: str, given: Sequence[str]) -> None:
    if roles.split is not None:
        column, value = roles.split
        message = f"the rows hold errors on several kinds of data, which `{column}` tells apart"
        kinds = (f"`{column}` is {', '.join(list(columns[column].values)[:6])}",)
        help = f"select one kind: `--where '{column}={value}'`"
        raise Refused(Diagnostic("mixed-laws", message, place=place, notes=kinds, help=help))
    if roles.kinds is not None and "run" not in given:
        column, values = roles.kinds
        message = f"the rows hold errors on several kinds of data, which `{column}` tells apart"
        kinds = (f"`{column}` is {', '.join(values[:6])}",)
        help = f"select the one that is the loss: `--where '{column}={values[0]}'`"
        raise Refused(Diagnostic("mixed-laws", message, place=place, notes=kinds, help=help))


def _counted(what: str, columns: Mapping[str, Column], roles: Roles, rows: Sequence[Row]) -> Product | None:
    """The first column of parameters or tokens; one that differs between the rows first."""
    found = [name for name, one in roles.of.items() if one.role == what]
    found.sort(key=lambda one: (columns[one].constant, not words.is_active(one)))
    name = (size_of(found, rows) if what == "parameters" else None) or next(iter(found), None)
    if what == "parameters" and name is not None and may_be_size(name, rows) and size_of(found, rows) is None:
        # The active parameters of a mixture of experts are not known.
        return None
    return None if name is None else Product((name,), words.count_of(name))


def _of_all_processes(tokens: Product | None, columns: Mapping[str, Column], place: str) -> None:
    """Raise Refused (`wrong-counter`) for tokens that may be those of one of several processes."""
    name = None if tokens is None else tokens.columns[0]
    processes = processes_of(name, columns)
    if tokens is not None and name is not None and processes is not None:
        message = f"`{name}` {why_of_one(processes)}"
        own = f"{tokens.factor:g} * {name}"
        help = f"if it counts those of all, write `--tokens '{own}'`; if those of one, "
        help += f"`--tokens '{own} * {processes.name}'`"
        raise Refused(Diagnostic("wrong-counter", message, place=place, help=help))


def _compute(columns: Mapping[str, Column], roles: Roles) -> Product | None:
    """The column of compute. Where no column counts steps, the rows may be ends in any order, of which compute need not
    grow."""
    if len(roles.compute) == 1:
        return Product(roles.compute, roles.flops)
    named = (name for name, one in roles.of.items() if one.role == "compute" or one.why == STILL)
    ends = [name for name in named if not columns[name].constant]
    if roles.step is not None or not ends:
        return None
    return Product((ends[0],), words.flops_of(ends[0]) or 1.0)


def _runs(columns: Mapping[str, Column], roles: Roles) -> tuple[str, ...]:
    if roles.ends:
        return ()
    if roles.step is not None:
        return tuple(name for name in roles.runs if not columns[name].constant)
    return tuple(name for name in columns if words.plain(name) in NAMES_OF_RUNS and not columns[name].constant)[:1]
