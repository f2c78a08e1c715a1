"""Lower a route to a plan: compute steps, transitions and their edits, blends, expected errors, and the comparison with
fixed shapes."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import attrs

from shapeflow.base.diagnostics import Label, Report
from shapeflow.base.settings import name_of, written
from shapeflow.base.shapes import Shape
from shapeflow.ir.mixture import Laws
from shapeflow.ir.plan import AxisUnit, Blend, Candidate, Charge, Plan, Point, Spec, Stage, TimedBy, Totals, Transition
from shapeflow.ir.program import Program, Trained
from shapeflow.ir.route import Leg, Route
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.stages.lower.cautions import beyond_refused, cautions
from shapeflow.stages.lower.checkpoints import space
from shapeflow.stages.lower.comparison import compare
from shapeflow.stages.lower.cooldown import cooldown
from shapeflow.stages.lower.evaluation import evaluation_share, evaluations
from shapeflow.stages.lower.lengths import Ruler, Stretch, data_of, interval, leave, seconds_of
from shapeflow.stages.lower.mixture import mixture_law, predicting
from shapeflow.stages.lower.schedule import schedule
from shapeflow.stages.lower.start import start, start_notes
from shapeflow.stages.lower.switches import Illegal, Switches, leg_span
from shapeflow.stages.lower.warmups import check_rates
from shapeflow.stages.lower.weights import weights
from shapeflow.stages.previews import left_out, previewed

__all__ = ["lower"]

MOST = 100_000_000
"""Maximum number of steps of a stage. The longest published runs have a few million."""
CHECKPOINT = 0.1
"""The default interval between checkpoints, as a share of a plan's steps."""


def lower(program: Program, laws: Laws, route: Route, report: Report) -> Plan | None:
    """The plan, without its digest, or None after an error was reported."""
    mixed = mixture_law(program, laws, route)
    known = predicting(laws, route, mixed)
    way = _way(program, known if mixed is None else {**known, route.legs[0].shape: mixed}, route, report)
    stages = [attrs.evolve(stage, law=mixed) for stage in way.stages]
    if report.failed:
        return None
    if not stages:
        bound = "budget" if "budget" in program.spans else "stop"
        why = "less than one step" if bound == "budget" else "reached before the first step"
        report.error("no-steps", "the plan has no steps", program.spans.get(bound), why)
        return None
    check_rates(program, stages, report)
    end = stages[-1].leave
    totals = Totals(end.compute, end.error, end.step, end.seconds)
    evaluate = evaluations(program, stages)
    saves = interval(program.checkpoint, CHECKPOINT, program, stages)
    cools = cooldown(program, stages, report)
    trained = program.trained
    # What a traversal notes of errors that only a refused law reaches is not known.
    noted = () if beyond_refused(known, stages) else route.notes
    return Plan(
        name=program.name,
        convention=program.convention,
        metric=program.metric.key,
        axes=tuple(AxisUnit(axis.name, axis.unit) for axis in program.axes),
        candidates=tuple(_candidate(program, shape, laws.get(shape)) for shape in program.candidates),
        stages=tuple(stages),
        totals=totals,
        comparison=compare(program, known, totals, stages[-1].shape),
        uncertainty=None,
        traversal=_spec(program.traversal),
        model=_spec(trained.model_component) if trained else None,
        data=_spec(trained.data) if trained else None,
        objectives={name: Spec(name_of(one), written(one)) for name, one in trained.objectives.items()}
        if trained
        else {},
        optimizer=_spec(trained.optimizer) if trained else None,
        parameters=trained.model.parameters if trained else (),
        apart=tuple(sorted(trained.model.apart)) if trained else (),
        slots=dict(trained.model.slots) if trained else {},
        evaluate=evaluate,
        held_out=program.held_out,
        checkpoint=saves,
        cooldown=cools,
        schedule=schedule(program, laws, end.step, report),
        seed=program.seed,
        source=program.source,
        keep=program.keep,
        weights=weights(program, stages, report),
        start=start(program, stages[0], report),
        charge=_charge(program),
        timed_by=_timed_by(program),
        evaluation=evaluation_share(program, stages, evaluate),
        notes=(
            *start_notes(program, stages[0]),
            *noted,
            *way.notes,
            *cautions(program, known, stages, evaluate, saves),
            *space(program, stages, saves, cools is not None),
        ),
    )


