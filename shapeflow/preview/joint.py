"""Shows a joint law of size and tokens: its numbers, how well it predicts larger sizes, and the law of each shape."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.base.shapes import Shape
from shapeflow.ir.joint import NAMES, Best, JointLaw
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.fitting.verdict import notes
from shapeflow.preview.fit import indented, runs_of
from shapeflow.preview.numbers import count, flops

FORM = "loss = E + A / N^alpha + B / D^beta"
LEVEL = "90%"
_SIZES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def joint_view(name: str, units: Mapping[str, str], found: FittedLaws) -> RenderableType:
    """The output of `shapeflow fit` for a joint law."""
    law = found.joint
    assert law is not None
    about = [each.provenance for each in found.laws.values()]
    unknown = [line for each in found.laws.values() for line in notes(each)]
    lines = [growth(law), tested(law), *dict.fromkeys(unknown), "", FORM, "", *numbers(law)]
    parts: list[RenderableType] = [Text(name or "unnamed plan", style="bold"), Text(), *map(indented, lines), Text()]
    parts += [_shapes(units, found), Text()]
    known = [*evidence(law), "each shape's law over compute: c = E + A / N^alpha, b = beta, d = 0"]
    parts += [indented(line) for line in (*known, found.summary, *runs_of(about))]
    return Group(*parts)


def growth(law: JointLaw) -> str:
    """The exponents of the best size and of its tokens, with their intervals."""
    ranges = law.intervals()
    tokens = ranged(law.tokens_exponent, ranges.get("tokens_exponent"))
    return (
        f"the best size grows as compute^{ranged(law.exponent, ranges.get('exponent'))}, its tokens as compute^{tokens}"
    )


def optima(law: JointLaw) -> str:
    """The best size and tokens as functions of compute C in FLOPs."""
    size_factor, tokens_factor = law.factors
    return (
        f"N_opt = {size_factor:.3g} C^{law.exponent:.4g}, D_opt = {tokens_factor:.3g} C^{law.tokens_exponent:.4g}, "
        "with C in FLOPs"
    )


def numbers(law: JointLaw) -> Iterator[str]:
    """Yield a line for each of the five numbers, with its interval."""
    ranges = law.intervals()
    for name, value in zip(NAMES, law.numbers.tolist(), strict=True):
        wide = ranges.get(name)
        written = f"{_digits(value)}" + (f"   {_digits(wide[0])} to {_digits(wide[1])}" if wide else "")
        yield f"{name:<6}{written}"


def tested(law: JointLaw) -> str:
    """How well a fit to the smaller sizes predicts the larger ones, or that this was not tested."""
    held = law.holdout
    if held is None:
        return "not tested on larger sizes: a test needs four sizes or more"
    larger = "the next size" if held.sizes == 1 else f"the {held.sizes} larger sizes"
    return (
        f"tested on size: a fit to the sizes up to {size(held.below)} predicts {larger} with a mean error of "
        f"{100 * held.error:.2f}% (bias {100 * held.bias:+.2f}%)"
    )


def evidence(law: JointLaw) -> Iterator[str]:
    """Yield what the law was fitted to, and how its intervals were found."""
    yield (
        f"fitted to {count(law.points)} points of {law.sizes} sizes, {size(law.size[0])} to {size(law.size[1])} "
        f"parameters, {size(law.tokens[0])} to {size(law.tokens[1])} tokens; rms {100 * law.rms:.2f}%"
    )
    if law.draws is None:
        yield "no intervals: the fit was not resampled"
    else:
        drawn = (
            "runs drawn with replacement" if law.by == "runs" else "the law with new noise, between runs and along them"
        )
        yield f"intervals contain {LEVEL} of the laws of {len(law.draws)} resamples: {drawn}"
    yield from (f"not determined by these data: {reason}" for reason in law.open())


def ranged(value: float, wide: tuple[float, float] | None) -> str:
    """A number with its interval, if it has one: `0.51 (0.48 to 0.54)`."""
    return f"{value:.3g}" + (f" ({wide[0]:.3g} to {wide[1]:.3g})" if wide else "")


def size(value: float) -> str:
    """A number of parameters or tokens: `1.3 G`."""
    for prefix, unit in _SIZES:
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g} {prefix}"
    return f"{value:.3g}"


def joint_json(law: JointLaw) -> dict[str, Any]:
    """The law as JSON values, without its draws."""
    fields = attrs.asdict(law, filter=lambda field, _: field.name not in ("draws", "measured"))
    exponents = {"exponent": law.exponent, "tokens_exponent": law.tokens_exponent}
    return {"form": FORM, **fields, **exponents, "intervals": law.intervals(), "open": list(law.open())}


def best_json(best: Best) -> dict[str, Any]:
    """The best model of a budget as JSON values."""
    return attrs.asdict(best)


def _digits(value: float) -> str:
    """A number with four digits."""
    if not value or not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


def _shapes(units: Mapping[str, str], found: FittedLaws) -> RenderableType:
    """A table of the points of each shape."""
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    for axis in units:
        table.add_column(f" {axis}", no_wrap=True)
    for heading in ("floor c", "points", "runs", "compute", "rms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for shape, law in found.laws.items():
        about = law.provenance
        assert about.compute is not None
        span = " to ".join(flops(each, 3) for each in about.compute)
        rms = "-" if about.rms is None else f"{100 * about.rms:.2f}%"
        cells = (_digits(law.c), count(about.points), count(about.runs), span, rms)
        table.add_row(*_named(units, shape), *cells)
    return table


def _named(units: Mapping[str, str], shape: Shape) -> list[str]:
    return [f" {shape[axis]} {units[axis]}".rstrip() for axis in units]
