"""How the steps of a run are split among the corpora of a mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from shapeflow_torch.data.order import Piece, Position


@attrs.define
class Shares:
    """Where a run stands in several corpora. Splits each step so that the tokens of every corpus, over all steps so
    far, are its share of all tokens up to one window."""

    weights: Sequence[float]
    """The share of each corpus; their sum is 1."""
    positions: list[Position]
    tokens: list[int]
    """Tokens that have been read of each corpus."""

    @classmethod
    def start(cls, weights: Sequence[float], positions: Sequence[Position]) -> Shares:
        return cls([weight / sum(weights) for weight in weights], list(positions), [0] * len(positions))

    def copy(self) -> Shares:
        return Shares(self.weights, [position.copy() for position in self.positions], list(self.tokens))

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
        total = sum(self.tokens) + context * windows
        lacks = [(weight * total - own) / context for weight, own in zip(self.weights, self.tokens, strict=True)]
        # After longer windows a corpus may have more than its share. The others then lack more than there is.
        counts = [max(0, math.floor(lack + 1e-9)) for lack in lacks]
        while sum(counts) > windows:
            counts[counts.index(max(counts))] -= 1
        order = sorted(range(len(lacks)), key=lambda one: counts[one] - lacks[one])
        for one in order[: windows - sum(counts)]:
            counts[one] += 1
        self.tokens = [own + context * count for own, count in zip(self.tokens, counts, strict=True)]
        return counts
