"""Resolve `weights` sentences, which change the weights of the corpora of a mixture during the run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import Limits, name_of, written
from shapeflow.base.units import Dimension
from shapeflow.ir.contexts import MIXTURE
from shapeflow.ir.corpora import LaterWeights
from shapeflow.ir.program import Trained
from shapeflow.language import syntax
from shapeflow.stages.resolve.values import Names, Unsettled, amount, settle

ROUNDING = 0.005
"""How far the sum of percentages may be from 100%: thirds are written as 33%, 33% and 34%, or as 33.3% each."""


def later_weights(
    sentences: Sequence[syntax.Weights],
    trained: Trained | None,
    lengths: tuple[Dimension, ...],
    names: Names,
    report: Report,
) -> tuple[LaterWeights, ...]:
    """The weights of the sentences, in the order of the file. Errors are reported."""
    found = []
    for sentence in sentences:
        if trained is None or name_of(trained.data) != MIXTURE:
            message, why = "`weights` needs data of several corpora", "the data is not a `mixture`"
            help_ = 'write `data mixture(of: [tokens("a.bin"), tokens("b.bin")], weights: [70%, 30%])`'
            report.error("mixture-weights", message, sentence.span, why, help=help_)
            break
        try:
            found.append(_weights(sentence, len(written(trained.data)["of"]), lengths, names, report))
        except Unsettled:
            continue
    return tuple(found)


def _weights(
    sentence: syntax.Weights, corpora: int, lengths: tuple[Dimension, ...], names: Names, report: Report
) -> LaterWeights:
    at = sentence.shares.span
    shares: tuple[float, ...] = settle(
        sentence.shares, tuple[float, ...], Limits(units=("ratio",), low=0.0), names, report
    )
    if len(shares) != corpora:
        message = f"a mixture of {corpora} corpora has {len(shares)} weights"
        report.error("mixture-weights", message, at, "needs one weight for each corpus")
        raise Unsettled
    total = sum(shares)
    if total == 0:
        report.error("mixture-weights", "all weights of a mixture are 0", at, "nothing to train on")
        raise Unsettled
    if "%" in at.text and not math.isclose(total, 1.0, abs_tol=ROUNDING):
        parts = ", ".join(f"{100 * share:g}" for share in shares)
        help_ = f"write percentages that sum to 100%, or parts of any sum: `weights [{parts}] from ...`"
        report.error("mixture-weights", f"the weights sum to {100 * total:.4g}%", at, "not 100%", help=help_)
        raise Unsettled
    start = amount(sentence.start, (*lengths, "ratio"), names, report)
    if start.value <= 0 or (start.dimension == "ratio" and start.value >= 1):
        why = "must be above 0" if start.value <= 0 else "must be below 100% of the budget"
        written = sentence.start.span
        report.error("out-of-range", f"`{written.text}` is out of range", written, why)
        raise Unsettled
    return LaterWeights(shares, start, sentence.span)
