"""Tables of size, tokens and loss for a joint law: their columns, and one point for each row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.base.diagnostics import Diagnostic, Refused, did_you_mean
from shapeflow.ir.joint import PerToken
from shapeflow.laws.joint.amounts import no_small_counts, no_unique_tokens, spelled_out, unique_tokens
from shapeflow.laws.joint.columns import Columns, columns_in
from shapeflow.laws.joint.compared import compared, written
from shapeflow.laws.joint.per_token import power_law
from shapeflow.laws.joint.sizes import LARGEST
from shapeflow.laws.joint.solver import JointPoints
from shapeflow.laws.logs.conventions import PER_PARAMETER
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.by_name import FILE
from shapeflow.laws.logs.points import Floats
from shapeflow.laws.logs.readers import MissingExtra, Numerals, Row, Unreadable, number, open_log, same
from shapeflow.laws.logs.schedule import learning_rate
from shapeflow.laws.logs.series import Product
from shapeflow.laws.logs.usable import COMPUTE, ERROR

WHAT = ("parameters", "tokens", "compute", "loss")
"""What is read of a row."""
FEWEST_RATES = 5
"""Fewest rows of one size whose learning rates show that they are of one run."""
MOST = 200_000
"""Largest number of rows."""


@attrs.frozen
class Named:
    """Columns, or products of columns, that the user names. None: those with usual names."""

    parameters: str | None = None
    tokens: str | None = None
    compute: str | None = None
    loss: str | None = None
    run: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    """Columns, each with the value that it has in the rows to read."""
    below: float | None = None
    """Rows with a loss of this or more are left out."""
    numbers: Numerals = "plain"
    """How numbers are written."""


@attrs.frozen(eq=False)
class Table:
    """The points of tables, and how they were read."""

    points: JointPoints
    per_token: PerToken
    columns: Mapping[str, str]
    """What a column is -> the column, or product of columns, that was read."""
    left_out: Mapping[str, int]
    """Reason -> number of rows that were left out."""
    sure: Mapping[str, str]
    """What a column is -> how sure that is, of those that the user does not name."""
    single: bool
    """Whether each row is a run of its own."""
    doubts: tuple[str, ...] = ()
    """What may be wrong with them, although nothing is refused."""


def read_tables(paths: Sequence[Path], named: Named) -> Table:
    """Return the points in tables with the same columns. Raises Refused: unreadable-log, missing-extra, missing-column,
    wrong-counter, number-format, mixed-laws, too-few-points, odd-compute, mixed-conventions."""
    rows: list[Row] = []
    left_out: Counter[str] = Counter()
    for path in paths:
        rows.extend({**row, FILE: str(path)} for row in _rows(path, left_out, named))
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != FILE]
    for column in (*(column for column, _ in named.where), *([named.run] if named.run else [])):
        _product(column, names, "run" if column == named.run else "where")
    rows = [row for row in rows if all(same(row.get(column), value) for column, value in named.where)]
    given = [what for what in (*WHAT, "run") if getattr(named, what) is not None]
    usual = columns_in(rows, str(paths[0]), given)
    products = _columns(named, usual, names, str(paths[0]))
    no_small_counts(rows, products, {what: getattr(named, what) for what in WHAT})
    no_unique_tokens(rows, products, named.tokens)
    kept: list[tuple[float, ...]] = []
    runs: list[str] = []
    rates: list[float] = []
    files: list[str] = []
    run = (named.run,) if named.run else usual.runs
    for row in rows:
        values = tuple(product.of(row) for product in products.values())
        why = _unusable(dict(zip(products, values, strict=True)), named.below)
        if why is not None:
            left_out[why] += 1
            continue
        kept.append(tuple(value for value in values if isinstance(value, float)))
        rate = number(row.get(usual.rate)) if usual.rate is not None else "blank"
        rates.append(rate if isinstance(rate, float) else math.nan)
        files.append(str(row[FILE]))
        # Runs in two files, or of two sizes, may have one name.
        place = [files[-1], str(values[0]), *(str(row.get(column)) for column in run)]
        runs.append("\n".join(place) if run or usual.along else "")
    if not kept:
        message = f"`{paths[0]}` has no row with a size, tokens and a loss"
        notes = tuple(f"{count} rows: {why}" for why, count in left_out.items())
        raise Refused(Diagnostic("too-few-points", message, place=str(paths[0]), notes=notes))
    of = dict(zip(products, np.array(kept).T, strict=True))
    doubt = compared(of, files, products, named.compute)
    if usual.other_sizes and named.parameters is None:
        listed = " and ".join(f"`{name}`" for name in usual.other_sizes)
        doubt += (f"{listed} not used: `--parameters` names another column of parameters",)
    single = len(set(runs)) in (1, len(runs)) and named.run is None
    if not run and usual.rate is not None:
        _no_falling_curve(of, files, rates, usual.rate, products["parameters"])
    if not single and (middle := _before_the_end(of, runs, rates)).any():
        left_out["before the end of a run whose learning rate falls"] = int(middle.sum())
        of = {what: values[~middle] for what, values in of.items()}
        runs = [run for run, left in zip(runs, middle.tolist(), strict=True) if not left]
        kept = kept[: len(runs)]
    points, per_token = _points(of, _indices(list(map(str, range(len(kept)))) if single else runs))
    said = {what: written(product) for what, product in products.items()}
    sure = {what: usual.sure.get(one.columns[0], "") for what, one in products.items() if what not in given}
    return Table(
        points,
        per_token,
        said | ({} if single else {"run": " and ".join(run) or "each file and size"}),
        left_out,
        sure,
        single,
        doubt,
    )


def _rows(path: Path, left_out: Counter[str], named: Named) -> Iterator[Row]:
    """Yield the rows of one file, and count those of runs that did not finish. Raises Refused: unreadable-log,
    missing-extra."""
    try:
        log = open_log(path, named.numbers)
        counts = [one for one in (named.parameters, named.tokens) if one is not None]
        for count, row in enumerate(log.rows()):
            if count >= MOST:
                raise Unreadable(f"it has more than {MOST} rows")
            yield spelled_out(row, counts)
        left_out.update({f"the run did not finish ({state})": count for state, count in log.unfinished.items()})
    except MissingExtra as error:
        help = f"`pip install 'shapeflow[{error.extra}]'`"
        message = f"`{path}` cannot be read here"
        raise Refused(Diagnostic("missing-extra", message, place=str(path), notes=(str(error),), help=help)) from None
    except Unreadable as error:
        message, help = f"`{path}` is not a table", "name a CSV, TSV, JSON or parquet file with a row for each run"
        raise Refused(Diagnostic("unreadable-log", message, place=str(path), notes=(str(error),), help=help)) from None


def _columns(named: Named, usual: Columns, names: Sequence[str], place: str) -> dict[str, Product]:
    """Return the columns of size and loss, and those of tokens and compute of which one is enough: as the user names
    them, else as they were found. Raises Refused: `missing-column`, `wrong-counter`."""
    found: dict[str, Product] = {}
    for what in WHAT:
        given: str | None = getattr(named, what)
        if given is not None:
            one = _product(given, names, what)
            # A column that is named alone is in the unit that its name states.
            found[what] = attrs.evolve(one, factor=_unit(given, what)) if given in names else one
        elif what in usual.products:
            found[what] = usual.products[what]
    for what in ("tokens", "compute"):
        _no_rate(found.get(what), what)
    needed = {"parameters": "the number of parameters", "loss": "the loss"}
    lacking = [(what, called) for what, called in needed.items() if what not in found]
    if "tokens" not in found and "compute" not in found:
        lacking.append(("tokens", "the number of tokens, or of compute"))
    if lacking:
        what, called = lacking[0]
        listed = ", ".join(f"`{name}`" for name in names[:12]) or "none"
        product = "" if what == "loss" else f"; a product works, too: `--{what} '1e6 * column'`"
        help = f"name it with `--{what} COLUMN`{product}"
        help = (unique_tokens(names) if what == "tokens" else None) or help
        message = f"no column of {called} is found"
        raise Refused(Diagnostic("missing-column", message, place=place, notes=(f"its columns: {listed}",), help=help))
    return found


def _unit(name: str, what: str) -> float:
    """The number that a unit of a column stands for, by its name."""
    return {"loss": 1.0, "compute": words.flops_of(name) or 1.0}.get(what, words.count_of(name))


def _no_rate(product: Product | None, option: str) -> None:
    """Raise Refused (`wrong-counter`) for an amount per time, unless it is multiplied by a time."""
    per_time = words.rate_in(() if product is None else product.columns)
    if per_time is not None:
        message = f"`{per_time}` is an amount per time, not an amount of {option}"
        help = f"name a column of the {option} of whole runs, or multiply by one of seconds: "
        help += f"`--{option} '{per_time} * seconds'`"
        raise Refused(Diagnostic("wrong-counter", message, place=f"--{option}", help=help))


def _product(text: str, names: Sequence[str], option: str) -> Product:
    """Return a product of numbers and columns. Raises Refused (`missing-column`)."""
    factor, columns = 1.0, []
    for part in [text] if text in names else [part.strip() for part in text.split("*")]:
        value = number(part)
        if part in names:
            columns.append(part)
        elif isinstance(value, float):
            factor *= value
        else:
            close = did_you_mean(part, names)
            listed = ", ".join(f"`{name}`" for name in names[:12])
            help = f"did you mean `{close}`?" if close else f"its columns: {listed}"
            message = f"no column is named `{part}`"
            raise Refused(Diagnostic("missing-column", message, place=f"--{option}", help=help))
    return Product(tuple(columns), factor)


def _unusable(values: Mapping[str, float | str], below: float | None) -> str | None:
    """Return why a row cannot be used, or None."""
    limits = {"parameters": (1.0, LARGEST), "tokens": (1.0, 1e18), "compute": COMPUTE, "loss": ERROR}
    for what, value in values.items():
        if not isinstance(value, float):
            return f"no {what}"
        if not limits[what][0] <= value <= limits[what][1]:
            return f"{what} of no real size"
    loss = values["loss"]
    return "at or above the limit of the loss" if below is not None and float(loss) >= below else None


def _points(of: Mapping[str, Floats], run: NDArray[np.intp]) -> tuple[JointPoints, PerToken]:
    """Return the points in order of run and tokens, and the compute of a token."""
    size, compute = of["parameters"], of.get("compute")
    tokens = of["tokens"] if "tokens" in of else of["compute"] / (PER_PARAMETER * size)
    per_token = PerToken(factor=PER_PARAMETER)
    if compute is not None and "tokens" in of:
        per_token = power_law(size, compute / tokens)
    order = np.lexsort((tokens, run))
    return JointPoints(size[order], tokens[order], of["loss"][order], run[order]), per_token


def _no_falling_curve(
    of: Mapping[str, Floats], files: Sequence[str], rates: Sequence[float], rate: str, size: Product
) -> None:
    """Raise Refused (`mixed-laws`) if the learning rate falls along the rows of one file and size, and nothing tells
    runs apart: rows before the end of such a run are on no law of ends."""
    order = of["tokens"] if "tokens" in of else of["compute"]
    found: dict[tuple[str, float], dict[float, float]] = {}
    for file, one, at, value in zip(files, of["parameters"].tolist(), order.tolist(), rates, strict=True):
        if math.isfinite(value):
            found.setdefault((file, one), {})[at] = value
    for (file, one), rated in found.items():
        if len(rated) >= FEWEST_RATES and learning_rate(rated) == "falling":
            message = (
                f"`{rate}` falls along the rows of `{file}` with {one:.3g} parameters, and no column tells runs apart"
            )
            notes = ("if they are one run, only its end is comparable with the ends of other runs",)
            help = f"if they are one run, `--run '{size.columns[0]}'` takes its end; "
            help += "if each row is a run, name a column that differs in every row with `--run`"
            raise Refused(Diagnostic("mixed-laws", message, place=file, notes=notes, help=help))


def _before_the_end(of: Mapping[str, Floats], runs: Sequence[str], rates: Sequence[float]) -> NDArray[np.bool_]:
    """Return which points are not the last one of a run whose learning rate falls: only its end is comparable with the
    ends of other runs."""
    order = of["tokens"] if "tokens" in of else of["compute"]
    left = np.zeros(len(runs), bool)
    of_run = _indices(runs)
    ordered = np.argsort(of_run, kind="stable")
    for mine in np.split(ordered, np.flatnonzero(np.diff(of_run[ordered])) + 1):
        rated = {float(order[at]): rates[at] for at in mine.tolist() if math.isfinite(rates[at])}
        if learning_rate(rated) == "falling":
            left[mine] = mine != mine[np.argmax(order[mine])]
    return left


def _indices(names: Sequence[str]) -> NDArray[np.intp]:
    """Return the index of each name, in order of appearance."""
    places = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return np.array([places[name] for name in names], np.intp)
