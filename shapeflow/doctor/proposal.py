"""Proposes sentences for a `.shape` file that reads the logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from shapeflow.base.units import Amount, flops
from shapeflow.doctor import names
from shapeflow.doctor.curves import Key
from shapeflow.doctor.enough import DROPPED, drop_of
from shapeflow.doctor.facts import CurveFacts
from shapeflow.doctor.reading import Reading
from shapeflow.laws.logs.error_columns import likely_errors
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.by_name import RUNS
from shapeflow.laws.logs.finding.doubts import LOGGED
from shapeflow.laws.logs.finding.roles import COMPUTE, RATE, STEP, Roles
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.series import Progress, error_names

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def sentences_of(
    reading: Reading,
    roles: Roles,
    curves: Mapping[Key, object],
    facts: CurveFacts,
    progress: Progress | None,
    unit: Amount | None,
) -> tuple[str, ...]:
    """The sentences that a `.shape` file needs to fit laws and compile a plan: metric, axes, candidates, laws,
    traversal and a budget, which is the compute of the longest run."""
    seen = [dict(zip(roles.axes, shape, strict=True)) for shape, _ in curves]
    shapes = [dict(pairs) for pairs in sorted({tuple(shape.items()) for shape in seen}, key=_order)]
    metric = _metric(roles)
    found = [] if metric == "loss" else [f"metric {metric}"]
    values = {axis: _ordered(axis, {shape[axis] for shape in shapes}) for axis in roles.axes}
    found += [_axis(axis, listed) for axis, listed in values.items()]
    if 0 < len(shapes) < len(list(product(*values.values()))):
        found.append(_candidates(values, shapes))
    settings = [*_settings(reading, roles, facts, metric)]
    counted = None if progress is None or roles.step or roles.tokens else unit
    if progress is not None and counted is not None and not roles.compute:
        settings += [f'step: "{progress.column}"', f"step_unit: {counted.value:g} {counted.dimension}"]
    elif progress is not None and progress.data and not roles.compute and _steps(roles):
        # A fit takes steps, unless a setting names something else.
        settings += [f'step: "{progress.column}"', "step_unit: 1 tokens"]
    settings += [f"numbers: {one}" for one in reading.numerals]
    found.append(f"laws from fit({', '.join(settings)})")
    last = facts.compute[1]
    of_samples = counted is not None and counted.dimension == "samples"
    data = "steps" if progress is None or not progress.data else "images" if of_samples else "tokens"
    return (*found, "traversal steepest", f"budget {flops(last) if roles.compute else f'{last:.0f} {data}'}")


def _order(shape: Sequence[tuple[str, str]]) -> list[tuple[float, str]]:
    return [(0.0, value) if names.is_named(axis) else (float(value), "") for axis, value in shape]


def _metric(roles: Roles) -> str:
    """The metric of the first error column, in the syntax of a `.shape` file."""
    error = roles.errors[0]
    if error == "cross_entropy":
        return error
    unit = words.unit_of(error)
    if unit not in (None, "nats"):
        return f"loss(unit: {unit})"
    return "classification_error" if words.is_share(error) else "loss"


def _ordered(axis: str, values: set[str]) -> list[str]:
    """The values in the usual order of training."""
    if names.is_named(axis):
        return sorted(values)
    return sorted(values, key=float, reverse=names.axes()[axis].falls)


def _axis(axis: str, values: Sequence[str]) -> str:
    kind = names.axes()[axis]
    listed = f"[{', '.join(values)}] {kind.unit}".rstrip()
    return f"axis {axis} in {listed} via {names.mover_of(axis).format(first=values[0])}"


def _candidates(values: Mapping[str, Sequence[str]], shapes: Sequence[Mapping[str, str]]) -> str:
    """A condition that selects the shapes with runs, if these are not all combinations of the values."""

    def test(shape: Mapping[str, str]) -> str:
        parts = []
        for axis, value in shape.items():
            parts.append(f"{axis} is {value} {names.axes()[axis].unit}".rstrip())
        return f"({' and '.join(parts)})"

    return f"candidates {' * '.join(values)} where {' or '.join(test(shape) for shape in shapes)}"


def _settings(reading: Reading, roles: Roles, facts: CurveFacts, metric: str) -> Iterator[str]:
    columns = reading.columns
    yield f'"{reading.pattern_for(roles.where)}"'
    if len(roles.compute) > 1:
        yield f'compute: "{" * ".join((f"{roles.flops:g}", *roles.compute))}"'
    elif roles.compute and _usual(COMPUTE, columns) != roles.compute[0]:
        yield f'compute: "{roles.compute[0]}"'
    if roles.flops != 1 and len(roles.compute) == 1:
        yield f"compute_unit: {flops(roles.flops)}"
    if _usual_error(columns, roles, metric) != roles.errors[0]:
        yield f'error: "{roles.errors[0]}"'
    if roles.step is not None and _usual((*STEP, LOGGED), columns) != roles.step:
        yield f'step: "{roles.step}"'
    if roles.rate is not None and _usual(RATE, columns) != roles.rate:
        yield f'rate: "{roles.rate}"'
    if roles.ends:
        yield "points: ends"
        if roles.runs[0] not in RUNS:
            yield f'run: "{roles.runs[0]}"'
    elif len(roles.run) == 1:
        yield f'run: "{roles.run[0]}"'
    elif roles.run:
        yield f"run: [{', '.join(map(_quoted, roles.run))}]"
    renamed = {axis: column for axis, column in roles.axes.items() if axis != column}
    if renamed:
        yield f"axes: ({', '.join(f'{axis}: {_quoted(column)}' for axis, column in renamed.items())})"
    if roles.where is not None and roles.where[0] not in reading.settings and _BARE.fullmatch(roles.where[0]):
        yield f"where: ({roles.where[0]}: {_quoted(roles.where[1])})"
    if roles.ends:
        return
    drop = drop_of(roles, facts)
    if drop.dimension == "steps":
        yield f"drop_warmup: {drop.value:.0f} steps"
    elif drop.value > DROPPED:
        yield f"drop_warmup: {drop.value:.0f}"


def _usual_error(columns: Mapping[str, Column], roles: Roles, metric: str) -> str | None:
    """The error column that a fit finds by a usual name, without a setting; None if it depends on how many rows are
    looked at."""
    own = "loss@own" if metric.startswith("loss") else metric
    unit = metric[len("loss(unit: ") : -1] if metric.startswith("loss(") else "nats"
    found = {next(iter(likely_errors(columns, roles, own, unit, whole)), None) for whole in (True, False)}
    name = found.pop() if len(found) == 1 else None
    return name if name in error_names(own) else None


def _steps(roles: Roles) -> bool:
    """Whether there are columns of steps."""
    return any(one.role == "step" for one in roles.of.values())


def _usual(wanted: Sequence[str], columns: Iterable[str]) -> str | None:
    """The column that a fit finds without a setting."""
    return next((name for name in wanted if name in columns), None)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "").replace('"', "") + '"'
