"""The best width for an amount of compute, on exact losses."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from shapeflow.laws.random_features.loss import LossCurve

STEPS_PER_OCTAVE = 4
"""Grid of the search: widths are multiples of each other by 2^(1/4)."""
NARROWEST = 4
"""Narrower models differ from the average over W too much for it to describe them."""


@attrs.frozen
class Optimum:
    """The best width for an amount of compute."""

    compute: float
    """FLOPs."""
    width: float
    """Where a parabola through the three best widths of the grid, over log width, has its minimum; at an end of the
    possible widths, that end."""
    loss: float
    at_end: bool
    """Whether no wider model is possible or affordable, or no narrower one."""


class Widths:
    """Curves by width, each computed once. `curve` gives the curve of a width, or None where SGD is not stable; `batch`
    is that of a step; `widest` is the largest possible width."""

    def __init__(self, curve: Callable[[float], LossCurve | None], batch: int, widest: float = math.inf) -> None:
        self._curve, self._batch, self._widest = curve, batch, widest
        self._known: dict[int, LossCurve | None] = {}

    def best(self, compute: float, guess: float) -> Optimum:
        """The best width for some FLOPs, found from a guess. The loss over width is taken to have one minimum.

        Raises ValueError if the compute is less than one step of width `NARROWEST`, or if SGD is stable at no width
        that was tried.
        """
        first, last = math.ceil(math.log2(NARROWEST) * STEPS_PER_OCTAVE), self._last(compute)
        place = min(max(round(math.log2(guess) * STEPS_PER_OCTAVE), first), last)
        step = 2 * STEPS_PER_OCTAVE
        while step:
            near = [one for one in (place - step, place + step) if first <= one <= last]
            better = min(near, key=lambda one: self._loss(one, compute), default=place)
            if self._loss(better, compute) < self._loss(place, compute):
                place = better
            else:
                step //= 2
        if math.isinf(self._loss(place, compute)):
            raise ValueError("SGD is stable at no width that was tried")
        return self._refined(place, (first, last), compute)

    def _last(self, compute: float) -> int:
        """The last width of the grid that is possible and for which the compute is at least one step."""
        if compute < self._batch * NARROWEST:
            least = self._batch * NARROWEST
            raise ValueError(f"{compute:g} FLOPs are less than one step of width {NARROWEST}, {least:g} FLOPs")
        return math.floor(math.log2(min(compute / self._batch, self._widest)) * STEPS_PER_OCTAVE + 1e-9)

    def _refined(self, place: int, ends: tuple[int, int], compute: float) -> Optimum:
        if place in ends:
            return Optimum(compute, _width(place), self._loss(place, compute), True)
        low, middle, high = (math.log(self._loss(one, compute)) for one in (place - 1, place, place + 1))
        bend = low - 2 * middle + high
        if not 0 < bend < math.inf:
            return Optimum(compute, _width(place), math.exp(middle), False)
        moved = 0.5 * (low - high) / bend
        return Optimum(compute, _width(place + moved), math.exp(middle - 0.25 * (low - high) * moved), False)

    def _loss(self, place: int, compute: float) -> float:
        if place not in self._known:
            self._known[place] = self._curve(_width(place))
        curve = self._known[place]
        return math.inf if curve is None else curve.error(compute)


def _width(place: float) -> float:
    return float(2.0 ** (place / STEPS_PER_OCTAVE))
