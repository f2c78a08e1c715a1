"""One case of `answers.py`: the plan that the product picks for some runs, its answer, and the truth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np

from answers_truth import Known, Truth, end_of, least_fixed, possible, seeds, smoothed
from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.answer import Range, Say
from shapeflow.ir.law import Law, MeasuredCurve, Provenance
from shapeflow.ir.route import Problem
from shapeflow.laws.fitting.curve import measured_curve
from shapeflow.laws.fitting.posterior import posterior
from shapeflow.laws.fitting.solver import fit_laws
from shapeflow.laws.logs.points import Point, select
from shapeflow.stages.assess.answer import Question, ask
from shapeflow.stages.assess.doubts import rises
from shapeflow.stages.assess.facts import USEFUL
from shapeflow.stages.assess.walked import Piece
from shapeflow.traversals.steepest import Steepest

POINTS = 60
"""Points that each law is fitted to: the default of `fit`."""
FEWEST = 7
"""Fewest points of a run that is used."""
SPENT = 0.8
"""The budget, as a share of the compute of the full runs."""
SIZES = (2, 3, 4, 6, 8)
"""Numbers of shapes of a set of Gemstones."""
RATIO = 8.0
"""Largest ratio of sizes of the Gemstones in a case."""
REPEAT = 0.5
"""Where the truth is another run: half the runs double the variance of the differences between runs."""
SEEDED = {
    "bytes": ("context", "loss@own"),
    "lm_context": ("context", "loss@own"),
    "digits_width": ("width", "cross_entropy"),
}
"""Table in the examples -> its axis and metric."""
COMPUTE = np.geomspace(1.0, 200.0, 50)
LEVEL, NOISE = 0.04, 0.001
"""Differences between simulated runs, in log compute, and their noise in log error."""
KNOWN = ("same b", "different b", "second power inside", "second power beyond", "no floor")


@attrs.frozen(eq=False)
class Case:
    """Runs to fit, the true curves, and the budget of the question."""

    runs: Mapping[Shape, tuple[Point, ...]]
    truth: Mapping[Shape, Truth]
    budget: float
    seed: int


@attrs.frozen(eq=False)
class Outcome:
    """An answer and the truth about it."""

    say: Say
    switches: int
    shown: bool
    """Whether the product prints the error at the end."""
    best: Range
    last: Range
    error: Range
    true_best: float
    true_last: float
    true_error: float
    possible: float
    """The saving of the best plan over the true curves."""

    @property
    def useless(self) -> bool:
        """Whether the plan saves less than is useful, which is what `no` says of a plan with switches."""
        return self.true_best < USEFUL


def planned(case: Case, extrapolate: bool = False) -> tuple[Piece, ...] | None:
    """The plan of `traversal steepest` over fitted laws, as `compile` makes it without a model; None if there is none.

    `extrapolate`: the setting of the traversal, whether it also switches at errors that no run has reached.
    """
    sets = [select([run], Amount(0, "number"), POINTS)[0] for run in case.runs.values()]
    laws = {}
    for shape, points, one in zip(case.runs, sets, fit_laws(sets), strict=True):
        measured = (float(points.error.max()), float(points.error.min()))
        about = Provenance(source="fit", metric="loss", convention="flops", error=measured)
        laws[shape] = Law(one.a, one.b, one.c, one.d, about)
    problem = Problem(
        candidates=tuple(laws),
        laws=laws,
        units={},
        start=None,
        target=None,
        budget=Amount(case.budget, "compute"),
        step_compute=None,
        allowed=lambda before, after: True,
        credit=lambda before, after: 1.0,
        spans={},
    )
    route = Steepest(extrapolate=extrapolate).route(problem, Report())
    if route is None:
        return None
    pieces: list[Piece] = []
    enter: float | None = None
    for leg in route.legs:
        law, leave = laws[leg.shape], leg.until.error
        begun = 0.0 if enter is None else law.compute(enter)
        length = case.budget - sum(piece.length for piece in pieces) if leave is None else law.compute(leave) - begun
        pieces.append(Piece(leg.shape, length))
        enter = leave
    return tuple(pieces) if all(piece.length > 0 for piece in pieces) else None


def outcome(case: Case, pieces: Sequence[Piece], tau: float, draws: int, times: float = 1.0) -> Outcome | None:
    """The answer for a plan and the truth; None if the truth is not known, because a true curve ends too early."""
    end = end_of(case.truth, pieces)
    fixed = None if end is None else least_fixed(case.truth, end)
    if end is None or fixed is None:
        return None
    curves = {shape: _curve(run) for shape, run in case.runs.items()}
    question = Question(
        posterior=posterior(curves, tau, draws=draws, seed=case.seed),
        pieces=tuple(pieces),
        budget=case.budget,
        credit=lambda before, after: 1.0,
        allowed=lambda before, after: True,
        credits=(1.0,) * (len(pieces) - 1),
        useful=USEFUL,
    )
    found = ask(question, times=dict.fromkeys(curves, times))
    top = min(math.log(curve.error[0]) for curve in curves.values())
    return Outcome(
        say="unknown" if any(rises(curves[piece.shape]) for piece in pieces) else found.say,
        switches=len(pieces) - 1,
        shown=not found.asked,
        best=found.best,
        last=found.last,
        error=found.error,
        true_best=1 - case.budget / fixed,
        true_last=1 - case.budget / math.exp(case.truth[pieces[-1].shape].place(end)),
        true_error=math.exp(end),
        possible=possible(case.truth, top, end),
    )


def _curve(run: Sequence[Point]) -> MeasuredCurve:
    curve = measured_curve([run])
    if curve is None:
        raise ValueError("a run without points")
    return curve


def _until(run: Sequence[Point], compute: float) -> tuple[Point, ...]:
    return tuple(point for point in run if point.compute <= compute * (1 + 1e-9))


def gemstone_cases(
    runs: Mapping[Shape, tuple[Point, ...]], truth: Mapping[Shape, Truth], shapes: int, mask: float, count: int
) -> Iterator[Case]:
    """Random sets of shapes. All are trained for the same compute: what the shortest full run took, over `mask`."""
    rng = np.random.default_rng(0)
    size = {shape: run[0].compute for shape, run in runs.items()}
    got = 0
    for attempt in range(1, 12 * count + 1):
        if got == count:
            return
        least = list(runs)[rng.integers(len(runs))]
        near = [shape for shape in runs if 1 <= size[shape] / size[least] <= RATIO]
        if len(near) < shapes:
            continue
        chosen = sorted((near[at] for at in rng.choice(len(near), shapes, replace=False)), key=size.__getitem__)
        full = math.exp(min(truth[shape].x[-1] for shape in chosen))
        fitted = {shape: _until(runs[shape], full / mask) for shape in chosen}
        if min(len(run) for run in fitted.values()) >= FEWEST:
            got += 1
            yield Case(fitted, {shape: truth[shape] for shape in chosen}, SPENT * full, attempt)


def seed_cases(folder: Path, name: str, mask: float) -> Iterator[Case]:
    """Subsets of the shapes of an example. One seed is fitted, and the curves of the other are the truth."""
    runs = seeds(folder / f"{name}.csv", *SEEDED[name])
    truth = {shape: [smoothed(run) for run in each] for shape, each in runs.items()}
    subsets = [one for size in range(2, len(runs) + 1) for one in itertools.combinations(runs, size)]
    for fitted, (seed, subset), share in itertools.product((0, 1), enumerate(subsets), (0.5, SPENT)):
        full = min(runs[shape][0][-1].compute for shape in subset)
        shown = {shape: _until(runs[shape][fitted], full / mask) for shape in subset}
        if min(len(run) for run in shown.values()) >= FEWEST:
            yield Case(shown, {shape: truth[shape][1 - fitted] for shape in subset}, share * full, seed)


def known_cases(kind: str, times: float, count: int) -> Iterator[Case]:
    """Simulated runs of three known laws, one each; the budget is `times` as large as the runs allow."""
    rng = np.random.default_rng(7)
    shapes = [Shape.of(width=width) for width in (1, 2, 3)]
    for seed in range(count):
        laws = _laws(kind, rng)
        runs = {s: law.run(COMPUTE, LEVEL, NOISE, rng)[2:] for s, law in zip(shapes, laws, strict=True)}
        truth = {shape: law.truth() for shape, law in zip(shapes, laws, strict=True)}
        yield Case(runs, truth, SPENT * float(COMPUTE[-1]) * times, seed)


def _laws(kind: str, rng: np.random.Generator) -> list[Known]:
    """Three laws of one of `KNOWN`; their floors vary."""
    first, second = rng.normal(0, 0.01, 2)
    if kind == "different b":
        return [Known(2.2, 0.65, 0.34 + first), Known(2.6, 0.5, 0.22 + second), Known(3.0, 0.4, 0.12)]
    if kind == "no floor":
        return [Known(1.0, 0.12, 0.0), Known(1.25, 0.15, 0.0), Known(1.55, 0.18, 0.0)]
    bend = {"same b": None, "second power inside": (20.0, 0.25), "second power beyond": (150.0, 0.3)}[kind]
    return [Known(2.0, 0.45, 0.30 + first, bend), Known(2.6, 0.45, 0.2 + second, bend), Known(3.4, 0.45, 0.15, bend)]
