"""What routes cost at least: the compute along the lower envelope of the rates, as if all switches were free."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

import attrs

from shapeflow.ir.route import Curve
from shapeflow.traversals.envelope import Stretch, along, entry, greedy

HALVES = 60
"""How often the distance to the lowest floor is halved, at most, to find where a budget ends."""


@attrs.frozen
class Free:
    """A lower bound on the compute of every route between two errors."""

    laws: Sequence[Curve]
    ways: Sequence[Stretch]
    done: Sequence[float]
    """FLOPs before each of the stretches."""

    @classmethod
    def of(cls, laws: Sequence[Curve], start: float, low: float) -> Free | None:
        """The bound from the start down to an error; None if no law passes it."""
        # Errors above that at compute 0 cost nothing in a law, so the bound begins where all laws cost something.
        free = (law.error(0.0) for law in laws if law.floor < start and not law.compute(start) > 0)
        begin = min((start, *free))
        try:
            ways = greedy(laws, begin, low) if low < begin else []
        except ValueError:
            return None
        done = [0.0]
        for way in ways:
            done.append(done[-1] + way.compute)
        return cls(laws, ways, done) if math.isfinite(done[-1]) else None

    def compute(self, error: float) -> float:
        """FLOPs from the start down to an error, at least; below the lowest error as many as there."""
        place = bisect_left(self.ways, -error, key=lambda way: -way.last)
        if place == len(self.ways):
            return self.done[-1]
        way = self.ways[place]
        return self.done[place] + (along(self.laws[way.law], way.first, error) if error < way.first else 0.0)

    def error(self, compute: float) -> float:
        """An error that no route is below after `compute` FLOPs from the start. Minus infinity if it is not known."""
        if not self.ways or self.done[-1] < compute:
            return -math.inf
        high, low = self.ways[0].first, self.ways[-1].last
        while low < (middle := 0.5 * (low + high)) < high:
            low, high = (middle, high) if self.compute(middle) >= compute else (low, middle)
        return low


def least_error(laws: Sequence[Curve], start: float, budget: float) -> float:
    """An error that no route is below after a budget of FLOPs: at least the lowest floor of the laws."""
    floor = min(law.floor for law in laws)
    left = budget - min(entry(law, start) for law in laws if law.floor < start)
    low = start
    for _ in range(HALVES):
        low = floor + 0.5 * (low - floor)
        free = Free.of(laws, start, low)
        if free is None or not free.ways:
            continue
        if free.done[-1] >= left:
            return max(floor, free.error(left))
    return floor
