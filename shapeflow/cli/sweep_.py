"""`shapeflow sweep`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shapeflow.base.files import real
from shapeflow.base.printing import say
from shapeflow.cli.common import NewFile, of_a_file, print_diagnostics, seeds_of
from shapeflow.cli.dry_run import DryRun, dry_run_options
from shapeflow.cli.outputs import TABLE
from shapeflow.cli.pooling import Pooling, pool_options
from shapeflow.cli.rounds import absolute, inside, rounds_of

if TYPE_CHECKING:
    from shapeflow.running.pool import Job, Pool
    from shapeflow.running.runs import Run


@click.command("sweep")
@of_a_file
@click.option("--budget", required=True, metavar="AMOUNT", help="Budget of each run: '1 PFLOPs', '2000 steps'.")
@click.option(
    "--until-settled",
    is_flag=True,
    help="Train only what is needed to know whether the plan pays at this budget. More seeds and longer runs follow "
    "where they help.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the runs.  [runs/NAME-sweep next to FILE]",
)
@click.option("--seeds", metavar="N,N,...", help="Train each candidate with each seed.  [the file's seed]")
@pool_options
@click.option("--csv", "table", type=NewFile(TABLE), help="Write all measurements to one CSV table.")
@dry_run_options
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print the runs as JSON.")
def command(
    file: Path,
    sentences: list[str],
    budget: str,
    until_settled: bool,
    output: Path | None,
    seeds: str | None,
    pooling: Pooling,
    table: Path | None,
    dry_run: DryRun | None,
    as_json: bool,
) -> None:
    """Train every candidate as a fixed shape, to fit laws to.

    `laws from fit("FOLDER")` reads the runs. Finished runs are kept, and runs of a smaller budget go on: start an
    interrupted sweep again to continue it.
    """

    if as_json and dry_run is None:
        raise click.UsageError("`--json` needs `--dry-run`.")
    if until_settled and (seeds is not None or dry_run is not None):
        raise click.UsageError("`--until-settled` chooses the runs itself: leave out `--seeds` and `--dry-run`.")
    folder = output or file.parent / "runs" / f"{file.stem}-sweep"
    sentences = [*sentences, f"budget {budget}"]
    if until_settled:
        runs = _settled(file, sentences, folder, pooling.pool(file.parent))
    else:
        todo = _jobs(file, sentences, seeds, folder)
        if dry_run is not None:
            dry_run.show([todo], pooling, file.parent, as_json=as_json)
            return
        runs = _trained(todo, folder, pooling.pool(file.parent))
    _summary(file, folder, table, runs)


def _jobs(file: Path, sentences: Sequence[str], seeds: str | None, folder: Path) -> list[Job]:
    """The runs of all candidates and seeds, after printing the warnings. Raises Refused."""
    from shapeflow.base.diagnostics import Report
    from shapeflow.running.sweep import sweep_jobs

    report = Report()
    todo = sweep_jobs(file, sentences, seeds_of(file, sentences, seeds), folder, report)
    print_diagnostics(report.diagnostics)
    return todo


def _trained(todo: Sequence[Job], folder: Path, pool: Pool) -> list[Run]:
    from shapeflow.preview.jobs import watched
    from shapeflow.running.listed import listing

    with listing(folder, todo), watched(todo) as watch:
        return pool.run(todo, watch)


def _settled(file: Path, sentences: Sequence[str], folder: Path, pool: Pool) -> list[Run]:
    """Train until the plan of the file is known to pay or not, and print its answer. Returns all runs."""
    from shapeflow.preview.answer import headline
    from shapeflow.running.ask import Question
    from shapeflow.running.runs import read_run

    rounds, warnings = rounds_of(
        Question(absolute(file), tuple(sentences), inside(folder, file, "--output"), None, pool)
    )
    plan = rounds[-1].plan
    # `ask` raises if there is no plan with an answer at the end.
    assert plan is not None
    assert plan.answer is not None
    print_diagnostics(warnings)
    say(headline(plan, plan.answer))
    return [read_run(path) for path in dict.fromkeys(job.folder for one in rounds for job in one.jobs)]


def _summary(file: Path, folder: Path, table: Path | None, runs: Sequence[Run]) -> None:
    from shapeflow.preview.numbers import flops
    from shapeflow.running.sweep import laws_sentence, write_points

    spent = sum(run.plan.compute_at(run.done) for run in runs)
    seconds = sum(run.trained for run in runs)
    say(f"{len(runs)} runs in {folder}, {flops(spent)} in total, {seconds:.0f} s of training")
    found = table or folder
    if real(found).is_relative_to(real(file.parent)):
        say(f"`{laws_sentence(real(found), real(file.parent))}` in {file} reads them")
    if table is not None:
        say(f"{write_points(runs, table)} measurements in {table}")
