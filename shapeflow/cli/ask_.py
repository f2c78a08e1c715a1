"""`shapeflow ask`"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shapeflow.cli.common import of_a_file, print_diagnostics, print_json

if TYPE_CHECKING:
    from shapeflow.ir.plan import Plan
    from shapeflow.running.ask import Allowance, Round
    from shapeflow.running.pool import Job
    from shapeflow.running.runs import Run

_SECONDS = {"s": 1, "second": 1, "seconds": 1, "min": 60, "minute": 60, "minutes": 60, "h": 3600, "hour": 3600}
_SECONDS |= {"hours": 3600}


@click.command("ask")
@of_a_file
@click.option("--within", required=True, metavar="AMOUNT", help="What may be spent: '20 minutes', '3 TFLOPs'.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the runs and the plan, below the folder of FILE.  [runs/NAME-ask next to FILE]",
)
@click.option("--jobs", type=click.IntRange(1), help="Number of parallel runs.  [CPU cores; 1 on a GPU]")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to train."
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def command(
    file: Path,
    sentences: list[str],
    within: str,
    output: Path | None,
    jobs: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Find out whether the plan of a file pays, by training its candidates.

    Trains each candidate for an eighth of the budget, fits laws, compiles the plan, and prints its answer: yes, no or
    unknown. While the answer is unknown, the runs go on, and more runs follow where they would settle it, until AMOUNT
    is spent. Runs are kept: call it again, with a larger AMOUNT, to continue.
    """
    from shapeflow.base.diagnostics import Diagnostic, Refused, Report
    from shapeflow.ir.plan_json import answer_to_json, save
    from shapeflow.preview.plan import plan_view
    from shapeflow.preview.screen import show
    from shapeflow.running.ask import Question, ask
    from shapeflow.running.pool import Pool

    folder = (output or file.parent / "runs" / f"{file.stem}-ask").resolve()
    if not folder.is_relative_to(file.parent.resolve()):
        message, help_ = f"`{output}` is not below the folder of `{file}`", "leave out `-o`, or name a folder there"
        raise Refused(Diagnostic("path-outside", message, place="--output", help=help_))
    pool = Pool.of(jobs, device, file.parent)
    whole = file.resolve()
    question = Question(whole, tuple(sentences), folder / "runs", _allowance(within), pool)
    report, rounds = Report(), list["Round"]()

    def train(todo: Sequence[Job]) -> list[Run]:
        from shapeflow.preview.jobs import watched

        with watched(todo) as watch:
            return pool.run(todo, watch)

    for each in ask(question, report, train):
        rounds.append(each)
        click.echo(_line(len(rounds), each), err=True)
    print_diagnostics(report.diagnostics)
    plan = rounds[-1].plan
    # `ask` raises if there is no plan with an answer at the end.
    assert plan is not None
    assert plan.answer is not None
    save(plan, folder / "plan.json")
    if as_json:
        print_json({"plan": str(folder / "plan.json"), "answer": answer_to_json(plan.answer), **_spent(rounds)})
        return
    show(plan_view(plan))
    click.echo(f"\n  plan written to {folder / 'plan.json'}; laws: `{question.laws}`")
    click.echo(f"  next: {_next(file, folder, plan)}")


def _allowance(text: str) -> Allowance:
    from shapeflow.base.units import UNITS
    from shapeflow.running.ask import Allowance

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if found is not None and float(found[1]) > 0:
        if found[2] in _SECONDS:
            return Allowance(seconds=float(found[1]) * _SECONDS[found[2]])
        unit = UNITS.get(found[2])
        if unit is not None and unit.dimension == "compute":
            return Allowance(compute=unit.base(float(found[1])))
    message = f"`{text}` is not a time or an amount of compute: write '20 minutes' or '3 TFLOPs'"
    raise click.BadParameter(message, param_hint="--within")


def _line(number: int, one: Round) -> str:
    from shapeflow.preview.numbers import flops

    runs = f"{len(one.jobs)} run{'s' * (len(one.jobs) != 1)}"
    length = f"up to {one.length:.3g} times the budget"
    return f"round {number}: {runs} {length}, {flops(one.compute)} more, {one.seconds:.0f} s: {one.say}"


def _spent(rounds: Sequence[Round]) -> dict[str, Any]:
    return {
        "rounds": [
            {
                "runs": len(one.jobs),
                "length": one.length,
                "compute": one.compute,
                "seconds": one.seconds,
                "say": one.say,
            }
            for one in rounds
        ]
    }


def _next(file: Path, folder: Path, plan: Plan) -> str:
    """The one command to continue with."""
    answer = plan.answer
    assert answer is not None
    if answer.say == "unknown" and answer.doubts:
        return f"shapeflow compare {file}"
    if answer.say == "unknown":
        return f"shapeflow ask {file} with a larger `--within`" if answer.settle else f"shapeflow compare {file}"
    if answer.say == "yes" and answer.assumed:
        after = plan.stages[1]
        assert after.transition is not None
        axis = after.shape.changed(plan.stages[0].shape)[0]
        return f"shapeflow probe {file} --transition {axis}, to measure what a switch keeps"
    return f"shapeflow run {folder / 'plan.json'}"