def _candidate(program: Program, shape: Shape, law: AnyLaw | None) -> Candidate:
    trained = program.trained
    if trained is None or program.timing is None:
        return Candidate(shape, law)
    origin = program.timing.origin_of(shape) or "measured"
    return Candidate(shape, law, trained.cost(shape), trained.seconds(shape), origin)


def _timed_by(program: Program) -> TimedBy | None:
    timing = program.timing
    if timing is None or program.profile_path is None:
        return None
    return TimedBy(program.profile_path, timing.sha256, timing.devices, timing.machine)


def _charge(program: Program) -> Charge | None:
    """What the file states that the plan minimises, with its price by the profile."""
    if program.cost is None:
        return None
    devices = 1 if program.timing is None else program.timing.devices
    spec, price = Spec(name_of(program.cost), written(program.cost)), program.cost.per_second(devices)
    dimension = program.cost.dimension
    return Charge(spec, dimension, None if dimension == "seconds" else price, devices)


def _spec(component: object | None) -> Spec | None:
    return None if component is None else Spec(name_of(component), written(component))


def _way(program: Program, laws: Mapping[Shape, AnyLaw], route: Route, report: Report) -> _Way:
    """The stages, after a dry run of each switch and each blend. Errors are reported.

    Legs without steps are dropped. Other legs may have blended in their shapes, so the stages are computed again until
    every leg has steps."""
    kept = tuple(range(len(route.legs)))
    dropped: dict[int, bool] = {}
    while True:
        attempt = Report()
        laid = _laid(program, laws, attrs.evolve(route, legs=tuple(route.legs[i] for i in kept)), kept, attempt)
        if not laid.empty or not laid.stages:
            break
        dropped.update(laid.empty)
        kept = tuple(index for index in kept if index not in dropped)
    report.diagnostics.extend(attempt.diagnostics)
    for index, past in sorted(dropped.items()):
        _skipped(program, route.legs[index], index, past, report)
    return laid


@attrs.define
class _Way:
    """The stages of a plan while they are computed."""

    stages: list[Stage] = attrs.field(factory=list)
    empty: dict[int, bool] = attrs.field(factory=dict)
    """Legs without a step -> whether they are after the error at which the plan stops."""
    notes: tuple[str, ...] = ()
    """Notes on blends that transitions request but that are left out."""


def _laid(
    program: Program, laws: Mapping[Shape, AnyLaw], route: Route, numbers: tuple[int, ...], report: Report
) -> _Way:
    """The stages of the route's legs; `numbers`: their indices in the whole route."""
    switches, ruler, way = Switches(program, report), Ruler(program, laws), _Way(notes=tuple(left_out(program, route)))
    begin = None if program.trained is None else 0
    here = Point(begin, 0.0, program.begins_at(laws), None if program.timing is None else 0.0)
    ledger, stopped, data = None, False, 0
    for index, leg in zip(numbers, previewed(program, route), strict=True):
        before = way.stages[-1].shape if way.stages else None
        credit = 1.0 if before is None else program.credit(before, leg.shape)
        stretch = ruler.measure(leg, here, data, credit, program.delay(before, leg.shape))
        if stopped or stretch.spent <= 0:
            way.empty[index] = stopped
            stopped = stopped or stretch.stops
            continue
        if _endless(program, stretch, report):
            break
        try:
            switches.blendable(leg, index)
            transition, ledger = switches.arrive(before, leg.shape, ledger, index)
            stage, stretch = _fitted(switches, stretch, transition, before, len(way.stages), laws)
            if ledger is not None:
                switches.rehearse(ledger, stage)
        except Illegal:
            break
        way.stages.append(stage)
        data += data_of([stage])
        here, stopped = stage.leave, stretch.stops
    return way


def _fitted(
    switches: Switches,
    stretch: Stretch,
    transition: Transition | None,
    before: Shape | None,
    index: int,
    laws: Mapping[Shape, AnyLaw],
) -> tuple[Stage, Stretch]:
    """The stage of a stretch. If its blended steps cost more than the mean, the stage is shortened to stay within the
    budget."""
    budget = switches.program.budget
    stage = _stage(switches, stretch, transition, before, index, laws)
    if budget is None or budget.dimension not in ("compute", "seconds") or stage.steps is None:
        return stage, stretch
    of_step = functools.partial(switches.trained.of_step, budget.dimension)
    dearest = max(map(of_step, (stage.shape, *(blend.shape for blend in stage.blends))))

    def over() -> float:
        spent = stage.leave.seconds if budget.dimension == "seconds" else stage.leave.compute
        return (spent or 0.0) - budget.value * (1 + 1e-12)

    while over() > 0 and (stretch.steps or 0) > 1:
        stretch = stretch.shorter(max(1, int(over() / dearest)), stage.cost)
        stage = _stage(switches, stretch, transition, before, index, laws)
    return stage, stretch


