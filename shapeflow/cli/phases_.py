"""`shapeflow phases`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shapeflow.base.printing import say
from shapeflow.cli.common import MOST, NewFile, compute_of, formatted, print_json
from shapeflow.cli.outputs import PICTURE

if TYPE_CHECKING:
    from shapeflow.laws.random_features.loss import LossCurve
    from shapeflow.laws.random_features.study import Study
    from shapeflow.laws.random_features.theory import Theory

WIDEST = 2**30
"""Largest width that is tried."""
OF_LOGS = ("width_column", "loss_column", "compute", "where")
"""Options that say how logs are read."""


@click.command("phases")
@click.option("--alpha", type=float, help="Decay of the data: variances j^(-2 alpha).")
@click.option("--beta", type=float, help="Decay of the target: coefficients j^-beta.")
@click.option(
    "--fit",
    "logs",
    multiple=True,
    metavar="PATH",
    help="Measure the exponents of these runs: files, folders, patterns.",
)
@click.option("--width-column", metavar="COLUMN", help="With --fit: the column of the width.  [found]")
@click.option("--loss-column", metavar="COLUMN", help="With --fit: the column of the loss.  [found]")
@click.option(
    "--compute", metavar="PRODUCT", help="With --fit: the column of FLOPs, or '6 * params * tokens'.  [found]"
)
@click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="With --fit: the rows to read.")
@click.option(
    "--budget", "budgets", multiple=True, metavar="AMOUNT", help="Compute to find the best width for: '1 GFLOPs'."
)
@click.option("--width", "widths", type=click.IntRange(1, MOST), multiple=True, help="A width to show the loss of.")
@click.option("--ratio", type=float, help="Features of the data per random feature.  [4]")
@click.option("--features", type=click.IntRange(2, MOST), help="Features of the data, the same for all widths.")
@click.option("--step", type=float, help="Step size of SGD, gradients summed over the batch.")
@click.option("--step-times-trace", type=float, help="Step size times the summed variance.  [1 / (batch + 1)]")
@click.option("--batch", type=click.IntRange(1, MOST), default=1, show_default=True, help="Samples of one step.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--plot", type=NewFile(PICTURE), help="Draw the phases and the losses: PNG, SVG, PDF.")
@formatted
def command(
    logs: Sequence[str],
    budgets: Sequence[str],
    widths: Sequence[int],
    as_json: bool,
    plot: Path | None,
    **settings: Any,
) -> None:
    """Show what limits the loss of random features, and the best width of a budget.

    The laws are those of `laws from phases(...)`: exact for a linear model on power-law random features, and not laws
    of your model. A step costs batch x width FLOPs.

    With --fit: how the best width and its loss grow with compute in runs of several widths, and which phases have such
    exponents.
    """
    named = {name.removesuffix("_column"): settings.pop(name) for name in OF_LOGS}
    if logs:
        from shapeflow.cli.phases_fit import measured

        _only(("alpha", "beta"), {**settings, "width": widths or None})
        decays = settings["alpha"], settings["beta"]
        _check_known(*decays)
        measured(logs, named, [compute_of(text) for text in budgets], decays, as_json, plot)
        return
    _asks_theory(settings, named)
    from shapeflow.preview.phases import as_json as json_of
    from shapeflow.preview.phases import phases_view
    from shapeflow.preview.screen import show

    source = _source(settings)
    study = _study(source, [compute_of(text) for text in budgets], widths)
    if plot is not None:
        from shapeflow.preview.phases_plot import draw

        draw(study, lambda width: _stable(source, width), plot)
    if as_json:
        print_json(json_of(study))
        return
    show(phases_view(study))
    if plot is not None:
        say(f"\n  plot written to {plot}")


def _asks_theory(settings: dict[str, Any], named: dict[str, Any]) -> None:
    """Raise UsageError without alpha and beta, and for options that say how logs are read."""
    if settings["alpha"] is None or settings["beta"] is None:
        raise click.UsageError("give `--alpha` and `--beta`, or runs to measure: `--fit 'runs/*.csv'`")
    idle = next((_option(name) for name in OF_LOGS if named[name.removesuffix("_column")]), None)
    if idle is not None:
        raise click.UsageError(f"`{idle}` has no effect without `--fit`")


def _only(allowed: Sequence[str], settings: dict[str, Any]) -> None:
    """Raise UsageError for settings of the theory that runs do not have."""
    given = {name: value for name, value in settings.items() if value is not None and (name, value) != ("batch", 1)}
    idle = next((_option(name) for name in given if name not in allowed), None)
    if idle is not None:
        raise click.UsageError(f"`{idle}` has no effect with `--fit`")


def _check_known(alpha: float | None, beta: float | None) -> None:
    """Raise Refused `outside-theory` for a known alpha or beta that the theory does not cover with any value of the
    other one."""
    from shapeflow.ir.edits import EditError
    from shapeflow.laws.random_features.theory import Theory

    try:
        Theory(1.0 if alpha is None else alpha, 1.0 if beta is None else beta)
    except EditError as error:
        raise _refused(error) from None


def _source(settings: dict[str, Any]) -> Theory:
    """The theory with these settings. Raises Refused, BadParameter."""
    from shapeflow.ir.edits import EditError
    from shapeflow.laws.random_features.theory import Theory

    for name, least, most in (("ratio", 1.0, 1e8), ("step", 0.0, 1e100), ("step_times_trace", 0.0, 1e100)):
        value = settings[name]
        if value is not None and not least < value <= most:
            wrong = f"{value:g} is out of range: write more than {least:g}, and at most {most:g}"
            raise click.BadParameter(wrong, param_hint=_option(name))
    try:
        return Theory(**settings)
    except EditError as error:
        raise _refused(error) from None


def _study(source: Theory, budgets: Sequence[float], widths: Sequence[int]) -> Study:
    """The phase and what was asked for. Raises Refused."""
    import attrs

    from shapeflow.base.diagnostics import Diagnostic, Refused
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
    return Study(source.alpha, source.beta, source.batch, phase, found, shown, attrs.asdict(source))


def _stable(source: Theory, width: float) -> LossCurve | None:
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
