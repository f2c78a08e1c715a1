"""The order that one-way axes put on the candidates: minima over what a candidate can be reached from, and over what it
can reach."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.base.shapes import Shape
from shapeflow.traversals.envelope import Floats

ROOM = 16
"""The grid of the one-way axes has at most this many cells for each candidate. Beyond it, axes are left out of the
order: minima are then taken over more candidates than can be reached."""


@attrs.frozen(eq=False)
class Order:
    """Candidates on a grid: one direction for each one-way axis, and one for all values of the other axes."""

    size: tuple[int, ...]
    """Values of each one-way axis, then of the others together."""
    place: NDArray[np.intp]
    """Candidate -> its cell, in the flattened grid."""
    exact: bool
    """Whether no axis was left out."""

    @classmethod
    def of(cls, shapes: Sequence[Shape], one_way: Collection[str]) -> Order:
        """The order of some candidates. `one_way`: axes on which a switch can only raise a number."""
        names = [name for name in shapes[0] if name in one_way]
        names = [name for name in names if all(isinstance(shape[name], int) for shape in shapes)]
        exact = True
        while True:
            ranks = [_ranks([shape[name] for shape in shapes]) for name in names]
            rest = _ranks([tuple(v for n, v in shape.items_ if n not in names) for shape in shapes])
            size = tuple(int(rank.max()) + 1 for rank in (*ranks, rest))
            if not names or math.prod(size) <= ROOM * len(shapes):
                return cls(size, np.ravel_multi_index((*ranks, rest), size), exact)
            names, exact = names[:-1], False

    def only(self, kept: NDArray[np.intp]) -> Order:
        """The order of some of the candidates."""
        ranks = [np.unique(at, return_inverse=True)[1] for at in np.unravel_index(self.place[kept], self.size)]
        size = tuple(int(rank.max()) + 1 for rank in ranks)
        return Order(size, np.ravel_multi_index(ranks, size), self.exact)

    def below(self, values: Floats, *, strictly: bool = False) -> Floats:
        """The least value of all candidates that can become each candidate; `strictly`: without itself."""
        return self._least(values, strictly, False)

    def above(self, values: Floats, *, strictly: bool = False) -> Floats:
        """The least value of all candidates that each candidate can become; `strictly`: without itself."""
        return self._least(values, strictly, True)

    def _least(self, values: Floats, strictly: bool, turned: bool) -> Floats:
        flat = np.full(math.prod(self.size), np.inf)
        flat[self.place] = values
        grid = flat.reshape(self.size)
        axes = range(grid.ndim - 1)
        grid = np.flip(grid, tuple(axes)) if turned else grid
        others = _others(grid) if strictly else grid.min(axis=-1, keepdims=True)
        least = grid.min(axis=-1, keepdims=True)
        for axis in axes:
            least = np.minimum.accumulate(least, axis=axis)
        found = np.broadcast_to(others if strictly else least, self.size).copy()
        for axis in axes if strictly else ():
            after, before = [slice(None)] * grid.ndim, [slice(None)] * grid.ndim
            after[axis], before[axis] = slice(1, None), slice(None, -1)
            found[tuple(after)] = np.minimum(found[tuple(after)], least[tuple(before)])
        found = np.flip(found, tuple(axes)) if turned else found
        taken: Floats = found.reshape(-1)[self.place]
        return taken


def _ranks(values: Sequence[object]) -> NDArray[np.intp]:
    numbers = {value: rank for rank, value in enumerate(sorted(set(values), key=_key))}
    return np.array([numbers[value] for value in values], dtype=np.intp)


def _key(value: object) -> tuple[bool, object]:
    """Numbers by size, other values by their text."""
    return (True, value) if isinstance(value, int) else (False, str(value))


def _others(grid: Floats) -> Floats:
    """The least value of the other cells along the last direction."""
    if grid.shape[-1] == 1:
        return np.full_like(grid, np.inf)
    first = grid.argmin(axis=-1, keepdims=True)
    low, second = np.partition(grid, 1, axis=-1)[..., :2].transpose(-1, *range(grid.ndim - 1))
    where = np.arange(grid.shape[-1]) == first
    found: Floats = np.where(where, second[..., None], low[..., None])
    return found
