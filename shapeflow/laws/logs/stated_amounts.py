"""The parameters and the tokens that a log, or the configuration next to it, states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from shapeflow.laws.logs.batches import stated
from shapeflow.laws.logs.beside import beside
from shapeflow.laws.logs.conventions import PER_PARAMETER, Stated
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.roles import LEAST_PARAMETERS, Roles, size_of
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.processes import of_formula
from shapeflow.laws.logs.readers import Row, number
from shapeflow.laws.logs.series import Product


def stated_amounts(
    path: Path, columns: Mapping[str, Column], roles: Roles, rows: Sequence[Row], compute: Product | None = None
) -> Stated | None:
    """Return the parameters and the tokens of the rows of a log; None if one of them is not known. `path`: the log,
    next to which a configuration may lie; `rows`: some rows; `compute`: the formula of compute, which may multiply
    tokens by the number of processes."""
    tokens = _tokens(path, columns, roles)
    if tokens is None:
        return None
    tokens = of_formula(tokens, compute)
    name = size_of([name for name, one in roles.of.items() if one.role == "parameters"], rows)
    if name is not None:
        size = Product((name,), words.count_of(name))
        return Stated(_written((name, *tokens.columns), size.factor * tokens.factor), size.of, tokens.of)
    found = _size_beside(path)
    if found is None:
        return None
    key, value = found
    text = _written((key, *tokens.columns), words.count_of(key) * tokens.factor)
    return Stated(text, partial(_same, value), tokens.of)


def _tokens(path: Path, columns: Mapping[str, Column], roles: Roles) -> Product | None:
    """The tokens since the start of the run: a column, or the steps times the tokens of a step."""
    if roles.tokens is not None:
        return Product((roles.tokens,), words.count_of(roles.tokens))
    if roles.step is None or roles.doubt is not None:
        return None
    each = [one.count for one in stated(path, columns, list(roles.axes.values())) if one.unit == "tokens"]
    return Product((roles.step,), each[0]) if each else None


def _size_beside(path: Path) -> tuple[str, float] | None:
    """The key and the number of parameters in the configuration next to a log: the active ones of a mixture of
    experts. None if it states none, or several."""
    known = beside(path)
    found: dict[str, float] = {}
    for key, cell in known.items():
        value = number(cell)
        if words.is_parameters(key) and isinstance(value, float) and value * words.count_of(key) >= LEAST_PARAMETERS:
            found[key] = value * words.count_of(key)
    found = {key: value for key, value in found.items() if words.is_active(key)} or found
    experts = (number(cell) for key, cell in known.items() if "experts" in words.words(key))
    of_experts = any(isinstance(one, float) and one > 1 for one in experts)
    if len(set(found.values())) != 1 or (of_experts and not any(map(words.is_active, found))):
        return None
    return min(found.items(), key=lambda pair: len(pair[0]))


def _same(value: float, _row: Row) -> float:
    return value


def _written(columns: Sequence[str], factor: float) -> str:
    return " * ".join((f"{PER_PARAMETER * factor:.10g}", *columns))
