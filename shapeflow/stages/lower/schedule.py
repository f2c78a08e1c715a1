"""The schedule of a plan: whether it can be followed, and what the laws do not say of it."""

from __future__ import annotations

from collections.abc import Mapping

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.decay import Decay
from shapeflow.ir.law import Law
from shapeflow.ir.program import Program


def of_laws(laws: Mapping[Shape, Law]) -> str:
    """Why laws do not predict a run with a schedule, in words. Published laws may be of runs with a falling rate."""
    if any(law.provenance.learning_rate == "falling" for law in laws.values()):
        return "laws of runs with a falling learning rate predict only the ends of such runs"
    return "the laws describe runs at a constant learning rate"


def schedule(program: Program, laws: Mapping[Shape, Law], steps: int | None, report: Report) -> Decay | None:
    """How the learning rate falls over a plan of `steps` steps; None where it stays constant.

    Reports `out-of-range` where the warm-up leaves no step, and warns with `decay-not-predicted` where there are
    laws."""
    decay = program.decay
    if decay is None or steps is None:
        return None
    at = program.spans["schedule"]
    warmup = 0 if program.trained is None else program.trained.optimizer.warmup
    if warmup >= steps:
        message, why = "the schedule has no step", f"the warm-up takes {warmup} steps, and the plan has {steps}"
        report.error("out-of-range", message, at, why, help="shorten the warm-up, or write `schedule constant`")
    elif laws:
        report.warning(
            "decay-not-predicted",
            "the predictions of this plan do not include its schedule",
            at,
            of_laws(laws),
            help="measure what the schedule changes: `shapeflow run`",
        )
    return decay
