"""The compute-optimal frontier: the best size and number of tokens for each budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import attrs
import numpy as np

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.units import flops
from shapeflow.ir.joint import Best, JointLaw
from shapeflow.laws.joint.slices import Growth, Slice, growth_of, slices_of

BUDGETS = 6
"""Largest number of budgets, if none is asked for."""
WIDE = 100.0
"""A best size whose interval spans more than this factor is not known."""
FAR = 1e4
"""Budgets beyond the compute of the runs by more than this factor are refused."""
INSIDE = 1.1
"""A number beyond what was measured by at most this factor counts as measured, as in the answer of a plan."""
OFF = 0.05
"""Relative error of the compute of a token above which it is said."""


@attrs.frozen(kw_only=True, eq=False)
class Frontier:
    """The best models of some budgets, by the minimum of the joint law, and the isoFLOP slices through its points."""

    law: JointLaw
    best: tuple[Best, ...]
    slices: tuple[Slice, ...]
    growth: Growth | None
    """How the minima of the slices grow; None if fewer than three slices have one."""

    def beyond(self, best: Best) -> float:
        """How many times a budget exceeds the largest compute that was measured; 1 or less within the measurements."""
        return best.compute / self.law.compute[1]

    def outside(self, best: Best) -> Iterator[str]:
        """Yield, in words, how far a best model lies outside of what was measured; nothing if it lies within. A loss
        below the lowest one by less than the scatter around the law is within."""
        law = self.law
        ranges = (("compute", best.compute, law.compute), ("size", best.size, law.size))
        for what, value, (low, high) in (*ranges, ("number of tokens", best.tokens, law.tokens)):
            if value > high * INSIDE:
                yield f"{value / high:.3g} times the largest {what}"
            elif value * INSIDE < low:
                yield f"{value / low:.2g} times the smallest {what}"
        if best.error < law.lowest * math.exp(-max(law.rms, 1e-3)):
            yield f"{law.lowest - best.error:.2g} below the lowest loss"

    def notes(self) -> Iterator[str]:
        """Yield doubts about the frontier: whole sentences, lower case, no full stop."""
        law = self.law
        if outside := [one for one in self.best if any(self.outside(one))]:
            which = f"{len(outside)} of the {len(self.best)} budgets" if len(self.best) > 1 else "the budget"
            yield f"extrapolated for {which}: compute, size, tokens or loss are outside of what was measured"
        interval = law.intervals().get("exponent")
        if self.growth is not None and interval is not None:
            low, high = self.growth.interval
            if low > interval[1] or high < interval[0]:
                yield (
                    "the isoFLOP slices disagree: the size at their minima grows as "
                    f"compute^{self.growth.exponent:.3g} ({low:.3g} to {high:.3g})"
                )
        if law.per_token.off > OFF:
            yield (
                f"the compute of a token is not a power of the size: {law.per_token.written} is off by up to "
                f"{100 * law.per_token.off:.0f}%"
            )


def frontier_of(law: JointLaw, budgets: Sequence[float] = ()) -> Frontier:
    """Return the frontier at some budgets in FLOPs, by default at the decades that were measured and one more. Raises
    Refused `no-best-size`."""
    if reasons := tuple(law.open()):
        message = "the runs do not determine the best size of a budget"
        help = "add runs of other sizes, and of other numbers of tokens at each size"
        raise Refused(Diagnostic("no-best-size", message, place="the joint law", notes=reasons, help=help))
    best = tuple(law.best(budget) for budget in budgets or default_budgets(law))
    for one in best:
        low, high = (one.size, one.size) if one.size_range is None else one.size_range
        if not 0 < low <= high <= WIDE * low < math.inf:
            message = f"the best size for {flops(one.compute)} is not known"
            notes = (f"its 90% interval spans {low:.2g} to {high:.2g} parameters",)
            if math.isnan(low):
                notes = ("in some resamples, no size is better than another",)
            near = "add runs of other sizes, and of other numbers of tokens at each size"
            help = "add runs nearer to this budget, or ask for a smaller one" if one.compute > law.compute[1] else near
            raise Refused(Diagnostic("no-best-size", message, place="the joint law", notes=notes, help=help))
        _near(law, one)
    slices = slices_of(law)
    return Frontier(law=law, best=best, slices=slices, growth=growth_of(slices))


def _near(law: JointLaw, one: Best) -> None:
    """Raise Refused (`no-best-size`) for a budget that is too far from the runs."""
    low, high = law.compute
    if low / FAR <= one.compute <= high * FAR:
        return
    message = f"a budget of {flops(one.compute)} is too far from the runs to predict its best size"
    notes = (f"the runs took {flops(low)} to {flops(high)}",)
    help = f"ask for a budget within a factor of {FAR:g} of them"
    raise Refused(Diagnostic("no-best-size", message, place="--budget", notes=notes, help=help))


def default_budgets(law: JointLaw) -> list[float]:
    """Return whole decades of compute: those that were measured, and the next one. At most `BUDGETS`, the last ones."""
    low, high = (math.log10(each) for each in law.compute)
    first, last = math.ceil(low + 0.5), math.floor(high) + 1
    return [float(10.0**power) for power in np.arange(max(first, last - BUDGETS + 1), last + 1)]
