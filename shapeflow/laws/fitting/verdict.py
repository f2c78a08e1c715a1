"""Check whether a fit is reliable beyond the measured range. Each reason against it states the number that decided.

An unreliable fit still describes the measurements, but shapeflow does not report a saving based on it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from shapeflow.ir.law import Law
from shapeflow.laws.fitting.solver import at_bound

DECADES, POINTS = 1.0, 12
"""Minimum range of compute in decades, and minimum number of points. Below these, the floor and the exponent cannot be
distinguished."""
WIDE = 0.25
"""A floor whose interval is wider than this fraction of the lowest error is not determined."""
ALIKE, HARMLESS = 0.5, 0.002
"""Residuals show that the curve deviates systematically from a power law if their autocorrelation is above 0.5 and
their root mean square is above 0.2%.

The second condition is needed because any smooth curve has autocorrelated residuals, even if they are negligible. For
22 language models trained at a constant learning rate (Gemstones, McLeish et al. 2025), the autocorrelation is up to
0.6 with residuals of 0.04% to 0.1%, which is the difference between two seeds. Near the end of such curves, 0.2% of the
error corresponds to less than 10% of the compute. Curves with a falling learning rate have residuals of 0.5% to 4% and
an autocorrelation of 0.6 to 0.9 (`benchmarks/holdout.py` prints both).
"""
SHOWN = 5
"""Maximum number of laws that are listed with a shared reason."""
_NUMBERS = re.compile(r" \(|: |, ")
"""Separates the kind of a reason from its numbers."""
FACTOR = 1.5
"""Maximum factor by which a fit to the first half of the data may over- or underestimate the compute of the final
losses."""


def verdict(law: Law, within: float) -> tuple[str, ...]:
    """Return the reasons why a fitted law is not reliable, based on its provenance. `within`: the root mean square of
    its log residuals, each relative to the level of its run."""
    return tuple(_reasons(law, within))


def in_groups(reasons: Mapping[str, Sequence[str]], total: int) -> list[str]:
    """Return one line per kind of reason, with the laws that it applies to. `reasons`: name of a law -> its reasons.
    `total`: the number of all laws, including reliable ones."""
    groups: dict[str, list[str]] = {}
    for name, why in reasons.items():
        for reason in why:
            groups.setdefault(_NUMBERS.split(reason)[0], []).append(name)
    return [
        f"{kind}: {f'all {total} laws' if len(names) == total > 1 else _listed(names)}"
        for kind, names in groups.items()
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _reasons(law: Law, within: float) -> Iterator[str]:
    about = law.provenance
    if about.compute is not None:
        decades = math.log10(about.compute[1] / about.compute[0])
        if decades < DECADES:
            yield f"the range of compute is too narrow: {decades:.2f} decades, less than {DECADES:g}"
    if about.points and about.points < POINTS:
        yield f"there are too few points: {about.points}, fewer than {POINTS}"
    if about.learning_rate == "falling":
        yield "the learning rate falls along the runs, so earlier points do not show what shorter runs reach"
    if about.exponent is not None and at_bound(law.b, about.exponent):
        yield f"the exponent is at the limit of the search range: b = {law.b:.3g}"
    yield from _floor(law)
    alike = about.autocorrelation
    if alike is not None and alike > ALIKE and within > HARMLESS:
        yield (
            f"residuals are autocorrelated ({alike:.2f} > {ALIKE:g}, RMS {100 * within:.2g}%): the curve deviates "
            "systematically from a power law"
        )
    yield from _predicted(law)
    yield from _other_optima(law)


def _floor(law: Law) -> Iterator[str]:
    interval, error = law.provenance.intervals.get("c"), law.provenance.error
    if interval is None or error is None:
        return
    width = (interval[1] - interval[0]) / error[1]
    if width > WIDE:
        yield (
            f"the floor is not determined: c lies between {interval[0]:.4g} and {interval[1]:.4g}, "
            f"{100 * width:.0f}% of the lowest error (limit {100 * WIDE:.0f}%)"
        )


def _predicted(law: Law) -> Iterator[str]:
    holdout = law.provenance.holdout
    if holdout is None:
        return
    if holdout.factor is None:
        yield "a fit to the first half does not reach the final losses"
    elif not 1 / FACTOR <= holdout.factor <= FACTOR:
        yield (
            "a fit to the first half mispredicts the compute of the final losses: "
            f"{holdout.factor:.2f} times the actual (limits {1 / FACTOR:.2f} and {FACTOR:g})"
        )


def _other_optima(law: Law) -> Iterator[str]:
    """Yield a reason if another optimum is as good as the best and outside of the intervals: the resamples then cover
    only one of several optima."""
    intervals = law.provenance.intervals
    for optimum in law.provenance.optima:
        for name, value in zip("abcd", optimum, strict=True):
            if name in ("b", "c") and name in intervals and not intervals[name][0] <= value <= intervals[name][1]:
                low, high = intervals[name]
                yield (
                    f"another law fits as well (within 1%), with {name} = {value:.4g}, outside of the interval "
                    f"{low:.4g} to {high:.4g}"
                )
                return
