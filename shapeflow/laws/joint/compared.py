"""Compares the compute of a table with its parameters and tokens, as a fit does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.laws.logs.compared import ways_out
from shapeflow.laws.logs.conventions import PER_PARAMETER, Ratio, verdict_of
from shapeflow.laws.logs.points import Floats
from shapeflow.laws.logs.readers import number
from shapeflow.laws.logs.series import Product


def compared(
    of: Mapping[str, Floats], files: Sequence[str], products: Mapping[str, Product], named: str | None
) -> tuple[str, ...]:
    """Return what is to be said of compute that is not 6 N D. Raises Refused (`odd-compute`, `mixed-conventions`) if it
    counts something else, and the user states no number for its unit."""
    if not {"compute", "tokens"} <= of.keys():
        return ()
    values = of["compute"] / (PER_PARAMETER * of["parameters"] * of["tokens"])
    ratios = map(Ratio, files, of["parameters"].tolist(), values.tolist())
    verdict = verdict_of([one for one in ratios if one.value > 0])
    if verdict is None:
        return ()
    product = products["compute"]
    message = f"compute (`{written(product)}`) {verdict.why}"
    if not verdict.refused or any(isinstance(number(part.strip()), float) for part in (named or "").split("*")):
        return (message,)
    others = [products["parameters"], products["tokens"]]
    factor = PER_PARAMETER * math.prod(one.factor for one in others)
    instead = " * ".join((f"{factor:.10g}", *(column for one in others for column in one.columns)))
    ways = ways_out(verdict, product.columns, product.factor, instead)
    help = ways.replace('{}: "', "--compute '").replace('"`', "'`")
    code = "mixed-conventions" if verdict.kind == "mixed" else "odd-compute"
    raise Refused(Diagnostic(code, message, place="--compute", help=help))


def written(product: Product) -> str:
    """A product in words: `6 * N * D`."""
    return " * ".join([*([] if product.factor == 1 else [f"{product.factor:g}"]), *product.columns])
