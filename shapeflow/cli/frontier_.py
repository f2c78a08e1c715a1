"""`shapeflow frontier`"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.printing import say
from shapeflow.cli.budgets import amount_of, budget_of
from shapeflow.cli.common import NewFile, compute_of, formatted, print_diagnostics, print_json, verbose
from shapeflow.cli.outputs import PICTURE
from shapeflow.cli.refused import refused_laws

if TYPE_CHECKING:
    from shapeflow.base.units import Amount
    from shapeflow.ir.mixture import Laws
    from shapeflow.ir.program import Program
    from shapeflow.laws.joint.frontier import Frontier
    from shapeflow.running.scheduled import Scheduled

OF_TABLES = ("parameters", "tokens", "compute", "loss", "run", "where", "below", "numbers")


@click.command("frontier")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--budget", "budgets", multiple=True, metavar="AMOUNT",
    help="What to spend: '1 ZFLOPs'; '20 s' or '2 dollars' if a .shape file minimises them; repeatable.",
)  # fmt: skip
@click.option("--parameters", metavar="COLUMN", help="The number of parameters: a column, or '1e6 * column'.")
@click.option("--tokens", metavar="COLUMN", help="The number of tokens.")
@click.option("--compute", metavar="COLUMN", help="FLOPs; default without it: 6 x parameters x tokens.")
@click.option("--loss", metavar="COLUMN", help="The loss at the end of a run, or of a row of it.")
@click.option("--run", metavar="COLUMN", help="The run of a row, if a run has several rows.")
@click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Rows to read; repeatable.")
@click.option("--loss-below", "below", type=float, help="Leave out rows with a loss of this or more.")
@click.option(
    "--numbers", type=click.Choice(["plain", "decimal_comma", "thousands_comma"]),
    help="How numbers are written: `3.91` (the default), `3,91`, or `1,234` by thousands.",
)  # fmt: skip
@click.option("--resamples", type=click.IntRange(0, 100_000), default=400, show_default=True, help="For intervals.")
@click.option("--set", "sets", multiple=True, metavar="SENTENCE", help="Replace a sentence of a .shape file.")
@click.option("--plot", type=NewFile(PICTURE), help="Plot isoFLOP curves, the frontier, and schedules.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@formatted
def command(
    files: tuple[Path, ...],
    budgets: tuple[str, ...],
    sets: tuple[str, ...],
    resamples: int,
    plot: Path | None,
    as_json: bool,
    **named: Any,
) -> None:
    """Find the best size of a model, and its tokens, for a budget; or the best fixed shape and the best schedule.

    FILES are tables with a row for each run: its parameters, its tokens or its compute, and its loss. Or one .shape
    file with laws: for each budget, its best fixed shape and the schedule that its traversal makes. If its laws come
    from `fit(form: chinchilla)`, the best size as well. In a file that minimises time, or energy, emissions or money,
    budgets are times, or amounts of what it minimises.
    """
    if _is_shape(files):
        found = _of_file(files[0], sets, named, [amount_of(text) for text in budgets], plot is not None)
    else:
        found = _of_tables(files, named, sets, resamples, [compute_of(text) for text in budgets])
    if plot is not None:
        from shapeflow.preview.frontier_plot import draw_frontier

        draw_frontier(found.frontier, found.scheduled, plot)
    if as_json:
        print_json(_json(found))
        return
    from shapeflow.preview.screen import show

    show(*_views(found))
    if plot is not None:
        say(f"  plot written to {plot}")


@attrs.frozen
class _Found:
    """What is known: the best sizes of budgets, and the schedules of a file."""

    frontier: Frontier | None
    scheduled: Scheduled | None
    facts: Sequence[str]
    """How tables were read, and why there are no schedules."""
    columns: Mapping[str, str]
    unit: str | None
    """The unit of the losses: that of the file, or the one that the name of the column states. None: not known."""
    asked: Sequence[float]
    """The budgets that the user named, in FLOPs, or in seconds of a file by time."""


def _shown(found: _Found) -> Scheduled | None:
    """The schedules of the budgets that are listed: a picture has more. None if none of them has an answer."""
    listed = [one.compute for one in found.frontier.best] if found.frontier is not None else found.asked
    shown = found.scheduled and found.scheduled.only(listed)
    return shown if shown is not None and shown.rows else None


def _json(found: _Found) -> dict[str, Any]:
    from shapeflow.preview.frontier import frontier_json
    from shapeflow.preview.scheduled import scheduled_json

    sizes = {} if found.frontier is None else frontier_json(found.frontier, found.columns, found.unit)
    shown = _shown(found)
    return sizes | ({} if shown is None else {"scheduled": scheduled_json(shown)})


def _views(found: _Found) -> Iterator[Any]:
    from shapeflow.preview.frontier import frontier_view
    from shapeflow.preview.scheduled import scheduled_view

    if found.frontier is not None:
        yield frontier_view(found.frontier, found.facts, bool(found.asked), verbose(), found.unit)
    if (shown := _shown(found)) is not None:
        yield from [""] if found.frontier is not None else []
        yield scheduled_view(shown, bool(found.asked), verbose())


def _is_shape(files: Sequence[Path]) -> bool:
    shapes = [file for file in files if file.suffix == ".shape"]
    if shapes and len(files) > 1:
        raise click.UsageError("give one .shape file, or tables")
    return bool(shapes)


def _of_file(
    file: Path, sets: Sequence[str], named: Mapping[str, Any], amounts: Sequence[Amount], drawn: bool
) -> _Found:
    """The schedules of a `.shape` file, and the best sizes by its joint law if it has one. `drawn`: whether a picture
    is wanted. Raises Refused, UsageError, BadParameter."""
    from shapeflow.compiler import with_laws
    from shapeflow.laws.joint.frontier import frontier_of
    from shapeflow.running.budgets import unit_of
    from shapeflow.running.scheduled import scheduled_of

    if idle := next((name for name in OF_TABLES if named[name]), None):
        raise click.UsageError(f"`--{idle}` is for tables: a .shape file names its columns in `laws from fit(...)`")
    report = Report()
    program, laws = with_laws(file, sets, report)
    print_diagnostics(each for each in report.diagnostics if each.code != "falling-rate")
    if (refused := refused_laws(program, laws)) is not None:
        raise Refused(refused)
    unit, counted = program.metric.unit, unit_of(program)
    asked = [budget_of(amount, counted) for amount in amounts]
    if laws.joint is None or counted.timed:
        # A law of size and tokens counts FLOPs, and the seconds of a FLOP are known of the candidates alone.
        return _Found(None, scheduled_of(program, laws, _grid(program, laws, asked, drawn)), [], {}, unit, asked)
    sizes = frontier_of(laws.joint, asked)
    try:
        budgets = [one.compute for one in sizes.best]
        scheduled = scheduled_of(program, laws, _grid(program, laws, budgets, drawn))
    except Refused as impossible:
        # The best sizes are known without a schedule.
        return _Found(sizes, None, [f"no schedules: {impossible.diagnostics[0].message}"], {}, unit, asked)
    return _Found(sizes, scheduled, [], {}, unit, asked)


def _grid(program: Program, laws: Laws, asked: Sequence[float], drawn: bool) -> list[float]:
    """The budgets to compare; those of a picture as well, which needs some in between."""
    from shapeflow.running.scheduled import default_grid, suited

    suited(program, laws)
    return [*asked, *(default_grid(program, laws) if drawn or not asked else [])]


def _of_tables(
    files: Sequence[Path], named: dict[str, Any], sets: Sequence[str], resamples: int, asked: Sequence[float]
) -> _Found:
    """The best sizes by the joint law of tables. Raises Refused."""
    from shapeflow.laws.joint.fit import faults, joint_of
    from shapeflow.laws.joint.frontier import frontier_of
    from shapeflow.laws.joint.table import Named, read_tables
    from shapeflow.laws.logs.finding import words

    if sets:
        raise click.UsageError("`--set` is for a .shape file")
    where = tuple(map(_where, named.pop("where")))
    table = read_tables(
        files, Named(**{name: value for name, value in named.items() if value is not None}, where=where)
    )
    if (wrong := faults(table.points)) is not None:
        why, help = wrong
        message = "the rows do not determine a law of size and tokens"
        raise Refused(Diagnostic("few-sizes", message, place=str(files[0]), notes=(why,), help=help))
    how = {what: f" ({sure})" for what, sure in table.sure.items() if sure}
    read = ", ".join(f"{what} `{column}`{how.get(what, '')}" for what, column in table.columns.items())
    left_out = "; ".join(f"{count} rows left out: {why}" for why, count in table.left_out.items())
    facts = [f"columns: {read}", *([left_out] if left_out else []), *table.doubts]
    if table.single:
        facts.append("each row is taken as the end of a run of its own; for curves, name the column of runs by `--run`")
    law = joint_of(table.points, table.per_token, 1e-3, resamples)
    loss = words.unit_of(table.columns["loss"])
    return _Found(frontier_of(law, asked), None, facts, dict(table.columns), loss, asked)


def _where(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"`{text}` is not of the form COLUMN=VALUE", param_hint="--where")
    return column.strip(), value.strip()
