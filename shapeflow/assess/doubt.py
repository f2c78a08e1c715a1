"""Why no saving of a plan may be quoted, each reason with the number that decided."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.plan import Plan, Uncertainty
from shapeflow.plan_doubts import unsupported

UNREACHED = 0.05
"""Share of resamples that may never get to the plan's final error."""


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
