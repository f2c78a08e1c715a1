"""Whether the runs of a shape give a curve of its training state, which a law can describe."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.ir.law import Law
from shapeflow.laws.fitting.holdout import FEWEST
from shapeflow.laws.fitting.solver import at_bound


def verdict(law: Law) -> tuple[str, ...]:
    """The reasons why a fitted law does not describe the state of a run after some compute; empty if it does."""
    if law.provenance.learning_rate == "falling":
        return ("the learning rate falls along the runs, so earlier points do not show what shorter runs reach",)
    return ()


def notes(law: Law) -> Iterator[str]:
    """What to know about a law that is not a reason against it."""
    about = law.provenance
    if about.drop is not None:
        yield (
            f"cut where the learning rate falls; {about.drop.runs} run{'s' * (about.drop.runs != 1)} ended "
            f"{about.drop.value:.3g} below the law, after a fall over {about.drop.share:.0%} of the run"
        )
    if about.holdout is None and about.points:
        first = f"fewer than {FEWEST} of its {about.points} points are in the first half of log compute"
        yield f"not tested on held-out points: {first}"
    if about.exponent is not None and at_bound(law.b, about.exponent):
        yield f"the exponent is at the limit of the search range: b = {law.b:.3g}"
