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
@click.option("--data", is_flag=True, help="Use the plan's data instead of random inputs.")
@click.option(
    "--root", type=click.Path(path_type=Path), help="Folder that data paths are relative to.  [folder of FILE]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: Path, sentences: list[str], data: bool, root: Path | None, as_json: bool) -> None:
    """Test every switch of a plan on a small model, before training.

    Each transition, including your own, edits a small model with random weights. The command checks that the function
    is preserved if the transition declares it, that new entries get gradients, and that views and blends can be undone.
    The exit code is 1 if a check fails.
    """
    plan = plan_of(file, sentences)
    if not plan.runnable:
        message = "the plan has no model to check"
        help_ = "add `model`, `data` and `objective` sentences, or preview it with `shapeflow simulate`"
        raise Refused(Diagnostic("no-model", message, place=str(file), help=help_))
    check(plan, (root or file.parent) if data else None, "json" if as_json else "text")


def check(plan: Plan, root: Path | None, output: Literal["text", "json", "nothing"]) -> None:
    """Check a plan, and print the result. Raises Refused if a switch does not do what its transition declares."""
    from shapeflow import api

    checked = api.check(plan, root)
    if output == "json":
        from shapeflow.running.verdicts import checked_to_json

        print_json(checked_to_json(checked))
    elif output == "text":
        from shapeflow.preview.check import check_view
        from shapeflow.preview.screen import show

        show(check_view(plan, checked))
    if checked.diagnostics:
        raise Refused(*checked.diagnostics)
