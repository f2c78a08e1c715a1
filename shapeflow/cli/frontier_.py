"""`shapeflow frontier`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.printing import say
from shapeflow.cli.common import compute_of, formatted, print_diagnostics, print_json, verbose

if TYPE_CHECKING:
    from shapeflow.ir.joint import JointLaw

OF_TABLES = ("parameters", "tokens", "compute", "loss", "run", "where", "below")


@click.command("frontier")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--budget", "budgets", multiple=True, metavar="AMOUNT", help="Compute to spend: '1 ZFLOPs'; repeatable.")
@click.option("--parameters", metavar="COLUMN", help="The number of parameters: a column, or '1e6 * column'.")
@click.option("--tokens", metavar="COLUMN", help="The number of tokens.")
@click.option("--compute", metavar="COLUMN", help="FLOPs; default without it: 6 x parameters x tokens.")
@click.option("--loss", metavar="COLUMN", help="The loss.")
@click.option("--run", metavar="COLUMN", help="The run of a row, if a run has several rows.")
@click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Rows to read; repeatable.")
@click.option("--loss-below", "below", type=float, help="Leave out rows with a loss of this or more.")
@click.option("--resamples", type=click.IntRange(0, 100_000), default=400, show_default=True, help="For intervals.")
@click.option("--set", "sets", multiple=True, metavar="SENTENCE", help="Replace a sentence of a .shape file.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Plot isoFLOP curves and the frontier.")
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
    """Find the best size of a model, and its tokens, for a budget.

    FILES are tables with a row for each run: its parameters, its tokens or its compute, and its loss. Or one .shape
    file whose laws come from `fit(form: chinchilla)`.
    """
    from shapeflow.laws.joint.frontier import frontier_of

    asked = [compute_of(text) for text in budgets]
    law, facts, columns = (
        _of_file(files, sets, named) if _is_shape(files) else _of_tables(files, named, sets, resamples)
    )
    found = frontier_of(law, asked)
    if plot is not None:
        from shapeflow.preview.frontier_plot import draw_frontier

        draw_frontier(found, plot)
    if as_json:
        from shapeflow.preview.frontier import frontier_json

        print_json(frontier_json(found, columns))
        return
    from shapeflow.preview.frontier import frontier_view
    from shapeflow.preview.screen import show

    show(frontier_view(found, facts, bool(asked), verbose()))
    if plot is not None:
        say(f"  plot written to {plot}")


def _is_shape(files: Sequence[Path]) -> bool:
    shapes = [file for file in files if file.suffix == ".shape"]
    if shapes and len(files) > 1:
        raise click.UsageError("give one .shape file, or tables")
    return bool(shapes)


def _of_file(
    files: Sequence[Path], sets: Sequence[str], named: dict[str, Any]
) -> tuple[JointLaw, list[str], dict[str, str]]:
    """The joint law that a `.shape` file asks for. Raises Refused (`no-joint-law`), UsageError."""
    from shapeflow.compiler import fit_file

    if idle := next((name for name in OF_TABLES if named[name]), None):
        raise click.UsageError(f"`--{idle}` is for tables: a .shape file names its columns in `laws from fit(...)`")
    report = Report()
    _, found = fit_file(files[0], sets, report)
    print_diagnostics(report.diagnostics)
    if found.joint is None:
        message, place = "the file does not ask for a joint law of size and tokens", str(files[0])
        help = "write `form: chinchilla` in `laws from fit(...)`, or name a table: `shapeflow frontier runs.csv`"
        raise Refused(Diagnostic("no-joint-law", message, place=place, help=help))
    falling = any(law.provenance.verdict for law in found.laws.values())
    facts = ["the learning rate of the runs falls: the loss before the end of a run is not that of a shorter run"]
    return found.joint, facts if falling else [], {}


def _of_tables(
    files: Sequence[Path], named: dict[str, Any], sets: Sequence[str], resamples: int
) -> tuple[JointLaw, list[str], dict[str, str]]:
    """The joint law of tables, how they were read, and their columns. Raises Refused."""
    from shapeflow.laws.joint.fit import faults, joint_of
    from shapeflow.laws.joint.table import Named, read_tables

    if sets:
        raise click.UsageError("`--set` is for a .shape file")
    where = tuple(map(_where, named.pop("where")))
    table = read_tables(files, Named(**named, where=where))
    if (wrong := faults(table.points)) is not None:
        why, help = wrong
        message = "the rows do not determine a law of size and tokens"
        raise Refused(Diagnostic("few-sizes", message, place=str(files[0]), notes=(why,), help=help))
    read = ", ".join(f"{what} `{column}`" for what, column in table.columns.items())
    left_out = "; ".join(f"{count} rows left out: {why}" for why, count in table.left_out.items())
    facts = [f"columns: {read}", *([left_out] if left_out else [])]
    if table.single:
        facts.append("each row is taken as the end of a run of its own; for curves, name the column of runs by `--run`")
    return joint_of(table.points, table.per_token, 1e-3, resamples), facts, dict(table.columns)


def _where(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"`{text}` is not of the form COLUMN=VALUE", param_hint="--where")
    return column.strip(), value.strip()
