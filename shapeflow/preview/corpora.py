"""Describes the weights of the corpora of a mixture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shapeflow.data.mixture import names_of
from shapeflow.ir.contexts import MIXTURE, corpora_of, weights_of
from shapeflow.ir.plan import Plan
from shapeflow.preview.numbers import count, flops


def corpora_line(plan: Plan) -> Iterator[str]:
    """Yield a line with the share of each corpus, and where the shares change. Nothing for other data."""
    if plan.data is None or plan.data.name != MIXTURE:
        return
    later = "; evaluated there, on held-out text with the first shares" if plan.weights else ""
    yield f"corpora: {'; '.join([_shares(plan, weights_of(plan)[0].shares), *changes(plan)])}{later}"


def changes(plan: Plan) -> Iterator[str]:
    """Yield where the shares change, and the new ones."""
    for one in weights_of(plan)[1:] if plan.weights else ():
        yield f"from step {count(one.first)} ({flops(plan.compute_at(one.first))}) {_shares(plan, one.shares)}"


def _shares(plan: Plan, shares: Sequence[float]) -> str:
    named = zip(names_of(corpora_of(plan)), shares, strict=True)
    return ", ".join(f"{name} {100 * share:.3g}%" for name, share in named)
