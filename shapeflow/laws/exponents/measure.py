"""What `shapeflow phases --fit` reports: the exponents of a family of curves, or the reason why it has none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import attrs
import numpy as np

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.units import flops
from shapeflow.ir.law import Pair
from shapeflow.laws.exponents.crossings import Crossings, crossing, crossings_of, difference
from shapeflow.laws.exponents.estimate import Estimate
from shapeflow.laws.exponents.family import PLACE, Family, Member
from shapeflow.laws.exponents.resemblance import Resemblance, resembling
from shapeflow.laws.exponents.slopes import FOR_FLOOR, Change, Lines, change, flattens, floor_of, halves, lines
from shapeflow.laws.logs.points import Floats

DECADES = 0.9
"""Fewest decades of compute between the first and the last crossing."""
WIDEST = 0.25
"""Longest interval of an exponent that is still an answer."""

SLACK = 2.0
"""Factor beyond the range of crossings up to which exponents that are not constant still predict."""


@attrs.frozen
class Crossing:
    """The compute at which two widths have the same loss."""

    widths: tuple[int, int]
    compute: Estimate
    loss: Estimate


@attrs.frozen
class Predicted:
    """The best width of a budget, by the fitted exponents."""

    budget: float
    beyond: float
    """Budget over the last crossing's compute if it is larger; below 1, over the first one's; 1 inside the range."""
    width: Estimate | None
    loss: Estimate | None
    """None if the exponents are not constant and the budget is outside the range, by more than `SLACK`."""


@attrs.frozen(eq=False)
class Findings:
    """The exponents of a family of curves."""

    family: Family
    crossings: tuple[Crossing, ...]
    xi: Estimate
    """Exponent of the best width over compute."""
    eta: Estimate
    """Exponent of its loss over compute, above the floor if there is one."""
    floor: Estimate | None
    floor_wanted: bool
    """Whether the loss flattens, but the crossings are too few to estimate a floor."""
    width_change: Change | None
    loss_change: Change | None
    """Of the exponents between the halves of the range; None for fewer than three crossings."""
    resembles: tuple[Resemblance, ...]
    by_half: tuple[tuple[Resemblance, ...], tuple[Resemblance, ...]] | None
    """What each half resembles; None if the exponents do not change."""
    predicted: tuple[Predicted, ...]
    envelope: Lines

    @property
    def compute(self) -> Pair:
        """FLOPs of the first and the last crossing."""
        return self.crossings[0].compute.value, self.crossings[-1].compute.value

    @property
    def constant(self) -> bool | None:
        """Whether both exponents are the same in both halves, up to noise; None if this cannot be tested."""
        if self.width_change is None or self.loss_change is None:
            return None
        return not (self.width_change.real or self.loss_change.real)

    @property
    def size_xi(self) -> Estimate:
        """xi of the model's size, by which the theory counts width: a step costs FLOPs in proportion to it."""
        return self.xi.times(self.family.step_cost or 1.0)


def measure(
    family: Family, budgets: Sequence[float] = (), alpha: float | None = None, beta: float | None = None
) -> Findings:
    """Return the exponents of a family. `budgets`: FLOPs to predict the best width for. `alpha`, `beta`: known decays
    of data and target. Raises Refused: no-interior-optimum, short-envelope, loose-exponents."""
    found = crossings_of(family)
    _interior(family, found)
    fitted, width, loss = lines(found), None, None
    wanted = False
    if len(found) >= 3:
        width, loss = _changes(found, fitted.floor)
        wanted = flattens(loss)
    if wanted and len(found) >= FOR_FLOOR:
        fitted = lines(found, floor_of(found))
        width, loss = _changes(found, fitted.floor)
    floored = bool((fitted.floor > 0).any())
    xi, eta = Estimate.of(fitted.xi), Estimate.of(fitted.eta)
    _tight(xi, eta)
    findings = Findings(
        family=family,
        crossings=tuple(
            Crossing(pair, Estimate.of(np.exp(compute)), Estimate.of(np.exp(loss_)))
            for pair, compute, loss_ in zip(found.widths, found.log_compute.T, found.log_loss.T, strict=True)
        ),
        xi=xi,
        eta=eta,
        floor=Estimate.of(fitted.floor) if floored else None,
        floor_wanted=wanted and not floored,
        width_change=width,
        loss_change=loss,
        resembles=(),
        by_half=None,
        predicted=(),
        envelope=fitted,
    )
    return _compared(findings, budgets, alpha, beta)


