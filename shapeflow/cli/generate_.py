"""`shapeflow generate`"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shapeflow.base.printing import say
from shapeflow.cli.common import formatted

if TYPE_CHECKING:
    from shapeflow.ir.plan import Plan
    from shapeflow.tokenize.spelling import Spelling

MOST = 100_000


@click.command("generate")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("text")
@click.option(
    "--tokens", type=click.IntRange(1, MOST), default=200, show_default=True, help="The largest number of new tokens."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0.0),
    default=1.0,
    show_default=True,
    help="0: always the likeliest token; above 1: more random than the model.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the draws.")
@click.option("--tokenizer", type=click.Path(path_type=Path), help="The tokenizer.json of a run on token files.")
@click.option("--raw", is_flag=True, help="Use the raw weights instead of their average.")
@formatted
def command(
    run: Path, text: str, tokens: int, temperature: float, seed: int, tokenizer: Path | None, raw: bool
) -> None:
    """Continue a text with the language model of a run.

    Uses the newest checkpoint, also of a run that has not ended, on the CPU. Stops after --tokens, or where the model
    ends the document. The same seed gives the same text.
    """
    from shapeflow.base.diagnostics import Diagnostic, Refused
    from shapeflow.running.backend import backend
    from shapeflow.running.runs import read_run

    if not math.isfinite(temperature):
        raise click.BadParameter(f"{temperature} is not a finite number.", param_hint="'--temperature'")
    plan = read_run(run).plan
    spelling = _spelling(plan, run, tokenizer)
    given = spelling.ids(text)
    # Training saw the beginning of a document after the end of another.
    prompt = given or ([] if spelling.end is None else [spelling.end])
    if not prompt:
        message, help_ = "there is no text to continue", "give at least one character"
        raise Refused(Diagnostic("no-prompt", message, place="TEXT", help=help_))
    found = backend("torch")().generate(
        plan, run, prompt, tokens, temperature=temperature, seed=seed, raw=raw, end=spelling.end
    )
    ends = ", ended by the model" if found.ended else ""
    kind = "raw" if raw else "averaged"
    say(f"{kind} weights after step {found.step} of {plan.steps}: {len(found.ids)} tokens{ends}", err=True)
    say(spelling.text([*given, *found.ids]))


def _spelling(plan: Plan, run: Path, tokenizer: Path | None) -> Spelling:
    """The spelling of a run's data. Raises Refused `not-text`, and what `spelling_of` raises."""
    from shapeflow.base.diagnostics import Diagnostic, Refused
    from shapeflow.base.files import read_text
    from shapeflow.base.json_text import parse_json
    from shapeflow.ir.contexts import MIXTURE, parts_of
    from shapeflow.running.run_log import DATA
    from shapeflow.tokenize.spelling import spelling_of

    if plan.model is None or plan.data is None or "vocabulary" not in plan.stages[0].sizes:
        name = "nothing" if plan.model is None else f"a `{plan.model.name}`"
        message = f"the run in `{run}` trained {name}, which has no text to continue"
        help_ = "name the run of a language model; `shapeflow export` writes the weights of any run"
        raise Refused(Diagnostic("not-text", message, place=str(run), help=help_))
    try:
        about = parse_json(read_text(run / DATA))
    except (Refused, ValueError):
        about = None
    about = about if isinstance(about, dict) else {}
    if plan.data.name != MIXTURE:
        return spelling_of(plan.data.name, plan.data.settings, about, tokenizer)
    first, parts = parts_of(plan.data)[0], about.get("of")
    own = next((one for one in parts.values() if isinstance(one, dict)), {}) if isinstance(parts, dict) else {}
    return spelling_of(first.name, first.settings, own, tokenizer)
