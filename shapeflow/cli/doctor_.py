"""`shapeflow doctor`"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from shapeflow.cli.common import formatted, print_diagnostics, print_json

if TYPE_CHECKING:
    from shapeflow.base.units import Amount


@click.command("doctor")
@click.argument("logs", nargs=-1, required=True)
@click.option("--step-unit", help="What an epoch or a sample is: `40 steps`, `1 samples`, `1024 tokens`.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@formatted
def command(logs: tuple[str, ...], step_unit: str | None, as_json: bool) -> int:
    """Inspect logs, and propose the sentences that fit laws to them.

    LOGS are files, folders of files or of runs, or quoted patterns. The exit code is 1 if one cannot be read.
    """
    import attrs

    from shapeflow.base.diagnostics import Report
    from shapeflow.doctor import examine

    report = Report()
    unit = None if step_unit is None else _unit(step_unit)
    examined = examine(logs, report, unit)
    if as_json:
        print_json(attrs.asdict(examined))
    elif examined.tables:
        from shapeflow.preview.doctor import doctor_view
        from shapeflow.preview.screen import show

        show(doctor_view(examined, [_laid_out(table.sentences) for table in examined.tables]))
    print_diagnostics(report.diagnostics)
    return 1 if report.failed else 0


def _unit(text: str) -> Amount:
    """An amount of steps, tokens or samples. Raises click.BadParameter."""
    from shapeflow.base.units import UNITS, Amount

    value, _, name = text.strip().partition(" ")
    known = UNITS.get(name.strip())
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if known is None or known.dimension not in ("steps", "tokens", "samples") or not 0 < number < 1e18:
        raise click.BadParameter(f"`{text}` is not an amount of steps, tokens or samples, such as `40 steps`")
    return Amount(known.base(number), known.dimension)


def _laid_out(sentences: Sequence[str]) -> str:
    """Sentences, formatted as by `shapeflow fmt`."""
    from shapeflow.base.diagnostics import Report, Source
    from shapeflow.language.fmt import formatted
    from shapeflow.language.parse import parse

    text = "\n".join(sentences)
    report = Report()
    document = parse(Source("the sentences", text), report)
    return text if report.failed else formatted(document)
