"""Trains candidates until the plan of a file is known to pay or not, or until an allowance is spent.

The runs of all candidates grow together: up to an eighth of the budget, a quarter, a half, all of it. After each rung
laws are fitted and the plan is compiled. Runs of shapes that are not likely to matter wait, and go on later if the
answer is still unknown; no shape is dropped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from shapeflow.running.rungs import Growing, Key, Lengths, next_lengths
from shapeflow.running.runs import Run, is_run, last_step, read_run
from shapeflow.running.sweep import laws_sentence, sweep_jobs

FIRST = 1 / 8
"""Length of the first runs, as a share of the budget."""
HALVINGS = 7
"""How often the first runs may be halved in length to fit the allowance."""

EVALUATE = "evaluate every 6%"
"""Default of files without an `evaluate` sentence: 17 measurements in the first rung and 8 in each of the next. In
short runs of small models measurements take longer than training."""

_ALIKE = ("convention", "model", "data", "objectives", "optimizer")
"""Fields of a plan that are equal for all runs of a file."""

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
    length: float
    """Length of the longest of these runs, as a multiple of the budget."""
    compute: float
    """FLOPs that these runs added, or had added before."""
    seconds: float
    """Wall-clock time; little if the runs were finished before."""
    plan: Plan | None
    """None while there are too few measurements for laws."""

    @property
    def answer(self) -> Answer | None:
        return None if self.plan is None else self.plan.answer

    @property
    def say(self) -> str:
        """The answer in one word."""
        return "unknown" if self.answer is None else self.answer.say


@attrs.frozen
class Question:
    """A file, and where its runs are kept."""

    file: Path
    sentences: tuple[str, ...]
    folder: Path
    """Folder of the runs, below the folder of the file, so that laws can be fitted to it."""
    allowance: Allowance | None
    """None: no limit."""
    pool: Pool

    @property
    def laws(self) -> str:
        """The sentence that fits laws to the runs."""
        return laws_sentence(self.folder, self.file.parent)


def ask(question: Question, report: Report, train: Train) -> Iterator[Round]:
    """Train runs of the candidates until the answer is settled or nothing more fits the allowance. Yields a round after
    each rung; its runs are kept and go on in the next one, so that a repeated call continues.

    `report`: gets the warnings of the last compilation. Raises Refused."""
    program = _program(question)
    growing = Growing(wholes=_wholes(question, program))
    purse, heard, sparse = _Purse(question, growing), Report(), list[Path]()
    choices = _first(program)
    while (chosen := purse.choose((lengths, _jobs(question, program, lengths)) for lengths in choices)) is not None:
        lengths, jobs = chosen
        if not growing.lengths:
            _check_folder(question.folder, jobs[0].plan)
        at, before = time.monotonic(), growing.spent
        runs = train(jobs)
        growing.add(lengths, jobs, runs)
        sparse += [run.folder for job, run in zip(jobs, runs, strict=True) if _every(run.plan) > _every(job.plan)]
        plan, heard = _compiled(question)
        yield Round(
            tuple(jobs),
            max(growing.lengths[key] for key in lengths),
            growing.spent - before,
            time.monotonic() - at,
            plan,
        )
        choices = next_lengths(growing, None if plan is None else plan.answer)
    if not growing.lengths:
        message, help_ = "no runs of all candidates fit `--within`", "allow more, or lower the budget"
        notes = () if purse.least is None else (f"the shortest that were tried need {purse.least}",)
        raise Refused(Diagnostic("allowance-too-small", message, place="--within", notes=notes, help=help_))
    if heard.failed:
        raise Refused(*(_with_help(one, sparse) for one in heard.diagnostics))
    for diagnostic in heard.diagnostics:
        report.add(diagnostic)


def _program(question: Question) -> Program:
    report = Report()
    program = program_of(question.file, question.sentences, report)
    if program is None or report.failed:
        raise Refused(*report.diagnostics)
    if program.traversal is not None and program.traversal.target is not None:
        message = "`ask` trains fixed shapes, which do not say what a mixture of shapes learns"
        help_ = f"`shapeflow pilot {question.file.name}` trains short mixtures, and answers whether they pay"
        raise Refused(Diagnostic("missing-laws", message, place=str(question.file), help=help_))
    if program.budget is None:
        message, help_ = "an answer needs a budget", "add a `budget` to the file"
        raise Refused(Diagnostic("uncounted-budget", message, place=str(question.file), help=help_))
    return program


def _first(program: Program) -> list[Lengths]:
    """One run of each candidate, the longest first: shorter runs of all say more than longer runs of some. The whole
    budget comes last, for budgets of so few steps that their parts have none."""
    keys = [(shape, program.seed) for shape in program.candidates]
    return [dict.fromkeys(keys, length) for length in (*(FIRST / 2**k for k in range(HALVINGS + 1)), 1.0)]


def _jobs(question: Question, program: Program, lengths: Lengths) -> list[Job]:
    """The runs of some lengths, in their order; none if one of them has no steps. Raises Refused."""
    assert program.budget is not None
    found: dict[Key, Job] = {}
    for seed, length in dict.fromkeys((seed, length) for (_, seed), length in lengths.items()):
        budget = attrs.evolve(program.budget, value=program.budget.value * length)
        own = [] if "evaluate" in program.spans else [EVALUATE]
        sentences = [*question.sentences, *own, f"budget {budget}"]
        try:
            jobs = sweep_jobs(question.file, sentences, [seed], question.folder, Report())
        except Refused as refused:
            if {one.code for one in refused.diagnostics} == {"no-steps"}:
                return []
            raise
        found |= {(job.plan.stages[0].shape, seed): job for job in jobs}
    return [found[key] for key in lengths]


def _every(plan: Plan) -> float:
    """The steps between two measurements."""
    return plan.evaluate or math.inf


def _with_help(diagnostic: Diagnostic, sparse: Sequence[Path]) -> Diagnostic:
    """Runs that are kept are not measured again, so that a sentence that measures more often does not help alone."""
    if not sparse or diagnostic.code != "too-few-points":
        return diagnostic
    note = f"`{sparse[0]}` was trained before and measured less often; what is kept is not measured again"
    help_ = "choose another folder with `-o`, or remove this run"
    return attrs.evolve(diagnostic, notes=(*diagnostic.notes, note), help=help_)


def _check_folder(folder: Path, plan: Plan) -> None:
    """Raises Refused `other-plan` if there are runs of another training in the folder, such as of another seed and
    optimizer: the laws would be fitted to all of them."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or not is_run(path):
            continue
        other = read_run(path).plan
        if differ := [name for name in _ALIKE if getattr(other, name) != getattr(plan, name)]:
            message, notes = f"the run in `{path}` follows another plan", (f"they differ in {', '.join(differ)}",)
            help_ = "choose another folder with `-o`, or remove this one"
            raise Refused(Diagnostic("other-plan", message, place=str(path), notes=notes, help=help_))


