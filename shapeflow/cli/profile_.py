"""`shapeflow profile`"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from shapeflow.base.files import real, require_writable
from shapeflow.base.printing import say
from shapeflow.cli.common import MOST, NewFile, of_a_file, print_diagnostics, print_json
from shapeflow.cli.outputs import PROFILE
from shapeflow.cli.pooling import computing_options


@click.command("profile")
@of_a_file
@click.option(
    "-o",
    "--output",
    type=NewFile(PROFILE),
    help="Write the profile to this file.  [NAME.profile.json next to FILE]",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to train."
)
@click.option("--gpus", type=click.IntRange(1, MOST), help="Number of GPUs; every step is split among them.")
@click.option("--processes", type=click.IntRange(1, MOST), help="Number of processes; every step is split among them.")
@click.option(
    "--threads", type=click.IntRange(1, MOST), help="CPU threads per process.  [as `shapeflow run` chooses them]"
)
@computing_options
@click.option("--json", "as_json", is_flag=True, help="Print the profile as JSON.")
def command(
    file: Path, sentences: list[str], output: Path | None, as_json: bool, checkpoint_activations: bool, **choices: Any
) -> None:
    """Measure the seconds of a step in every candidate, on this machine.

    Makes some dozens of steps in each candidate, in turns, and the switches between neighbours; keeps no weights. State
    the GPUs, the processes and the micro-batches that the run will have.
    `profile from "FILE"` uses the measurements: budgets may then be in seconds, minutes or hours, and the plan is the
    best one for that time.
    """
    from shapeflow.base.diagnostics import Refused, Report
    from shapeflow.compiler import unprofiled
    from shapeflow.ir.profile import as_json as profile_json
    from shapeflow.ir.profile import save
    from shapeflow.ir.seconds_table import SUFFIXES
    from shapeflow.preview.profile import profile_view
    from shapeflow.preview.screen import show
    from shapeflow.running.launchers import placed
    from shapeflow.running.profile import profiled

    path = output or file.parent / f"{file.stem}.profile.json"
    if re.search(r'["\n\r]', path.name):
        message = f"`{path}` contains a double quote or a line break: name a file that a `.shape` file can name"
        raise click.BadParameter(message, param_hint="--output")
    if path.suffix.lower() in SUFFIXES:
        message = f"`{path}` would be read as a table of stated seconds: name a file such as `{path.stem}.profile.json`"
        raise click.BadParameter(message, param_hint="--output")
    if choices["micro_batch"] == "auto":
        raise click.UsageError("`--micro-batch auto` is for `shapeflow run`: state the number of samples")
    report = Report()
    program = unprofiled(file, sentences, report)
    if program is None:
        raise Refused(*report.diagnostics)
    place = placed()
    if place is None or place.rank == 0:
        print_diagnostics(report.diagnostics)
        require_writable(path)
    found = profiled(program, file.parent, recompute=checkpoint_activations, **choices)
    if found is None:
        return
    save(found, path)
    if as_json:
        print_json({"file": str(path), **profile_json(found)})
        return
    show(profile_view(program, found))
    say(f"\n  written to {path}")
    if real(path).is_relative_to(real(file.parent)):
        inside = real(path).relative_to(real(file.parent)).as_posix()
        used = f"{file} reads it" if program.profile_path == inside else f'write `profile from "{inside}"` in {file}'
        say(f"  next: {used}; a budget may then be a time, such as `budget 20 minutes`")
