"""Shows a profile: the seconds of a step in each candidate, next to its FLOPs."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.base.shapes import Shape
from shapeflow.ir.profile import Profile
from shapeflow.ir.program import Program
from shapeflow.preview.numbers import scale

ALIKE = 1.1
"""Paces per FLOP that differ by less than this factor count as equal."""


def profile_view(program: Program, profile: Profile) -> RenderableType:
    """What `shapeflow profile` prints: the answer first."""
    machine = profile.machine
    how = f"{machine}, torch {machine.torch}{', compiled' * machine.compiled}"
    lines = [Text(f"  {line}") for line in _others(program, profile)]
    return Group(Text(_answer(program, profile)), Text(f"  on {how}"), Text(), _table(program, profile), Text(), *lines)


def _others(program: Program, profile: Profile) -> Iterator[str]:
    """Seconds of switches and of a checkpoint."""
    if profile.switches:
        slow, fast = (choose(profile.switches, key=lambda one: one.seconds) for choose in (max, min))
        many = (
            f"{len(profile.switches)} switches take {fast.seconds:.2g} to"
            if len(profile.switches) > 1
            else "a switch takes"
        )
        names = " > ".join(shape.written(program.units) for shape in (slow.before, slow.after))
        yield f"{many} {slow.seconds:.2g} s, first steps included; the longest is {names}"
    if profile.checkpoint is not None:
        yield f"a checkpoint takes {profile.checkpoint:.2g} s"


def _per_flop(program: Program, profile: Profile) -> dict[Shape, float]:
    """Seconds per FLOP of each candidate."""
    assert program.trained is not None
    return {one.shape: one.pace.step / program.trained.cost(one.shape) for one in profile.candidates}


def _answer(program: Program, profile: Profile) -> str:
    """Whether a plan per second may differ from one per FLOP."""
    paces = _per_flop(program, profile)
    fast, slow = min(paces, key=lambda one: paces[one]), max(paces, key=lambda one: paces[one])
    if paces[slow] < ALIKE * paces[fast]:
        return "a FLOP takes about the same time in all candidates: seconds and FLOPs give about the same plan"
    names = (one.written(program.units) for one in (slow, fast))
    times = f"{paces[slow] / paces[fast]:.3g} times as long in {next(names)} as in {next(names)}"
    return f"a FLOP takes {times}: a budget in seconds may give another plan than one in FLOPs"


def _table(program: Program, profile: Profile) -> Table:
    assert program.trained is not None
    costs = {one.shape: program.trained.cost(one.shape) for one in profile.candidates}
    rates = {shape: 1 / pace for shape, pace in _per_flop(program, profile).items()}
    prefix, size = scale(max(costs.values()))
    rate, fast = scale(max(rates.values()))
    table = Table(box=None, padding=(0, 2))
    for axis in program.axes:
        table.add_column(axis.name, overflow="fold")
    for name in (
        "seconds\nper step",
        f"{prefix}FLOPs\nper step",
        f"{rate}FLOPs\nper second",
        "seconds per\nevaluation",
    ):
        table.add_column(name, justify="right")
    for one in profile.candidates:
        table.add_row(
            *(f"{one.shape[axis.name]} {axis.unit}".rstrip() for axis in program.axes),
            f"{one.pace.step:.3g}",
            f"{costs[one.shape] / size:.4g}",
            f"{rates[one.shape] / fast:.3g}",
            f"{one.pace.evaluation:.3g}",
        )
    return table
