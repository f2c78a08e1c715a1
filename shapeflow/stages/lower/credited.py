"""The credits of a plan's switches: measured or assumed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import attrs

from shapeflow.base.settings import name_of
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount, flops
from shapeflow.ir.plan import Credit, Transition
from shapeflow.ir.program import AxisUse, Program


def credited(program: Program, before: Shape, after: Shape, transition: Transition) -> Transition:
    """The transition with its credit and its measurements. `seconds` is set only if every axis was timed."""
    moved = before.changed(after)
    pairs = [pair for name in moved if (pair := program.measured(name, before, after)) is not None]
    times = [pair.seconds for pair in pairs if pair.seconds is not None]
    return attrs.evolve(
        transition,
        credit=program.credit(before, after),
        seconds=sum(times) if len(times) == len(moved) else None,
        delay=program.delay(before, after) or None,
        credits=tuple(
            Credit(pair.axis, pair.eta, pair.low, pair.high, pair.recovery, pair.seeds)
            for pair in pairs
            if pair.eta is not None
        ),
    )


def credit_notes(program: Program, shapes: Sequence[Shape]) -> Iterator[str]:
    """Notes on the credits of a plan through these shapes, if the file names measured credits."""
    if program.credits_path is None:
        return
    for before, after in itertools.pairwise(shapes):
        for name in before.changed(after):
            yield from _of_switch(program, program.axis(name), before, after)
    if program.traversal is not None:
        yield from _coverage(program)
    spent = sum(pair.spent for pair in program.credits)
    yield f"measuring the credits took {flops(spent)}, which no saving here includes"


def _of_switch(program: Program, axis: AxisUse, before: Shape, after: Shape) -> Iterator[str]:
    pair = program.measured(axis.name, before, after)
    switch = f"{axis.name} {before[axis.name]} -> {after[axis.name]}"
    other = program.indicated(axis.name, before, after)
    assumed = f"the {Amount(axis.transition.credit, 'ratio')} of `{name_of(axis.transition)}` is assumed"
    if other is not None and other != pair:
        kept = Amount(other.used or 0.0, "ratio")
        assumed = f"the {kept} of {axis.name} {other.before} -> {other.after}, which it jumps over, is used"
    if pair is None:
        yield f"the credit of {switch} was not measured: {assumed}"
        return
    if pair.eta is None:
        yield f"the probe of {switch} gave no credit, as its errors are outside the reference's range: {assumed}"
        return
    if pair.used != pair.eta:
        answer = f", the answer uses {min(pair.eta, pair.most):.3g}" if pair.eta > 1 < pair.most else ""
        yield f"the credit of {switch} was measured as {pair.eta:.3g}; the stages use {pair.used:.3g}{answer}"
    missed = sum(trial.recovery is None for trial in pair.trials)
    if missed:
        seeds = f"{missed} of {len(pair.trials)} seeds"
        yield f"with {seeds} the probe of {switch} ended before the error recovered: its credit is a lower bound"
    if any(before.get(name) != value for name, value in pair.beside.items()):
        others = pair.beside.written(program.units)
        yield f"the credit of {switch} was measured at {others}"


def _coverage(program: Program) -> Iterator[str]:
    """A note for each axis on which only some of the possible switches have a measured credit."""
    for axis in program.axes:
        pairs = [(p, q) for p, q in itertools.permutations(axis.values, 2) if not _one_way_back(axis, p, q)]
        known = {(one.before, one.after) for one in program.credits if one.axis == axis.name and one.eta is not None}
        if 0 < len(known) < len(pairs):
            yield (
                f"{len(known & set(pairs))} of {len(pairs)} switches along {axis.name} have a measured credit; the "
                f"others use the lowest of those that they jump over, or {Amount(axis.transition.credit, 'ratio')}"
            )


def _one_way_back(axis: AxisUse, before: int | str, after: int | str) -> bool:
    return axis.goes_back(Shape.of({axis.name: before}), Shape.of({axis.name: after}))