def _changes(found: Crossings, floor: Floats) -> tuple[Change, Change]:
    """The change of xi and that of eta."""
    first, second = (lines(half, floor) for half in halves(found))
    return change(first.xi, second.xi), change(first.eta, second.eta)


def _compared(found: Findings, budgets: Sequence[float], alpha: float | None, beta: float | None) -> Findings:
    """Add what the exponents resemble, and what they predict."""
    by_half = None
    if found.constant is False and found.width_change is not None and found.loss_change is not None:
        size, (width, loss) = found.family.step_cost or 1.0, (found.width_change, found.loss_change)
        by_half = (
            resembling(width.first.times(size), loss.first, alpha, beta),
            resembling(width.second.times(size), loss.second, alpha, beta),
        )
    return attrs.evolve(
        found,
        resembles=resembling(found.size_xi, found.eta, alpha, beta),
        by_half=by_half,
        predicted=tuple(_predicted(found, budget) for budget in budgets),
    )


def _predicted(found: Findings, budget: float) -> Predicted:
    first, last = found.compute
    beyond = budget / last if budget > last else budget / first if budget < first else 1.0
    if not 1 / SLACK <= beyond <= SLACK and found.constant is False:
        return Predicted(budget, beyond, None, None)
    place = math.log(budget)
    width, loss = np.exp(found.envelope.log_width(place)), found.envelope.loss(place)
    return Predicted(budget, beyond, Estimate.of(width), Estimate.of(loss))


def _interior(family: Family, found: Crossings) -> None:
    """Refuse a family whose best width moves too little."""
    if len(found) < 2:
        gaps = {(a.width, b.width): difference(a, b) for a, b in pairwise(family.members)}
        apart = [pair for pair, (_, gap) in gaps.items() if not len(gap)]
        shared = {pair: gap for pair, gap in gaps.items() if pair not in apart}
        better = {pair: bool(gap.mean() > 0) for pair, (at, gap) in shared.items() if crossing(at, gap) is None}
        message, help = _one_sided(family.members, better, len(gaps))
        notes = tuple(f"{a} and {b}: {a if narrow else b} is always better" for (a, b), narrow in better.items())
        notes += tuple(f"{a} and {b}: no compute was measured in both" for a, b in apart)
        raise Refused(Diagnostic("no-interior-optimum", message, place=PLACE, notes=notes, help=help))
    middle = np.nanmedian(found.log_compute, axis=0)
    decades = float(middle[-1] - middle[0]) / math.log(10)
    if decades < DECADES:
        span = f"{flops(math.exp(middle[0]))} to {flops(math.exp(middle[-1]))}"
        message = f"the best width changes over only {decades:.2g} decades of compute, {span}"
        notes = ("a slope over less than about one decade is not evidence for an exponent",)
        help = "add wider models and train them longer, or narrower ones"
        raise Refused(Diagnostic("short-envelope", message, place=PLACE, notes=notes, help=help))


def _one_sided(members: Sequence[Member], better: dict[tuple[int, int], bool], pairs: int) -> tuple[str, str]:
    """The message for too few crossings, and its help. `better`: for pairs that do not cross, whether the narrower one
    is better."""
    if len(better) == pairs and all(better.values()):
        help = "train longer, so that wider models pay off, or add narrower models"
        return f"width {members[0].width} is the best one at all compute that was measured", help
    if len(better) == pairs and not any(better.values()):
        help = "add wider models, or log the loss from an earlier step on"
        return f"width {members[-1].width} is the best one at all compute that was measured", help
    help = "add widths and train all of them longer, or average the loss over more data"
    return "the best width changes at fewer than two amounts of compute", help


def _tight(xi: Estimate, eta: Estimate) -> None:
    """Refuse exponents that the data do not determine."""
    for what, one in (("best width", xi), ("loss", eta)):
        if not (one.wide <= WIDEST and one.low > 0):
            message = f"the exponent of the {what} is not determined: {one.low:.2g} to {one.high:.2g}"
            help = "add widths, train over more compute, or average the loss over more data and runs"
            raise Refused(Diagnostic("loose-exponents", message, place=PLACE, help=help))
