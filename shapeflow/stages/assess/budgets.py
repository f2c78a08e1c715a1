"""The savings of a plan at smaller budgets than its own, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import SavedAt
from shapeflow.ir.plan import Plan, Point
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.stages.assess.answer import interval
from shapeflow.stages.assess.drawn import question_of
from shapeflow.stages.assess.walked import Lines, Piece, needs, savings, walk

PLACES = 24
"""Budgets at which savings are drawn."""
FIRST = 0.02
"""The smallest of them, as a share of the plan's."""


def over_budgets(program: Program, laws: Mapping[Shape, AnyLaw], plan: Plan) -> tuple[SavedAt, ...]:
    """The savings over the budgets up to that of the plan. Empty for a plan whose error has no interval, and for laws
    that were not all fitted to runs."""
    tested = plan.uncertainty is not None and plan.uncertainty.band
    if not tested or plan.answer is None or plan.answer.doubts or plan.answer.unit not in ("compute", "seconds"):
        return ()
    if any(law.provenance.curve is None for law in laws.values()):
        return ()
    question = question_of(program, laws, plan)
    lines = {shape: Lines.of(draws) for shape, draws in question.posterior.curves.items()}
    found, last = list[SavedAt](), plan.stages[-1].shape
    for share in np.geomspace(FIRST, 1.0, PLACES).tolist():
        budget = share * question.budget
        pieces = _until(plan, question.pieces, budget)
        walked = walk(lines, pieces, question.credits[: len(pieces) - 1])
        need = {**needs(lines, walked.log_error), pieces[-1].shape: np.exp(walked.places[-1])}
        least = np.array(list(need.values())).min(0)
        found.append(SavedAt(budget, interval(savings(budget, least)), interval(savings(budget, need[last]))))
    return tuple(found)


def _until(plan: Plan, pieces: tuple[Piece, ...], budget: float) -> list[Piece]:
    """The pieces of a plan that ends at a budget."""
    found = list[Piece]()
    for stage, piece in zip(plan.stages, pieces, strict=True):
        begin, end = _place(plan, stage.enter), _place(plan, stage.leave)
        if plan.in_seconds and stage.transition is not None:
            begin += stage.transition.delay or 0.0
        if found and budget <= begin:
            break
        part = 1.0 if end <= begin else min(1.0, max(0.0, (budget - begin) / (end - begin)))
        found.append(attrs.evolve(piece, length=max(part, 1e-9) * piece.length))
    return found


def _place(plan: Plan, at: Point) -> float:
    return (at.seconds if plan.in_seconds else at.compute) or 0.0
