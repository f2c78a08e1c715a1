"""A route to a plan: steps, transitions and their edits, blends, expected errors, the comparison with fixed shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import attrs

from shapeflow.diagnostics import Report
from shapeflow.edits import in_order
from shapeflow.laws.curve import Law
from shapeflow.lower.comparison import compare, last_shape
from shapeflow.lower.lengths import Ruler, Stretch, leave
from shapeflow.lower.switches import Illegal, Switches, leg_span, previewed
from shapeflow.plan import AxisUnit, Blend, Candidate, Plan, Point, Spec, Stage, Totals, Transition
from shapeflow.program import Program
from shapeflow.route import Leg, Route
from shapeflow.settings import name_of, written
from shapeflow.shapes import Shape
from shapeflow.units import Amount

__all__ = ["lower"]

MOST = 100_000_000
"""Steps of a stage; the longest runs that are known have a few million."""
EVALUATE, CHECKPOINT = 0.02, 0.1
"""Shares of a plan's steps between evaluations and checkpoints where the file says nothing."""


def lower(program: Program, laws: Mapping[Shape, Law], route: Route, report: Report) -> Plan | None:
    """The plan, without its digest, or None after an error was reported."""
    stages = _stages(program, laws, route, report)
    if report.failed:
        return None
    if not stages:
        at = program.spans.get("budget", program.spans.get("stop"))
        report.error("no-steps", "the plan has no step", at, "too little for a single step")
        return None
    end = stages[-1].leave
    totals = Totals(end.compute, end.error, end.step)
    last = last_shape(route, stages)
    trained = program.trained
    return Plan(
        name=program.name,
        convention=program.convention,
        metric=program.metric.key,
        axes=tuple(AxisUnit(axis.name, axis.unit) for axis in program.axes),
        candidates=tuple(Candidate(shape, laws.get(shape)) for shape in program.candidates),
        stages=tuple(stages),
        totals=totals,
        comparison=compare(program, laws, totals, last),
        traversal=_spec(program.traversal),
        model=_spec(trained.model_component) if trained else None,
        data=_spec(trained.data) if trained else None,
        objective=_spec(trained.objective) if trained else None,
        optimizer=_spec(trained.optimizer) if trained else None,
        parameters=trained.model.parameters if trained else (),
        apart=tuple(sorted(trained.model.apart)) if trained else (),
        slots=dict(trained.model.slots) if trained else {},
        evaluate=_every(program.evaluate, EVALUATE, program, totals),
        checkpoint=_every(program.checkpoint, CHECKPOINT, program, totals),
        seed=program.seed,
        source=program.source,
        notes=(*route.notes, *_cautions(program, laws, stages)),
    )


def _cautions(program: Program, laws: Mapping[Shape, Law], stages: list[Stage]) -> Iterator[str]:
    """What a reader of the predictions must know."""
    if not laws:
        return
    if any(stage.blends for stage in stages):
        yield "a blended step costs what its shape costs, and is predicted to teach like one in the stage's own shape"
    for axis, caution in program.metric.cautions.items():
        if len({shape.get(axis) for shape in program.candidates}) > 1:
            yield caution


def _spec(component: object | None) -> Spec | None:
    return None if component is None else Spec(name_of(component), written(component))


def _stages(program: Program, laws: Mapping[Shape, Law], route: Route, report: Report) -> list[Stage]:
    """The stages, each switch and each blend rehearsed; what cannot be done is reported."""
    switches = Switches(program, report)
    ruler = Ruler(program, laws)
    stages: list[Stage] = []
    skipped: list[int] = []
    start = program.start if laws else None
    here = Point(None if program.trained is None else 0, 0.0, start if start is not None else _begun(laws, route))
    ledger = None
    for index, leg in enumerate(previewed(program, route)):
        before = stages[-1].shape if stages else None
        stretch = ruler.measure(leg, here, _credit(program, before, leg.shape))
        if stretch.steps == 0 or stretch.spent <= 0:
            skipped.append(index)
            continue
        if stretch.steps is not None and stretch.steps > MOST:
            _endless(program, stretch.steps, report)
            break
        try:
            switches.blendable(leg, index)
            transition, ledger = switches.arrive(before, leg.shape, ledger, index)
            stage = _stage(switches, stretch, transition, before, len(stages), laws)
            if ledger is not None:
                switches.rehearse(ledger, stage)
        except Illegal:
            break
        stages.append(stage)
        here = stage.leave
    for index in skipped if stages else ():
        _skipped(program, route.legs[index], index, report)
    return stages


def _stage(
    switches: Switches,
    stretch: Stretch,
    transition: Transition | None,
    before: Shape | None,
    index: int,
    laws: Mapping[Shape, Law],
) -> Stage:
    program, leg = switches.program, stretch.leg
    trained = program.trained
    stage = Stage(
        shape=leg.shape,
        arrives_by=_arrival(program, before, leg.shape),
        transition=transition,
        steps=stretch.steps,
        batch=trained.facts.batch if trained else None,
        step_compute=trained.cost(leg.shape) if trained else None,
        sizes=trained.model.sizes(trained.whole(leg.shape)) if trained else {},
        reading=switches.reading(leg.shape) if trained else (),
        blends=_blends(switches, leg, stretch.steps) if trained else (),
        enter=stretch.enter,
        leave=stretch.enter,
    )
    compute = stretch.spent if stretch.steps is None else stage.compute_of(program.seed, index, stretch.steps)
    return attrs.evolve(stage, leave=leave(stretch, laws.get(leg.shape), compute))


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
    return " + ".join(name_of(program.axis(name).transition) for name in in_order(before.changed(after)))


def _credit(program: Program, before: Shape | None, after: Shape) -> float:
    if before is None:
        return 1.0
    credits: list[float] = [program.axis(name).transition.credit for name in before.changed(after)]
    return math.prod(credits)


def _begun(laws: Mapping[Shape, Law], route: Route) -> float | None:
    """The error by which the data of every candidate's fit has begun; of the first law alone where some are stated."""
    measured = [law.measured for law in laws.values()]
    known = [pair[0] for pair in measured if pair is not None]
    return min(known) if known else None


def _skipped(program: Program, leg: Leg, index: int, report: Report) -> None:
    report.warning(
        "empty-stage",
        f"the stage in {leg.shape.written(program.units)} has no step",
        leg_span(program, index),
        "too short for a single step",
        help="make it longer, or leave it out",
    )


def _endless(program: Program, steps: int, report: Report) -> None:
    report.error(
        "too-many-steps",
        f"a stage of the plan has {steps:.3g} steps",
        program.spans.get("budget", program.spans.get("stop")),
        f"more than {MOST:,} steps is no run",
        help="lower the budget: this model and batch take few FLOPs a step",
    )


def _every(amount: Amount | None, default: float, program: Program, totals: Totals) -> int | None:
    """Steps between two evaluations or checkpoints."""
    if totals.steps is None or program.trained is None:
        return None
    if amount is None:
        amount = Amount(default, "ratio")
    if amount.dimension == "ratio":
        return max(1, round(amount.value * totals.steps))
    steps = program.trained.steps(amount)
    if steps is None:
        assert totals.compute is not None
        steps = amount.value / totals.compute * totals.steps
    return max(1, round(steps))
