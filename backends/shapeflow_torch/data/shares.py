"""How the steps of a run are split among the corpora of a mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from shapeflow.ir.corpora import Weights, normal
from shapeflow_torch.data.order import Piece, Position


@attrs.define
class Shares:
    """Where a run stands in several corpora. Splits each step so that the tokens of every corpus, over all steps so
    far, are its share of all tokens up to one window. If the weights change, this is the sum of its shares before and
    after the change."""

    weights: Sequence[Weights]
    """The shares of the corpora, in order of their first steps, from step 0 on; the sum of each is 1."""
    positions: list[Position]
    tokens: list[int]
    """Tokens that have been read of each corpus."""
    due: list[float]
    """Tokens of each corpus in the steps before the current weights, as the earlier weights want them."""
    since: int = 0
    """Tokens that have been read with the current weights."""
    steps: int = 0
    """Steps that have been read."""
    index: int = 0
    """Number of the current weights."""

    @classmethod
    def start(cls, weights: Sequence[Weights], positions: Sequence[Position]) -> Shares:
        shares = [Weights(one.first, normal(one.shares)) for one in weights]
        return cls(shares, list(positions), [0] * len(positions), [0.0] * len(positions))

    def copy(self) -> Shares:
        positions = [position.copy() for position in self.positions]
        return attrs.evolve(self, positions=positions, tokens=list(self.tokens), due=list(self.due))

    def take(self, context: int, windows: int) -> list[list[Piece]]:
        """Read the next windows, and return what is read of each corpus."""
        counts = self._split(context, windows)
        return [one.take(context, count) for one, count in zip(self.positions, counts, strict=True)]

    def pass_by(self, context: int, windows: int, steps: int) -> None:
        """Read the windows of a number of equal steps."""
        totals = [0] * len(self.positions)
        for _ in range(steps):
            totals = [total + count for total, count in zip(totals, self._split(context, windows), strict=True)]
        for one, count in zip(self.positions, totals, strict=True):
            one.take(context, count)

    def _split(self, context: int, windows: int) -> list[int]:
        """Split the windows of a step. Each corpus gets the whole windows that it lacks, and those with the largest
        rest get one more."""
        self._change()
        self.steps, self.since = self.steps + 1, self.since + context * windows
        lacks = [(due - own) / context for due, own in zip(self._due(), self.tokens, strict=True)]
        # After longer windows a corpus may have more than its share. The others then lack more than there is.
        counts = [max(0, math.floor(lack + 1e-9)) for lack in lacks]
        while sum(counts) > windows:
            counts[counts.index(max(counts))] -= 1
        order = sorted(range(len(lacks)), key=lambda one: counts[one] - lacks[one])
        for one in order[: windows - sum(counts)]:
            counts[one] += 1
        self.tokens = [own + context * count for own, count in zip(self.tokens, counts, strict=True)]
        return counts

    def _change(self) -> None:
        """Go on to the next weights, if this step is their first."""
        if self.index + 1 < len(self.weights) and self.weights[self.index + 1].first == self.steps:
            self.due, self.since, self.index = self._due(), 0, self.index + 1

    def _due(self) -> list[float]:
        """Tokens of each corpus in all steps so far."""
        shares = self.weights[self.index].shares
        return [due + share * self.since for due, share in zip(self.due, shares, strict=True)]
