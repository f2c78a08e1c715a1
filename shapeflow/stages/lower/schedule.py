"""The schedule of a plan: checks that it fits the plan, and warns that laws do not predict its effect."""

from __future__ import annotations

from collections.abc import Mapping

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.decay import Decay
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw


def of_laws(laws: Mapping[Shape, AnyLaw]) -> str:
    """Why laws do not predict a run with a schedule, in words. Published laws may describe runs with a falling rate."""
    if any(law.provenance.learning_rate == "annealed" for law in laws.values()):
        return "laws of the ends of runs include the schedules of those runs, and not that of this plan"
    if any(law.provenance.learning_rate == "falling" for law in laws.values()):
        return "laws of runs with a falling learning rate predict only the ends of such runs"
    return "the laws describe runs at a constant learning rate"


def schedule(program: Program, laws: Mapping[Shape, AnyLaw], steps: int | None, report: Report) -> Decay | None:
    """The decay of the learning rate over a plan of `steps` steps; None if it stays constant.

    Reports `out-of-range` if the warm-up takes all steps, otherwise warns with `decay-not-predicted` if the plan has
    laws."""
    decay = program.decay
    if decay is None or steps is None:
        return None
    at = program.spans["schedule"]
    warmup = 0 if program.trained is None else program.trained.optimizer.warmup
    if warmup >= steps:
        message, why = (
            "the warm-up leaves no steps for the schedule",
            f"the warm-up takes {warmup} steps, the plan has {steps}",
        )
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
