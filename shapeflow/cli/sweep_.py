"""`shapeflow sweep`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shapeflow.cli.common import of_a_file, print_diagnostics, seeds_of
from shapeflow.cli.dry_run import DryRun, dry_run_options

if TYPE_CHECKING:
    from shapeflow.running.runs import Run


@click.command("sweep")
@of_a_file
@click.option("--budget", required=True, metavar="AMOUNT", help="Budget of each run: '1 PFLOPs', '2000 steps'.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the runs.  [runs/NAME-sweep next to FILE]",
)
@click.option("--seeds", metavar="N,N,...", help="Train each candidate with each seed.  [the file's seed]")
@click.option("--jobs", type=click.IntRange(1), help="Number of parallel runs.  [CPU cores; 1 on a GPU]")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to train."
)
@click.option(
    "--csv", "table", type=click.Path(path_type=Path, dir_okay=False), help="Write all measurements to one CSV table."
)
@dry_run_options
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print the runs as JSON.")
def command(
    file: Path,
    sentences: list[str],
    budget: str,
    output: Path | None,
    seeds: str | None,
    jobs: int | None,
    device: str,
    table: Path | None,
    dry_run: DryRun | None,
    as_json: bool,
) -> None:
    """Train every candidate as a fixed shape, to fit laws to.

    `laws from fit("FOLDER")` reads the runs. Finished runs are kept: start an interrupted sweep again to continue it.
    """
    from shapeflow.base.diagnostics import Report
    from shapeflow.preview.jobs import watched
    from shapeflow.preview.numbers import flops
    from shapeflow.running.pool import Pool
    from shapeflow.running.sweep import sweep_jobs, write_points

    if as_json and dry_run is None:
        raise click.UsageError("`--json` needs `--dry-run`.")
    report = Report()
    folder = output or file.parent / "runs" / f"{file.stem}-sweep"
    todo = sweep_jobs(
        file, [*sentences, f"budget {budget}"], seeds_of(file, [*sentences, f"budget {budget}"], seeds), folder, report
    )
    print_diagnostics(report.diagnostics)
    if dry_run is not None:
        dry_run.show([todo], jobs, device, file.parent, as_json=as_json)
        return
    with watched(todo) as watch:
        runs = Pool.of(jobs, device, file.parent).run(todo, watch)
    spent = sum(run.plan.totals.compute or 0.0 for run in runs)
    click.echo(f"{len(runs)} runs in {folder}, {flops(spent)} in total, {_seconds(runs):.0f} s of training")
    found = table or folder
    if found.resolve().is_relative_to(file.parent.resolve()):
        inside = found.resolve().relative_to(file.parent.resolve())
        click.echo(f'`laws from fit("{inside.as_posix()}")` in {file} reads them')
    if table is not None:
        click.echo(f"{write_points(runs, table)} measurements in {table}")


def _seconds(runs: list[Run]) -> float:
    return sum(run.trained for run in runs)
