"""`shapeflow simulate`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shapeflow.base.diagnostics import Report
from shapeflow.base.printing import say, say_json
from shapeflow.cli.common import of_a_file, plan_of, print_after, print_diagnostics, print_json

if TYPE_CHECKING:
    from shapeflow.ir.plan import Plan


@click.command("simulate")
@of_a_file
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Plot error against FLOPs to this file.")
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
        _rehearse(plan)
    show(curves_view(plan))
    if plot is not None:
        say(f"\n  plot written to {plot}")
    print_after(report.diagnostics)


def _rehearse(plan: Plan) -> None:
    """Execute the whole plan on the simulator, so that a step that is not possible fails here."""
    from shapeflow.api import simulate

    for _ in simulate(plan):
        pass


def _print_events(plan: Plan) -> None:
    """Print the stream of events without steps, one JSON object per line."""

    from shapeflow.api import simulate
    from shapeflow.ir.events import StepDone, event_to_json

    for event in simulate(plan):
        if not isinstance(event, StepDone):
            say_json(event_to_json(event))
