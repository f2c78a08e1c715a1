"""What is known of the published laws: a JSON file each, beside this one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import attrs

from shapeflow.base.json_text import parse_json
from shapeflow.ir.law import Pair

SAFE = 10.0
"""A batch so many times the critical one counts as well above it: it takes at most a tenth more steps than need be."""


@attrs.frozen
class Tokens:
    """E + A / N^alpha + B / D^beta, after D tokens (Hoffmann et al. 2022, arXiv 2203.15556, eq. 2)."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def floor(self, parameters: float) -> float:
        """The error that no progress takes away from a model of so many parameters."""
        return float(self.E + self.A * parameters**-self.alpha)

    def size(self, per_token: float) -> float:
        """`a` of a law over compute, where one token takes so much of it."""
        return float(self.B * per_token**self.beta)

    @property
    def exponent(self) -> float:
        return self.beta


@attrs.frozen
class Steps:
    """(N_c / N)^alpha_N + (S_c / S)^alpha_S, after S steps (Kaplan et al. 2020, arXiv 2001.08361, eq. 1.6)."""

    n_c: float
    alpha_n: float
    s_c: float
    alpha_s: float
    b_star: float
    alpha_b: float

    def floor(self, parameters: float) -> float:
        """The error that no progress takes away from a model of so many parameters."""
        return float((self.n_c / parameters) ** self.alpha_n)

    def size(self, per_step: float) -> float:
        """`a` of a law over compute, where one step takes so much of it."""
        return float((self.s_c * per_step) ** self.alpha_s)

    @property
    def exponent(self) -> float:
        return self.alpha_s

    def critical(self, error: float) -> float:
        """The critical batch at an error, in tokens (eq. 5.3)."""
        return float(self.b_star * error ** (-1 / self.alpha_b))


FORMS: Mapping[str, type[Tokens] | type[Steps]] = {"tokens": Tokens, "steps": Steps}


@attrs.frozen(kw_only=True)
class Record:
    """A published law."""

    name: str
    title: str
    """The formula."""
    form: Tokens | Steps
    citation: str
    counts: str
    """Which parameters N counts: `all`, or `non-embedding`."""
    parameters: Pair
    """The smallest and the largest N that it was fitted to."""
    progress: Pair
    """The fewest and the most tokens, or steps."""
    axes: tuple[str, ...]
    """What candidates may differ in: all that the formula sees."""
    unit: str
    evaluation: str
    data: str
    learning_rate: str
    notes: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Optimum:
    """A published rule that says which shape is best for some compute, and no error."""

    name: str
    title: str
    exponents: Mapping[str, float]
    """Size -> the power of compute that it grows with."""
    start: Mapping[str, int]
    citation: str
    notes: tuple[str, ...]


@functools.cache
def record(name: str) -> Record | Optimum:
    """What is known of a published law."""
    text = (files("shapeflow.laws.published") / f"{name}.json").read_text(encoding="utf-8")
    data: dict[str, Any] = parse_json(text)
    kind, notes = data.pop("kind"), tuple(data.pop("notes"))
    if kind == "optimum":
        return Optimum(name=name, notes=notes, **data)
    form = FORMS[data.pop("form")](**data.pop("constants"))
    parameters, progress = (tuple(data.pop(key)) for key in ("parameters", "progress"))
    axes = tuple(data.pop("axes"))
    return Record(name=name, form=form, parameters=parameters, progress=progress, axes=axes, notes=notes, **data)
