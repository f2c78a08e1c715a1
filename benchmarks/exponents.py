"""Compares measured exponents of compute-optimal random features with those of theory, in all seven phases.

    python benchmarks/exponents.py [--small | --narrow]

The best width of each of eight budgets is found on the exact losses (`shapeflow/laws/random_features`), and the slopes
of log width and log loss over log compute are fitted. The budgets are such that the best widths cover a range. Above
2 alpha = 1 it is 1e3 to 4e4. Below that line the exponents are those of theory only at very large widths: the range is
measured at 4e2 to 3e4, and again at 3e7 to 7e8. `--small` leaves the large widths out.

`--narrow` measures best widths of 90 to 2900 instead, at more points of the plane, and compares the difference from
theory with `OFF` of `shapeflow/laws/exponents/resemblance.py`, by which `shapeflow phases --fit` names phases.

The exit code is 1 if an exponent at the last range of a phase is off by more than its tolerance, with `--narrow` if one
is off by more than `OFF`.
"""

from __future__ import annotations

import argparse
import sys
import time

import attrs
import numpy as np
from rich.console import Console
from rich.table import Table

from shapeflow.ir.edits import EditError
from shapeflow.laws.exponents.resemblance import OFF
from shapeflow.laws.random_features.loss import LossCurve
from shapeflow.laws.random_features.optimum import Widths
from shapeflow.laws.random_features.phase import Phase, phase_of
from shapeflow.laws.random_features.theory import Theory

POINTS = (
    (0.8, 0.3),
    (1.0, 0.7),
    (0.8, 1.4),
    (0.4, 0.4),
    (0.2, 0.8),
    (0.4, 0.9),
    (0.4, 1.5),
    (0.45, 1.5),
    (0.35, 1.5),
    (0.27, 0.9),
)
"""(alpha, beta)."""
USUAL, PRACTICAL, LARGE = (1e3, 4e4), (4e2, 3e4), (3e7, 7e8)
"""Ranges of the best width."""
NARROW = (90.0, 2900.0)
MORE = (
    *((0.7, 0.2), (1.2, 0.3), (1.5, 0.1), (0.6, 0.3), (0.7, 0.6), (1.2, 0.9), (1.5, 0.8), (2.0, 1.0), (0.7, 1.0)),
    *((0.6, 1.0), (1.0, 1.5), (1.2, 2.0), (0.3, 0.3), (0.15, 1.2), (0.27, 1.5)),
)
"""(alpha, beta) that `--narrow` measures in addition."""
BUDGETS = 8
TOLERANCE = 0.02
"""Of both exponents, at the last range of a phase."""


@attrs.frozen
class Measured:
    phase: Phase
    widths: tuple[float, float]
    """Best width of the least and of the largest budget."""
    width_exponent: float
    loss_exponent: float
    seconds: float

    @property
    def off(self) -> float:
        """The larger of both errors."""
        width = abs(self.width_exponent - self.phase.width_exponent)
        return max(width, abs(self.loss_exponent - self.phase.loss_exponent))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--narrow", action="store_true")
    asked = parser.parse_args()
    return narrow() if asked.narrow else usual(asked.small)


def narrow() -> int:
    """Print how far exponents at narrow widths are from theory."""
    print("  phase  alpha  beta      xi - theory     eta - theory")
    worst = 0
    for alpha, beta in (*POINTS, *MORE):
        found = measured(alpha, beta, NARROW)
        off = found.width_exponent - found.phase.width_exponent, found.loss_exponent - found.phase.loss_exponent
        inside = all(low <= one <= high for one, (low, high) in zip(off, OFF[found.phase.name], strict=True))
        print(f"{found.phase.name:>7}{alpha:7g}{beta:6g}{off[0]:+17.3f}{off[1]:+17.3f}{'' if inside else '  outside'}")
        worst = max(worst, not inside)
    return worst


def usual(small: bool) -> int:
    """Print exponents at the usual ranges."""
    table = Table(box=None, padding=(0, 2))
    for heading in ("phase", "alpha", "beta", "widths", "xi", "theory", "eta", "theory", "s"):
        table.add_column(heading, justify="right")
    worst = 0.0
    for alpha, beta in POINTS:
        ranges = (USUAL,) if alpha > 0.5 else (PRACTICAL,) if small else (PRACTICAL, LARGE)
        for last in ranges:
            found = measured(alpha, beta, last)
            table.add_row(*cells(alpha, beta, found))
            worst = max(worst, found.off) if last is not PRACTICAL else worst
    Console(width=110).print(table)
    print(f"largest error at the last range of a phase: {worst:.3f}")
    return 1 if worst > TOLERANCE else 0


def measured(alpha: float, beta: float, reach: tuple[float, float]) -> Measured:
    """The exponents over budgets whose best widths cover a range."""
    begun, phase, source = time.monotonic(), phase_of(alpha, beta), Theory(alpha, beta)

    def curve(width: float) -> LossCurve | None:
        try:
            return source.curve(width)
        except EditError:
            return None

    widths = Widths(curve, 1)
    first, last = (budget_of(widths, width, phase.width_exponent) for width in reach)
    budgets = np.geomspace(first, last, BUDGETS)
    best = [
        widths.best(budget, width)
        for budget, width in zip(budgets.tolist(), np.geomspace(*reach, BUDGETS), strict=True)
    ]
    found = np.log([[one.width for one in best], [one.loss for one in best]])
    xi, eta = (float(np.polyfit(np.log(budgets), each, 1)[0]) for each in found)
    return Measured(phase, (best[0].width, best[-1].width), xi, -eta, time.monotonic() - begun)


def budget_of(widths: Widths, width: float, exponent: float) -> float:
    """FLOPs for which a width is about the best."""
    budget = width ** (1 / exponent)
    for _ in range(3):
        # At least ten steps: the guess may be far off.
        budget = max(budget * (width / widths.best(budget, width).width) ** (1 / exponent), 10 * width)
    return float(budget)


def cells(alpha: float, beta: float, found: Measured) -> list[str]:
    phase, (low, high) = found.phase, found.widths
    numbers = (found.width_exponent, phase.width_exponent, found.loss_exponent, phase.loss_exponent)
    return [
        phase.name,
        f"{alpha:g}",
        f"{beta:g}",
        f"{low:.1e} - {high:.1e}",
        *(f"{number:.4f}" for number in numbers),
        f"{found.seconds:.1f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
