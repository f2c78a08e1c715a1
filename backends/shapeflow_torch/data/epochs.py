"""Where the windows of each step begin in a text that is read without replacement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from shapeflow_torch.data.order import Group, Layout, Piece
from shapeflow_torch.data.permutation import ROUNDS, permuted
from shapeflow_torch.data.random import BLOCKS, TURNS, generator

Starts = npt.NDArray[np.int64]

_KEY, _OFFSET = range(2)
"""Streams of random numbers within an epoch."""


@attrs.define(eq=False)
class _Dealt:
    """A group as one context reads it."""

    group: Group
    begins: Starts
    """The first token of each block."""
    turns: Starts
    """The first window that is read in each block. The others follow in turn."""
    number: int = -1
    """Number of the round that `starts` contains; -1: none."""
    starts: Starts = attrs.field(factory=lambda: np.zeros(0, np.int64))


@attrs.define(eq=False)
class Epochs:
    """Deals the windows of a run. They are a function of the seed, and of the context and the pieces of a step.

    A group is read in rounds: each takes one window of every block, in an order of its own."""

    layout: Layout
    _kept: dict[int, tuple[int, _Dealt]] = attrs.field(factory=dict)
    """Context -> seed, and the last group that was read at it."""

    def starts(self, seed: int, context: int, pieces: Sequence[Piece]) -> Starts:
        """Return the first token of each window of some pieces."""
        parts = [part for piece in pieces for part in self._parts(seed, piece, context)]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def _parts(self, seed: int, piece: Piece, context: int) -> Iterator[Starts]:
        """Yield the first tokens of a piece's windows, round by round."""
        if context not in self._kept or self._kept[context][0] != seed or self._kept[context][1].group != piece.group:
            self._kept[context] = seed, self._dealt(seed, piece.group, context)
        dealt = self._kept[context][1]
        size = len(dealt.begins)
        for number in range(piece.first // size, -(-piece.last // size)):
            if dealt.number != number:
                _deal(seed, dealt, context, number)
            yield dealt.starts[max(piece.first - number * size, 0) : piece.last - number * size]

    def _dealt(self, seed: int, group: Group, context: int) -> _Dealt:
        layout, block = self.layout, group.block
        first, last = layout.bounds(group)
        key = generator(seed, BLOCKS, group.epoch, _KEY).integers(0, 2**64, ROUNDS, dtype=np.uint64)
        offset = int(generator(seed, BLOCKS, group.epoch, _OFFSET).integers(0, layout.offsets(block)))
        blocks = permuted(np.arange(first, last, dtype=np.int64), layout.blocks(block), key)
        turns = generator(seed, TURNS, group.epoch, group.number << 32).integers(0, block // context, last - first)
        return _Dealt(group, offset + block * blocks, turns)


def _deal(seed: int, dealt: _Dealt, context: int, number: int) -> None:
    """Deal another round of a group: first one half of its blocks, then the other. So there are always windows of half
    of the blocks between two windows of the same block."""
    group, half = dealt.group, len(dealt.begins) // 2
    starts = dealt.begins + context * ((dealt.turns + number) % (group.block // context))
    numbers = generator(seed, TURNS, group.epoch, (group.number << 32) + 1 + number)
    dealt.starts = np.concatenate([numbers.permutation(starts[:half]), numbers.permutation(starts[half:])])
    dealt.number = number
