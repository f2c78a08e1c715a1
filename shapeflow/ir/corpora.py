"""The weights of the corpora of a mixture, where they change during a run."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from shapeflow.base.diagnostics import Span
from shapeflow.base.units import Amount


@attrs.frozen
class Weights:
    """The share of each corpus in the tokens of the steps from one step on."""

    first: int
    """Number of steps before them."""
    shares: tuple[float, ...]
    """In the order of the corpora; divided by their sum when they are used."""


@attrs.frozen
class LaterWeights:
    """A `weights` sentence. `start`: from the start of the run; a ratio is one of the budget."""

    shares: tuple[float, ...]
    start: Amount
    span: Span
    """Location of the sentence."""


def normal(shares: Sequence[float]) -> tuple[float, ...]:
    """Shares divided by their sum."""
    total = sum(shares)
    return tuple(share / total for share in shares)
