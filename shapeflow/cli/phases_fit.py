"""`shapeflow phases --fit`: the exponents of measured runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shapeflow.base.printing import say
from shapeflow.cli.common import print_json

if TYPE_CHECKING:
    from shapeflow.laws.exponents.measure import Findings


def measured(
    paths: Sequence[str],
    named: dict[str, Any],
    budgets: Sequence[float],
    decays: tuple[float | None, float | None],
    as_json: bool,
    plot: Path | None,
) -> None:
    """Print the exponents of the runs at some paths. `named`: options that name columns. `decays`: alpha and beta, if
    they are known. Raises Refused, BadParameter."""
    from shapeflow.preview.exponents import as_json as json_of
    from shapeflow.preview.exponents import exponents_view
    from shapeflow.preview.screen import show

    found, notes = _findings(paths, named, budgets, decays)
    if plot is not None:
        from shapeflow.preview.exponents_plot import draw

        draw(found, plot)
    if as_json:
        print_json(json_of(found, notes))
        return
    show(exponents_view(found, notes, decays))
    if plot is not None:
        say(f"\n  plot written to {plot}")


def _findings(
    paths: Sequence[str],
    named: dict[str, Any],
    budgets: Sequence[float],
    decays: tuple[float | None, float | None],
) -> tuple[Findings, tuple[str, ...]]:
    """The exponents, and doubts about the logs."""
    from shapeflow.base.diagnostics import Refused, Report
    from shapeflow.doctor.width_runs import Named, width_runs
    from shapeflow.laws.exponents.family import family_of
    from shapeflow.laws.exponents.measure import measure

    report = Report()
    runs = width_runs(paths, Named(**{**named, "where": tuple(map(_where, named["where"]))}), report)
    if runs is None:
        raise Refused(*report.diagnostics)
    return measure(family_of(runs.runs), budgets, *decays), runs.notes


def _where(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"`{text}` is not of the form COLUMN=VALUE", param_hint="--where")
    return column.strip(), value.strip()
