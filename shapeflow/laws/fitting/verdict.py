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
    yield from untested(law)
    if about.exponent is not None and at_bound(law.b, about.exponent):
        yield f"the exponent is at the limit of the search range: b = {law.b:.3g}"


def untested(law: Law) -> Iterator[str]:
    """Yield what was not tested, or is not known, of a law that was fitted to runs. A joint law is tested as a whole,
    on larger sizes."""
    about = law.provenance
    if about.source != "fit" or not about.points:
        return
    if about.holdout is None and about.settings.get("form") != "chinchilla":
        yield f"not tested on held-out points: {_lacking(law)}"
    if about.learning_rate is None:
        yield "the learning rate is not known: no log shows it"


def _lacking(law: Law) -> str:
    if law.provenance.learning_rate == "annealed":
        return "without the longest third of the runs, too few are left to fit"
    return f"a test needs {FEWEST} points in the first half of log compute"
