"""Read runs from one log file of any format. A row contains one measurement, or one measurement of each of several
runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import attrs

from shapeflow.ir.route import Purpose
from shapeflow.laws.logs.beside import beside
from shapeflow.laws.logs.conventions import ratios_of
from shapeflow.laws.logs.counter import assumed, confirmed, doubtful, other_batch
from shapeflow.laws.logs.curve import CONVENTION, Curve, take_block, wanted_of
from shapeflow.laws.logs.epochs import epoch_of
from shapeflow.laws.logs.log_search import LogSearch
from shapeflow.laws.logs.of_model import of_model
from shapeflow.laws.logs.processes import processes_of, ways_of_compute, ways_of_step, why_of_one
from shapeflow.laws.logs.progress import counts_late
from shapeflow.laws.logs.readers import PARTS, Block, Log, Row, number, open_log, same
from shapeflow.laws.logs.refusals import refused
from shapeflow.laws.logs.stated_amounts import stated_amounts
from shapeflow.laws.logs.table_facts import TableFacts, facts_of
from shapeflow.laws.logs.template import RUN


def read_table(search: LogSearch, path: Path, given: Mapping[str, str]) -> None:
    """Read one log file. `given`: the values of axes and `run` that its path states. Raises Unreadable."""
    log, name = open_log(path, search.query.numerals), search.name(path)
    names = log.columns()
    if not names:
        search.logs.skipped[name] = "it contains no complete row" if log.torn else "it is empty"
        return
    axes = {axis: search.query.axes.get(axis, axis) for axis in search.request.units}
    parts = _parts(search, log)
    names = list(dict.fromkeys(name for part in parts for name in part.columns()) if len(parts) > 1 else names)
    known = _beside(search, path, names, given)
    names += known
    table = facts_of(names, chain.from_iterable(_selected(search, part, known) for part in parts), axes)
    if table.roles.epochs is not None and search.query.step_unit is None:
        column = table.columns[table.roles.epochs]
        table = attrs.evolve(table, epoch=epoch_of(path, column.high + counts_late(column)))
    if refused(search, table, given, name):
        return
    curves = [Curve(search, one, log, name, RUN in given) for one in search.finder.series(table, name, given)]
    derived = {one.series.step.column for one in curves if one.series.compute is None and one.series.step is not None}
    if any(doubtful(search, table, path, column) for column in derived):
        return
    if any(_of_one_process(search, table, path, one) for one in curves):
        return
    for counter in {found for curve in curves if (found := search.counter(curve.series))}:
        other_batch(search, table, path, counter)
    if not curves:
        return
    read = [curve.series.error for curve in curves]
    first, logs = curves[0].series, search.logs
    if not logs.errors:
        logs.size, logs.product = first.size, first.compute
    logs.found.update({column: one.said for column, one in table.roles.of.items() if one.role})
    search.logs.errors[name] = tuple(dict.fromkeys([*read, *search.finder.errors(table)]))
    wanted = wanted_of(curves, search.query.where)
    for piece in log.rows() if CONVENTION in names else log.pieces(wanted):
        if isinstance(piece, Block):
            take_block(curves, piece.given(known), search.query.where)
        elif (theirs := _take(curves, {**piece, **known} if known else piece)) is not None:
            search.other_convention(name, theirs)
            return
    search.close(log)
    _counted(search, log, curves, table)
    _compared(search, path, curves, table)
    if all(curve.series.rate is None for curve in curves):
        search.logs.schedules.update(dict.fromkeys(table.roles.schedules, search.name(path)))


def _of_one_process(search: LogSearch, table: TableFacts, path: Path, curve: Curve) -> bool:
    """Report tokens that may be those of one of several processes (`wrong-counter`), if compute follows from them and
    no setting states that. Return whether it did."""
    tokens, compute, step = table.roles.tokens, curve.series.compute, curve.series.step
    stated = search.query.compute or search.query.step_unit or "compute_unit" in search.request.spans
    product = compute if compute is not None and tokens in compute.columns else None
    derived = compute is None and step is not None and step.column == tokens
    if stated or tokens is None or not (product or derived) or confirmed(table, search.request):
        return False
    processes = processes_of(tokens, table.columns, path)
    if processes is None:
        return False
    setting: Purpose
    if product is None:
        setting, ways = "step", ways_of_step(tokens, processes)
    else:
        setting, ways = "compute", ways_of_compute(product, processes)
    help = search.request.advice((setting, ways))
    search.finder.wrong(setting, tokens, search.name(path), why_of_one(processes), help)
    return True


def _take(curves: Sequence[Curve], row: Row) -> Any:
    """Add a row to the curves. Return its convention of compute if that is another one; otherwise None."""
    search = curves[0].search
    if not _asked(search, row):
        return None
    taken = [curve.take(row) for curve in curves]
    theirs = row.get(CONVENTION)
    return theirs if any(taken) and theirs and theirs != search.request.convention else None


def _parts(search: LogSearch, log: Log) -> list[Log]:
    """Return the logs that are the log of a run together, as the event files and the metrics of one folder are."""
    if log.format not in PARTS:
        return [log]
    if not search.parts:
        for each in search.matched:
            one = open_log(each)
            if one.format in PARTS:
                one.columns()
                search.parts.setdefault(one.run, []).append(each)
    return [open_log(each) for each in search.parts.get(log.run, [log.path])]


def _beside(search: LogSearch, path: Path, names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the values that the query asks for and that stand in a configuration next to the log, not in the log."""
    query = search.query
    factors = [part.strip() for part in (query.compute or "").split("*")]
    product = [part for part in factors if part and not isinstance(number(part), float)]
    axes = [query.axes.get(axis, axis) for axis in search.request.units if axis not in given]
    wanted = {*axes, *query.run, *query.where, *product} - set(names)
    found = beside(path) if wanted else {}
    return {name: found[name] for name in sorted(wanted) if name in found}


