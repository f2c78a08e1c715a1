"""Why no saving of a plan may be quoted, each reason with the number that decided."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.ir.law import Law
from shapeflow.ir.plan import Plan, Uncertainty
from shapeflow.ir.saving_reasons import rested_on, unsupported

UNREACHED = 0.05
"""Share of resamples that may never get to the plan's final error."""
FEWEST = 20
"""Resamples, of which one lies beside either bound of an interval of 90%: with fewer the bounds are none."""


def doubts(plan: Plan, found: Uncertainty | None) -> Iterator[str]:
    """In words, those against laws first; nothing where no saving would be quoted anyway, or the plan saves nothing by
    what it is."""
    comparison = plan.comparison
    if plan.is_best_fixed or (comparison.best_fixed.saving is None and comparison.last_shape_fixed.saving is None):
        return
    against: dict[str, list[str]] = {}
    for shape, said in unsupported(plan).items():
        for reason in said:
            against.setdefault(reason, []).append(shape.written(plan.units))
    for reason, names in against.items():
        yield f"the law{'s' * (len(names) > 1)} of {', '.join(names)}: {reason}"
    counts = [_resamples(law) for law in rested_on(plan).values() if law.provenance.source == "fit"]
    if counts and min(counts) < FEWEST:
        yield (
            f"its laws have {min(counts) or 'no'} resamples, and it takes {FEWEST} to say how far off a saving may be: "
            "`resamples: 400`"
        )
        return
    if found is None:
        return
    if found.unreached > UNREACHED:
        yield (
            f"in {100 * found.unreached:.3g}% of {found.resamples} resamples the plan never gets to "
            f"{plan.totals.error:.4g}, and {100 * UNREACHED:g}% may"
        )
    saving = found.best_fixed
    if saving is not None and saving[0] <= 0 <= saving[1]:
        low, high = (f"{round(100 * value, 1) + 0.0:+.1f}%" for value in saving)
        yield f"the saving against the best fixed shape lies between {low} and {high}: it may be none"


def _resamples(law: Law) -> int:
    how = law.provenance.resampling
    return 0 if how is None else how.count
