"""Records of the published laws. Each is a JSON file in the folder of this module."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import attrs

from shapeflow.base.json_text import parse_json
from shapeflow.ir.law import Pair

SAFE = 10.0
"""A batch size of at least this multiple of the critical one counts as well above it: it takes at most 10% more steps
than the minimum."""


@attrs.frozen
class Tokens:
    """loss = E + A / N^alpha + B / D^beta after D tokens (Hoffmann et al. 2022, arXiv 2203.15556, eq. 2)."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def floor(self, parameters: float) -> float:
        """Return the irreducible loss of a model with this number of parameters: `c` of a law over compute."""
        return float(self.E + self.A * parameters**-self.alpha)

    def size(self, per_token: float) -> float:
        """Return `a` of a law over compute. `per_token`: the compute of one token."""
        return float(self.B * per_token**self.beta)

    @property
    def exponent(self) -> float:
        return self.beta


@attrs.frozen
class Steps:
    """loss = (N_c / N)^alpha_N + (S_c / S)^alpha_S after S steps (Kaplan et al. 2020, arXiv 2001.08361, eq. 1.6)."""

    n_c: float
    alpha_n: float
    s_c: float
    alpha_s: float
    b_star: float
    alpha_b: float

    def floor(self, parameters: float) -> float:
        """Return the irreducible loss of a model with this number of parameters: `c` of a law over compute."""
        return float((self.n_c / parameters) ** self.alpha_n)

    def size(self, per_step: float) -> float:
        """Return `a` of a law over compute. `per_step`: the compute of one step."""
        return float((self.s_c * per_step) ** self.alpha_s)

    @property
    def exponent(self) -> float:
        return self.alpha_s

    def critical(self, error: float) -> float:
        """Return the critical batch size at a loss, in tokens (eq. 5.3)."""
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
    """The parameters that N counts: `all` or `non-embedding`."""
    parameters: Pair
    """The smallest and the largest N of the fitted models."""
    progress: Pair
    """The smallest and the largest number of tokens (or steps) of the fitted runs."""
    axes: tuple[str, ...]
    """Axes in which candidates may differ. The formula does not depend on any other axis."""
    unit: str
    evaluation: str
    data: str
    learning_rate: str
    notes: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Optimum:
    """A published rule that states the best shape for a given compute. It does not predict an error."""

    name: str
    title: str
    exponents: Mapping[str, float]
    """Dimension of the model (such as width) -> the power of compute with which it grows."""
    start: Mapping[str, int]
    citation: str
    notes: tuple[str, ...]


@functools.cache
def record(name: str) -> Record | Optimum:
    """Return the record of the published law or rule `name`."""
    text = (files("shapeflow.laws.published") / f"{name}.json").read_text(encoding="utf-8")
    data: dict[str, Any] = parse_json(text)
    kind, notes = data.pop("kind"), tuple(data.pop("notes"))
    if kind == "optimum":
        return Optimum(name=name, notes=notes, **data)
    form = FORMS[data.pop("form")](**data.pop("constants"))
    parameters, progress = (tuple(data.pop(key)) for key in ("parameters", "progress"))
    axes = tuple(data.pop("axes"))
    return Record(name=name, form=form, parameters=parameters, progress=progress, axes=axes, notes=notes, **data)
