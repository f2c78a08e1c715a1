"""The schedule of a plan: whether it can be followed, and what the laws do not say of it."""

from __future__ import annotations

from collections.abc import Mapping

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import written
from shapeflow.base.shapes import Shape
from shapeflow.ir.decay import Decay
from shapeflow.ir.law import Law
from shapeflow.ir.program import Program


def schedule(program: Program, laws: Mapping[Shape, Law], steps: int | None, report: Report) -> Decay | None:
    """How the learning rate falls over a plan of `steps` steps; None where it stays constant.

    Reports `out-of-range` where the warm-up leaves no step, and warns with `decay-not-predicted` where there are
    laws."""
    decay = program.decay
    if decay is None or steps is None:
        return None
    at = program.spans["schedule"]
    warmup = 0 if program.trained is None else int(written(program.trained.optimizer).get("warmup", 0))
    if warmup >= steps:
        message, why = "the schedule has no step", f"the warm-up takes {warmup} steps, and the plan has {steps}"
        report.error("out-of-range", message, at, why, help="shorten the warm-up, or write `schedule constant`")
    elif laws:
        falls = any(law.provenance.learning_rate == "falling" for law in laws.values())
        notes = ("some laws are fitted to runs with a falling learning rate: they hold for those runs only",)
        report.warning(
            "decay-not-predicted",
            "the predictions of this plan do not include its schedule",
            at,
            "the laws are for a constant learning rate",
            notes=notes if falls else (),
            help="measure what the schedule changes: `shapeflow run`",
        )
    return decay
