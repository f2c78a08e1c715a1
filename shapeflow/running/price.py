"""The cost of runs before they are trained: parameters, steps, FLOPs, and seconds if the steps were timed."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import compile_fixed
from shapeflow.ir.evaluation import evaluation_compute
from shapeflow.ir.parameters import scalars
from shapeflow.ir.plan import Blend, Plan, Stage
from shapeflow.ir.program import Program
from shapeflow.running.backend import backend
from shapeflow.running.pool import Job, Pool
from shapeflow.running.runs import last_step

HAIR = 1e-9
"""Rounding error allowed in a number of steps."""


@attrs.frozen
class Pace:
    """Seconds of one step, and of one evaluation, in a shape."""

    step: float
    evaluation: float


@attrs.frozen
class Part:
    """The steps of a run in one shape."""

    shape: Shape
    parameters: int
    """Number of trained scalars, including embeddings and head."""
    step_compute: float
    """FLOPs of one step."""
    steps: int
    data: int
    """Images, or tokens, of all these steps."""
    evaluations: int


@attrs.frozen
class Price:
    """The cost of one run: its parts by shape, in the order of first use, and the FLOPs of all its steps."""

    label: str
    parts: tuple[Part, ...]
    compute: float
    folder: Path | None = None
    state: Literal["new", "begun", "finished"] = "new"

    @property
    def steps(self) -> int:
        return sum(part.steps for part in self.parts)

    @property
    def data(self) -> int:
        return sum(part.data for part in self.parts)

    @property
    def parameters(self) -> int:
        """Number of trained scalars at the end of the run."""
        return self.parts[-1].parameters

    def seconds(self, paces: Mapping[Shape, Pace]) -> float:
        """Seconds of all steps and evaluations; KeyError if a shape was not timed."""
        return sum(p.steps * paces[p.shape].step + p.evaluations * paces[p.shape].evaluation for p in self.parts)


@attrs.frozen
class Prices:
    """The prices of several runs. All runs of a phase end before the next phase begins."""

    phases: tuple[tuple[Price, ...], ...]
    paces: Mapping[Shape, Pace] | None = None
    """Measured on this machine, for all runs that are not finished; None if not timed."""
    at_once: int = 1
    """Number of parallel runs."""

    @property
    def all(self) -> tuple[Price, ...]:
        return tuple(itertools.chain.from_iterable(self.phases))

    @property
    def left(self) -> tuple[Price, ...]:
        """The runs that are not finished."""
        return tuple(one for one in self.all if one.state != "finished")

    def seconds(self, one: Price) -> float | None:
        """Estimated seconds of a run; None if it is finished or was not timed."""
        return None if self.paces is None or one.state == "finished" else one.seconds(self.paces)

    @property
    def total_seconds(self) -> float | None:
        """Estimated seconds of all runs that are not finished, `at_once` of them in parallel; None if not timed."""
        if self.paces is None:
            return None
        phases = ([self.seconds(one) for one in phase] for phase in self.phases)
        return sum(_duration([each for each in phase if each is not None], self.at_once) for phase in phases)


def price(plan: Plan, label: str = "", start: int = 0) -> Price:
    """The price of a run of a plan. `start`: steps that another run has done before it."""
    parts: dict[Shape, Part] = {}
    for stage in plan.stages:
        first = max(stage.first_step, start)
        if first < stage.last_step:
            for part in _parts(plan, stage, first):
                before = parts.get(part.shape)
                parts[part.shape] = part if before is None else _joined(before, part)
    return Price(label, tuple(parts.values()), (plan.totals.compute or 0.0) - plan.compute_at(start))


def prices(phases: Iterable[Iterable[Job]], starts: Mapping[Path, int] | None = None) -> Prices:
    """The prices of jobs. `starts`: folder -> steps that another run has done before. Raises Refused `other-plan` if a
    folder contains a run of another plan."""
    starts = starts or {}
    return Prices(tuple(tuple(_of_job(job, starts.get(job.folder, 0)) for job in phase) for phase in phases))


def timed(found: Prices, jobs: Sequence[Job], pool: Pool) -> Prices:
    """The prices with the time of steps and evaluations in every shape, measured on this machine, one shape after the
    other. Raises Refused."""
    left = {one.folder: {part.shape for part in one.parts} for one in found.left}
    paces: dict[Shape, Pace] = {}
    for job in jobs:
        if left.get(job.folder, set()) - paces.keys():
            pairs = backend("torch")().pace(
                job.plan, root=pool.root, device=pool.device, threads=pool.threads, known=frozenset(paces)
            )
            paces |= {shape: Pace(*pair) for shape, pair in pairs.items()}
    return attrs.evolve(found, paces=paces, at_once=pool.at_once)


def candidate_prices(program: Program) -> list[Price]:
    """The price of every candidate, trained in its fixed shape for the whole budget. Candidates that cannot be trained
    for the budget are left out."""
    if program.trained is None or program.budget is None:
        return []
    plans = ((shape, compile_fixed(program, shape, program.budget, Report())) for shape in program.candidates)
    return [price(plan, shape.written(program.units)) for shape, plan in plans if plan is not None]


def evaluations_compute(program: Program, one: Price) -> float | None:
    """FLOPs of the held-out evaluations of a run, in forward passes; None if they are not known."""
    each = [evaluation_compute(program, part.shape) for part in one.parts]
    known = [compute * part.evaluations for compute, part in zip(each, one.parts, strict=True) if compute is not None]
    return sum(known) if len(known) == len(each) else None


def _of_job(job: Job, start: int) -> Price:
    found = price(job.plan, job.label, start)
    state: Literal["new", "begun", "finished"] = "new"
    if job.finished:
        state = "finished"
    elif last_step(job.folder) > start:
        state = "begun"
    return attrs.evolve(found, folder=job.folder, state=state)


def _parts(plan: Plan, stage: Stage, first: int) -> list[Part]:
    """The steps of a stage from step `first` of the run on, by shape. A blend gets its share of them, rounded down."""
    parameters = scalars(plan.parameters, stage.sizes)
    blended = [(blend, _steps_of(blend, stage, first)) for blend in stage.blends]
    own = stage.last_step - first - sum(steps for _, steps in blended)
    batch = stage.batch or 0
    parts = [Part(stage.shape, parameters, stage.cost, own, own * batch, _evaluations(plan, first, stage.last_step))]
    for blend, steps in blended:
        size = blend.shape.number("batch") if "batch" in blend.shape else batch
        parts.append(Part(blend.shape, parameters, blend.compute, steps, steps * size, 0))
    return parts


def _steps_of(blend: Blend, stage: Stage, first: int) -> int:
    begin, end = (stage.first_step + bound for bound in (blend.first, blend.last))
    return math.floor(blend.share * max(0, end - max(begin, first)) + HAIR)


def _evaluations(plan: Plan, first: int, last: int) -> int:
    """Number of evaluations after steps `first` + 1 to `last` of the run; `last` is the end of a stage. They are those
    of `Plan.measures_at`, counted without a loop."""
    ends = {last} | {turn for turn in plan.turns if first < turn <= last}
    if plan.evaluate is None:
        return len(ends)
    return last // plan.evaluate - first // plan.evaluate + sum(end % plan.evaluate != 0 for end in ends)


def _joined(one: Part, other: Part) -> Part:
    """Two parts of a run in the same shape as one."""
    return attrs.evolve(
        one,
        parameters=other.parameters,
        steps=one.steps + other.steps,
        data=one.data + other.data,
        evaluations=one.evaluations + other.evaluations,
    )


def _duration(seconds: Sequence[float], at_once: int) -> float:
    """Seconds until the last of several runs ends, if at most `at_once` run in parallel, started in order."""
    ends = [0.0] * at_once
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)
