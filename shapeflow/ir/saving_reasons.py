"""The reasons in a plan's laws why no saving is quoted. Needs only the plan."""

from __future__ import annotations

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.plan import Plan


def rested_on(plan: Plan) -> dict[Shape, Law]:
    """The laws that a saving depends on: those of the stages and of both fixed shapes, in the candidates' order."""
    used = {stage.shape for stage in plan.stages}
    used |= {one for one in (plan.comparison.best_fixed.shape, plan.comparison.last_shape_fixed.shape) if one}
    return {each.shape: each.law for each in plan.candidates if each.shape in used and each.law is not None}


def unsupported(plan: Plan) -> dict[Shape, tuple[str, ...]]:
    """The laws among `rested_on` that are not reliable beyond the measured range: the reasons of each, by shape."""
    verdicts = {shape: law.provenance.verdict for shape, law in rested_on(plan).items()}
    return {shape: verdict for shape, verdict in verdicts.items() if verdict}


def in_short(plan: Plan) -> tuple[str, ...]:
    """The plan's reasons, shortened for a screen that shows the reasons against each law separately: names only the
    laws."""
    reasons = () if plan.uncertainty is None else plan.uncertainty.reasons
    laws = unsupported(plan) if reasons else {}
    if not laws:
        return reasons
    names = [shape.written(plan.units) for shape in laws]
    which = f"law of {names[0]} is" if len(names) == 1 else f"laws of {', '.join(names)} are"
    # Reasons against laws come first, each once, even if it applies to several laws.
    own = reasons[len({reason for verdict in laws.values() for reason in verdict}) :]
    return (f"the {which} not reliable beyond the measured range", *own)
