"""`shapeflow compile`"""

from __future__ import annotations

from pathlib import Path

import click

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.printing import say
from shapeflow.cli.common import NewFile, of_a_file, plan_of, print_after, print_diagnostics, print_json
from shapeflow.cli.outputs import PLAN


@click.command("compile")
@of_a_file
@click.option("-o", "--output", type=NewFile(PLAN), help="Write the plan to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def command(file: Path, sentences: list[str], output: Path | None, as_json: bool) -> None:
    """Compile a .shape file into a plan, and show it.

    Reads or fits the laws, decides the shapes and their steps, and simulates every switch. Does not need a model or a
    GPU. Without laws, it also shows what each candidate costs.
    """
    report = Report()
    try:
        plan = plan_of(file, sentences, report)
    except Refused as refused:
        if not as_json and {one.code for one in refused.diagnostics if one.severity == "error"} == {"missing-laws"}:
            _show_prices(file, sentences)
        raise
    if output is not None:
        from shapeflow.ir.plan_json import save

        save(plan, output)
    if as_json:
        from shapeflow.ir.plan_json import plan_to_json

        print_diagnostics(report.diagnostics)
        print_json(plan_to_json(plan))
        return
    from shapeflow.preview.plan import plan_view
    from shapeflow.preview.screen import show

    show(plan_view(plan))
    if file.suffix != ".json" and plan.model is not None and all(each.law is None for each in plan.candidates):
        _show_prices(file, sentences)
    if output is not None:
        say(f"\n  written to {output}")
    print_after(report.diagnostics)


def _show_prices(file: Path, sentences: list[str]) -> None:
    """Print what training each candidate costs: without laws, a plan does not compare them."""
    from shapeflow.compiler import program_of
    from shapeflow.preview.price import candidates_view
    from shapeflow.preview.screen import show

    program = program_of(file, sentences, Report())
    view = None if program is None else candidates_view(program)
    if view is not None:
        show("", view)
