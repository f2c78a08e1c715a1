"""`shapeflow probe`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shapeflow.base.files import real
from shapeflow.base.printing import say
from shapeflow.cli.common import NewFile, of_a_file, print_diagnostics, print_json, seeds_of
from shapeflow.cli.dry_run import DryRun, dry_run_options
from shapeflow.cli.pooling import Pooling, pool_options

if TYPE_CHECKING:
    from shapeflow.base.units import Amount
    from shapeflow.ir.credits import Credits
    from shapeflow.ir.program import Program
    from shapeflow.running.probe import Asked

REFERENCE = "a run from scratch ends once it is as good as the switched run: its price is an upper bound"


@click.command("probe")
@of_a_file
@click.option(
    "--transition",
    "name",
    required=True,
    metavar="NAME",
    help="The axis to switch, or its transition: 'context'.",
)
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    metavar="V,V",
    help="Probe this switch only, from the first value to the second.  [all neighbours]",
)
@click.option(
    "--at",
    metavar="AMOUNT",
    help="When to switch: '40%', '500 steps', 'error 1.6'.  [as the plan, else 50% of the budget]",
)
@click.option("--for", "length", metavar="AMOUNT", help="How long to train after the switch.  [25% of the budget]")
@click.option(
    "--reference",
    type=click.Choice(["law", "run"]),
    help="Compare with the law of the new shape, or with a run in it.  [law, unless there is none, or one of theory]",
)
@click.option("--seeds", metavar="N,N,...", help="Measure every switch with each seed.  [the file's seed]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the runs.  [runs/NAME-probe next to FILE]",
)
@click.option(
    "--credits",
    "target",
    type=NewFile(),
    help="Add the measurements to this file.  [credits.json in the folder of the runs]",
)
@pool_options
@dry_run_options
@click.option("--json", "as_json", is_flag=True, help="Print the measurements as JSON.")
def command(
    file: Path,
    sentences: list[str],
    name: str,
    pairs: tuple[str, ...],
    at: str | None,
    length: str | None,
    reference: str | None,
    seeds: str | None,
    output: Path | None,
    target: Path | None,
    pooling: Pooling,
    dry_run: DryRun | None,
    as_json: bool,
) -> None:
    """Measure how much progress survives a switch.

    Forks a trained state, switches one branch, and trains both branches further. `credits from "FILE"` uses the
    measurements in a plan. Finished runs are kept: start an interrupted probe again to continue it.
    """
    from shapeflow.base.diagnostics import Report
    from shapeflow.ir.credits import as_json as credits_json
    from shapeflow.ir.credits import save
    from shapeflow.preview.jobs import watched
    from shapeflow.preview.probe import price_of, probe_view
    from shapeflow.preview.screen import show
    from shapeflow.running.probe import measured, phases, probing, runs_of, train

    report, folder = Report(), output or file.parent / "runs" / f"{file.stem}-probe"
    found = target or folder / "credits.json"
    chosen = seeds_of(file, sentences, seeds)
    wanted = _pairs(pairs)
    asked = _asked(file, sentences, at, length, reference)
    todo = probing(file, sentences, name, wanted, chosen, asked, folder, report)
    print_diagnostics(report.diagnostics)
    known = _known(found, todo.program)
    if dry_run is not None:
        notes = [REFERENCE] * any(probe.scratch is not None for probe in todo.probes)
        dry_run.show(phases(todo), pooling, file.parent, as_json=as_json, starts=todo.starts, notes=notes)
        return
    say(price_of(todo), err=True)
    with watched(todo.jobs) as watch:
        train(todo, pooling.pool(file.parent), watch)
    pairs_found = measured(todo)
    credits = known.joined(pairs_found)
    save(credits, found)
    if as_json:
        print_json({"file": str(found), **credits_json(credits)})
        return
    show(probe_view(todo, pairs_found))
    seconds = sum(run.trained for run in runs_of(todo))
    say(f"\n  {len(runs_of(todo))} runs in {folder}, {seconds:.0f} s of training")
    if real(found).is_relative_to(real(file.parent)):
        inside = real(found).relative_to(real(file.parent))
        say(f'  `credits from "{inside.as_posix()}"` in {file} uses the measurements')


def _pairs(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    """The pairs of values of all `--pair` options."""
    found = [_pair(text) for text in texts]
    twice = next((pair for number, pair in enumerate(found) if pair in found[:number]), None)
    if twice is not None:
        raise click.BadParameter(f"`{','.join(twice)}` is named twice", param_hint="--pair")
    return found


def _pair(text: str) -> tuple[str, str]:
    """The two values of a `--pair` option."""
    before, comma, after = text.partition(",")
    if not comma or "," in after:
        raise click.BadParameter(f"`{text}` is not a pair of values", param_hint="--pair")
    return before.strip(), after.strip()


def _asked(file: Path, sentences: list[str], at: str | None, length: str | None, reference: str | None) -> Asked:
    from shapeflow.running.probe import Asked

    where: Amount | float | None = None
    if at is not None and at.split()[:1] == ["error"]:
        where = _error(at)
    elif at is not None:
        where = _amount(file, sentences, at)
    behind = None if length is None else _amount(file, sentences, length)
    return Asked(where, behind, reference)  # type: ignore[arg-type]


def _error(text: str) -> float:
    try:
        number = text.split()[1].strip()
        return float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except (ValueError, IndexError):
        raise click.BadParameter(f"`{text}` is not an error, such as 'error 1.6'", param_hint="--at") from None


def _amount(file: Path, sentences: list[str], text: str) -> Amount:
    """Parse an amount, by inserting it into a sentence that takes one. Raises Refused."""
    from shapeflow.base.diagnostics import Refused, Report
    from shapeflow.compiler import program_of

    report = Report()
    program = program_of(file, [*sentences, f"evaluate every {text}"], report)
    if program is None or program.evaluate is None:
        raise Refused(*report.errors)
    return program.evaluate


def _known(path: Path, program: Program) -> Credits:
    """The credits that a file already contains; new ones are added to them. Raises Refused if they were measured with
    another model, data or optimizer."""
    from shapeflow.base.diagnostics import Diagnostic, Refused
    from shapeflow.ir.credits import Credits, load

    if not path.exists():
        return Credits(program.subject(), ())
    known = load(path)
    other = program.unlike(known.subject)
    if other is not None:
        message = f"`{path}` holds credits that were measured with another {other}"
        help_ = "write to another file with `--credits`, or remove this one"
        raise Refused(Diagnostic("foreign-credits", message, place=str(path), help=help_))
    return known
