"""`shapeflow compare`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shapeflow.cli.common import of_a_file, print_diagnostics, print_json, seeds_of
from shapeflow.cli.dry_run import DryRun, dry_run_options

if TYPE_CHECKING:
    from shapeflow.running.pool import Pool
    from shapeflow.running.rivals import Entry, Result
    from shapeflow.running.runs import Run

RIVALS = "a rival ends once it is as good as the plan: its price is an upper bound"


@click.command("compare")
@of_a_file
@click.option(
    "--rival",
    "rivals",
    multiple=True,
    default=("last", "random"),
    show_default=True,
    metavar="RIVAL",
    help="The `last` or `best` fixed shape, or a traversal: 'steepest', 'random', 'evenly'.",
)
@click.option("--target", type=float, help="The held-out value to reach.  [the final value of the plan]")
@click.option("--metric", help="The metric to compare.  [the loss at the longest context, or the plan's metric]")
@click.option("--seeds", metavar="N,N,...", help="Train the plan and its rivals with each seed.  [the file's seed]")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder of the runs.  [runs/NAME-compare]"
)
@click.option("--jobs", type=click.IntRange(1), help="Number of parallel runs.  [CPU cores; 1 on a GPU]")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to train."
)
@dry_run_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: Path,
    sentences: list[str],
    rivals: tuple[str, ...],
    target: float | None,
    metric: str | None,
    seeds: str | None,
    output: Path | None,
    jobs: int | None,
    device: str,
    dry_run: DryRun | None,
    as_json: bool,
) -> None:
    """Train a plan and its rivals, and compare the compute they need.

    The plan is trained to its end, and each rival until it reaches the same value. All runs count compute from zero and
    are measured in the same way. Finished runs are kept: start an interrupted comparison again to continue it.
    """
    from shapeflow.base.diagnostics import Report
    from shapeflow.base.files import write_text
    from shapeflow.preview.plan import plan_view
    from shapeflow.preview.screen import show
    from shapeflow.running.pool import Pool
    from shapeflow.running.rivals import as_json as result_json
    from shapeflow.running.rivals import metric_of, plan_entry, results, rival_entries, target_of, with_goal

    report, folder = Report(), output or Path("runs") / f"{file.stem}-compare"
    if len(set(rivals)) < len(rivals):
        raise click.BadParameter("a rival is named twice", param_hint="--rival")
    chosen = seeds_of(file, sentences, seeds)
    ways = [plan_entry(file, sentences, chosen, folder, report)]
    print_diagnostics(report.diagnostics)
    plan = ways[0].jobs[0].plan
    by = metric_of(plan, metric)
    others = rival_entries(file, sentences, rivals, chosen, folder)
    if dry_run is not None:
        goal = _known_goal(ways[0], target, by)
        others = others if goal is None else [with_goal(entry, (by, goal)) for entry in others]
        phases = [ways[0].jobs, [job for entry in others for job in entry.jobs]]
        dry_run.show(phases, jobs, device, file.parent, as_json=as_json, notes=[RIVALS])
        return
    pool = Pool.of(jobs, device, file.parent)
    show(plan_view(plan), "", stderr=as_json)
    runs = _trained(ways, pool)
    goal = target if target is not None else target_of(ways[0], runs, by)
    ways += [with_goal(entry, (by, goal)) for entry in others]
    runs |= _trained(ways[1:], pool)
    found = results(ways, runs, by, goal)
    whole = result_json(found, by, goal, chosen)
    write_text(folder / "comparison.json", json.dumps(whole, indent=1, sort_keys=True) + "\n")
    if as_json:
        print_json(whole)
        return
    _show(ways, runs, found, by, goal, chosen)
    click.echo(f"\n  runs and comparison.json in {folder}")


def _known_goal(plan: Entry, target: float | None, by: str) -> float | None:
    """The value that rivals must reach: `--target`, or the final value of the plan if it is trained; else None."""
    from shapeflow.running.rivals import target_of
    from shapeflow.running.runs import read_run

    if target is not None or not all(job.finished for job in plan.jobs):
        return target
    return target_of(plan, {job.folder: read_run(job.folder) for job in plan.jobs}, by)


def _trained(ways: list[Entry], pool: Pool) -> dict[Path, Run]:
    """Folder -> run, for all jobs. Missing runs are trained."""
    from shapeflow.preview.jobs import watched

    jobs = [job for way in ways for job in way.jobs]
    with watched(jobs) as watch:
        return dict(zip([job.folder for job in jobs], pool.run(jobs, watch), strict=True))


def _show(
    ways: list[Entry], runs: dict[Path, Run], found: list[Result], by: str, goal: float, seeds: list[int]
) -> None:
    from shapeflow.preview.comparison import comparison_view
    from shapeflow.preview.run import run_view
    from shapeflow.preview.screen import show

    show("", run_view(runs[ways[0].jobs[0].folder]), "", comparison_view(found, by, goal, seeds))
