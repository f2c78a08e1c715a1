"""`shapeflow track`"""

from __future__ import annotations

from pathlib import Path

import attrs
import click

from shapeflow.base.diagnostics import Diagnostic
from shapeflow.base.printing import say
from shapeflow.cli.common import print_diagnostics


@click.command("track")
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--to",
    "to",
    required=True,
    multiple=True,
    metavar="TRACKER",
    help="tensorboard, wandb, mlflow, trackio or PACKAGE:CLASS; may be repeated.",
)
def command(run: Path, to: tuple[str, ...]) -> int:
    """Send the values of a run to an experiment tracker, from its log.

    `shapeflow run --track TRACKER` sends them while the run goes on.
    """
    from shapeflow.running.runs import read_run
    from shapeflow.tracking import Tracking, tracker_of

    found = read_run(run)
    failed = []

    def warn(warning: Diagnostic) -> None:
        failed.append(warning)
        print_diagnostics([attrs.evolve(warning, severity="error", help=None)])

    tracking = Tracking(found.plan, run, {name: tracker_of(name) for name in to}, warn, continues=False)
    for event in found.events:
        tracking.listen(event)
    tracking.close()
    if failed:
        return 1
    say(f"  {len(found.events):,} events of {run} sent to {', '.join(to)}")
    return 0
