"""Shows the law of a mixture and the pilots that it was fitted to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.ir.mixture import MixtureLaw
from shapeflow.ir.two_skills import LAM, A, B, C, K
from shapeflow.preview.fit import held_out_error
from shapeflow.preview.numbers import error, flops
from shapeflow.preview.shares import share

LEVEL = (0.05, 0.95)


def mixture_view(name: str, units: Mapping[str, str], metric: str, found: MixtureLaw) -> RenderableType:
    """Whether the pilots support the law, its parameters with 90% intervals, and its pilots."""
    target = found.target.written(units)
    wrong = [reason.text for reason in found.reasons]
    first = f"{name}: the pilots {'do not support' if wrong else 'support'} a law of mixtures with {target}"
    lines = [Text(first, style="bold"), *(Text(f"  {text}") for text in wrong)]
    if found.worse is not None:
        lines.append(Text(f"  every mixture ended at least {error(found.worse, metric)} above {target} alone"))
    lines.append(Text(f"  rms {found.rms:.3g}; a new run differs by {found.level:.3g}; pilots: {flops(found.spent)}"))
    if (of_set := held_out_error([found.provenance])) is not None:
        lines.append(Text(f"  {of_set}"))
    return Group(*lines, Text(), _parameters(units, found), Text(), _pilots(units, metric, found))


def _parameters(units: Mapping[str, str], found: MixtureLaw) -> Table:
    table = Table(box=None, padding=(0, 2))
    for title in ("", "fitted", "90% interval"):
        table.add_column(title, justify="left" if not title else "right")
    table.add_column("")
    for title, values, text in _rows(units, found):
        low, high = np.quantile(values[1:], LEVEL)
        table.add_row(title, f"{values[0]:.4g}", f"{low:.4g} - {high:.4g}", text)
    return table


def _rows(units: Mapping[str, str], found: MixtureLaw) -> Iterator[tuple[str, Any, str]]:
    """(name, values of the fit and its draws, meaning) of each parameter."""
    theta, unit = found.theta, f"data in units of {found.unit:.4g}"
    yield "c", theta[:, C], "the floor"
    yield "a", np.exp(theta[:, A]), f"{unit}"
    yield "b", np.exp(theta[:, B]), "the exponent of both skills"
    yield "lam", np.exp(theta[:, LAM]), f"weight of what only {found.target.written(units)} teaches"
    for place, group in enumerate(found.kinds.groups):
        shapes = ", ".join(found.shapes[shape].written(units) for shape in group)
        yield "k", np.exp(theta[:, K + place]), f"value of data at {shapes} for the rest, relative to the target"


def _pilots(units: Mapping[str, str], metric: str, found: MixtureLaw) -> Table:
    table = Table(box=None, padding=(0, 2))
    table.add_column("pilot")
    for title in (f"share of {found.target.written(units)}", "seed", "FLOPs", f"{metric} at the end"):
        table.add_column(title, justify="right")
    for one in found.pilots:
        seed = "-" if one.seed is None else str(one.seed)
        table.add_row(one.name, share(one.share), seed, flops(one.compute), error(one.error, metric))
    return table


def mixture_json(found: MixtureLaw) -> dict[str, Any]:
    """The law as JSON values."""
    theta, about = found.theta, found.provenance
    named = {"c": theta[:, C], **{name: np.exp(theta[:, at]) for name, at in (("a", A), ("b", B), ("lam", LAM))}}
    parameters = {name: [float(values[0]), *np.quantile(values[1:], LEVEL).tolist()] for name, values in named.items()}
    return {
        "target": found.target.json(),
        "unit": found.unit,
        "parameters": parameters,
        "k": [{"shape": shape.json(), "value": value} for shape, value in found.worth().items()],
        "rms": found.rms,
        "level": found.level,
        "worse": found.worse,
        **({} if about.held_out_error is None else {"held_out_error": about.held_out_error}),
        "reasons": [attrs.asdict(reason) for reason in found.reasons],
        "pilots": [attrs.asdict(pilot) for pilot in found.pilots],
    }
