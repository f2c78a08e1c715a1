"""`shapeflow report`"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.printing import say
from shapeflow.cli.common import NewFile, of_a_file, plan_of, print_after, refuse_sentences
from shapeflow.cli.outputs import PAGE

if TYPE_CHECKING:
    from shapeflow.ir.plan import Plan
    from shapeflow.report.page import Subject


@click.command("report")
@of_a_file
@click.option(
    "-o",
    "--output",
    type=NewFile(PAGE),
    required=True,
    help="File of the page.",
)
def command(file: Path, sentences: list[str], output: Path) -> None:
    """Write a report as one HTML page, which needs neither a network nor scripts.

    FILE is a .shape file, a plan file, the folder of a run, or that of a comparison. A run that has not ended is
    reported as far as it is.
    """
    from shapeflow.base.files import write_text
    from shapeflow.report.page import page_of

    report = Report()
    page = page_of(_subject(file, sentences, report))
    write_text(output, page)
    say(f"wrote {output}, {len(page.encode()) / 1000:.0f} kB")
    print_after(report.diagnostics)


def _subject(file: Path, sentences: list[str], report: Report) -> Subject:
    """What the page is about. Raises Refused."""
    from shapeflow.compiler import savings_over_budgets
    from shapeflow.report.page import Subject
    from shapeflow.running.standing import COMPARISON

    if file.is_dir() or file.name == COMPARISON:
        refuse_sentences(file, sentences)
        return _folder(file if file.is_dir() else file.parent, file)
    plan = plan_of(file, sentences, report)
    options = tuple(part for sentence in sentences for part in ("--set", sentence))
    saved = savings_over_budgets(file, sentences, plan) if file.suffix == ".shape" else ()
    other = _other(file, sentences, plan)
    return Subject(plan, file, options, tuple(report.diagnostics), other=other, saved=saved)


def _other(file: Path, sentences: list[str], plan: Plan) -> Plan | None:
    """The plan of a `.shape` file to the same error by the other unit: FLOPs or seconds."""
    from shapeflow.compiler import compile_other_unit

    if file.suffix != ".shape" or plan.totals.seconds is None:
        return None
    return compile_other_unit(file, sentences, plan)


def _folder(folder: Path, named: Path) -> Subject:
    """A run, a comparison, or the runs of one that has no result yet. Raises Refused."""
    from shapeflow.report.page import Subject
    from shapeflow.running.rivals.read import is_comparison, read_comparison
    from shapeflow.running.runs import is_run, read_run
    from shapeflow.running.standing import group_of, standing

    if is_run(folder):
        run = read_run(folder)
        return Subject(run.plan, named, run=standing(run))
    if is_comparison(folder):
        found = read_comparison(folder)
        own = next((found.runs[one] for one in found.runs if one.name in _names(found.results[0].runs)), None)
        if own is None:
            message, help_ = "the runs of the plan are gone", "start `shapeflow compare` again"
            raise Refused(Diagnostic("no-run", message, place=str(folder), help=help_))
        return Subject(own.plan, named, run=standing(own), comparison=found)
    group = group_of(folder)
    if not group.runs:
        message, help_ = "no run of this folder has begun", "report the plan itself, or wait for its first run"
        raise Refused(Diagnostic("no-run", message, place=str(folder), help=help_))
    own_run = next((one for one in group.runs if one.run.folder.name.startswith("plan-seed")), group.runs[0])
    return Subject(own_run.plan, named, group=group)


def _names(runs: tuple[str, ...]) -> set[str]:
    return {PurePath(one).name for one in runs}
