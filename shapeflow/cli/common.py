"""Common parts of the commands: options that name a plan, and the output of diagnostics."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.files import real
from shapeflow.base.printing import say, say_json

if TYPE_CHECKING:
    from shapeflow.cli.outputs import Kind
    from shapeflow.ir.plan import Plan

_F = TypeVar("_F", bound=Callable[..., Any])


SHOWN = 50
"""Diagnostics that are printed as text; the others are counted."""


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Print diagnostics on stderr: as text, or with `--format json` as one JSON object per line."""
    from shapeflow.preview.diagnostic import as_json, render

    diagnostics = list(diagnostics)
    if _format() == "json":
        for diagnostic in diagnostics:
            say_json(as_json(diagnostic), err=True)
        return
    for diagnostic in diagnostics[:SHOWN]:
        say(render(diagnostic, color=_colored(), verbose=verbose()) + "\n", err=True, painted=True)
    if (left := len(diagnostics) - SHOWN) > 0:
        say(f"... and {left:,} more: `--format json` lists all {len(diagnostics):,}\n", err=True)


def print_after(diagnostics: Sequence[Diagnostic]) -> None:
    """Print diagnostics below a screen that answers first."""
    if diagnostics and _format() == "text":
        say(err=True)
    print_diagnostics(diagnostics)


def _format() -> str:
    return str(_ASKED.get("format", "text"))


def verbose() -> bool:
    """Whether `--verbose` was given."""
    return bool(_ASKED.get("verbose"))


_ASKED: dict[str, Any] = {}
"""Values of `--format` and `--verbose`; diagnostics are printed after the command and its context have ended."""


def _colored() -> bool:
    return "NO_COLOR" not in os.environ and sys.stderr.isatty()


def _remember(_: click.Context, parameter: click.Parameter, value: Any) -> None:
    _ASKED[str(parameter.name)] = value


def formatted(function: _F) -> _F:
    """Add the options `--format` and `--verbose`, which set how diagnostics are printed."""
    kinds = click.Choice(["text", "json"])
    help_ = "Format of diagnostics, on stderr."
    option: Callable[[_F], _F] = click.option(
        "--format", type=kinds, default="text", is_eager=True, expose_value=False, callback=_remember, help=help_
    )
    details: Callable[[_F], _F] = click.option(
        "-v",
        "--verbose",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_remember,
        help="Show all notes of diagnostics.",
    )
    return option(details(function))


def of_a_file(function: _F) -> _F:
    """Add the argument FILE, the options that override its content (`--let`, `--set`, `--seed`), and the options of
    `formatted`."""

    @click.argument("file", type=click.Path(path_type=Path))
    @click.option("--let", "lets", multiple=True, metavar="NAME=VALUE", help="Replace a `let` of the file.")
    @click.option(
        "--set", "sets", multiple=True, metavar="SENTENCE", help="Replace a sentence: --set 'budget 1 PFLOPs'."
    )
    @click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Replace the file's seed.")
    @formatted
    @functools.wraps(function)
    def command(*args: Any, lets: Sequence[str], sets: Sequence[str], seed: int | None, **kwargs: Any) -> Any:
        sentences = [*sets, *(_let(text) for text in lets), *([f"seed {seed}"] if seed is not None else [])]
        return function(*args, sentences=sentences, **kwargs)

    return command  # type: ignore[return-value]


class NewFile(click.Path):
    """A file that a command writes. It replaces only files of its own kind, so that no other is lost, and none of a
    run, which could not be read or resumed any more."""

    def __init__(self, kind: Kind | None = None, dir_okay: bool = False) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay)
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from shapeflow.running.run_folder import run_of

        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        # A link leads there, and so does a bare name in a folder of the run.
        if (run := run_of(path) or run_of(real(path))) is not None:
            self.fail(f"`{path}` is a file of the run in `{run}`: name another one", param, ctx)
        if self._kind is not None and not self._kind.may_replace(path):
            message = f"`{path}` exists and is not {self._kind.what}: remove it, or name another file"
            self.fail(message, param, ctx)
        return path