def _wholes(question: Question, program: Program) -> dict[Shape, int]:
    """The steps of the whole budget in each shape."""
    jobs = _jobs(question, program, {(shape, program.seed): 1.0 for shape in program.candidates})
    return {job.plan.stages[0].shape: job.steps for job in jobs}


def _compiled(question: Question) -> tuple[Plan | None, Report]:
    """The plan by all runs so far; None with the errors if laws cannot be fitted. Raises Refused `missing-laws`."""
    report = Report()
    try:
        plan = compile_file(question.file, [*question.sentences, question.laws], report)
    except Refused:
        return None, report
    if plan.answer is None:
        message, help_ = "the plan does not use laws", "choose a traversal that does: `traversal steepest`"
        raise Refused(Diagnostic("missing-laws", message, place=str(question.file), help=help_))
    return plan, report


class _Purse:
    """Which runs fit the allowance. Steps are timed once: their duration does not depend on the length of a run."""

    def __init__(self, question: Question, growing: Growing) -> None:
        self._allowance, self._pool, self._growing = question.allowance, question.pool, growing
        self._begun = time.monotonic()
        self._paces: dict[Shape, Pace] = {}
        self._least: tuple[float, str] | None = None

    @property
    def least(self) -> str | None:
        """The least need of the choices that did not fit; None if all fitted."""
        return None if self._least is None else f"{self._least[0]:.3g} {self._least[1]}"

    def choose(self, choices: Iterable[tuple[Lengths, Sequence[Job]]]) -> tuple[Lengths, Sequence[Job]] | None:
        """The first choice that has runs and fits; None if none does."""
        return next((choice for choice in choices if choice[1] and self._fits(choice[1])), None)

    def _fits(self, jobs: Sequence[Job]) -> bool:
        """FLOPs count all runs, seconds only what is left to do."""
        if self._allowance is None:
            return True
        if self._allowance.compute is not None:
            whole = {**self._growing.compute, **{job.folder: job.plan.totals.compute or 0.0 for job in jobs}}
            return self._within(sum(whole.values()), self._allowance.compute, "FLOPs")
        assert self._allowance.seconds is not None
        found: Prices = prices([jobs], {job.folder: last_step(job.folder) for job in jobs})
        if {part.shape for one in found.left for part in one.parts} - self._paces.keys():
            self._paces |= timed(found, jobs, self._pool).paces or {}
        found = attrs.evolve(found, paces=self._paces, at_once=self._pool.at_once)
        needed = time.monotonic() - self._begun + (found.total_seconds or 0.0)
        return self._within(needed, self._allowance.seconds, "seconds, timing included")

    def _within(self, needed: float, allowed: float, unit: str) -> bool:
        if needed > allowed:
            self._least = min(self._least or (needed, unit), (needed, unit))
        return needed <= allowed
