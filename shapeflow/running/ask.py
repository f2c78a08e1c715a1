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
from shapeflow.ir.program import Program
from shapeflow.running.pool import Job, Pool
from shapeflow.running.price import Pace, Prices, prices, timed
from shapeflow.running.runs import Run
from shapeflow.running.sweep import sweep_jobs

SEEDS = 8
"""Largest number of runs of a shape."""
HALVINGS = 10
"""How often the first runs may be halved in length to fit the allowance."""

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
    laws: str
    """The sentence that fits laws to the runs."""

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
    halvings: int = 0
    """How often the length of the runs was halved."""

    @property
    def runs(self) -> Path:
        """The folder of the runs of one length."""
        return self.folder / ("whole" if self.halvings == 0 else f"1-of-{2**self.halvings}")

    @property
    def laws(self) -> str:
        """The sentence that fits laws to the runs."""
        return f'laws from fit("{self.runs.relative_to(self.file.parent).as_posix()}")'


def ask(question: Question, report: Report, train: Train) -> Iterator[Round]:
    """Train a first run of each candidate, then more runs of those that matter, until the answer is settled or nothing
    more fits the allowance. Yields a round after each. Finished runs are kept, so that a repeated call continues.

    The first runs have the file's budget; if that does not fit, they are a half, a quarter, ... as long. Runs of each
    length have a folder of their own, so that a call with another allowance finds those that it needs. Raises
    Refused."""
    program = program_of(question.file, question.sentences, report)
    if program is None or report.failed:
        raise Refused(*report.diagnostics)
    if program.budget is None:
        message, help_ = "an answer needs a budget", "add a `budget` to the file"
        raise Refused(Diagnostic("uncounted-budget", message, place=str(question.file), help=help_))
    purse, seeds = _Purse(question), dict.fromkeys(program.candidates, 1)
    question, jobs = _first(question, program, purse, report)
    while jobs:
        at, before = time.monotonic(), purse.spent
        runs = train(jobs)
        purse.spent += sum(run.plan.totals.compute or 0.0 for run in runs)
        plan = compile_file(question.file, [*question.sentences, question.laws], report)
        if plan.answer is None:
            message, help_ = "the plan does not use laws", "choose a traversal that does: `traversal steepest`"
            raise Refused(Diagnostic("missing-laws", message, place=str(question.file), help=help_))
        yield Round(tuple(jobs), purse.spent - before, time.monotonic() - at, plan, question.laws)
        jobs = []
        for shape in _wanted(plan.answer, seeds):
            more = _jobs(question, program, program.seed + seeds[shape], report)
            jobs += [job for job in more if job.plan.stages[0].shape == shape]
        if not purse.fits(jobs):
            return
        for job in jobs:
            seeds[job.plan.stages[0].shape] += 1


def _first(question: Question, program: Program, purse: _Purse, report: Report) -> tuple[Question, list[Job]]:
    """The longest first runs that fit, one of each candidate: shorter runs of all say more than whole runs of some.
    Raises Refused `allowance-too-small`."""
    for halvings in range(HALVINGS + 1):
        question = attrs.evolve(question, halvings=halvings)
        jobs = _jobs(question, program, program.seed, report)
        if purse.fits(jobs):
            return question, jobs
    message = f"runs of 1/{2**HALVINGS} of the budget do not fit `--within`"
    raise Refused(Diagnostic("allowance-too-small", message, place="--within", help="allow more, or lower the budget"))


def _wanted(answer: Answer, seeds: dict[Shape, int]) -> list[Shape]:
    """The shapes of which one more run is expected to help settle the answer."""
    settle = answer.settle
    if answer.say != "unknown" or settle is None or settle.by != "seeds":
        return []
    return [shape for shape in settle.shapes if seeds[shape] < SEEDS]


def _jobs(question: Question, program: Program, seed: int, report: Report) -> list[Job]:
    """A run of each candidate with one seed."""
    assert program.budget is not None
    budget = attrs.evolve(program.budget, value=program.budget.value / 2**question.halvings)
    return sweep_jobs(question.file, [*question.sentences, f"budget {budget}"], [seed], question.runs, report)


class _Purse:
    """Whether runs fit the allowance. Steps are timed once: their duration does not depend on the length of a run."""

    def __init__(self, question: Question) -> None:
        self._allowance, self._pool = question.allowance, question.pool
        self._begun = time.monotonic()
        self._paces: dict[Shape, Pace] = {}
        self.spent = 0.0
        """FLOPs of all runs so far, finished earlier ones included."""

    def fits(self, jobs: Sequence[Job]) -> bool:
        """FLOPs count all runs, seconds only those that are not finished."""
        found: Prices = prices([jobs])
        if self._allowance.compute is not None:
            return self.spent + sum(one.compute for one in found.all) <= self._allowance.compute
        assert self._allowance.seconds is not None
        if {part.shape for one in found.left for part in one.parts} - self._paces.keys():
            self._paces |= timed(found, jobs, self._pool).paces or {}
        found = attrs.evolve(found, paces=self._paces, at_once=self._pool.at_once)
        return time.monotonic() - self._begun + (found.total_seconds or 0.0) <= self._allowance.seconds