def _stage(
    switches: Switches,
    stretch: Stretch,
    transition: Transition | None,
    before: Shape | None,
    index: int,
    laws: Mapping[Shape, AnyLaw],
) -> Stage:
    program, leg = switches.program, stretch.leg
    trained = program.trained
    stage = Stage(
        shape=leg.shape,
        arrives_by=_arrival(program, before, leg.shape),
        transition=transition,
        steps=stretch.steps,
        batch=trained.batch(leg.shape) if trained else None,
        learning_rate=program.learning_rate(leg.shape) if trained else 1.0,
        matrix_rate=_matrix_rate(program, leg.shape) if trained else 1.0,
        memory=_memory(program, trained, leg.shape) if trained else 1.0,
        step_compute=trained.cost(leg.shape) if trained else None,
        sizes=trained.model.sizes(trained.whole(leg.shape)) if trained else {},
        reading=switches.reading(leg.shape) if trained else (),
        blends=_blends(switches, leg, stretch.steps) if trained else (),
        enter=stretch.enter,
        leave=stretch.enter,
    )
    compute = stretch.spent if stretch.steps is None else stage.compute_of(program.seed, index, stretch.steps)
    seconds = None
    if trained is not None and program.timing is not None:
        delay = program.delay(before, leg.shape)
        seconds = delay + seconds_of(trained, stage, program.seed, index, stretch.steps or 0)
    return attrs.evolve(stage, leave=leave(stretch, laws.get(leg.shape), compute, seconds))


def _blends(switches: Switches, leg: Leg, steps: int | None) -> tuple[Blend, ...]:
    assert steps is not None
    trained = switches.trained
    return tuple(
        Blend(
            shape=share.shape,
            share=share.share,
            first=round(share.first * steps),
            last=round(share.last * steps),
            compute=trained.cost(share.shape),
            edits=switches.reading(share.shape),
        )
        for share in leg.shares
        if round(share.last * steps) > round(share.first * steps)
    )


def _arrival(program: Program, before: Shape | None, after: Shape) -> str:
    if before is None:
        return "start"
    return " + ".join(name_of(axis.transition) for axis in program.moved(before, after))


def _matrix_rate(program: Program, shape: Shape) -> float:
    """The additional factor for the matrices whose inputs are channels, heads or hidden units."""
    return math.prod(axis.transition.matrix_rate(shape) for axis in program.axes)


def _memory(program: Program, trained: Trained, shape: Shape) -> float:
    """The number of steps at the batch size of the data component that one step counts as in the optimizer's decays."""
    return math.prod(axis.transition.memory(trained.facts, shape) for axis in program.axes)


def _skipped(program: Program, leg: Leg, index: int, past: bool, report: Report) -> None:
    shape, stop = leg.shape.written(program.units), program.spans.get("stop")
    report.warning(
        "empty-stage",
        f"the stage in {shape} is never entered" if past else f"the stage in {shape} has no steps",
        leg_span(program, index),
        "the plan stops before it" if past else "shorter than one step",
        also=[Label(stop, "at this error")] if past and stop is not None else [],
        help="lower the error, or leave the stage out"
        if past
        else "`until` counts from the start of the run: make it later, or leave the stage out",
    )


def _endless(program: Program, stretch: Stretch, report: Report) -> bool:
    """Whether a stretch does not end, or has more than `MOST` steps. If so, an error is reported."""
    if not math.isfinite(stretch.spent) and program.stop is not None:
        shape = stretch.leg.shape.written(program.units)
        report.error(
            "target-out-of-reach",
            f"the plan never reaches error {program.stop:.4g} in {shape}",
            program.spans.get("stop"),
            "at or below the floor of its law",
            help="raise the error, add a `budget`, or end in a shape with a lower floor",
        )
        return True
    finite = math.isfinite(stretch.spent)
    if finite and (stretch.steps is None or stretch.steps <= MOST):
        return False
    report.error(
        "too-many-steps",
        f"a stage of the plan has {f'{stretch.steps:.3g}' if finite else 'infinitely many'} steps",
        program.spans.get("budget", program.spans.get("stop")),
        f"more than {MOST:,} steps is unrealistic",
        help="lower the budget: this model and batch take few FLOPs per step",
    )
    return True