def machine_option(function: _F) -> _F:
    """Add the option `--machine` of commands that execute plans."""
    help_ = "What executes plans: torch trains; exact computes the expected loss of `random_features`."
    kinds = click.Choice(["torch", "exact"])
    return click.option("--machine", type=kinds, default="torch", show_default=True, help=help_)(function)


def stoppable(function: _F) -> _F:
    """Let the stop signals end a command with exit code 75, at any moment."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        from shapeflow.running.stop import stopping

        with stopping():
            return function(*args, **kwargs)

    return command  # type: ignore[return-value]


def _let(text: str) -> str:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"`{text}` is not of the form NAME=VALUE", param_hint="--let")
    return f"let {name.strip()} = {value.strip()}"


def plan_of(file: Path, sentences: Sequence[str], later: Report | None = None) -> Plan:
    """Compile a `.shape` file and print its warnings, or read a plan file. `later`: gets the warnings instead, for a
    screen that answers first. Raises Refused."""
    if file.suffix == ".json":
        from shapeflow.running.specs import load

        refuse_sentences(file, sentences)
        return load(file)
    from shapeflow.compiler import compile_file

    report = Report() if later is None else later
    plan = compile_file(file, sentences, report)
    if later is None:
        print_diagnostics(report.diagnostics)
    return plan


def refuse_sentences(file: Path, sentences: Sequence[str]) -> None:
    """Raise Refused `plan-is-final` if there are sentences for a compiled plan."""
    if sentences:
        message = "a compiled plan cannot be changed"
        help_ = "change the `.shape` file, or pass it instead of the plan"
        raise Refused(Diagnostic("plan-is-final", message, place=str(file), help=help_))


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    say_json(value, indent=1)


def seeds_of(file: Path, sentences: Sequence[str], text: str | None) -> list[int]:
    """The seeds of `--seeds 0,1,2`; without this option the seed of `--seed` or of the file. Raises Refused if the file
    does not compile."""
    if text is None:
        from shapeflow.compiler import program_of

        report = Report()
        program = program_of(file, sentences, report)
        if program is None:
            raise Refused(*report.diagnostics)
        return [program.seed]
    return seeds_in(text)


MOST = 10**8
"""The largest count that an option takes, as in a `.shape` file."""


def whole(text: str, low: int = 0, most: int = MOST) -> int | None:
    """The whole number from `low` to `most` that a text is; None if it is none. Python refuses very long ones."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
        return None
    return number if low <= (number := int(text)) <= most else None


def seeds_in(text: str) -> list[int]:
    """The seeds of `--seeds 0,1,2`."""
    found = [whole(part.strip(), most=2**31 - 1) for part in text.split(",")]
    seeds = [seed for seed in found if seed is not None]
    if len(seeds) < len(found):
        message = f"`{text}` is not a list of whole numbers from 0 to {2**31 - 1}, such as `0,1,2`"
        raise click.BadParameter(message, param_hint="--seeds")
    if len(set(seeds)) < len(seeds):
        raise click.BadParameter(f"`{text}` names a seed twice", param_hint="--seeds")
    return seeds


def compute_of(text: str) -> float:
    """FLOPs: `1 GFLOPs`, `1GFLOPs` or `1e9`. Raises BadParameter."""
    import re

    from shapeflow.base.units import UNITS, flops
    from shapeflow.stages.resolve.values import GREAT, SMALL

    found = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    unit = UNITS.get(found[2] or "FLOPs") if found else None
    try:
        value = float(found[1]) if found else 0.0
    except ValueError:
        value = 0.0
    if unit is None or unit.dimension != "compute" or not 0 < value < float("inf"):
        raise click.BadParameter(f"`{text}` is not an amount of compute: write '1 GFLOPs'", param_hint="--budget")
    # The same bounds as those of a budget in a `.shape` file.
    if not SMALL <= (amount := unit.base(value)) <= GREAT:
        least, most = flops(SMALL), flops(GREAT)
        raise click.BadParameter(f"`{text}` is out of range: {least} to {most}", param_hint="--budget")
    return amount
