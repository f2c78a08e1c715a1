"""Shows a profile: the seconds of a step in each candidate, next to its FLOPs."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.base.shapes import Shape
from shapeflow.base.units import size
from shapeflow.ir.profile import Profile
from shapeflow.ir.program import Program
from shapeflow.preview.numbers import scale
from shapeflow.preview.numbers import share as percentage
from shapeflow.running.meter import MULTIPLY_ADD, items_among

ALIKE = 1.1
"""Paces per FLOP that differ by less than this factor count as equal."""
NOISE = 1e-3
"""Seconds of a switch or a checkpoint that are noise."""


def profile_view(program: Program, profile: Profile) -> RenderableType:
    """What `shapeflow profile` prints: the answer first."""
    machine = profile.machine
    how = f"{machine}, torch {machine.torch}{', compiled' * machine.compiled}"
    how += "" if machine.micro_batch is None else f", micro-batches of {machine.micro_batch}"
    how += ", activations computed again" * machine.recompute
    lines = [Text(f"  {line}") for line in _others(program, profile)]
    return Group(Text(_answer(program, profile)), Text(f"  on {how}"), Text(), _table(program, profile), Text(), *lines)


def _others(program: Program, profile: Profile) -> Iterator[str]:
    """Seconds of switches and of a checkpoint."""
    if profile.switches:
        slow, fast = (choose(profile.switches, key=lambda one: one.seconds) for choose in (max, min))
        names = " > ".join(shape.written(program.units) for shape in (slow.before, slow.after))
        if slow.seconds < NOISE:
            yield f"a switch takes {_brief(slow.seconds)}, first steps included"
        elif len(profile.switches) == 1:
            yield f"the switch {names} takes {_brief(slow.seconds)}, first steps included"
        else:
            many = f"{len(profile.switches)} switches take {_brief(fast.seconds)} to {_brief(slow.seconds)}"
            yield f"{many}, first steps included; the longest is {names}"
    if profile.checkpoint is not None:
        yield f"a checkpoint takes {_brief(profile.checkpoint)}"


def _brief(seconds: float) -> str:
    """Seconds with two digits, as far as they are not noise."""
    return f"{seconds:.2g} s" if seconds >= NOISE else f"less than {NOISE:g} s"


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
    table = Table(box=None, padding=(0, 2))
    for axis in program.axes:
        table.add_column(axis.name, overflow="fold")
    columns = tuple(_columns(program, profile))
    for name, _ in columns:
        table.add_column(name, justify="right")
    for row, one in enumerate(profile.candidates):
        values = (f"{one.shape[axis.name]} {axis.unit}".rstrip() for axis in program.axes)
        table.add_row(*values, *(cells[row] for _, cells in columns))
    return table


def _columns(program: Program, profile: Profile) -> Iterator[tuple[str, list[str]]]:
    """The head and the cells of each column. Columns of what was not measured are left out."""
    trained, found, machine = program.trained, profile.candidates, profile.machine
    assert trained is not None
    costs = [trained.cost(one.shape) for one in found]
    rates = [cost / one.pace.step for cost, one in zip(costs, found, strict=True)]
    prefix, size_ = scale(max(costs))
    rate, fast = scale(max(rates))
    yield "seconds\nper step", [f"{one.pace.step:.3g}" for one in found]
    samples = (trained.batch(one.shape) / one.pace.step for one in found)
    items = items_among({*trained.model.slots, *(axis.name for axis in program.axes)})
    yield f"{items}\nper second", [f"{each:,.0f}" if each >= 10 else f"{each:.2g}" for each in samples]
    yield f"{prefix}FLOPs\nper step", [f"{cost / size_:.4g}" for cost in costs]
    yield f"{rate}FLOPs\nper second", [f"{each / fast:.3g}" for each in rates]
    if machine.peak_flops is not None:
        peak = machine.peak_flops * machine.processes / MULTIPLY_ADD[trained.model_component.convention]
        yield "MFU", [percentage(each / peak) for each in rates]
    if any(one.pace.memory for one in found):
        yield "peak memory\nof a step", ["-" if one.pace.memory is None else size(one.pace.memory) for one in found]
    yield "seconds per\nevaluation", [f"{one.pace.evaluation:.3g}" for one in found]
