"""Whether a column of tokens may count those of one of several processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from shapeflow.laws.logs.beside import beside
from shapeflow.laws.logs.epochs import ACCUMULATED, NODES, PROCESSES
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.readers import number
from shapeflow.laws.logs.series import Product

OF_ALL = {"global", "total", "consumed", "all", "overall", "world"}
"""Words of tokens of all processes."""

MULTIPLIERS = {*PROCESSES, *NODES, *ACCUMULATED}
"""Settings that tokens of one process and micro-batch are multiplied by."""


@attrs.frozen
class Processes:
    """The number of processes that a log, or the configuration next to it, states."""

    name: str
    """The column or key."""
    low: float
    high: float

    @property
    def said(self) -> str:
        """The number, or its range."""
        return f"{self.high:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"


def processes_of(tokens: str | None, columns: Mapping[str, Column], log: Path | None = None) -> Processes | None:
    """Return the number of processes of which a column of tokens may count one. None: there is one process, or the name
    of the column says that it counts those of all. `log`: the file next to which a configuration may lie."""
    if tokens is None or not OF_ALL.isdisjoint(words.words(tokens)):
        return None
    for name, column in columns.items():
        if words.setting(name) in PROCESSES and column.numeric and column.high > 1:
            return Processes(name, column.low, column.high)
    known = {} if log is None else beside(log)
    for name in PROCESSES:
        value = number(known.get(name))
        if isinstance(value, float) and value > 1:
            return Processes(name, value, value)
    return None


def of_formula(tokens: Product, compute: Product | None) -> Product:
    """Return the tokens that a formula of compute counts: those of a column, times the processes, the accumulated
    batches or the epochs that it multiplies them by. `compute`: None, or the formula."""
    if compute is None or not set(tokens.columns) <= set(compute.columns):
        return tokens
    times = [name for name in compute.columns if words.setting(name) in MULTIPLIERS or words.is_epochs(name)]
    return Product((*tokens.columns, *(name for name in times if name not in tokens.columns)), tokens.factor)


def why_of_one(processes: Processes) -> str:
    """Return why a column of tokens has to be asked for; a clause that follows its name."""
    return f"may count the tokens of one of {processes.said} processes (`{processes.name}`)"


def ways_of_compute(product: Product, processes: Processes) -> str:
    """Return what to write for a product with tokens. The name of the setting takes the place of braces."""
    written = " * ".join((f"{product.factor:g}", *product.columns))
    return (
        f'if it counts those of all, write `{{}}: "{written}"`; if those of one, `{{}}: "{written} * {processes.name}"`'
    )


def ways_of_step(tokens: str, processes: Processes) -> str:
    """Return what to write for tokens that say how far a run is."""
    own = f"`step_unit: {processes.high:g} tokens`" if processes.low == processes.high else "multiply the column"
    return f'if it counts those of all, write `step: "{tokens}", step_unit: 1 tokens`; if those of one, {own}'
