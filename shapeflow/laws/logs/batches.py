"""What a step of a log is, by its other columns and the configuration next to it, against a step of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.beside import beside
from shapeflow.laws.logs.epochs import CLOSE, batch_of
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.by_name import UNSTATED
from shapeflow.laws.logs.finding.roles import Roles
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.readers import Row, number

IN_TOKENS = ("tokens_per_step", "tokens_per_batch", "batch_tokens", "batch_size_tokens", "total_batch_size_tokens")
"""Names of the tokens of one step."""


@attrs.frozen
class Amount:
    """What a log says of the data of one step."""

    count: float
    unit: str
    """`tokens` or `samples`; empty if the name does not say."""
    said: str
    """The columns or keys that say so."""


def stated(path: Path, columns: Mapping[str, Column], axes: Sequence[str]) -> Iterator[Amount]:
    """Yield the batches that a log or the configuration next to it states. `axes`: columns that are axes of the
    file."""
    single = {words.plain(name): next(iter(one.values)) for name, one in columns.items() if one.constant}
    own = {words.plain(name): name for name in columns if name not in axes}
    known = {**beside(path), **{name: value for name, value in single.items() if name in own}}
    for name in IN_TOKENS:
        if isinstance(value := number(known.get(name)), float) and value >= 1:
            yield Amount(value, "tokens", f"`{own.get(name, name)}`")
    if (batch := batch_of(known)) is not None:
        yield Amount(batch[1], "", batch[0])


def per_step(rows: Sequence[Row], roles: Roles, keys: Sequence[str]) -> tuple[Amount, ...]:
    """Return how much the columns of tokens and of samples grow in one step, in the first rows."""
    found = ((roles.tokens, "tokens"), (roles.samples, "samples"))
    pairs = [(column, unit, _slope(rows, column, roles.step, keys)) for column, unit in found if column and roles.step]
    # Few tokens are counted one by one if there is at least one a step.
    small = [name for name, one in roles.of.items() if one.why == UNSTATED and roles.step]
    found_small = ((name, "tokens", _slope(rows, name, roles.step, keys)) for name in small)
    pairs += [one for one in found_small if one[2] and one[2] >= 1]
    return tuple(Amount(each * words.count_of(name), unit, f"`{name}`") for name, unit, each in pairs if each)


def _slope(rows: Sequence[Row], column: str, step: str | None, keys: Sequence[str]) -> float | None:
    """The growth of a column over that of the steps, along runs. None if they do not grow."""
    last: dict[tuple[Any, ...], tuple[float, float]] = {}
    steps = data = 0.0
    for row in rows:
        at, value = number(row.get(step or "")), number(row.get(column))
        if not (isinstance(at, float) and isinstance(value, float)):
            continue
        key = tuple(row.get(name) for name in keys)
        before = last.get(key, (at, value))
        if at > before[0] and value > before[1]:
            steps, data = steps + at - before[0], data + value - before[1]
        last[key] = (at, value)
    return data / steps if steps > 0 and data > 0 else None


def agrees(amount: Amount, request: LawRequest) -> bool:
    """Return whether an amount of data is that of a step of the file, in some shape."""
    batches = set((request.step_data or {}).values())
    ways = [(amount.count, "tokens"), *((amount.count * each, "samples") for each in contexts(request))]
    # Without a context, as of images, a step of the file is counted in samples.
    fitting = [count for count, unit in ways if amount.unit in ("", unit) or len(ways) == 1]
    return any(abs(count / batch - 1) <= CLOSE for count in fitting for batch in batches if batch)


def contexts(request: LawRequest) -> set[float]:
    """Return the tokens of a sample in all shapes; empty if the data are not tokens."""
    return set() if request.training is None else {float(one) for one in request.training.context.values()}
