"""`shapeflow doctor`"""

from __future__ import annotations

from collections.abc import Sequence

import click

from shapeflow.cli.common import formatted, print_diagnostics, print_json


@click.command("doctor")
@click.argument("logs", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@formatted
def command(logs: tuple[str, ...], as_json: bool) -> int:
    """Inspect logs, and propose the sentences that fit laws to them.

    LOGS are files, folders of files or of runs, or quoted patterns. The exit code is 1 if one cannot be read.
    """
    import attrs

    from shapeflow.base.diagnostics import Report
    from shapeflow.doctor import examine

    report = Report()
    examined = examine(logs, report)
    if as_json:
        print_json(attrs.asdict(examined))
    elif examined.tables:
        from shapeflow.preview.doctor import doctor_view
        from shapeflow.preview.screen import show

        show(doctor_view(examined, [_laid_out(table.sentences) for table in examined.tables]))
    print_diagnostics(report.diagnostics)
    return 1 if report.failed else 0


def _laid_out(sentences: Sequence[str]) -> str:
    """Sentences, formatted as by `shapeflow fmt`."""
    from shapeflow.base.diagnostics import Report, Source
    from shapeflow.language.fmt import formatted
    from shapeflow.language.parse import parse

    text = "\n".join(sentences)
    report = Report()
    document = parse(Source("the sentences", text), report)
    return text if report.failed else formatted(document)
