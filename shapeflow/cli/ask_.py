"""`shapeflow ask`"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shapeflow.base.printing import say
from shapeflow.cli.common import of_a_file, print_after, print_diagnostics, print_json
from shapeflow.cli.pooling import Pooling, pool_options
from shapeflow.cli.rounds import absolute, inside, rounds_of

if TYPE_CHECKING:
    from shapeflow.ir.plan import Plan
    from shapeflow.running.ask import Allowance, Round


@click.command("ask")
@of_a_file
@click.option("--within", required=True, metavar="AMOUNT", help="What may be spent: '20 minutes', '3 TFLOPs'.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the runs and the plan, below the folder of FILE.  [runs/NAME-ask next to FILE]",
)
@pool_options
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def command(
    file: Path,
    sentences: list[str],
    within: str,
    output: Path | None,
    pooling: Pooling,
    as_json: bool,
) -> None:
    """Find out whether the plan of a file pays, by training its candidates.

    Trains each candidate for an eighth of the budget, fits laws, compiles the plan, and prints its answer: yes, no or
    unknown. While the answer is unknown, the runs go on, and more runs follow where they would settle it, until AMOUNT
    is spent. Runs are kept: call it again, with a larger AMOUNT, to continue.
    """
    from shapeflow.ir.plan_json import answer_to_json, save
    from shapeflow.preview.plan import plan_view
    from shapeflow.preview.screen import show
    from shapeflow.running.ask import Question

    folder = inside(output or file.parent / "runs" / f"{file.stem}-ask", file, "--output")
    pool = pooling.pool(file.parent)
    question = Question(absolute(file), tuple(sentences), folder / "runs", _allowance(within), pool)
    rounds, warnings = rounds_of(question)
    plan = rounds[-1].plan
    # `ask` raises if there is no plan with an answer at the end.
    assert plan is not None
    assert plan.answer is not None
    save(plan, folder / "plan.json")
    if as_json:
        print_diagnostics(warnings)
        print_json({"plan": str(folder / "plan.json"), "answer": answer_to_json(plan.answer), **_spent(rounds)})
        return
    show(plan_view(plan))
    say(f"\n  plan written to {folder / 'plan.json'}; laws: `{question.laws}`")
    say(f"  next: {_next(file, folder, plan, question.laws)}")
    print_after(warnings)


def _allowance(text: str) -> Allowance:
    from shapeflow.base.units import UNITS
    from shapeflow.running.ask import Allowance

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if found is not None and float(found[1]) > 0:
        unit = UNITS.get(found[2])
        if unit is not None and unit.dimension == "seconds":
            return Allowance(seconds=unit.base(float(found[1])))
        if unit is not None and unit.dimension == "compute":
            return Allowance(compute=unit.base(float(found[1])))
    message = f"`{text}` is not a time or an amount of compute: write '20 minutes' or '3 TFLOPs'"
    raise click.BadParameter(message, param_hint="--within")


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


def _next(file: Path, folder: Path, plan: Plan, laws: str) -> str:
    """The one command to continue with. `laws`: the sentence of the file's laws, which it may not contain."""
    answer = plan.answer
    assert answer is not None
    here = ["shapeflow", "compare", str(file), "--set", laws]
    if answer.say == "unknown":
        if answer.settle is not None and not answer.doubts:
            return f"shapeflow ask {shlex.quote(str(file))} with a larger `--within`"
        return shlex.join(here)
    if answer.say == "yes" and answer.assumed:
        after = plan.stages[1]
        assert after.transition is not None
        axis = after.shape.changed(plan.stages[0].shape)[0]
        probe = ["shapeflow", "probe", str(file), "--set", laws, "--transition", axis]
        return f"{shlex.join(probe)}, to measure what a switch keeps"
    return shlex.join(["shapeflow", "run", str(folder / "plan.json")])
