"""A fixed plan under resampled laws: each resample enters a stage at the error that it had at the end of the previous
stage.

The stages' steps are fixed; the laws vary. The rules are those of the forecast (`forecast` in `shapeflow/ir/plan.py`,
and `entered` in `shapeflow/stages/lower/lengths.py` for the credit of a switch), over all resamples at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Plan
from shapeflow.ir.program import Program
from shapeflow.stages.assess.sample import Floats, Sample

HAIR = 1e-9
"""The relative rounding error allowed in a stage's compute."""


@attrs.frozen(eq=False)
class Leg:
    """One stage in every resample."""

    law: Sample
    begun: Floats
    """FLOPs on the law at which each resample enters the stage; infinite if it enters at or below the law's floor."""
    own: float
    """FLOPs of the stage on its law: a blended step counts as a step in the stage's own shape."""
    begin: float
    """FLOPs of the plan at the start of the stage, with blended steps at their own cost."""
    end: float

    def error(self, compute: Floats) -> Floats:
        """(points, resamples): the errors at given FLOPs of the plan, within the stage."""
        spent = (compute - self.begin) * (self.own / (self.end - self.begin))
        return self.law.error(self.begun + spent[:, None])

    @property
    def last(self) -> Floats:
        """(resamples,): the errors at the end of the stage."""
        return self.law.error(self.begun + self.own)


def walk(program: Program, plan: Plan, samples: Mapping[Shape, Sample]) -> list[Leg]:
    """The plan's stages in every resample."""
    legs: list[Leg] = []
    for number, stage in enumerate(plan.stages):
        law, begin = samples[stage.shape], stage.enter.compute or 0.0
        end = stage.leave.compute or 0.0
        own = end - begin if stage.steps is None else stage.steps * stage.cost
        credit = 1.0 if number == 0 else program.credit(plan.stages[number - 1].shape, stage.shape)
        begun = np.zeros_like(law.a) if number == 0 else _entered(law, legs[-1].last, credit)
        legs.append(Leg(law, begun, own, begin, end))
    return legs


def _entered(law: Sample, error: Floats, credit: float) -> Floats:
    """The position on its law at which a stage is entered, in FLOPs: `credit` times the law's compute at the error."""
    place = np.where(np.isfinite(error), np.maximum(law.compute(error), 0.0), 0.0)
    if credit == 1.0:
        return place
    with np.errstate(invalid="ignore"):
        kept = credit * place
    # Inside the law's warm-up the law is undefined, so the stage is entered as from compute 0.
    return np.where(np.isfinite(place), np.where(kept + law.d > 0, kept, 0.0), place)


def reach(legs: Sequence[Leg], target: float) -> Floats:
    """The FLOPs of the plan at which each resample first reaches the target, with the last stage shortened or extended;
    infinite if it never does."""
    found = np.full_like(legs[0].begun, np.inf)
    for leg in legs:
        with np.errstate(invalid="ignore"):
            need = np.maximum(leg.law.compute(target) - leg.begun, 0.0)
            there = np.isfinite(need) & ((need <= leg.own * (1 + HAIR)) | (leg is legs[-1]))
            at = leg.begin + need * ((leg.end - leg.begin) / leg.own)
        found = np.where(np.isinf(found) & there, at, found)
    return found


def grid(plan: Plan, count: int) -> list[Floats]:
    """For each stage, points in FLOPs: both ends of the stage, and those of `count` points that are between them. The
    points are evenly spaced in log compute, from the compute at which the first law passes the start error to the end
    of the plan."""
    law, start, total = plan.law(plan.stages[0].shape), plan.stages[0].enter.error, plan.totals.compute or 0.0
    first = 0.0 if law is None or start is None else law.compute(start)
    first = min(max(first, 1e-4 * total), 0.5 * (plan.stages[0].leave.compute or 0.0))
    every = np.geomspace(first, total, count)
    found = []
    for stage in plan.stages:
        begin, end = max(stage.enter.compute or 0.0, first), stage.leave.compute or 0.0
        found.append(np.array([begin, *every[(every > begin) & (every < end)], end]))
    return found
