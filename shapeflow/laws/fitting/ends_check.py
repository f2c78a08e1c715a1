"""Whether runs have enough ends for laws over ends, and what the ends are of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Provenance
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fitting.ends import BUDGETS, SHARED, budgets, freedom
from shapeflow.laws.fitting.evidence import Evidence
from shapeflow.laws.fitting.solver import FitOptions
from shapeflow.laws.logs.runs import Run

SHOWN = 8
CLOSE, UNLIKE = 0.05, 0.1
"""Budgets closer than this, in log compute, are one; peak learning rates further apart, in their logarithm, are two."""


def annealed(about: Provenance, runs: Sequence[Run]) -> Provenance:
    """Return the provenance of a law over ends. Runs that are known to have kept their learning rate end on the curve
    of a constant rate; all others finished their schedule, as the setting `points: ends` states."""
    constant = all(run.learning_rate == "constant" and math.isinf(run.until) for run in runs)
    return attrs.evolve(about, learning_rate="constant" if constant else "annealed", curve=None)


def check_ends(
    found: Mapping[Shape, Evidence], options: FitOptions, joint: bool, request: LawRequest, report: Report
) -> None:
    """Report too few ends (`few-ends`), and constant rates among others, or several peaks (`mixed-laws`)."""
    _alike(found, request, report)
    _one_peak(found, request, report)
    if joint:
        return
    kind = options.kind(len(found))
    least = BUDGETS if kind == "own" else SHARED
    counts = {shape: budgets(one.points) for shape, one in found.items()}
    few = [
        f"{shape.written(request.units)}: {count} budget{'s' * (count != 1)} in {len(found[shape].runs)} run"
        f"{'s' * (len(found[shape].runs) != 1)}"
        for shape, count in counts.items()
        if count < least
    ]
    shared = kind == "pooled" and max(counts.values(), default=0) < BUDGETS
    if not few and not shared and freedom([one.points for one in found.values()], kind) >= 1:
        return
    needs = f"each shape needs ends at {least} budgets or more"
    if kind == "pooled":
        needs += f", and one of them at {BUDGETS}, to share an exponent"
    more, apart = "add runs of other lengths", None
    if any(len(one.runs) == 1 for one in found.values()):
        text = "if each row is the end of its own run, name a column that differs between them with `{}`"
        apart = request.advice(more, ("run", text))
    elif kind == "own" and max(counts.values()) >= BUDGETS:
        apart = f"{more}, or share the exponent: `exponent: pooled`"
    at = request.spans.get("points")
    report.error("few-ends", "too few ends to fit a law", at, needs, notes=few[:SHOWN], help=apart or more)


def _alike(found: Mapping[Shape, Evidence], request: LawRequest, report: Report) -> None:
    """Report runs that ended at a constant learning rate among runs that finished a schedule (`mixed-laws`)."""
    rates: dict[str, str] = {}
    for one in found.values():
        for run in one.runs:
            cooled = not math.isinf(run.until)
            if (rate := "falling" if cooled else run.learning_rate) is not None:
                rates.setdefault(rate, run.file)
    if len(rates) > 1:
        report.error(
            "mixed-laws",
            "some runs end at a constant learning rate, and others after it fell",
            request.spans.get("points"),
            "their ends are not on one curve",
            notes=[f"`{file}`: {rate}" for rate, file in rates.items()],
            help="name the runs of one kind only",
        )


def _one_peak(found: Mapping[Shape, Evidence], request: LawRequest, report: Report) -> None:
    """Report runs of one shape and budget whose learning rates peaked at different values (`mixed-laws`). Peaks that
    depend on the budget alone may be a recipe."""
    for shape, one in found.items():
        ended = [(math.log(run.end.compute), max(run.rates.values()), run) for run in one.runs if run.end and run.rates]
        ended.sort(key=lambda end: end[0])
        for (low, peak, run), (high, other, then) in pairwise(ended):
            if high - low <= CLOSE and min(peak, other) > 0 and abs(math.log(peak / other)) > UNLIKE:
                report.error(
                    "mixed-laws",
                    f"runs of {shape.written(request.units)} have several peak learning rates at one budget",
                    request.at("where", "paths"),
                    "their ends would be fitted by one law",
                    notes=[f"{each.called}: {value:g}" for value, each in ((peak, run), (other, then))],
                    help="name the runs of one learning rate only",
                )
                return
