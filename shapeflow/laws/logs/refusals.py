"""Tables that are refused as a whole, although they can be read."""

from __future__ import annotations

from collections.abc import Mapping

from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.notation import with_commas, with_dots
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.finding.unshaped import unshaped_runs
from shapeflow.laws.logs.log_search import LogSearch
from shapeflow.laws.logs.readers.numerals import notations
from shapeflow.laws.logs.table_facts import TableFacts


def refused(search: LogSearch, table: TableFacts, given: Mapping[str, str], file: str) -> bool:
    """Report a table whose numbers hold commas (`number-format`), whose rows are ends of runs (`run-ends`), hold errors
    on several kinds of data, or are of several models that no axis tells apart (`mixed-laws`). Return whether it is
    such a table. `given`: the values that the path of the file states."""
    query = search.query
    counts = {name for name in (query.step, *(part.strip() for part in (query.compute or "").split("*"))) if name}
    asked = {*counts, query.error, query.rate, *query.axes.values(), *search.request.units}
    commas = with_commas(table.columns, {name for name in asked if name})
    dots = with_dots(table.columns, counts) if "numbers" not in search.request.spans else []
    if commas or dots:
        _number_format(search, (commas or dots)[0], file, bool(commas))
    elif table.roles.ends and not search.query.run and not search.query.ends:
        _run_ends(search, table, file)
    elif (split := table.roles.split) is not None and not {split[0]} & {*search.query.where, *search.query.run}:
        _mixed(search, table, split, file)
    elif (kinds := table.roles.kinds) is not None and not {kinds[0]} & {*search.query.where, *search.query.run}:
        _several_kinds(search, kinds, file)
    elif unshaped := _of_several(search, table, given):
        _unshaped(search, table, unshaped, file)
    elif rates := _of_rates(search, table):
        _several_runs(search, table, rates, file, alike=True)
    elif runs := _of_runs(search, table):
        _several_runs(search, table, runs, file)
    else:
        _doubtful_rows(search, table, file)
        return False
    return True


LADDER = 12
"""Rows of a size up to which they may be the ends of as many runs."""


def _doubtful_rows(search: LogSearch, table: TableFacts, file: str) -> None:
    """Warn of a table of sizes and tokens in which nothing tells whether the rows of a size are of one run or the ends
    of several."""
    roles, query = table.roles, search.query
    sizes = [table.columns[name] for name, one in roles.of.items() if one.role == "parameters"]
    stated = query.run or query.step or "points" in search.request.spans
    if not sizes or stated or roles.tokens is None or roles.step is not None or roles.runs or not table.whole:
        return
    many = len(sizes[0].values)
    if "rows" in search.reported or many < 2 or not many < len(table.rows) <= LADDER * many:
        return
    search.reported.add("rows")
    search.report.warning(
        "unnamed-runs",
        f"the rows of a size in `{file}` are read as the points of one run",
        search.request.at("paths"),
        "no column counts steps or names runs",
        help=search.request.advice(
            f'if each row is the end of a run of its own, write `points: ends, run: "{roles.tokens}"`'
        ),
    )


def _of_runs(search: LogSearch, table: TableFacts) -> tuple[str, ...]:
    """The columns that separate the runs of a table of which several would be read as one."""
    return () if search.query.run or search.query.ends else table.roles.run


def _of_rates(search: LogSearch, table: TableFacts) -> tuple[str, ...]:
    """The first column of learning rates in which the runs of one shape differ, if laws are fitted to their ends."""
    taken = {*search.query.where, *search.query.run}
    rates = [name for name in table.roles.differs if words.is_learning_rate(name)] if search.query.ends else []
    return tuple(rates[:1]) if taken.isdisjoint(rates) else ()


def _several_runs(
    search: LogSearch,
    table: TableFacts,
    runs: tuple[str, ...],
    file: str,
    alike: bool = False,
) -> None:
    """Report rows of several runs (`mixed-laws`). `alike`: they are the ends of runs that would share a law."""
    if "runs" in search.reported:
        return
    search.reported.add("runs")
    listed = " and ".join(f"`{name}`" for name in runs)
    named = f'"{runs[0]}"' if len(runs) == 1 else f"[{', '.join(f'{chr(34)}{name}{chr(34)}' for name in runs)}]"
    search.report.error(
        "mixed-laws",
        f"the rows of `{file}` are of several runs, which {listed} tells apart",
        search.request.at("run", "paths"),
        "their ends would be fitted by one law" if alike else "they would be read as one run",
        notes=[f"`{name}` is {', '.join(list(table.columns[name].values)[:6])}" for name in runs],
        help=search.request.advice(
            *(() if alike else (("run", f"write `{{}}: {named}`"),)),
            ("where", f"select the rows of one kind by `{{}}: ({runs[0]}: ...)`"),
        ),
    )


