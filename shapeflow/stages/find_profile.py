"""Read the profile that a file names and compare it with what the program trains."""

from __future__ import annotations

from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Report, Span
from shapeflow.base.settings import name_of
from shapeflow.base.units import Amount
from shapeflow.ir.profile import Profile, load
from shapeflow.ir.program import Program
from shapeflow.stages.measured_files import read


def find_profile(program: Program, report: Report) -> Program:
    """The program with the seconds of its steps. Unchanged if the file does not name a profile, or after an error was
    reported: `no-profile` if an amount of time needs one, or a fault of the profile."""
    if program.profile_path is None:
        _needed(program, report)
        return program
    at, command = program.spans["profile.path"], _command(program)
    first, again = f"measure it first: `{command}`", f"measure it again: `{command}`"
    profile = read(program, program.profile_path, at, "the profile", load, first, report)
    if profile is None or not _usable(program, profile, at, again, report):
        return program
    assert program.trained is not None
    return attrs.evolve(
        program, trained=attrs.evolve(program.trained, profile=profile), budget=_in_seconds(program, profile)
    )


def _in_seconds(program: Program, profile: Profile) -> Amount | None:
    """The budget; one of energy, emissions or money as the time that it pays for."""
    price = None if program.cost is None else program.cost.per_second(profile.machine.processes)
    if program.budget is None or program.cost is None or price is None:
        return program.budget
    if program.budget.dimension != program.cost.dimension:
        return program.budget
    return Amount(program.budget.value / price, "seconds")


def _needed(program: Program, report: Report) -> None:
    """Report a cost that follows from time, or the first amount of time, in a file that does not name a profile."""
    found = next(((f"{amount}", at) for amount, at in program.amounts if amount.dimension == "seconds"), None)
    if program.cost is not None and program.cost.dimension != "compute":
        found = name_of(program.cost), program.spans["minimise"]
    if found is None:
        return
    what, at = found
    report.error(
        "no-profile",
        f"{what} cannot be counted in steps without a profile",
        at,
        "the seconds of a step are not known",
        help=f'run `{_command(program)}`, then add `profile from "{_usual(program)}"`',
    )


def _usable(program: Program, profile: Profile, at: Span, again: str, report: Report) -> bool:
    """Whether a profile is of this program, and has the seconds of every candidate."""
    other = program.unlike(profile.subject)
    if other is not None:
        message, why = f"the profile was measured with a different {other}", "does not match what this file trains"
        report.error("foreign-profile", message, at, why, help=again)
        return False
    missing = [shape for shape in program.candidates if profile.pace(shape) is None]
    if missing:
        written = ", ".join(shape.written(program.units) for shape in missing[:5])
        message = f"the profile has no seconds of {len(missing)} of {len(program.candidates)} candidates"
        report.error("incomplete-profile", message, at, "lacks candidates", notes=[f"missing: {written}"], help=again)
        return False
    return True


def _command(program: Program) -> str:
    """The command that measures the profile of the program's file."""
    path, usual = program.profile_path, _usual(program)
    file = program.axes[0].span.source.name
    return f"shapeflow profile {file}" + ("" if path in (None, usual) else f" -o {Path(program.folder) / str(path)}")


def _usual(program: Program) -> str:
    """The name of the profile that the command writes by default, next to the file."""
    return f"{Path(program.axes[0].span.source.name).stem}.profile.json"
