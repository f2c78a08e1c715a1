"""Trains the pilots of a mixture: short runs with constant shares of a target shape and of a cheaper one.

Without a given cheap shape, every other candidate is first tried with a share of 10% of the target; the one with the
lowest error at the end gets the other pilots. All of them are pilots of the law.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Label, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.compiler import compile_route, program_of
from shapeflow.ir.program import Program
from shapeflow.ir.route import END, Leg, Route, Share
from shapeflow.running.pool import Job
from shapeflow.running.runs import Run
from shapeflow.running.sweep import file_name

SHARES = (1.0, 0.5, 0.1, 0.03)
"""Shares of the target: alone, and three mixtures on both sides of the usual optimum."""
TRIED = 0.1
"""The share with which a cheap shape is tried."""
LENGTH = 0.35
"""Length of a pilot, as a share of the file's budget."""
EVALUATE = "evaluate every 2.5%"
"""Measurements of a pilot: those in its last three quarters are at most 10% of compute apart."""

Train = Callable[[Sequence[Job]], list[Run]]


@attrs.frozen
class Piloting:
    """What is to be piloted."""

    folder: Path
    length: float
    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    """The first one is also used to try cheap shapes."""
    target: Shape
    cheap: tuple[Shape, ...]
    """Shapes to try, in the file's order."""
    programs: tuple[Program, ...]
    """The file with each seed."""

    @property
    def trial(self) -> list[Job]:
        """The runs that find the cheap shape; none if there is only one."""
        return [self.job(0, TRIED, shape) for shape in self.cheap] if len(self.cheap) > 1 else []

    @property
    def tried(self) -> Shape | None:
        """The cheap shape that the trial chose; None if it has not ended. Raises Refused `other-plan`."""
        jobs = self.trial
        runs = [run for job in jobs if job.finished and (run := job.earlier) is not None]
        return self.best(runs) if len(runs) == len(jobs) else None

    def best(self, runs: Sequence[Run]) -> Shape:
        """The cheap shape with the lowest error at the end. `runs`: those of the trial, or none."""
        metric = self.programs[0].metric.key
        ends = [run.curve(metric)[-1][2] for run in runs]
        return self.cheap[ends.index(min(ends))] if ends else self.cheap[0]

    def pilots(self, cheap: Shape) -> list[Job]:
        """All pilots with a cheap shape, the most informative first."""
        return [self.job(number, share, cheap) for number in range(len(self.seeds)) for share in self.shares]

    def job(self, number: int, share: float, cheap: Shape) -> Job:
        """One pilot: `share` of the data in the target, the rest in a cheap shape. Raises Refused:
        `out-of-range` if the target would get less than one step."""
        program, report = self.programs[number], Report()
        assert program.budget is not None
        assert program.trained is not None
        steps = [part / program.trained.batch(shape) for shape, part in ((self.target, share), (cheap, 1 - share))]
        part = float(f"{steps[1] / sum(steps):.4g}")
        if share < 1 and part >= 1:
            raise self._too_small(share)
        mixed = () if share >= 1 else (Share(cheap, part),)
        budget = Amount(program.budget.value * self.length, program.budget.dimension)
        plan = compile_route(program, Route((Leg(self.target, END, mixed),)), budget, report)
        if plan is None:
            raise Refused(*report.diagnostics)
        if (plan.steps or 0) * (1 - part) < 1 and share < 1:
            raise self._too_small(share)
        units = program.units
        name = file_name(self.target) if share >= 1 else f"{file_name(self.target)}-{share:g}-{file_name(cheap)}"
        what = self.target.written(units)
        if share < 1:
            what = f"{what} {100 * share:.3g}%, {cheap.written(units)} {100 - 100 * share:.3g}%"
        return Job(f"{what}, seed {self.seeds[number]}", plan, self.folder / f"{name}-seed{self.seeds[number]}")

    def _too_small(self, share: float) -> Refused:
        target = self.target.written(self.programs[0].units)
        message = f"a share of {share:.2g} leaves {target} less than one step of a pilot"
        help_ = "name larger shares, or longer pilots with `--length`"
        return Refused(Diagnostic("out-of-range", message, place="--shares", help=help_))


