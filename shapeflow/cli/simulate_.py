"""`shapeflow simulate`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.printing import say, say_json
from shapeflow.cli.common import NewFile, of_a_file, plan_of, print_after, print_diagnostics, print_json
from shapeflow.cli.outputs import PICTURE

if TYPE_CHECKING:
    from shapeflow.ir.plan import Plan


@click.command("simulate")
@of_a_file
@click.option("--plot", type=NewFile(PICTURE), help="Plot error against FLOPs, or time, to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the curves and the comparison as JSON.")
@click.option("--events", "as_events", is_flag=True, help="Print the stream of events, one JSON object per line.")
def command(file: Path, sentences: list[str], plot: Path | None, as_json: bool, as_events: bool) -> None:
    """Predict the cost and the result of a plan, without training.

    Executes the plan on a simulator, which edits sizes instead of tensors. Losses are predicted by the laws.
    """
    report = Report()
    plan = plan_of(file, sentences, report)
    if as_events or as_json:
        print_diagnostics(report.diagnostics)
    if as_events:
        _print_events(plan)
        return
    from shapeflow.preview.curves import curves

    if plot is not None:
        from shapeflow.preview.plot import draw

        draw(plan, plot)
    if as_json:
        print_json(curves(plan))
        return
    from shapeflow.preview.curves import curves_view
    from shapeflow.preview.plan import plan_view
    from shapeflow.preview.screen import show

    show(plan_view(plan))
    if plan.runnable:
        from shapeflow.api import rehearse_edits

        # A plan that was read may hold an edit that is not possible.
        rehearse_edits(plan)
    show(curves_view(plan))
    if file.suffix == ".shape" and plan.totals.seconds is not None:
        from shapeflow.compiler import compile_other_unit
        from shapeflow.preview.units import units_view

        if (other := compile_other_unit(file, sentences, plan)) is not None:
            show(units_view(plan, other))
    if plot is not None:
        say(f"\n  plot written to {plot}")
    print_after(report.diagnostics)


MANY = 10_000_000
"""The most steps of a plan whose events are printed: they are made one by one, as in a run."""


def _print_events(plan: Plan) -> None:
    """Print the stream of events without steps, one JSON object per line. Raises Refused `too-many-steps`."""
    if (plan.totals.steps or 0) > MANY:
        message = f"the plan has {plan.totals.steps:,} steps, more than {MANY:,} that are made one by one"
        help_ = "leave out `--events`, write `--json` for the curves, or choose a smaller budget"
        raise Refused(Diagnostic("too-many-steps", message, place="--events", help=help_))
    from shapeflow.api import simulate
    from shapeflow.ir.events import StepDone, event_to_json

    for event in simulate(plan):
        if not isinstance(event, StepDone):
            say_json(event_to_json(event))
