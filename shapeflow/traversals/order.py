"""The order that one-way axes put on the candidates: minima over what a candidate can be reached from, and over what it
can reach."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from types import EllipsisType

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.base.shapes import Shape
from shapeflow.traversals.envelope import Floats

_Index = tuple[EllipsisType | slice, ...]

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
    turned: NDArray[np.intp] = attrs.field(init=False)
    """`place` in the grid with all one-way axes turned round."""

    @turned.default
    def _turned(self) -> NDArray[np.intp]:
        *ranks, rest = np.unravel_index(self.place, self.size)
        back = (most - 1 - rank for most, rank in zip(self.size, ranks, strict=False))
        return np.ravel_multi_index((*back, rest), self.size)

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

    def below(self, values: Floats) -> Floats:
        """The least value of all candidates that can become each candidate. Values: `[..., candidates]`."""
        return self._minima(values, self.place).least()

    def below_others(self, values: Floats) -> Floats:
        """`below`, without the candidate itself."""
        return self._minima(values, self.place).of_others()

    def below_both(self, values: Floats) -> tuple[Floats, Floats]:
        """`below`, and `below_others`."""
        minima = self._minima(values, self.place)
        return minima.least(), minima.of_others()

    def above(self, values: Floats) -> Floats:
        """The least value of all candidates that each candidate can become."""
        return self._minima(values, self.turned).least()

    def above_others(self, values: Floats) -> Floats:
        """`above`, without the candidate itself."""
        return self._minima(values, self.turned).of_others()

    def above_both(self, values: Floats) -> tuple[Floats, Floats]:
        """`above`, and `above_others`."""
        minima = self._minima(values, self.turned)
        return minima.least(), minima.of_others()

    def _minima(self, values: Floats, place: NDArray[np.intp]) -> _Minima:
        rows = values.shape[:-1]
        flat = np.full((*rows, math.prod(self.size)), np.inf)
        flat[..., place] = values
        grid = flat.reshape(*rows, *self.size)
        least = grid if self.size[-1] == 1 else grid.min(axis=-1, keepdims=True)
        for axis in range(len(rows), grid.ndim - 1):
            least = np.minimum.accumulate(least, axis=axis)
        return _Minima(grid, least, place, rows)


@attrs.frozen(eq=False)
class _Minima:
    """Minima over the grid of an order."""

    grid: Floats
    lowest: Floats
    """The minimum up to each cell, itself included, over all values of the last direction."""
    place: NDArray[np.intp]
    rows: tuple[int, ...]

    def least(self) -> Floats:
        taken: Floats = self.lowest.reshape(*self.rows, -1)[..., self.place // self.grid.shape[-1]]
        return taken

    def of_others(self) -> Floats:
        found = _others(self.grid)
        axes = self.grid.ndim - len(self.rows) - 1
        for axis in range(axes):
            behind = (slice(None),) * (axes - axis)
            upper: _Index = (..., slice(1, None), *behind)
            lower: _Index = (..., slice(None, -1), *behind)
            np.minimum(found[upper], self.lowest[lower], out=found[upper])
        taken: Floats = found.reshape(*self.rows, -1)[..., self.place]
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