def _number_format(search: LogSearch, column: Column, file: str, commas: bool) -> None:
    if "commas" in search.reported:
        return
    search.reported.add("commas")
    at, said = search.request.at("numbers", "paths"), f"`{column.name}` in `{file}` holds"
    if not commas:
        dotted = next(text for text in column.values if "." in text)
        search.report.error(
            "number-format",
            f"{said} `{dotted}`, whose dots may stand between thousands",
            at,
            "how its numbers are written is not known",
            help=search.request.advice(
                ("numbers", "write `{}: decimal_comma` if they do"),
                ("numbers", "`{}: plain` if they are decimal points"),
            ),
        )
        return
    fitting = notations(column.commas)
    search.report.error(
        "number-format",
        f"{said} `{column.commas[0]}`, which is not a number as this file reads them",
        at,
        "its numbers have commas",
        help=search.request.advice(("numbers", " or ".join(f"`{{}}: {one}`" for one in fitting))) if fitting else None,
    )


def _run_ends(search: LogSearch, table: TableFacts, file: str) -> None:
    if "ends" in search.reported:
        return
    search.reported.add("ends")
    name = next(name for name, one in table.roles.of.items() if one.role == "run" and not table.columns[name].few)
    search.report.error(
        "run-ends",
        f"each row of `{file}` is the end of a run of its own: `{name}` is different in every row",
        search.request.at("paths"),
        "a law is fitted along runs",
        help=search.request.advice(
            "write `points: ends` if each finished its own schedule",
            "name logs of the runs themselves",
            ("run", "name the columns that identify a run with `{}`"),
        ),
    )


def _mixed(search: LogSearch, table: TableFacts, split: tuple[str, str], file: str) -> None:
    if "split" in search.reported:
        return
    search.reported.add("split")
    column, value = split
    kinds = ", ".join(list(table.columns[column].values)[:6])
    search.report.error(
        "mixed-laws",
        f"the rows of `{file}` hold errors on several kinds of data, which `{column}` tells apart",
        search.request.at("where", "paths"),
        "one law is fitted to all rows",
        notes=[f"`{column}` is {kinds}"],
        help=search.request.advice(("where", f'select one kind: `{{}}: ({column}: "{value}")`')),
    )


def which_kind(kinds: tuple[str, tuple[str, ...]]) -> tuple[str, str]:
    """Return what is wrong with rows of several kinds of data, and the setting of `fit` that selects one."""
    column, values = kinds
    listed = f"{', '.join(values[:6])}{', ...' if len(values) > 6 else ''}"
    why = f"hold errors on several kinds of data, which `{column}` tells apart ({listed})"
    return why, f'select the one that is the metric: `where: ({column}: "{values[0]}")`'


def _several_kinds(search: LogSearch, kinds: tuple[str, tuple[str, ...]], file: str) -> None:
    if "split" in search.reported:
        return
    search.reported.add("split")
    why, help = which_kind(kinds)
    search.report.error(
        "mixed-laws",
        f"the rows of `{file}` {why}",
        search.request.at("where", "paths"),
        "one law is fitted to all rows",
        help=search.request.advice(
            ("where", help.replace("where:", "{}:")), ("run", f'if they are runs, `{{}}: "{kinds[0]}"`')
        ),
    )


def _of_several(search: LogSearch, table: TableFacts, given: Mapping[str, str]) -> tuple[str, ...]:
    """The columns in which the models of a table differ although no axis does, and that no setting names. If the values
    of axes may lie in the paths or in other files, those of numbers of parameters alone."""
    request = search.request
    alone = len(search.matched) == 1 or len(set(request.candidates)) == 1
    named = {*search.query.run, *search.query.where, *search.query.axes.values(), *search.query.size}
    elsewhere = bool(given) or not alone
    found = [name for name in table.roles.unshaped if name not in named]
    return tuple(name for name in found if not elsewhere or words.is_parameters(name))


def _unshaped(search: LogSearch, table: TableFacts, unshaped: tuple[str, ...], file: str) -> None:
    if "unshaped" in search.reported:
        return
    search.reported.add("unshaped")
    search.report.error(
        "mixed-laws",
        f"the rows of `{file}` are of several models, and no axis tells them apart",
        search.request.at("axes", "paths"),
        "one law is fitted to all rows of a shape",
        help=unshaped_runs(table.columns, unshaped),
    )
