"""`shapeflow export`"""

from __future__ import annotations

from pathlib import Path

import click

from shapeflow.base.printing import say
from shapeflow.cli.common import NewFile, formatted
from shapeflow.cli.outputs import WEIGHTS


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=NewFile(WEIGHTS, dir_okay=True),
    required=True,
    help="The .safetensors file, or the folder, to write.",
)
@click.option(
    "--as",
    "target",
    type=click.Choice(["shapeflow", "hf", "timm"]),
    default="shapeflow",
    show_default=True,
    help="The format: one file of shapeflow, or a folder for transformers or timm.",
)
@click.option("--raw", is_flag=True, help="Export the raw weights instead of their average.")
@click.option("--unfinished", is_flag=True, help="Allow a run that has not ended, and export its newest checkpoint.")
@formatted
def command(run: Path, output: Path, target: str, raw: bool, unfinished: bool) -> None:
    """Export the averaged weights of a run.

    To one .safetensors file, whose header describes the model. Other runs can distill from it:
    `objective distill(teacher: "FILE.safetensors")`. Or to a folder that transformers (--as hf) or timm (--as timm)
    loads; what its model cannot hold is an error.
    """
    from shapeflow.api import export

    written = export(run, output, target, raw=raw, unfinished=unfinished)
    kind = "raw" if raw else "averaged"
    say(f"wrote {output}: {written.tensors} {kind} tensors of {run} after step {written.step}")
