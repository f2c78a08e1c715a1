"""`shapeflow report`"""

from __future__ import annotations

from pathlib import Path

import click

from shapeflow.base.diagnostics import Report
from shapeflow.base.printing import say
from shapeflow.cli.common import of_a_file, plan_of, print_after


@click.command("report")
@of_a_file
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File of the page.",
)
def command(file: Path, sentences: list[str], output: Path) -> None:
    """Write a report as one HTML page, which needs neither a network nor scripts.

    FILE is a .shape file, a plan file, the folder of a run, or that of a comparison. A run that has not ended is
    reported as far as it is.
    """
    from shapeflow.base.files import write_text
    from shapeflow.report.page import Subject, page_of

    report = Report()
    plan = plan_of(file, sentences, report)
    options = tuple(part for sentence in sentences for part in ("--set", sentence))
    page = page_of(Subject(plan, file, options, tuple(report.diagnostics)))
    write_text(output, page)
    say(f"wrote {output}, {len(page.encode()) / 1000:.0f} kB")
    print_after(report.diagnostics)
