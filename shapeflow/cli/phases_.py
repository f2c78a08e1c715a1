"""`shapeflow phases`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shapeflow.base.printing import say
from shapeflow.cli.common import formatted, print_json

if TYPE_CHECKING:
    from shapeflow.laws.phases import Phases
    from shapeflow.laws.random_features.loss import LossCurve
    from shapeflow.laws.random_features.study import Study

WIDEST = 2**30
"""Largest width that is tried."""


@click.command("phases")
@click.option("--alpha", type=float, required=True, help="Decay of the data: variances j^(-2 alpha).")
@click.option("--beta", type=float, required=True, help="Decay of the target: coefficients j^-beta.")
@click.option(
    "--budget", "budgets", multiple=True, metavar="AMOUNT", help="Compute to find the best width for: '1 GFLOPs'."
)
@click.option("--width", "widths", type=click.IntRange(1), multiple=True, help="A width to show the loss of.")
@click.option("--ratio", type=float, help="Features of the data per random feature.  [4]")
@click.option("--features", type=click.IntRange(2), help="Features of the data, the same for all widths.")
@click.option("--step", type=float, help="Step size of SGD, gradients summed over the batch.")
@click.option("--step-times-trace", type=float, help="Step size times the summed variance.  [1 / (batch + 1)]")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Samples of one step.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the phases and the losses: PNG, SVG, PDF."
)
@formatted
def command(budgets: Sequence[str], widths: Sequence[int], as_json: bool, plot: Path | None, **settings: Any) -> None:
    """Show what limits the loss of random features, and the best width of a budget.

    The laws are those of `laws from phases(...)`: exact for a linear model on power-law random features, and not laws
    of your model. A step costs batch x width FLOPs.
    """
    from shapeflow.preview.phases import as_json as json_of
    from shapeflow.preview.phases import phases_view
    from shapeflow.preview.screen import show

    source = _source(settings)
    study = _study(source, [_amount(text) for text in budgets], widths)
    if plot is not None:
        from shapeflow.preview.phases_plot import draw

        draw(study, lambda width: _stable(source, width), plot)
    if as_json:
        print_json(json_of(study))
        return
    show(phases_view(study))
    if plot is not None:
        say(f"\n  plot written to {plot}")


def _source(settings: dict[str, Any]) -> Phases:
    """The law source with these settings. Raises Refused, BadParameter."""
    from shapeflow.ir.edits import EditError
    from shapeflow.laws.phases import Phases

    for name, least in (("ratio", 1.0), ("step", 0.0), ("step_times_trace", 0.0)):
        value = settings[name]
        if value is not None and not least < value < float("inf"):
            raise click.BadParameter(f"{value:g} is not above {least:g}", param_hint=_option(name))
    try:
        return Phases(**settings)
    except EditError as error:
        raise _refused(error) from None


def _study(source: Phases, budgets: Sequence[float], widths: Sequence[int]) -> Study:
    """The phase and what was asked for. Raises Refused."""
    from shapeflow.base.diagnostics import Diagnostic, Refused
    from shapeflow.base.settings import written
    from shapeflow.ir.edits import EditError
    from shapeflow.laws.random_features.phase import phase_of
    from shapeflow.laws.random_features.study import AtWidth, Study, optima

    widest = WIDEST if source.features is None else source.features - 1
    try:
        shown = tuple(AtWidth(width, *source.steps_of(width), source.curve(width)) for width in widths)
        found = optima(source.alpha, source.beta, budgets, lambda width: _stable(source, width), source.batch, widest)
    except EditError as error:
        raise _refused(error) from None
    except ValueError as error:
        help = "raise the budget, or lower the batch"
        raise Refused(Diagnostic("less-than-a-step", str(error), place="--budget", help=help)) from None
    phase = phase_of(source.alpha, source.beta)
    return Study(source.alpha, source.beta, source.batch, phase, found, shown, written(source))


def _stable(source: Phases, width: float) -> LossCurve | None:
    """The curve of a width; None where SGD diverges."""
    from shapeflow.ir.edits import EditError

    try:
        return source.curve(width)
    except EditError:
        return None


def _refused(error: Any) -> Exception:
    import re

    from shapeflow.base.diagnostics import Diagnostic, Refused

    # The help quotes settings as a file has them.
    help = re.sub(r"`([a-z_]+): ", lambda found: f"`{_option(found[1])} ", error.help or "")
    place = _option(error.setting) if error.setting else None
    return Refused(Diagnostic(error.code, error.message, place=place, notes=(error.why,), help=help))


def _option(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def _amount(text: str) -> float:
    """FLOPs: `1 GFLOPs`, `1GFLOPs` or `1e9`. Raises BadParameter."""
    import re

    from shapeflow.base.units import UNITS

    found = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    unit = UNITS.get(found[2] or "FLOPs") if found else None
    try:
        value = float(found[1]) if found else 0.0
    except ValueError:
        value = 0.0
    if unit is None or unit.dimension != "compute" or not 0 < value < float("inf"):
        raise click.BadParameter(f"`{text}` is not an amount of compute: write '1 GFLOPs'", param_hint="--budget")
    return unit.base(value)
