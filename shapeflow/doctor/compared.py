"""Compares the compute of logs with what their parameters and tokens take, as a fit does."""

from __future__ import annotations

import attrs

from shapeflow.doctor.reading import Reading
from shapeflow.laws.logs.compared import ways_out
from shapeflow.laws.logs.conventions import Ratio, ratios_of, verdict_of
from shapeflow.laws.logs.finding.by_name import FILE
from shapeflow.laws.logs.finding.roles import Roles
from shapeflow.laws.logs.readers import Row
from shapeflow.laws.logs.series import Product
from shapeflow.laws.logs.stated_amounts import stated_amounts


@attrs.frozen
class Odd:
    """Compute that is not what parameters and tokens take."""

    text: str
    """What is wrong, and what to write."""
    refused: bool
    """Whether a fit refuses it."""


def compared(reading: Reading, roles: Roles) -> Odd | None:
    """Return how the compute of logs differs from 6 N D; None if it does not, or if nothing is known."""
    if len(roles.compute) != 1:
        return None
    product = Product(roles.compute, roles.flops)
    rows: dict[str, list[Row]] = {}
    for row in reading.some():
        rows.setdefault(row[FILE], []).append(row)
    found: list[Ratio] = []
    instead = ""
    for log in reading.logs:
        mine = rows.pop(log.run.as_posix(), [])
        stated = stated_amounts(log.path, reading.columns, roles, mine) if mine else None
        if stated is not None:
            instead = instead or stated.product
            found += ratios_of(log.path.as_posix(), mine, product.of, stated)
    verdict = verdict_of(found)
    if verdict is None:
        return None
    written = f"compute (`{product.columns[0]}`) {verdict.why}"
    if not verdict.refused:
        return Odd(f'{written}: for 6 N D, write `compute: "{instead}"`', refused=False)
    ways = ways_out(verdict, product.columns, product.factor, instead).replace("{}", "compute")
    return Odd(f"{written}: {ways}", refused=True)
