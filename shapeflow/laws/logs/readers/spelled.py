"""Counts that are written with the letter of a multiple: `50M` parameters, `1.4B` tokens, `10k` steps."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import attrs

from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.readers.block import Block, Numbers, Texts

_COUNT = re.compile(r"\s*(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*([kKmMbBgGtT])\s*")
_LETTERS = frozenset("kKmMbBgGtT")
_MULTIPLES = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}


@functools.lru_cache(10_000)
def counts(name: str) -> bool:
    """Return whether a column of this name holds counts whose unit it does not state: `tokens`, and not `tokens_b`."""
    if name in ("N", "D"):
        return True
    counted = words.is_parameters(name) or words.is_tokens(name) or words.is_samples(name)
    return (counted and words.count_of(name) == 1) or words.flops_of(name) == 1 or words.is_step(name)


def count_of_text(cell: Any) -> float | None:
    """Return the number that a cell such as `1.4B` stands for; None for others."""
    match = _COUNT.fullmatch(cell) if isinstance(cell, str) else None
    return None if match is None else float(match[1]) * _MULTIPLES[match[2].lower()]


def spelled_out(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row in which such cells of columns of counts are numbers."""
    found: dict[str, float] = {}
    for name, cell in row.items():
        # Most cells end with a digit: this is asked of every cell of a log.
        if isinstance(cell, str) and cell and cell[-1] in _LETTERS and counts(name):
            value = count_of_text(cell)
            found.update({} if value is None else {name: value})
    return {**row, **found} if found else row


def spelled_out_block(block: Block) -> Block:
    """Return a block in which such cells of columns of counts are numbers."""
    found: dict[str, Numbers | Texts] = {}
    for name, cells in block.cells.items():
        if isinstance(cells, Texts) and counts(name):
            values = [count_of_text(text) for text in cells.distinct]
            if any(value is not None for value in values):
                pairs = zip(cells.distinct, values, strict=True)
                texts = tuple(text if value is None else repr(value) for text, value in pairs)
                found[name] = attrs.evolve(cells, distinct=texts)
    return attrs.evolve(block, cells={**block.cells, **found}) if found else block
