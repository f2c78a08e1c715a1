"""The best fixed shape and the best schedule for several budgets, by the laws of a file (paper A, Figs. 6 and 22).

Each budget is a plan of its own: the file's traversal makes it over the file's candidates, with the credits of its
transitions, as `compile` does. Budgets are in FLOPs, or in seconds if the file minimises time or what follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import compile_by, compile_still, constant
from shapeflow.ir.answer import Doubt, Range
from shapeflow.ir.law import Pair
from shapeflow.ir.mixture import Laws
from shapeflow.ir.plan import Plan
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.running.budgets import Unit, unit_of

GRID = 9
"""Number of budgets, if none is asked for."""
SPAN = 300.0
"""Ratio of the largest to the smallest of them, at most."""
ABOVE = 1.5
"""The smallest of them is at least this multiple of the budget that reaches the error at which plans start."""
INSIDE = 1.1
"""A law used up to this multiple of its largest measured compute counts as measured, as in the answer of a plan."""
FARTHEST = 20.0
"""A law used beyond this multiple of its largest measured compute predicts nothing, as in the answer of a plan."""


@attrs.frozen(kw_only=True)
class Way:
    """The shapes of a plan in order, its final error and the 90% interval of it; None where the data do not allow a
    prediction."""

    shapes: tuple[Shape, ...]
    error: float
    interval: Pair | None
    beyond: float = 1.0
    """The largest ratio of the compute at which the law of one of the shapes is used to the largest that was measured
    of it; 1 up to `INSIDE`, and for stated laws."""
    farthest: Shape | None = None
    """The shape with this ratio; None if all is measured."""
    seconds: float | None = None
    """Seconds of the plan, by the profile of the file; None without one."""
    compute: float | None = None
    """FLOPs of the plan; None if there is no plan."""


@attrs.frozen(kw_only=True)
class Compared:
    """One budget."""

    budget: float
    """FLOPs, or seconds in a file by time."""
    fixed: Way
    """The fixed shape with the lowest error."""
    scheduled: Way | None
    """The plan of the traversal; None if it makes none for this budget."""
    ratio: Range | None
    """What the best fixed shape needs to reach the error of the schedule, over what the schedule takes, in the unit of
    the budget. Infinite if it never does; None without a schedule, or if the laws cannot say."""
    doubts: tuple[Doubt, ...]
    """Why the laws cannot say whether the schedule pays."""
    why: str
    """Why there is no schedule; empty if there is one."""

    @property
    def outermost(self) -> Way:
        """The way that uses a law farthest beyond what was measured."""
        return max([self.fixed, *([self.scheduled] if self.scheduled else [])], key=lambda way: way.beyond)

    @property
    def beyond(self) -> float:
        """Compute at which a law is used, over the largest measured; 1 inside the data."""
        return self.outermost.beyond


@attrs.frozen(kw_only=True, eq=False)
class Scheduled:
    """The fixed and the scheduled frontier of a file, in order of its budgets."""

    name: str
    metric: str
    units: Mapping[str, str]
    convention: str
    unit: Unit
    """That of the budgets."""
    laws: Laws
    sizes: Mapping[Shape, float]
    """Number of parameters of each candidate, with embeddings; empty if it is not known."""
    rows: tuple[Compared, ...]
    too_far: tuple[Compared, ...] = ()
    """Budgets at which a law is used more than `FARTHEST` times beyond what was measured: they have no answer."""

    def only(self, budgets: Sequence[float]) -> Scheduled:
        """The same at these of its budgets, in their order; at all of them if none is given."""
        if not budgets:
            return self
        of = {row.budget: row for row in self.rows}
        far = tuple(row for row in self.too_far if row.budget in budgets)
        return attrs.evolve(self, rows=tuple(of[each] for each in budgets if each in of), too_far=far)


def scheduled_of(program: Program, laws: Laws, budgets: Sequence[float]) -> Scheduled:
    """The comparison at some budgets in the unit of the program (`unit_of`), by default at `GRID` of them up to the
    budget of the file. Raises Refused: `no-frontier`, also if all budgets are too far from what was measured, and what
    `compile` reports."""
    suited(program, laws)
    budgets = sorted(set(budgets)) or default_grid(program, laws)
    unit = unit_of(program)
    every = [_compared(program, laws, unit, budget) for budget in budgets]
    near = tuple(row for row in every if row.beyond <= FARTHEST)
    if not near:
        raise Refused(_too_far(every[0], program, unit))
    return Scheduled(
        name=program.name,
        metric=program.metric.key,
        units=program.units,
        convention=program.convention,
        unit=unit,
        laws=laws,
        sizes=_sizes(program, laws),
        rows=near,
        too_far=tuple(row for row in every if row.beyond > FARTHEST),
    )


def _too_far(row: Compared, program: Program, unit: Unit) -> Diagnostic:
    """Why a budget has no answer."""
    way = row.outermost
    shape = "" if way.farthest is None else way.farthest.written(program.units)
    return Diagnostic(
        "no-frontier",
        f"a budget of {unit.written(row.budget)} is too far from what was measured",
        place="--budget",
        notes=(
            f"the law of {shape} would be used at {way.beyond:.3g} times the largest compute that was measured of it; "
            f"at most {FARTHEST:g} times are allowed",
        ),
        help="ask for a smaller budget, or measure longer runs",
    )


def suited(program: Program, laws: Laws) -> None:
    """Raise Refused (`no-frontier`) for a file that has nothing to compare at other budgets."""
    axis, report = program.axes[-1].span, Report()
    if program.by_hand is not None:
        why, help = "set by hand, for one budget", "write `traversal steepest` in place of the stages"
        report.error("no-frontier", "the file has no traversal", program.leg_spans[0], why, help=help)
    elif laws.mixture is not None:
        why, help = "of mixtures of the candidates, and not of each", "fit a law to each candidate"
        report.error("no-frontier", "the candidates have no laws", program.spans.get("laws", axis), why, help=help)
    elif not laws:
        why, help = "no law says which of these is best", 'write `laws from fit("runs/*.csv")`'
        report.error("no-frontier", "the candidates have no laws", axis, why, help=help)
    if report.failed:
        raise Refused(*report.errors)


def default_grid(program: Program, laws: Laws) -> list[float]:
    """Budgets at equal ratios up to that of the file, or what its plan takes. Raises Refused with its errors."""
    report, unit = Report(), unit_of(program)
    plan = compile_by(laws, program, report)
    taken = None if plan is None else plan.totals.seconds if unit.timed else plan.totals.compute
    if taken is None:
        raise Refused(*report.errors)
    stated = program.budget is not None and program.budget.dimension == unit.dimension
    high = program.budget.value if stated and program.budget is not None else taken
    start = program.start
    firsts = [
        unit.first(laws, shape) if start is None else law.compute(start) * unit.pace(shape)
        for shape, law in laws.items()
    ]
    low = max(high / SPAN, ABOVE * min(each for each in (*firsts, high) if math.isfinite(each)))
    ratio = (high / min(low, high / ABOVE)) ** (1 / (GRID - 1))
    return [high / ratio**step for step in reversed(range(GRID))]


def _sizes(program: Program, laws: Laws) -> Mapping[Shape, float]:
    if laws.sizes or program.trained is None:
        return laws.sizes
    return {shape: float(program.trained.count(shape)) for shape in laws}


def _compared(program: Program, laws: Laws, unit: Unit, budget: float) -> Compared:
    program = attrs.evolve(constant(program), budget=unit.amount(budget), stop=None)
    if program.start is None:
        program, laws = _measured(program, laws, unit, budget)
    best = min(laws, key=lambda shape: unit.error(laws, shape, budget))
    report = Report()
    plan = compile_by(laws, program, report)
    # Without a switch the plan stays in the best fixed shape.
    still = plan if plan is not None and plan.is_best_fixed else compile_still(laws, program, best, Report())
    # A budget below one step has no plan, but the law has an error there.
    fixed = None if still is None else _way(still, laws)
    return Compared(
        budget=budget,
        fixed=fixed or _still(laws, best, budget / unit.pace(best)),
        scheduled=None if plan is None else _way(plan, laws),
        ratio=None if plan is None else _ratio(plan),
        doubts=() if plan is None or plan.answer is None else plan.answer.doubts,
        why="" if plan is not None else report.errors[0].message,
    )


def _measured(program: Program, laws: Laws, unit: Unit, budget: float) -> tuple[Program, Laws]:
    """The candidates whose measurements begin below a budget, or all if none does: plans start at an error that every
    candidate was measured at, which a large model reaches only after much compute."""
    kept = tuple(shape for shape in program.candidates if unit.first(laws, shape) < budget) or program.candidates
    samples = {shape: laws.samples[shape] for shape in kept if shape in laws.samples}
    few = Laws({shape: laws[shape] for shape in kept}, laws.mixture, samples, laws.joint, laws.sizes)
    return attrs.evolve(program, candidates=kept), few


def _way(plan: Plan, laws: Laws) -> Way | None:
    taken = plan.totals
    if taken.error is None:
        return None
    # A stage uses the law of its shape up to the compute at which this law has the error at the end of the stage.
    used = [(laws[one.shape].compute(one.leave.error), one.shape) for one in plan.stages if one.leave.error is not None]
    asked = [] if plan.answer is None else [(one.times, one.shape) for one in plan.answer.asked]
    times = max([*((_past(laws[shape], compute), shape) for compute, shape in used), *asked], key=lambda one: one[0])
    interval = None if plan.uncertainty is None else plan.uncertainty.error
    shapes = tuple(stage.shape for stage in plan.stages)
    way = Way(shapes=shapes, error=taken.error, interval=interval, seconds=taken.seconds, compute=taken.compute)
    return _marked(way, *times)


def _still(laws: Laws, shape: Shape, compute: float) -> Way:
    """A shape without a plan: its law at a budget below one step."""
    way = Way(shapes=(shape,), error=laws[shape].error(compute), interval=None)
    return _marked(way, _past(laws[shape], compute), shape)


def _marked(way: Way, times: float, shape: Shape) -> Way:
    return attrs.evolve(way, beyond=times, farthest=shape) if times > INSIDE else way


def _past(law: AnyLaw, compute: float) -> float:
    """A compute over the largest that a law was fitted to; 1 if it is stated."""
    return 1.0 if law.provenance.compute is None else compute / law.provenance.compute[1]


def _ratio(plan: Plan) -> Range | None:
    """From the saving of the plan's answer, which is counted over the draws of the laws, or of the laws themselves."""
    if plan.is_best_fixed:
        return Range(low=1.0, middle=1.0, high=1.0)
    answer = plan.answer
    if answer is not None and answer.best is not None:
        saving = answer.best
        return Range(low=_times(saving.low), middle=_times(saving.middle), high=_times(saving.high))
    saved = plan.comparison.best_fixed.saving
    return None if saved is None else Range(low=_times(saved), middle=_times(saved), high=_times(saved))


def _times(saving: float) -> float:
    return 1 / (1 - saving) if saving < 1 else math.inf
