"""What `shapeflow phases` reports: a phase, the best width of each budget, and the loss of each width."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from shapeflow.laws.random_features.loss import LossCurve
from shapeflow.laws.random_features.optimum import Optimum, Widths
from shapeflow.laws.random_features.phase import Phase, phase_of


@attrs.frozen
class AtWidth:
    """The loss at one width."""

    width: int
    step: float
    """Step size."""
    largest_step: float
    """The step size at which SGD diverges."""
    curve: LossCurve

    def loss(self, compute: float) -> float | None:
        """The loss after some FLOPs; None before the first step."""
        return None if compute < self.curve.step_compute else self.curve.error(compute)


@attrs.frozen
class Study:
    alpha: float
    beta: float
    batch: int
    phase: Phase
    optima: tuple[Optimum, ...]
    """One for each budget, in their order."""
    widths: tuple[AtWidth, ...]
    settings: Mapping[str, float | None]
    """The settings of the law source, to repeat it."""

    def steps(self, found: Optimum) -> float:
        """Number of steps of the best width of a budget."""
        return found.compute / (self.batch * found.width)


def optima(
    alpha: float,
    beta: float,
    budgets: Sequence[float],
    curve: Callable[[float], LossCurve | None],
    batch: int,
    widest: float,
) -> tuple[Optimum, ...]:
    """The best width of each budget. Raises ValueError as `Widths.best` does."""
    widths, exponent = Widths(curve, batch, widest), phase_of(alpha, beta).width_exponent
    return tuple(widths.best(budget, max(budget / batch, 1.0) ** exponent) for budget in budgets)
