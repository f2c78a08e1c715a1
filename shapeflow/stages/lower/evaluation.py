"""How often a plan evaluates, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shapeflow.ir.evaluation import AFFORDABLE, evaluation_compute, longest_context, predicted
from shapeflow.ir.plan import Stage
from shapeflow.ir.program import Program
from shapeflow.stages.lower.lengths import interval

EVALUATE = 0.02
"""The default interval between evaluations, as a share of a plan's steps."""
LEAST = 20
"""Number of evaluations of a plan that states no interval, however much they cost: fits need points."""


def evaluations(program: Program, stages: Sequence[Stage]) -> int | None:
    """Steps between two evaluations; None without a model. An interval that the file does not state is long enough for
    evaluations to take at most `AFFORDABLE` of the compute of the steps, if `LEAST` of them take no more."""
    every = interval(program.evaluate, EVALUATE, program, stages)
    if every is None or program.evaluate is not None:
        return every
    longest = max(every, stages[-1].last_step // LEAST)
    while every < longest and (share := evaluation_share(program, stages, every) or 0.0) > AFFORDABLE:
        every = min(longest, max(every + 1, math.ceil(every * share / AFFORDABLE)))
    return every


def evaluation_share(program: Program, stages: Sequence[Stage], every: int | None) -> float | None:
    """The compute of all evaluations over that of all steps; None if it is not known."""
    total = stages[-1].leave.compute
    if every is None or program.trained is None or not total:
        return None
    spent = 0.0
    for stage in stages:
        one = evaluation_compute(program, stage.shape)
        if one is None:
            return None
        last = stage.last_step
        spent += one * (last // every - stage.first_step // every + (last % every != 0))
    return spent / total


def costly(program: Program, stages: Sequence[Stage], every: int | None) -> str | None:
    """A note on evaluations that take more than `AFFORDABLE` of the compute; None if they do not."""
    share = evaluation_share(program, stages, every)
    if share is None or share <= AFFORDABLE or program.trained is None:
        return None
    adds = f"evaluation adds {_percent(share)} to the compute of the steps, and the budget does not include it"
    if program.trained.facts.kind == "images":
        return f"{adds}: evaluate less often, or `on` fewer images"
    fewer = 2 ** math.floor(math.log2(predicted(program, program.trained) * AFFORDABLE / share))
    # A run refuses fewer tokens than one window of the longest context, of each corpus.
    least_share = min(corpus.share for corpus in program.trained.facts.corpora)
    least = max(1, longest_context(program, program.trained)) / least_share
    return f"{adds}: evaluate less often" + (f", or `on {fewer:_} tokens`" if fewer >= least else "")


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 1 else f"{100 * share:.0f}%"
