"""Checks that the answer of a plan is consistent."""

from __future__ import annotations

import math
from collections.abc import Iterator

from shapeflow.ir.answer import Answer, Mix


def answer_faults(found: Answer) -> Iterator[str]:
    """Ranges must be ordered and finite, probabilities between 0 and 1, and a doubt must leave the answer unknown."""
    settled = None if found.settle is None else found.settle.expected
    for one in (found.best, found.last, found.error, found.saved, settled):
        if one is not None and not (math.isfinite(one.low) and one.low <= one.middle <= one.high < math.inf):
            yield "a range is not ordered"
    if not all(0 <= value <= 1 for value in (found.other, found.useful, *(one.share for one in found.fixed))):
        yield "a probability is not between 0 and 1"
    if found.doubts and found.say != "unknown":
        yield f"its doubts contradict the answer {found.say}"
    if found.say != "unknown" and found.best is None:
        yield f"it answers {found.say} without a saving"
    if not (found.doubts or found.stated or found.fixed):
        yield "it compares with no fixed shape"
    if found.mix is not None:
        yield from _mix(found, found.mix)


def _mix(found: Answer, mix: Mix) -> Iterator[str]:
    """Shares must be ordered and at most 1, and a doubt must leave every saving out."""
    ranges = [] if mix.share is None else [mix.share]
    if not all(0 <= one.low <= one.middle <= 1 and one.middle <= one.high <= 1 for one in ranges):
        yield "the best share of its mixture is not ordered or not between 0 and 1"
    if mix.flat is not None and not 0 < mix.flat[0] <= mix.flat[1] <= 1:
        yield "the flat range of its mixture is not ordered or not between 0 and 1"
    if not all(one.saving.low <= one.saving.middle <= one.saving.high for one in mix.against):
        yield "a saving against another share is not ordered"
    if found.doubts and (mix.against or found.best is not None):
        yield "it states a saving of a mixture that its pilots do not support"
