"""`shapeflow export`"""

from __future__ import annotations

from pathlib import Path

import click

from shapeflow.base.printing import say
from shapeflow.cli.common import formatted


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .safetensors file to write.")
@click.option("--raw", is_flag=True, help="Export the raw weights instead of their average.")
@click.option("--unfinished", is_flag=True, help="Allow a run that has not ended, and export its newest checkpoint.")
@formatted
def command(run: Path, output: Path, raw: bool, unfinished: bool) -> None:
    """Export the averaged weights of a run to one .safetensors file. Its header describes the model.

    Other runs can distill from it: `objective distill(teacher: "FILE.safetensors")`.
    """
    from shapeflow.api import export

    written = export(run, output, raw=raw, unfinished=unfinished)
    kind = "raw" if raw else "averaged"
    say(f"wrote {output}: {written.tensors} {kind} tensors of {run} after step {written.step}")