def piloting(
    file: Path,
    sentences: Sequence[str],
    folder: Path,
    *,
    length: float = LENGTH,
    shares: Sequence[float] = SHARES,
    seeds: Sequence[int] | None = None,
    cheap: Shape | None = None,
    report: Report,
) -> Piloting:
    """The pilots of a file. `seeds`: default: the file's and the next one. Raises Refused: no-model, uncounted-budget,
    no-target, unknown-candidate, not-blendable."""
    program = _program(file, sentences, report)
    seeds = [program.seed, program.seed + 1] if seeds is None else seeds
    programs = tuple(_program(file, [*sentences, f"seed {seed}"], report) for seed in seeds)
    target = _target(program, file)
    found = _cheap(program, target, cheap, file)
    return Piloting(folder, length, tuple(shares), tuple(seeds), target, found, programs)


def trained(piloting: Piloting, train: Train) -> Iterator[Sequence[Job]]:
    """Train the pilots. Yields the jobs of each phase when they are done: those that find the cheap shape, then all
    others."""
    tried = piloting.trial
    runs = train(tried) if tried else []
    if tried:
        yield tried
    jobs = piloting.pilots(piloting.best(runs))
    train(jobs)
    yield jobs


def _program(file: Path, sentences: Sequence[str], report: Report) -> Program:
    given = Report()
    program = program_of(file, sentences, given)
    if program is not None and "evaluate" not in program.spans:
        program = program_of(file, [*sentences, EVALUATE], given)
    if program is None or given.failed:
        raise Refused(*given.diagnostics)
    if program.trained is None:
        help_ = "add `model`, `data` and `objective`"
        raise Refused(Diagnostic("no-model", "pilots need a model to train", place=str(file), help=help_))
    if program.budget is None:
        message, help_ = "pilots are a share of the budget, and the file has none", "add a `budget` to the file"
        raise Refused(Diagnostic("uncounted-budget", message, place=str(file), help=help_))
    for diagnostic in given.diagnostics:
        report.add(diagnostic)
    return program


def _target(program: Program, file: Path) -> Shape:
    """The candidate that the traversal names. Raises Refused `no-target`, `unknown-candidate`."""
    named = None if program.traversal is None else program.traversal.target
    if named is None:
        message = "the file does not name the target of its mixtures"
        help_ = "write the shape that the model will be used at: `traversal mixture(target: (context: 256 tokens))`"
        raise Refused(Diagnostic("no-target", message, place=str(file), help=help_))
    found = [shape for shape in program.candidates if not shape.changed(shape.with_(named))]
    if len(found) == 1:
        return found[0]
    at = Label(span, "") if (span := program.within("traversal").get("target")) is not None else None
    place = None if at is not None else str(file)
    if found:
        message = f"the target fits {len(found)} candidates, and pilots need exactly one"
        help_ = "give `target` a value on every axis"
    else:
        message, help_ = f"the target {named.written(program.units)} is not a candidate", "name one of the candidates"
    shown = ", ".join(shape.written(program.units) for shape in (found or program.candidates)[:8])
    notes = (f"candidates: {shown}",)
    raise Refused(Diagnostic("unknown-candidate", message, at, place, notes=notes, help=help_))


def _cheap(program: Program, target: Shape, given: Shape | None, file: Path) -> tuple[Shape, ...]:
    """The shapes that may be mixed in: the given one, or all others that switch both ways and cost no more per unit
    of data. Raises Refused `unknown-candidate`, `not-blendable`."""
    trained = program.trained
    assert trained is not None
    price = {shape: trained.cost(shape) / trained.batch(shape) for shape in program.candidates}
    both = [
        shape
        for shape in program.candidates
        if shape != target and not program.backward(shape, target) and not program.backward(target, shape)
    ]
    if given is not None:
        if given in both:
            return (given,)
        known = ", ".join(shape.written(program.units) for shape in both[:8])
        why = (
            "is the target itself"
            if given == target
            else "does not switch back and forth with the target"
            if given in program.candidates
            else "is not a candidate"
        )
        message = f"{given.written(program.units)} cannot be mixed in: it {why}"
        notes = (f"shapes that can: {known}",) if known else ()
        help_ = "name one of them, or leave out `--cheap`" if known else "leave out `--cheap`"
        raise Refused(Diagnostic("unknown-candidate", message, place="--cheap", notes=notes, help=help_))
    found = tuple(shape for shape in both if price[shape] <= price[target])
    if not found:
        message = f"no candidate can be mixed with {target.written(program.units)}"
        help_ = "shares switch back and forth, to shapes that cost no more: such as smaller contexts or larger patches"
        raise Refused(Diagnostic("not-blendable", message, place=str(file), help=help_))
    return found
