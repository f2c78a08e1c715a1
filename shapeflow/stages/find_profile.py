"""Read the profile that a file names and compare it with what the program trains; or the table of seconds that it
names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Report, Span
from shapeflow.base.files import read_regular
from shapeflow.base.settings import name_of
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.profile import Profile, load
from shapeflow.ir.program import Program
from shapeflow.ir.roofline import ENOUGH
from shapeflow.ir.seconds_table import SUFFIXES, is_table, load_seconds, needed
from shapeflow.ir.timing import Timing
from shapeflow.stages.measured_files import read


def find_profile(program: Program, report: Report) -> Program:
    """The program with the seconds of its steps. Unchanged if the file does not name a profile, or after an error was
    reported: `no-profile` if an amount of time needs one, or a fault of the profile."""
    if program.profile_path is None:
        _needed(program, report)
        return program
    at, command = program.spans["profile.path"], _command(program)
    found = read(
        program,
        program.profile_path,
        at,
        "the profile",
        lambda path: load_seconds(path, _axes(program)) if is_table(path) else load(path),
        _first(program, command),
        report,
    )
    if isinstance(found, Profile):
        found = found.timing if _of_program(program, found, at, report) else None
    if found is None:
        return program
    assert program.trained is not None
    try:
        content = read_regular(Path(program.folder) / program.profile_path)
    except OSError:
        message, help_ = f"`{program.profile_path}` was removed while it was read", f"measure it again: `{command}`"
        report.error("no-such-file", message, at, "not found next to the file", help=help_)
        return program
    found = attrs.evolve(found, sha256=hashlib.sha256(content).hexdigest())
    others = _others(program, found)
    if not program.profile_for_all:
        found = found.completed({shape: program.trained.cost(shape) for shape in program.candidates})
    if others and found.interpolated:
        _mismatched(program, found, others, at, report)
    if not _complete(program, found, at, report):
        return program
    return attrs.evolve(
        program, trained=attrs.evolve(program.trained, timing=found), budget=_in_seconds(program, found)
    )


def _axes(program: Program) -> dict[str, bool]:
    """The axes of the file, and whether their values are numbers."""
    return {axis.name: not any(isinstance(value, str) for value in axis.values) for axis in program.axes}


def _in_seconds(program: Program, timing: Timing) -> Amount | None:
    """The budget; one of energy, emissions or money as the time that it pays for."""
    price = None if program.cost is None else program.cost.per_second(timing.devices)
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


def _of_program(program: Program, profile: Profile, at: Span, report: Report) -> bool:
    """Whether a profile is of this program. False after reporting that it is not (`foreign-profile`)."""
    other = program.unlike(profile.subject)
    if other is not None:
        message, why = f"the profile was measured with a different {other}", "does not match what this file trains"
        report.error("foreign-profile", message, at, why, help=f"measure it again: `{_command(program)}`")
    return other is None


def _complete(program: Program, timing: Timing, at: Span, report: Report) -> bool:
    """Whether there are seconds of every candidate. False after reporting that there are not (`incomplete-profile`)."""
    missing = [shape for shape in program.candidates if shape not in timing.steps]
    if missing:
        written = ", ".join(shape.written(program.units) for shape in missing[:5])
        what = "table" if timing.origin == "stated" else "profile"
        message = f"the {what} has no seconds of {len(missing)} of {len(program.candidates)} candidates"
        why = f"seconds are interpolated if {ENOUGH} candidates or more have them"
        if program.profile_for_all:
            why = "`for all` asks for the seconds of all candidates: without it, they may be interpolated"
        notes = [f"missing: {written}", why]
        others = _others(program, timing)
        if others:
            notes.append(f"not used: {', '.join(shape.written(program.units) for shape in others[:5])}")
        help_ = _instead(program, timing)
        report.error("incomplete-profile", message, at, "lacks candidates", notes=notes, help=help_)
    return not missing


def _others(program: Program, timing: Timing) -> list[Shape]:
    """The shapes with seconds that are not candidates."""
    candidates = frozenset(program.candidates)
    return [shape for shape in timing.steps if shape not in candidates]


def _instead(program: Program, timing: Timing) -> str:
    """What to do about candidates without seconds."""
    if timing.origin == "measured":
        return f"measure it again: `{_command(program)}`"
    return f"write a row for each candidate, with the columns {needed(_axes(program))}"


def _mismatched(program: Program, timing: Timing, others: Sequence[Shape], at: Span, report: Report) -> None:
    """Warn that candidates lack seconds, and other shapes have them: a value may be mistyped."""
    missing = [shape for shape in program.candidates if shape in timing.interpolated]
    names = [", ".join(shape.written(program.units) for shape in shapes[:5]) for shapes in (missing, others)]
    report.warning(
        "other-rows",
        f"seconds are missing for {len(missing)} of {len(program.candidates)} candidates, and known for {len(others)} "
        f"other shape{'s' * (len(others) > 1)}",
        at,
        "the seconds of these candidates are interpolated",
        notes=(f"no seconds: {names[0]}", f"not used: {names[1]}"),
        help=f"{_instead(program, timing)}; `for all` refuses candidates that lack seconds",
    )


def _first(program: Program, command: str) -> str:
    """What to do if the file that the program names does not exist."""
    if Path(program.profile_path or "").suffix.lower() in SUFFIXES:
        columns = needed(_axes(program))
        return f"write it, with the columns {columns}, or run `{command}` and name `{_usual(program)}`"
    return f"measure it first: `{command}`"


def _command(program: Program) -> str:
    """The command that measures the profile of the program's file."""
    path, usual = program.profile_path, _usual(program)
    path = usual if Path(path or "").suffix.lower() in SUFFIXES else path
    file = program.axes[0].span.source.name
    return f"shapeflow profile {file}" + ("" if path in (None, usual) else f" -o {Path(program.folder) / str(path)}")


def _usual(program: Program) -> str:
    """The name of the profile that the command writes by default, next to the file."""
    return f"{Path(program.axes[0].span.source.name).stem}.profile.json"
