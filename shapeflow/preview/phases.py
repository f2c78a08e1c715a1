"""Shows the result of `shapeflow phases`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.laws.random_features.phase import TERMS, Phase
from shapeflow.laws.random_features.study import Study
from shapeflow.preview.numbers import flops


def phases_view(study: Study) -> RenderableType:
    """The phase in one sentence, its conditions, and tables of budgets and widths."""
    parts: list[RenderableType] = [Text(headline(study.phase), style="bold")]
    parts += [Text(f"  {name:<9} {text}") for name, text in _facts(study)]
    if study.optima:
        parts += [Text(), _budgets(study)]
    if study.widths:
        parts += [Text(), _widths(study)]
    return Group(*parts)


def headline(phase: Phase) -> str:
    """Phase, what limits the loss, and the exponents."""
    first, second = (TERMS[term] for term in phase.balance)
    return (
        f"phase {phase.name}: the best width grows as compute^{phase.width_exponent:.3g}, and the loss falls as "
        f"compute^-{phase.loss_exponent:.3g}\n"
        f"  limits    {first}\n"
        f"            {second}"
    )


def _facts(study: Study) -> Iterator[tuple[str, str]]:
    phase = study.phase
    if phase.on_boundary:
        yield "boundary", f"on {phase.boundary.name}: losses have additional powers of log(compute)"
    else:
        other = "where the theory ends" if phase.beyond is None else f"beyond it phase {phase.beyond}"
        yield "boundary", f"{phase.distance:.3g} away in the plane of alpha and beta: {phase.boundary.name}, {other}"
    if study.alpha < 0.5:
        yield (
            "beware",
            "below 2 alpha = 1 these exponents appear only at very large compute; the losses below are exact",
        )
    if not study.optima:
        yield "next", "`--budget '1 GFLOPs'` shows the best width of a budget, `--plot phases.svg` a picture"


def _budgets(study: Study) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=True)
    for heading in ("budget", "best width", "steps", "loss there"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in study.optima:
        end = " (limit)" if one.at_end else ""
        table.add_row(flops(one.compute), f"{_number(one.width)}{end}", _number(study.steps(one)), f"{one.loss:.4g}")
    return table


def _widths(study: Study) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=True)
    for heading in (
        "width",
        "step size",
        "diverges at",
        "floor",
        *(f"at {flops(one.compute)}" for one in study.optima),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in study.widths:
        losses = [one.loss(each.compute) for each in study.optima]
        table.add_row(
            str(one.width),
            f"{one.step:.4g}",
            f"{one.largest_step:.4g}",
            f"{one.curve.floor:.4g}",
            *("-" if loss is None else f"{loss:.4g}" for loss in losses),
        )
    return table


def _number(value: float) -> str:
    return f"{value:.0f}" if value < 1e4 else f"{value:.3g}"


def as_json(study: Study) -> dict[str, Any]:
    """The study as JSON values."""
    phase = study.phase
    return {
        "phase": phase.name,
        "balance": list(phase.balance),
        "width_exponent": phase.width_exponent,
        "loss_exponent": phase.loss_exponent,
        "boundary": {"is": phase.boundary.name, "distance": phase.distance, "beyond": phase.beyond},
        "settings": dict(study.settings),
        "budgets": [{**attrs.asdict(one), "steps": study.steps(one)} for one in study.optima],
        "widths": [
            {
                "width": one.width,
                "step": one.step,
                "largest_step": one.largest_step,
                "floor": one.curve.floor,
                "losses": [one.loss(each.compute) for each in study.optima],
            }
            for one in study.widths
        ],
    }
