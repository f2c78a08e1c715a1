"""What a reader of a plan must know of its forecast, beside what the traversal says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.plan import Stage
from shapeflow.ir.program import Program
from shapeflow.stages.lower.credited import credit_notes


def cautions(program: Program, laws: Mapping[Shape, Law], stages: Sequence[Stage]) -> Iterator[str]:
    """Whole sentences, lower case, no full stop."""
    if not laws:
        if program.credits_path is not None:
            yield f"without laws nothing is forecast, so what `{program.credits_path}` says of switches steers no stage"
        return
    if program.cooldown is not None:
        yield "the laws are of runs at a constant learning rate, so no expected error counts the cooldown"
    yield from credit_notes(program, [stage.shape for stage in stages])
    yield from _extrapolated(program, laws, stages)
    if any(stage.blends for stage in stages):
        yield "a blended step costs what its shape costs, and is predicted to teach like one in the stage's own shape"
    for axis, caution in program.metric.cautions.items():
        if len({shape.get(axis) for shape in program.candidates}) > 1:
            yield caution


def _extrapolated(program: Program, laws: Mapping[Shape, Law], stages: Sequence[Stage]) -> Iterator[str]:
    """Which stages go on where no run of their shape has been."""
    for number, stage in enumerate(stages, 1):
        measured, error = laws[stage.shape].measured, stage.leave.error
        if measured is not None and error is not None and error < measured[1]:
            what = "the plan" if number == len(stages) else f"stage {number}"
            yield (
                f"{what} ends at error {error:.4g}, and {stage.shape.written(program.units)} was measured down to "
                f"{measured[1]:.4g} only: from there on its law is extrapolated"
            )
