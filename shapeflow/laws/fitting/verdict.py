"""Whether the data carry a law beyond themselves, and why not: words with the number that decided.

Nothing here forbids a law: within its data it describes what was measured. It says what a plan may not build on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from shapeflow.ir.law import Law
from shapeflow.laws.fitting.solver import at_bound

DECADES, POINTS = 1.0, 12
"""Over less compute, or with fewer points, a floor and an exponent are not to be told apart."""
WIDE = 0.25
"""Of the lowest error: a floor whose interval is wider was not found."""
ALIKE, HARMLESS = 0.5, 0.002
"""Neighbouring residuals that are more alike than this say that the curve is no such law, but only where they are
larger than 0.2% (root mean square).

Any smooth curve leaves a smooth rest, however small. On 22 language models trained at a constant rate (Gemstones,
McLeish et al. 2025) the autocorrelation goes up to 0.6 with residuals of 0.04% to 0.1%, which is what two seeds differ
by; 0.2% of the error is less than a tenth of the compute near the end of such curves. Curves whose learning rate falls
leave 0.5% to 4%, at 0.6 to 0.9 (`benchmarks/holdout.py` prints both).
"""
FACTOR = 1.5
"""The first half of the data may foretell the compute of the last errors wrongly by this much."""


def verdict(law: Law, within: float) -> tuple[str, ...]:
    """The reasons why the data do not carry a fitted law, by its report. `within`: the root mean square of its log
    residuals, each about the level of its run."""
    return tuple(_reasons(law, within))


def _reasons(law: Law, within: float) -> Iterator[str]:
    about = law.provenance
    if about.compute is not None:
        decades = math.log10(about.compute[1] / about.compute[0])
        if decades < DECADES:
            yield f"its points span {decades:.2f} decades of compute, less than {DECADES:g}"
    if about.points and about.points < POINTS:
        yield f"it has {about.points} points, fewer than {POINTS}"
    if about.learning_rate == "falling":
        yield "the learning rate of its runs falls: each point is of a run on its way to another end"
    if about.exponent is not None and at_bound(law.b, about.exponent):
        yield f"its exponent b = {law.b:.3g} has run to the bound of what is considered"
    yield from _floor(law)
    alike = about.autocorrelation
    if alike is not None and alike > ALIKE and within > HARMLESS:
        yield (
            f"the curve is no such law: neighbouring residuals go together (autocorrelation {alike:.3g}, more than "
            f"{ALIKE:g}) and are as large as {100 * within:.2g}%"
        )
    yield from _foretold(law)
    yield from _other_optima(law)


def _floor(law: Law) -> Iterator[str]:
    interval, error = law.provenance.intervals.get("c"), law.provenance.error
    if interval is None or error is None:
        return
    width = (interval[1] - interval[0]) / error[1]
    if width > WIDE:
        yield (
            f"its floor was not found: c lies between {interval[0]:.4g} and {interval[1]:.4g}, {100 * width:.0f}% of "
            f"the lowest error, more than {100 * WIDE:.0f}%"
        )


def _foretold(law: Law) -> Iterator[str]:
    holdout = law.provenance.holdout
    if holdout is None:
        return
    if holdout.factor is None:
        yield "its first half never gets to its last errors"
    elif not 1 / FACTOR <= holdout.factor <= FACTOR:
        yield (
            f"its first half foretells {holdout.factor:.2f} times the compute that its last errors took, not "
            f"{1 / FACTOR:.2f} to {FACTOR:g} times"
        )


def _other_optima(law: Law) -> Iterator[str]:
    """An optimum as good as the best that the intervals do not hold: resampling went about one of several."""
    intervals = law.provenance.intervals
    for optimum in law.provenance.optima:
        for name, value in zip("abcd", optimum, strict=True):
            if name in ("b", "c") and name in intervals and not intervals[name][0] <= value <= intervals[name][1]:
                low, high = intervals[name]
                yield (
                    f"another law fits within 1% as well, with {name} = {value:.4g}, outside of the interval "
                    f"{low:.4g} to {high:.4g}"
                )
                return
