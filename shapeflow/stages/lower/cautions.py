"""Notes on the forecast of a plan, of errors and of time, in addition to those of the traversal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount, duration
from shapeflow.ir.parameters import ANY
from shapeflow.ir.plan import Stage
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.ir.timing import Timing
from shapeflow.stages.lower.cooled import cooled
from shapeflow.stages.lower.credited import credit_notes
from shapeflow.stages.lower.evaluation import costly
from shapeflow.stages.lower.schedule import of_laws

SHOWN = 5
"""Shapes that a note lists."""


def cautions(
    program: Program, laws: Mapping[Shape, AnyLaw], stages: Sequence[Stage], evaluate: int | None, save: int | None
) -> Iterator[str]:
    """Yield the notes: whole sentences, lower case, no full stop. `evaluate`, `save`: steps between two evaluations and
    two checkpoints."""
    yield from _time(program, stages, evaluate, save)
    costs = costly(program, stages, evaluate)
    if costs is not None:
        yield costs
    if not laws:
        if program.credits_path is not None:
            yield f"without laws there is no forecast, and the credits of `{program.credits_path}` affect no stage"
        return
    if len(stages) > 1 and any(law.provenance.learning_rate == "annealed" for law in laws.values()):
        yield "the laws are of the ends of runs: the error at a switch before the end is not predicted by them"
    if program.cooldown is not None:
        yield "the laws describe runs at a constant learning rate: the expected errors do not include the cooldown"
        yield cooled(program, laws, stages)
    if program.weights:
        yield "the laws describe runs with constant weights of the corpora: no expected error includes their change"
    if program.decay is not None:
        yield f"{of_laws(laws)}: the expected errors do not include the schedule"
    yield from credit_notes(program, [stage.shape for stage in stages])
    if any(stage.law is not None for stage in stages):
        # The answer says how far the law of a mixture is used beyond its pilots.
        return
    yield from _extrapolated(program, laws, stages)
    if any(stage.blends for stage in stages):
        yield "a blended step costs what its shape costs, and is assumed to learn as much as one in the stage's shape"
    for axis in program.axes if program.metric.own else ():
        compared = len({shape[axis.name] for shape in program.candidates}) > 1
        if compared and axis.kind.caution and axis.kind.data in (ANY, program.metric.data):
            yield axis.kind.caution


def _time(program: Program, stages: Sequence[Stage], evaluate: int | None, save: int | None) -> Iterator[str]:
    """A note on what predicted seconds hold for."""
    timing = program.timing
    if timing is None or evaluate is None:
        return
    yield from _interpolated(program, timing)
    if timing.origin == "stated":
        yield (
            f"the seconds of steps are stated in `{program.profile_path}`, not measured, and count training steps "
            "only. A run makes the planned steps, however long they take"
        )
        return
    more = sum(max(1, (stage.steps or 0) // evaluate) * timing.evaluations.get(stage.shape, 0.0) for stage in stages)
    delays = [stage.transition.delay for stage in stages if stage.transition is not None and stage.transition.delay]
    what = f"training steps and switches ({duration(sum(delays), 2)})" if delays else "training steps only"
    adds = f"evaluation adds about {duration(more, 2)}"
    if timing.checkpoint is not None and save is not None:
        saves = -(-stages[-1].last_step // save)
        adds += f", checkpoints up to {duration(saves * timing.checkpoint, 2)}"
    yield (
        f"time is predicted by `{program.profile_path}` (measured on {timing.machine}) and counts {what}; {adds}. "
        "A run makes the planned steps, however long they take"
    )
    for before, after in itertools.pairwise(stage.shape for stage in stages):
        if before != after and timing.switches and (before, after) not in timing.switches:
            switch = f"{before.written(program.units)} > {after.written(program.units)}"
            taken = duration(timing.switch(before, after), 2)
            yield f"the switch {switch} was not timed: it counts as long as the longest that was, {taken}"


def _interpolated(program: Program, timing: Timing) -> Iterator[str]:
    """A note on candidates whose seconds are those of a line."""
    assert program.trained is not None
    if timing.line is None:
        return
    shapes = [shape for shape in program.candidates if shape in timing.interpolated]
    costs = [program.trained.cost(shape) for shape in program.candidates if shape not in timing.interpolated]
    beyond = [shape for shape in shapes if not min(costs) <= program.trained.cost(shape) <= max(costs)]
    names = ", ".join(shape.written(program.units) for shape in shapes[:SHOWN])
    more = f" and {len(shapes) - SHOWN} more" if len(shapes) > SHOWN else ""
    yield (
        f"the seconds of {names}{more} are interpolated over FLOPs"
        + (f", {len(beyond)} of them beyond what is known" if beyond else "")
        + f": the others, each predicted without itself, are off by up to {Amount(round(timing.line.off, 2), 'ratio')}"
    )


def refused(law: AnyLaw) -> bool:
    """Whether a law does not describe the state of a run."""
    return bool(law.provenance.verdict)


def beyond_refused(laws: Mapping[Shape, AnyLaw], stages: Sequence[Stage]) -> bool:
    """Whether a stage ends below the lowest measured error of its shape by a refused law."""
    for stage in stages:
        law, error = laws.get(stage.shape), stage.leave.error
        below = law is not None and law.measured is not None and error is not None and error < law.measured[1]
        if below and law is not None and refused(law):
            return True
    return False


def _extrapolated(program: Program, laws: Mapping[Shape, AnyLaw], stages: Sequence[Stage]) -> Iterator[str]:
    """Notes on stages that go below the lowest measured error of their shape."""
    for number, stage in enumerate(stages, 1):
        measured, error = laws[stage.shape].measured, stage.leave.error
        if measured is not None and error is not None and error < measured[1]:
            what = "the plan" if number == len(stages) else f"stage {number}"
            shape, law = stage.shape.written(program.units), laws[stage.shape]
            yield (
                f"{what} ends below error {measured[1]:.4g}, the lowest measured of {shape}: its law is refused, so "
                "nothing is known below"
                if refused(law)
                else f"{what} ends at error {error:.4g}, but {shape} was only measured down to {measured[1]:.4g}: "
                "below that its law is extrapolated"
            )
