"""Trains candidates until the plan of a file is known to pay or not, or until an allowance is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import compile_file, program_of
from shapeflow.ir.answer import Answer
from shapeflow.ir.plan import Plan
from shapeflow.running.pool import Job, Pool
from shapeflow.running.price import Prices, prices, timed
from shapeflow.running.runs import Run
from shapeflow.running.sweep import sweep_jobs

SEEDS = 8
"""Largest number of runs of a shape."""
SPARE = 0.95
"""Part of the allowance that shorter runs are planned to use, since runs end at whole steps."""

Train = Callable[[Sequence[Job]], list[Run]]


@attrs.frozen
class Allowance:
    """What may be spent: FLOPs of training, or seconds."""

    compute: float | None = None
    seconds: float | None = None


@attrs.frozen
class Round:
    """Runs that were trained, and the plan by all runs so far."""

    jobs: tuple[Job, ...]
    compute: float
    """FLOPs of these runs, finished earlier ones included."""
    seconds: float
    """Wall-clock time; little if the runs were finished before."""
    plan: Plan

    @property
    def answer(self) -> Answer:
        assert self.plan.answer is not None
        return self.plan.answer


@attrs.frozen
class Question:
    """A file, and where its runs are kept."""

    file: Path
    sentences: tuple[str, ...]
    folder: Path
    """Below the folder of the file, so that laws can be fitted to it."""
    allowance: Allowance
    pool: Pool

    @property
    def laws(self) -> str:
        """The sentence that fits laws to the runs."""
        return f'laws from fit("{self.folder.relative_to(self.file.parent).as_posix()}")'


def ask(question: Question, report: Report, train: Train) -> Iterator[Round]:
    """Train a first run of each candidate, then more runs of those that matter, until the answer is settled or nothing
    more fits the allowance. Yields a round after each. Finished runs are kept, so that a repeated call continues.

    The first runs have the file's budget; if that does not fit, they share the allowance. Raises Refused."""
    begun = time.monotonic()
    program = program_of(question.file, question.sentences, report)
    if program is None or report.failed:
        raise Refused(*report.diagnostics)
    if program.budget is None:
        message, help_ = "an answer needs a budget", "add a `budget` to the file"
        raise Refused(Diagnostic("uncounted-budget", message, place=str(question.file), help=help_))
    seeds = dict.fromkeys(program.candidates, 1)
    budget = program.budget
    jobs = _jobs(question, f"budget {budget}", range(program.seed, program.seed + 1), report)
    share = _affordable(question, jobs, 0.0, begun)
    if share < 1:
        # Shorter runs of all candidates say more than whole runs of some.
        budget = attrs.evolve(budget, value=budget.value * share * SPARE)
        jobs = _jobs(question, f"budget {budget}", range(program.seed, program.seed + 1), report)
    spent = 0.0
    while jobs:
        at, before = time.monotonic(), spent
        runs = train(jobs)
        spent += sum(run.plan.totals.compute or 0.0 for run in runs)
        plan = compile_file(question.file, [*question.sentences, question.laws], report)
        if plan.answer is None:
            message = "the plan does not have laws"
            raise Refused(
                Diagnostic("missing-laws", message, place=str(question.file), help="remove the `law` sentences")
            )
        yield Round(tuple(jobs), spent - before, time.monotonic() - at, plan)
        jobs = []
        for shape in _wanted(plan.answer, seeds):
            seed = program.seed + seeds[shape]
            more = _jobs(question, f"budget {budget}", range(seed, seed + 1), report)
            jobs += [job for job in more if job.plan.stages[0].shape == shape]
        if _affordable(question, jobs, spent, begun) < 1:
            return
        for job in jobs:
            seeds[job.plan.stages[0].shape] += 1


def _wanted(answer: Answer, seeds: dict[Shape, int]) -> list[Shape]:
    """The shapes of which one more run is expected to help settle the answer."""
    settle = answer.settle
    if answer.say != "unknown" or settle is None or settle.by != "seeds":
        return []
    return [shape for shape in settle.shapes if seeds[shape] < SEEDS]


def _jobs(question: Question, budget: str, seeds: Sequence[int], report: Report) -> list[Job]:
    return sweep_jobs(question.file, [*question.sentences, budget], list(seeds), question.folder, report)


def _affordable(question: Question, jobs: Sequence[Job], spent: float, begun: float) -> float:
    """The part of the cost of jobs that is left of the allowance: 1 or more if they fit."""
    found: Prices = prices([jobs])
    if question.allowance.compute is not None:
        left, cost = question.allowance.compute - spent, sum(one.compute for one in found.all)
    else:
        assert question.allowance.seconds is not None
        found = timed(found, jobs, question.pool)
        left, cost = question.allowance.seconds - (time.monotonic() - begun), found.total_seconds or 0.0
    return left / cost if cost > 0 else 1.0
