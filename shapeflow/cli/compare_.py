"""`shapeflow compare`"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shapeflow.base.printing import say
from shapeflow.cli.common import (
    of_a_file,
    print_diagnostics,
    print_json,
    refuse_sentences,
    seeds_in,
    seeds_of,
)
from shapeflow.cli.dry_run import DryRun, dry_run_options
from shapeflow.cli.pooling import Pooling, pool_options

if TYPE_CHECKING:
    from shapeflow.base.diagnostics import Report
    from shapeflow.running.ahead import Ahead
    from shapeflow.running.pool import Job, Pool
    from shapeflow.running.rivals import Cases, Compared, Entry, Past, Rivals
    from shapeflow.running.runs import Run

FIELD = "the best fixed shape is measured: most candidates end early, at a quarter or half of the compute"
RIVALS = "a rival ends once it is as good as the plan: its price is an upper bound"


@click.command("compare")
@of_a_file
@click.option(
    "--rival",
    "rivals",
    multiple=True,
    metavar="RIVAL",
    help="The `last` or `best` fixed shape, or a traversal: 'steepest', 'random', 'evenly'.  [last, best and random, "
    "if they can be trained]",
)
@click.option("--target", type=float, help="The held-out value to reach.  [the final value of the plan]")
@click.option(
    "--metric", help="The metric to compare.  [the plan's metric; with several contexts, the loss at the longest]"
)
@click.option("--seeds", metavar="N,N,...", help="Train the plan and its rivals with each seed.  [the file's seed]")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder of the runs.  [runs/NAME-compare]"
)
@click.option(
    "--runs",
    "sweep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Use the runs of an earlier `shapeflow sweep` that train the same shapes with the same seeds.",
)
@pool_options
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
    sweep: Path | None,
    pooling: Pooling,
    dry_run: DryRun | None,
    as_json: bool,
) -> None:
    """Train a plan and its rivals, and compare the compute they need. FILE is a .shape file or a compiled plan.

    The plan is trained to its end, and each rival until it reaches the same value. All runs count compute from zero and
    are measured in the same way. Finished runs are kept: start an interrupted comparison again to continue it.
    """
    from shapeflow.base.diagnostics import Report
    from shapeflow.base.files import write_text
    from shapeflow.preview.comparison import verdict
    from shapeflow.preview.plan import plan_view
    from shapeflow.preview.screen import show
    from shapeflow.running.ahead import Ahead
    from shapeflow.running.listed import listing
    from shapeflow.running.rivals import Past, compared, metric_of, rivals_of
    from shapeflow.running.standing import COMPARISON

    report, folder = Report(), output or Path("runs") / f"{file.stem}-compare"
    if len(set(rivals)) < len(rivals):
        raise click.BadParameter("a rival is named twice", param_hint="--rival")
    cases = _cases(file, sentences, seeds, folder, report)
    print_diagnostics(report.diagnostics)
    by = metric_of(cases.plan.plan, metric)
    others = rivals_of(cases, rivals, by)
    print_diagnostics(one.note for one in others.left)
    if dry_run is not None:
        phases = _phases(cases, others, by, target)
        dry_run.show(phases, pooling, file.parent, as_json=as_json, notes=[RIVALS, *[FIELD] * bool(others.field)])
        return
    pool, past = pooling.pool(file.parent), Past() if sweep is None else Past.of(sweep)
    show(plan_view(cases.plan.plan), "", stderr=as_json)
    every = [job for phase in _phases(cases, others, by, target) for job in phase]
    ahead = Ahead(every)
    with pool.kept() as kept, listing(folder, every):
        found = compared(cases, others, by, target, lambda ways: _trained(ways, by, kept, past, ahead))
    result = {"verdict": verdict(found), **found.json()}
    write_text(folder / COMPARISON, json.dumps(result, indent=1, sort_keys=True) + "\n")
    if as_json:
        print_json(result)
        return
    _show(found, cases)
    say(f"\n  runs and {COMPARISON} in {folder}")


def _phases(cases: Cases, others: Rivals, by: str, target: float | None) -> list[list[Job]]:
    """The jobs of the plan, then those of its rivals, each folder once. A rival ends at `target`, or, if the plan is
    trained, at its final value."""
    from shapeflow.running.rivals import target_of, with_goal
    from shapeflow.running.runs import read_run

    plan = cases.plan
    if target is None and all(job.finished for job in plan.jobs):
        target = target_of(plan, {job.folder: read_run(job.folder) for job in plan.jobs}, by)
    ways = [one for one in (*others.entries, *others.field) if one.same is None]
    ways = ways if target is None else [with_goal(one, (by, target)) for one in ways]
    known = {job.folder for job in plan.jobs}
    rivals = {job.folder: job for one in ways for job in one.jobs if job.folder not in known}
    return [list(plan.jobs), list(rivals.values())]


def _cases(file: Path, sentences: list[str], seeds: str | None, folder: Path, report: Report) -> Cases:
    """The plan and its possible rivals. Raises Refused."""
    from shapeflow.running.rivals import OfFile, OfPlan

    if file.suffix != ".json":
        return OfFile.of(file, sentences, seeds_of(file, sentences, seeds), folder, report)
    refuse_sentences(file, sentences)
    return OfPlan.of(file, None if seeds is None else seeds_in(seeds), folder, report)


def _trained(ways: Sequence[Entry], metric: str, pool: Pool, past: Past, ahead: Ahead) -> dict[Path, Run]:
    """Folder -> run, for all jobs. Runs that exist neither in their folder nor in an earlier sweep are trained.

    The plan is never taken from a sweep, whose runs have no predictions."""
    from shapeflow.preview.jobs import watched
    from shapeflow.running.rivals import PLAN

    jobs = [job for way in ways for job in way.jobs]
    fixed = [job for way in ways if way.name != PLAN for job in way.jobs]
    found = {job.folder: run for job in fixed if (run := past.find(job, metric)) is not None}
    for job in jobs:
        if job.folder in found:
            say(f"  {job.label}: {found[job.folder].folder}", err=True)
            ahead.skip(job)
    left = [job for job in jobs if job.folder not in found]
    with watched(left, ahead) as watch:
        return found | dict(zip([job.folder for job in left], pool.run(left, watch), strict=True))


def _show(found: Compared, cases: Cases) -> None:
    from shapeflow.preview.comparison import comparison_view
    from shapeflow.preview.predictions import predictions_view
    from shapeflow.preview.run import run_view
    from shapeflow.preview.screen import show

    plan, first = cases.plan.plan, found.runs[cases.plan.jobs[0].folder]
    show("", run_view(first), "", comparison_view(found, plan))
    if plan.answer is not None:
        show("", predictions_view(found.predictions, plan))
