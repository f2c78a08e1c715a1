"""`shapeflow pilot`"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shapeflow.base.files import real
from shapeflow.base.printing import say
from shapeflow.cli.common import NewFile, of_a_file, print_after, print_diagnostics, print_json, seeds_in, whole
from shapeflow.cli.dry_run import DryRun, dry_run_options
from shapeflow.cli.outputs import TABLE
from shapeflow.cli.pooling import Pooling, pool_options
from shapeflow.cli.rounds import absolute, inside

if TYPE_CHECKING:
    from shapeflow.base.shapes import Shape
    from shapeflow.running.pilot import Piloting
    from shapeflow.running.pool import Job, Pool


@click.command("pilot")
@of_a_file
@click.option("--shares", metavar="S,S,...", help="Shares of the target in the data.  [1,0.5,0.1,0.03]")
@click.option("--seeds", metavar="N,N,...", help="Seeds of every share.  [the file's seed and the next]")
@click.option("--length", metavar="SHARE", help="Length of a pilot, as a share of the budget.  [35%]")
@click.option("--cheap", metavar="SHAPE", help="The shape to mix in: '(context: 64 tokens)'.  [found by trying all]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the pilots, below the folder of FILE.  [runs/NAME-pilots next to FILE]",
)
@pool_options
@click.option("--csv", "table", type=NewFile(TABLE), help="Write all measurements to one CSV table.")
@dry_run_options
@click.option("--json", "as_json", is_flag=True, help="Print the answer, or with --dry-run the runs, as JSON.")
def command(
    file: Path,
    sentences: list[str],
    shares: str | None,
    seeds: str | None,
    length: str | None,
    cheap: str | None,
    output: Path | None,
    pooling: Pooling,
    table: Path | None,
    dry_run: DryRun | None,
    as_json: bool,
) -> None:
    """Find the share of each shape that a mixture needs, by training short runs.

    The target, named by `traversal mixture` in FILE, is trained alone and with shares of a cheaper shape, two seeds
    each. The law of the mixture is fitted to these pilots, and its answer printed: the best share, and whether it pays.
    Runs are kept: call it again to continue.
    """
    from shapeflow.base.diagnostics import Report

    folder = inside(output or file.parent / "runs" / f"{file.stem}-pilots", file, "--output")
    report = Report()
    found = _piloting(file, sentences, folder, shares, seeds, length, cheap, report)
    if dry_run is not None:
        print_diagnostics(report.diagnostics)
        first, chosen = {job.folder for job in found.trial}, found.tried
        phases = [found.trial, [job for job in found.pilots(chosen or found.cheap[0]) if job.folder not in first]]
        notes = [_chosen(found)] if chosen is None else []
        dry_run.show([one for one in phases if one], pooling, file.parent, as_json=as_json, notes=notes)
        return
    trained_jobs = _trained(found, pooling.pool(file.parent))
    if table is not None:
        _write(trained_jobs, table)
    _show(file, sentences, folder, table, report, as_json)


def _piloting(
    file: Path,
    sentences: Sequence[str],
    folder: Path,
    shares: str | None,
    seeds: str | None,
    length: str | None,
    cheap: str | None,
    report: object,
) -> Piloting:
    from shapeflow.base.diagnostics import Report
    from shapeflow.running import pilot

    assert isinstance(report, Report)
    found = pilot.piloting(
        file,
        sentences,
        folder,
        length=pilot.LENGTH if length is None else _number(length, "--length"),
        shares=pilot.SHARES if shares is None else _shares(shares),
        seeds=None if seeds is None else seeds_in(seeds),
        cheap=None if cheap is None else _shape(cheap),
        report=report,
    )
    units = found.programs[0].units
    for axis, unit in _parts(cheap or ""):
        if len(unit) > 1 and unit[1] != units.get(axis):
            message = f"`{unit[1]}` is not the unit of `{axis}`: write {found.cheap[0].written(units)}"
            raise click.BadParameter(message, param_hint="--cheap")
    return found


def _number(text: str, option: str) -> float:
    """A share, as `0.1` or `10%`. Raises BadParameter unless it is above 0 and at most 1."""
    part = text.strip()
    try:
        value = float(part.removesuffix("%")) / (100 if part.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise click.BadParameter(f"`{part}` is not a share above 0 and at most 1", param_hint=option)
    return value


def _shares(text: str) -> list[float]:
    found = [_number(one, "--shares") for one in text.split(",")]
    if len(set(found)) < len(found):
        raise click.BadParameter(f"`{text}` names a share twice", param_hint="--shares")
    return found


def _shape(text: str) -> Shape:
    """A shape as written in a file, units included or not."""
    from shapeflow.base.shapes import Shape

    values: dict[str, int | str] = {}
    for axis, words in _parts(text):
        if not axis or not 1 <= len(words) <= 2 or axis in values:
            message = f"`{text}` is not a shape: write '(context: 64 tokens)'"
            raise click.BadParameter(message, param_hint="--cheap")
        number = whole(words[0])
        values[axis] = words[0] if number is None else number
    return Shape.of(values)


def _parts(text: str) -> list[tuple[str, list[str]]]:
    """Axis -> its value and, if given, its unit, of a shape in words."""
    pairs = (part.partition(":") for part in text.strip().removeprefix("(").removesuffix(")").split(","))
    return [(axis.strip(), value.split()) for axis, _, value in pairs]


def _chosen(found: Piloting) -> str:
    return (
        f"the other pilots are priced with {found.cheap[0].written(found.programs[0].units)}; they use the shape with "
        "the lowest error in the first phase"
    )


def _trained(found: Piloting, pool: Pool) -> list[Job]:
    from shapeflow.preview.jobs import watched
    from shapeflow.running.pilot import trained
    from shapeflow.running.runs import Run

    with pool.kept() as kept:

        def train(todo: Sequence[Job]) -> list[Run]:
            with watched(todo) as watch:
                return kept.run(todo, watch)

        phases = list(trained(found, train))
    return list({job.folder: job for phase in phases for job in phase}.values())


def _write(jobs: Sequence[Job], table: Path) -> None:
    from shapeflow.running.pilot_table import write_pilots
    from shapeflow.running.runs import read_run

    rows = write_pilots([read_run(job.folder) for job in jobs], table)
    say(f"{rows} measurements in {table}", err=True)


def _show(
    file: Path, sentences: Sequence[str], folder: Path, table: Path | None, report: object, as_json: bool
) -> None:
    """Fit the law to the pilots, and print the answer and what to do next."""
    from shapeflow.base.diagnostics import Report
    from shapeflow.compiler import compile_file
    from shapeflow.ir.plan_json import answer_to_json
    from shapeflow.preview.plan import plan_view
    from shapeflow.preview.screen import show
    from shapeflow.running.sweep import laws_sentence

    assert isinstance(report, Report)
    root = absolute(file).parent
    written = table is not None and real(table).is_relative_to(root)
    laws = laws_sentence(real(table) if written and table is not None else folder, root, "mixture")
    plan = compile_file(file, [*sentences, laws], report)
    assert plan.answer is not None
    if as_json:
        print_diagnostics(report.diagnostics)
        print_json({"laws": laws, "answer": answer_to_json(plan.answer)})
        return
    show(plan_view(plan))
    say(f"\n  laws: `{laws}`")
    # A pilot of another share cannot become the run of the plan.
    todo = ["compare" if plan.answer.say == "unknown" else "run", str(file), "--set", laws]
    say(f"  next: {shlex.join(['shapeflow', *todo])}, which trains from the beginning")
    print_after(report.diagnostics)
