"""The reasons why no saving of a plan may be quoted, each with the number that decides."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.ir.law import Law
from shapeflow.ir.plan import Plan, Uncertainty
from shapeflow.ir.program import Program
from shapeflow.ir.saving_reasons import rested_on, unsupported
from shapeflow.laws.fitting.refit_sentence import source_of

UNREACHED = 0.05
"""Maximum share of resamples that do not reach the plan's final error."""
FEWEST = 20
"""Minimum number of resamples for a 90% interval: with 20, one resample is outside each bound."""


def doubts(plan: Plan, found: Uncertainty | None, program: Program) -> Iterator[str]:
    """Yield the reasons in words, those about laws first. Yields nothing if no saving would be quoted anyway, or if the
    plan trains only the best fixed shape and cannot save anything."""
    comparison = plan.comparison
    if plan.is_best_fixed or (comparison.best_fixed.saving is None and comparison.last_shape_fixed.saving is None):
        return
    against: dict[str, list[str]] = {}
    for shape, said in unsupported(plan).items():
        for reason in said:
            against.setdefault(reason, []).append(shape.written(plan.units))
    for reason, names in against.items():
        yield f"the law{'s' * (len(names) > 1)} of {', '.join(names)}: {reason}"
    fitted = [law for law in rested_on(plan).values() if law.provenance.source == "fit"]
    fewest = min(fitted, key=_resamples, default=None)
    if fewest is not None and _resamples(fewest) < FEWEST:
        yield (
            f"its laws have {_resamples(fewest) or 'no'} resamples; an interval of the saving needs {FEWEST} or more"
            f"{_advice(fewest, program)}"
        )
        return
    if found is None:
        return
    if found.unreached > UNREACHED:
        yield (
            f"in {100 * found.unreached:.3g}% of {found.resamples} resamples the plan does not reach error "
            f"{plan.totals.error:.4g} (limit: {100 * UNREACHED:g}%)"
        )
    saving = found.best_fixed
    if saving is not None and saving[0] <= 0 <= saving[1]:
        low, high = (f"{round(100 * value, 1) + 0.0:+.1f}%" for value in saving)
        yield f"the saving against the best fixed shape is between {low} and {high}, which includes 0"


def _advice(law: Law, program: Program) -> str:
    """How to get more resamples; empty if the source that fitted the law does not have a setting for that."""
    source = source_of(law.provenance.settings, program.law_sources)
    name = None if source is None else source.setting_names.get("resamples")
    if source is None or name is None:
        return ""
    return f": `{name}: 400`" if isinstance(program.law_source, source) else f": fit them again with `{name}: 400`"


def _resamples(law: Law) -> int:
    how = law.provenance.resampling
    return 0 if how is None else how.count
