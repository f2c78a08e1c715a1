"""The compute that the model of the file takes for the steps or tokens of a log, which its own compute is compared
with."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median

from shapeflow.laws.logs.batches import agrees, contexts, stated
from shapeflow.laws.logs.conventions import OfModel, Ratio, Reference
from shapeflow.laws.logs.curve import Curve
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.processes import of_formula
from shapeflow.laws.logs.series import Product
from shapeflow.laws.logs.table_facts import TableFacts

OTHERS = "so it counts something else, or the runs had another model or batch"


def of_model(path: Path, file: str, table: TableFacts, curve: Curve) -> OfModel | None:
    """Return the compute of the first rows of a log over what the model of the file takes, for each shape. `file`: the
    name of the log in messages. None: the file has no model, or the log has neither steps nor tokens."""
    request, product, step = curve.search.request, curve.series.compute, curve.series.step
    costs, data = request.step_compute, request.step_data
    if costs is None or data is None or product is None:
        return None
    counted, batch = _tokens(path, table, curve), ""
    units = {shape: costs[shape] / data[shape] for shape in costs}
    if counted is None and step is not None and not step.data:
        counted, batch, units = Product((step.column,), step.unit), " with its batch", dict(costs)
    if counted is None:
        return None
    found: dict[float, list[float]] = {}
    for row in table.rows:
        shape, spent, so_far = curve.candidate(row), product.of(row), counted.of(row)
        if shape is not None and isinstance(spent, float) and isinstance(so_far, float):
            taken = so_far * units[shape]
            if 0 < spent < math.inf and 0 < taken < math.inf:
                found.setdefault(costs[shape] / data[shape], []).append(spent / taken)
    flops = request.convention == "flops"
    by = "" if flops else f" (`convention: {request.convention}`)"
    written = " * ".join(f"`{column}`" for column in counted.columns)
    reference = Reference(f"what the model of this file takes{by} for {written}{batch}", OTHERS, conventions=flops)
    ratios = tuple(Ratio(file, each, median(values)) for each, values in found.items())
    sure = not batch or _is_step_of_file(path, table, curve)
    return OfModel(product, reference, ratios, sure, counted=not batch)


def _tokens(path: Path, table: TableFacts, curve: Curve) -> Product | None:
    """The tokens of a row: a column, or the steps times the tokens of a step that the log states."""
    roles, step = table.roles, curve.series.step
    if not contexts(curve.search.request):
        return None
    if roles.tokens is not None:
        return of_formula(Product((roles.tokens,), words.count_of(roles.tokens)), curve.series.compute)
    if step is not None and step.data:
        return Product((step.column,), step.unit)
    each = [one.count for one in stated(path, table.columns, _axes(curve)) if one.unit == "tokens"]
    return Product((step.column,), step.unit * each[0]) if each and step is not None else None


def _is_step_of_file(path: Path, table: TableFacts, curve: Curve) -> bool:
    """Whether nothing says that the steps of a log are not those of the file."""
    batches = [*table.batches, *stated(path, table.columns, _axes(curve))]
    return table.roles.doubt is None and all(agrees(one, curve.search.request) for one in batches)


def _axes(curve: Curve) -> list[str]:
    query = curve.search.query
    return [query.axes.get(axis, axis) for axis in curve.search.request.units]