def _selected(search: LogSearch, log: Log, known: Mapping[str, str]) -> Iterator[Row]:
    """Yield the rows that the query asks for, with what is known of all of them."""
    rows = ({**row, **known} for row in log.rows()) if known else log.rows()
    return (row for row in rows if _asked(search, row))


def _asked(search: LogSearch, row: Row) -> bool:
    return all(same(row.get(column), value) for column, value in search.query.where.items())


def _counted(search: LogSearch, log: Log, curves: list[Curve], table: TableFacts) -> None:
    """Record how compute was derived, if the file does not contain it."""
    name = search.name(log.path)
    for curve in curves:
        compute = curve.series.compute
        if compute is None:
            search.logs.counted[name] = curve.series.step.said if curve.series.step else ""
            counter = search.counter(curve.series)
            if counter is not None and not confirmed(table, search.request):
                doubt = table.roles.doubt if counter == table.roles.step else None
                search.logs.assumed[assumed(counter, doubt, search.request)] = counter
        elif curve.series.guessed is not None:
            search.logs.counted[name] = curve.series.guessed
        else:
            reported = [f"{log.made[column]} (`{column}`)" for column in compute.columns if column in log.made]
            search.logs.counted.update(dict.fromkeys([name] if reported else [], "; ".join(reported)))


def _compared(search: LogSearch, path: Path, curves: list[Curve], table: TableFacts) -> None:
    """Compare compute with what the parameters and tokens of the log take; without them, with what the model of the
    file takes."""
    products = {curve.series.compute for curve in curves if curve.series.compute is not None}
    if CONVENTION in table.names or not products:
        return
    logs, name = search.logs, search.name(path)
    known = {product: stated_amounts(path, table.columns, table.roles, table.rows, product) for product in products}
    for product, stated in known.items():
        if stated is None:
            continue
        found = ratios_of(name, table.rows, product.of, stated)
        logs.ratios += found
        if found and logs.compared is None:
            logs.compared = product, stated.product
    if None in known.values():
        logs.modelled += [one for curve in curves if (one := of_model(path, name, table, curve)) is not None]
