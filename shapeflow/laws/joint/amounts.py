"""Amounts of a table whose unit or meaning is not known: small numbers of parameters, tokens of an epoch, `1.4B`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.laws.logs.conventions import PER_PARAMETER
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.by_name import LEAST_TOKENS
from shapeflow.laws.logs.finding.roles import LEAST_PARAMETERS
from shapeflow.laws.logs.readers import Row, number
from shapeflow.laws.logs.readers.spelled import count_of_text
from shapeflow.laws.logs.series import Product

FEW = 20
"""Of this many rows, the one with the smallest number is not looked at: single rows may be wrong."""


def spelled_out(row: Row, named: Sequence[str]) -> Row:
    """Return a row in which counts such as `50M` and `1.4B` are numbers in columns that the user names as parameters or
    tokens, whatever they are called. A column whose name states a unit stays as it is."""
    cells = {name: count_of_text(row.get(name)) for name in named if words.count_of(name) == 1}
    found = {name: value for name, value in cells.items() if value is not None}
    return {**row, **found} if found else row


def no_small_counts(rows: Sequence[Row], products: Mapping[str, Product], stated: Mapping[str, str | None]) -> None:
    """Raise Refused (`wrong-counter`) for parameters, tokens or compute that are too small to be single ones. `stated`:
    what the user names; a number in it states the unit."""
    for what in ("parameters", "tokens", "compute"):
        product = products.get(what)
        if product is None or (what == "compute" and "tokens" in products) or _has_number(stated.get(what)):
            continue
        values = sorted(each for row in rows if (each := _amount(row, what, products)) is not None)
        if not values:
            continue
        low = values[len(values) // FEW]
        if (what == "parameters" and low < LEAST_PARAMETERS) or (what != "parameters" and values[-1] < LEAST_TOKENS):
            _refuse(what, product, rows)


def _amount(row: Row, what: str, products: Mapping[str, Product]) -> float | None:
    """The parameters or the tokens of a row; without a column of tokens, those that compute is enough for."""
    value = products[what].of(row)
    if not isinstance(value, float) or value <= 0:
        return None
    size = products["parameters"].of(row) if what == "compute" and "parameters" in products else None
    if what == "compute":
        return value / (PER_PARAMETER * size) if isinstance(size, float) and size > 0 else None
    return value


def _refuse(what: str, product: Product, rows: Sequence[Row]) -> None:
    column = product.columns[0]
    values = [value for row in rows if isinstance(value := number(row.get(column)), float)]
    multiples = {"parameters": ("1e6", "1e9"), "tokens": ("1e9", "1e6"), "compute": ("1e18", "1e21")}[what]
    called = {"1e6": "millions", "1e9": "billions", "1e18": "EFLOPs", "1e21": "ZFLOPs"}
    message = f"`{column}` is {min(values):.6g} to {max(values):.6g}, in a unit that its name does not state"
    first, second = multiples
    help = (
        f"write `--{what} '{first} * {column}'` if it counts {called[first]}, `'{second} * {column}'` if "
        f"{called[second]}, or `'1 * {column}'` if single ones"
    )
    raise Refused(Diagnostic("wrong-counter", message, place=f"--{what}", help=help))


def _has_number(text: str | None) -> bool:
    return any(isinstance(number(part.strip()), float) for part in (text or "").split("*"))


def no_unique_tokens(rows: Sequence[Row], products: Mapping[str, Product], stated: str | None) -> None:
    """Raise Refused (`wrong-counter`) for tokens of an epoch: runs of one size and as many tokens differ in their
    epochs. `stated`: the tokens that the user names; a product states what is meant."""
    tokens, size = products.get("tokens"), products.get("parameters")
    if tokens is None or size is None or "*" in (stated or ""):
        return
    names = dict.fromkeys(name for row in rows for name in row)
    for epochs in filter(words.is_epochs, names):
        found: dict[tuple[object, object], set[float]] = {}
        for row in rows:
            if isinstance(count := number(row.get(epochs)), float) and count > 0:
                found.setdefault((size.of(row), tokens.of(row)), set()).add(count)
        if 2 * sum(len(each) > 1 for each in found.values()) > len(found):
            column = tokens.columns[0]
            message = f"`{column}` is the same in rows of different `{epochs}`, as the tokens of an epoch are"
            help = (
                f"write `--tokens '{column} * {epochs}'` for all tokens of a run, or `--tokens '1 * {column}'` if "
                f"`{column}` counts them"
            )
            raise Refused(Diagnostic("wrong-counter", message, place="--tokens", help=help))


def unique_tokens(names: Sequence[str]) -> str | None:
    """Return what to write for a table of unique tokens and epochs; None for others."""
    unique = next((name for name in names if {"unique", "dataset"} & set(words.words(name)) and _of_data(name)), None)
    epochs = next(filter(words.is_epochs, names), None)
    if unique is None or epochs is None:
        return None
    return f"`--tokens '{unique} * {epochs}'` counts `{unique}` once in each of `{epochs}`"


def _of_data(name: str) -> bool:
    return not {"tokens", "token", "toks"}.isdisjoint(words.words(name))
