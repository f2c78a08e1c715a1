"""Plans on random features, by the laws and exactly: what `phase_growth.py` and `phase_batch.py` share.

The law of a shape is the loss of SGD with its matrix W from scratch. `steepest` finds a route along the laws, which
predicts its compute as if a switch kept all progress. The exact moments give the compute that it takes: every stage
ends when the loss is the planned one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np

from shapeflow.ir.law import Provenance
from shapeflow.ir.noise import Floats
from shapeflow.ir.random_features import deviations
from shapeflow.ir.tabulated import TabulatedLaw
from shapeflow.laws.random_features.loss import loss_curve
from shapeflow.laws.random_features.phase import phase_of
from shapeflow.laws.random_features.spectrum import Spectrum
from shapeflow.laws.random_features.table import points
from shapeflow.traversals.envelope import crossings, openings
from shapeflow.traversals.search import End, Rules, cheapest
from shapeflow_exact.moments import Basis, Moments, basis, losses, start, stepped

POINTS = ((0.8, 0.3), (1.0, 0.7), (0.8, 1.4), (0.4, 0.9))
"""(alpha, beta), one of each phase Ia, II, III, IVa."""
ABOUT = Provenance(source="theory", metric="loss", convention="paper")
BEGIN = 0.95
"""The share of the first loss at which routes begin."""
NEVER = 1e9
"""Steps after which a loss counts as never reached."""


@attrs.frozen(eq=False)
class Candidate:
    """One shape: a width and a batch, with its step size and the law of its matrix W."""

    basis: Basis
    step_size: float
    batch: int
    law: TabulatedLaw

    @property
    def width(self) -> int:
        return len(self.basis.target)

    @property
    def step_compute(self) -> int:
        return self.batch * self.width

    def steps(self, moments: Moments, loss: float) -> int | None:
        """The number of steps until the loss is reached; None if it never is."""
        low = 0.0
        for part in np.array_split(np.unique(np.round(np.concatenate([[0.0], np.geomspace(1.0, NEVER, 240)]))), 8):
            found = self._first(moments, loss, low, part)
            if found is not None:
                low, high = found
                while high - low > 1:
                    inside = np.unique(np.round(np.linspace(low, high, 18)))[1:-1]
                    low, high = self._first(moments, loss, low, inside) or (float(inside[-1]), high)
                return int(high)
            low = float(part[-1])
        return None

    def _first(self, moments: Moments, loss: float, low: float, counts: Floats) -> tuple[float, float] | None:
        """The first of some numbers of steps after which the loss is reached, and the one before it, or `low`."""
        reached = np.flatnonzero(losses(moments, self.step_size, self.batch, counts) <= loss)
        if not len(reached):
            return None
        return float(counts[reached[0] - 1]) if reached[0] else low, float(counts[reached[0]])

    def after(self, moments: Moments, steps: int) -> Moments:
        return stepped(moments, self.step_size, self.batch, steps)


@attrs.frozen(eq=False)
class Part:
    """A stage of a route: a candidate until a loss."""

    candidate: Candidate
    until: float


@attrs.frozen(eq=False)
class Task:
    """Candidates in the order in which they may be used, and a loss to reach."""

    candidates: tuple[Candidate, ...]
    target: float
    static: int
    """FLOPs of the best single candidate, in whole steps."""

    def route(self) -> tuple[list[Part], float]:
        """The route of `steepest` and the FLOPs that the laws predict for it. Candidates are only used in their
        order."""
        laws = [one.law for one in self.candidates]
        begin = BEGIN * first_loss(self.candidates[0].basis)
        events = [*openings(laws, begin), *crossings(laws, begin, self.target)]
        way = cheapest(laws, begin, events, End(target=self.target), Rules(allowed=lambda p, q: p < q))
        assert way is not None, "no candidate reaches the target"
        return [Part(self.candidates[one.law], one.last) for one in way.stretches], way.total

    def spent(self, route: Sequence[Part], switch: Callable[[Moments, Basis], Moments] | None = None) -> float:
        """FLOPs that a route takes; infinite if it never reaches the target. `switch` gives the moments in another
        basis; not needed if the width stays."""
        moments, total = start(route[0].candidate.basis), 0.0
        for part in route:
            one = part.candidate
            moments = switch(moments, one.basis) if switch and moments.basis is not one.basis else moments
            steps = one.steps(moments, part.until)
            if steps is None:
                return np.inf
            total += steps * one.step_compute
            moments = one.after(moments, steps)
        return total


def candidate(of: Basis, step_size: float, batch: int) -> Candidate:
    """A candidate with its law. Raises ValueError if SGD is not stable."""
    spectrum = Spectrum(of.eigenvalues[::-1], of.target[::-1] ** 2, np.ones(len(of.target)), of.residual)
    curve = loss_curve(spectrum, step_size, batch, len(of.target))
    return Candidate(of, step_size, batch, TabulatedLaw(curve.floor, *points(curve, curve.step_compute), ABOUT))


def task(candidates: Sequence[Candidate], best: int) -> Task | None:
    """The task whose target is the middle, in logarithms, of the losses at which one candidate is the best single one.
    None if it is the best one at no loss."""
    laws = [one.law for one in candidates]
    begin, end = BEGIN * first_loss(candidates[0].basis), 1.02 * min(law.floor for law in laws)
    grid = np.geomspace(begin, end, 1000).tolist()
    wins = [loss for loss in grid if min(laws, key=lambda law: law.compute(loss)) is laws[best]]
    if not wins:
        return None
    target = wins[len(wins) // 2]
    steps = [(one, one.steps(start(one.basis), target)) for one in candidates]
    return Task(tuple(candidates), target, min(one.step_compute * count for one, count in steps if count is not None))


def first_loss(of: Basis) -> float:
    """The loss before the first step."""
    return of.residual + float(of.target @ of.target)


def base_of(alpha: float, beta: float, features: int, seed: int, width: int) -> tuple[Basis, float]:
    """A basis, and 1 over the summed variance of the data: the unit of step sizes."""
    return basis(alpha, beta, features, seed, width), 1 / float((deviations(alpha, features) ** 2).sum())


def named(alpha: float, beta: float) -> str:
    """Phase and exponents for the first column of a table."""
    return f"{phase_of(alpha, beta).name} ({alpha:g}, {beta:g})"
