"""`shapeflow fmt`"""

from __future__ import annotations

from pathlib import Path

import click

from shapeflow.base.printing import say
from shapeflow.cli.common import formatted as with_format


@click.command("fmt")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 if a file would be reformatted.")
@with_format
def command(files: tuple[Path, ...], check: bool) -> int:
    """Format .shape files. The meaning and the comments do not change."""
    from shapeflow.base.diagnostics import Refused, Report, Source
    from shapeflow.base.files import read_text, write_text
    from shapeflow.language.fmt import formatted
    from shapeflow.language.parse import parse

    code = 0
    for file in files:
        text = read_text(file)
        report = Report()
        document = parse(Source(str(file), text), report)
        if report.failed:
            raise Refused(*report.diagnostics)
        after = formatted(document)
        if after == text:
            continue
        if check:
            say(f"{file} would be reformatted: run `shapeflow fmt {file}`", err=True)
            code = 1
        else:
            write_text(file, after)
            say(f"reformatted {file}")
    return code
