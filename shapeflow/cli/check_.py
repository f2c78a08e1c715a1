"""`shapeflow check`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.cli.common import of_a_file, plan_of, print_json

if TYPE_CHECKING:
    from shapeflow.ir.plan import Plan


@click.command("check")
@of_a_file
@click.option("--data", is_flag=True, help="Look at the plan's own data in place of random numbers.")
@click.option("--root", type=click.Path(path_type=Path), help="Where relative data paths start.  [the file's folder]")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(file: Path, sentences: list[str], data: bool, root: Path | None, as_json: bool) -> None:
    """Make every switch in small before training, and see whether it does what it says.

    Each transition of the plan, yours too, edits a small model with random weights: does it keep the function where it
    says so, do new entries learn, do views and blends go back? The answer is 1 where one does not.
    """
    plan = plan_of(file, sentences)
    if not plan.runnable:
        message = "the plan has no model, so there is nothing to check"
        help_ = "add `model`, `data` and `objective` sentences, or preview it with `shapeflow simulate`"
        raise Refused(Diagnostic("no-model", message, place=str(file), help=help_))
    check(plan, (root or file.parent) if data else None, "json" if as_json else "text")


def check(plan: Plan, root: Path | None, tell: Literal["text", "json", "nothing"]) -> None:
    """Check a plan, and print what was found. Raises Refused where a switch does not do what it says."""
    from shapeflow import api

    checked = api.check(plan, root)
    if tell == "json":
        from shapeflow.running.verdicts import checked_to_json

        print_json(checked_to_json(checked))
    elif tell == "text":
        from shapeflow.preview.check import check_view
        from shapeflow.preview.screen import show

        show(check_view(plan, checked))
    if checked.diagnostics:
        raise Refused(*checked.diagnostics)
