"""`shapeflow show`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from shapeflow.cli.common import formatted, plan_of, print_json

if TYPE_CHECKING:
    from shapeflow.ir.plan import Plan


@click.command("show")
@click.argument("what", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path), required=False)
@click.option("--verify", is_flag=True, help="Check the digest of a token file, which reads all of it.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@formatted
def command(what: Path, other: Path | None, verify: bool, as_json: bool) -> None:
    """Show a plan file, a .shape file, a run folder or a token file, or the differences between two plans.

    A plan is always shown, even if it is stale, finished or for another machine. Of a run, show whether it is running,
    and where it stands; of the folder of a sweep or a comparison, do so for all its runs.
    """
    if other is not None:
        _difference(what, other, as_json)
    elif what.suffix == ".bin":
        _tokens(what, verify, as_json)
    elif what.is_dir():
        _run(what, as_json)
    else:
        from shapeflow.preview.plan import plan_view
        from shapeflow.preview.screen import show

        plan = _plan(what)
        if as_json:
            from shapeflow.ir.plan_json import plan_to_json

            print_json(plan_to_json(plan))
        else:
            show(plan_view(plan))


def _plan(path: Path) -> Plan:
    """The plan in a `.shape` file, a plan file or the folder of a run."""
    from shapeflow.running.runs import read_run
    from shapeflow.running.specs import load

    if path.is_dir():
        return read_run(path).plan
    return plan_of(path, []) if path.suffix == ".shape" else load(path)


def _run(folder: Path, as_json: bool) -> None:
    from shapeflow.ir.events import event_to_json
    from shapeflow.preview.run import run_view
    from shapeflow.preview.screen import show
    from shapeflow.preview.standing import standing_json
    from shapeflow.running.runs import is_run, read_run
    from shapeflow.running.standing import standing

    if not is_run(folder):
        _group(folder, as_json)
        return
    run = read_run(folder)
    if as_json:
        measured = [event_to_json(event) for event in run.measured]
        print_json({**standing_json(standing(run)), "measured": measured})
    else:
        show(run_view(run))


def _group(folder: Path, as_json: bool) -> None:
    from shapeflow.preview.screen import show
    from shapeflow.preview.standing import group_json, group_view
    from shapeflow.running.standing import group_of

    group = group_of(folder)
    if as_json:
        print_json(group_json(group))
    else:
        show(group_view(group))


def _tokens(path: Path, verify: bool, as_json: bool) -> None:
    import json

    from shapeflow.data.bins import check_file, read_header, refused
    from shapeflow.ir.edits import EditError
    from shapeflow.preview.screen import show
    from shapeflow.preview.tokens import header_view

    try:
        header = read_header(path)
        check_file(path, header, whole=verify)
    except EditError as error:
        raise refused(error, str(path)) from error
    if as_json:
        print_json(json.loads(header.json()))
    else:
        show(header_view(path, header, verify))


def _difference(first: Path, second: Path, as_json: bool) -> None:
    from shapeflow.preview.difference import differences, differences_view
    from shapeflow.preview.screen import show

    plans = _plan(first), _plan(second)
    if as_json:
        print_json([attrs.asdict(row) for row in differences(*plans)])
        return
    show(differences_view(*plans, names=(str(first), str(second))))
