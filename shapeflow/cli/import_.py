"""`shapeflow import`"""

from __future__ import annotations

from pathlib import Path

import click

from shapeflow.base.printing import say
from shapeflow.cli.common import NewFile, formatted


@click.command("import")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=NewFile(dir_okay=True), required=True, help="The .safetensors file to write.")
@formatted
def command(model: Path, output: Path) -> None:
    """Import weights of transformers or timm, to start a run from.

    MODEL is a folder with a config.json and safetensors, or a .safetensors file next to its config. A Llama is imported
    as `transformer`, a vision transformer of timm as `vit`; what these do not compute is an error, and nothing is
    written. Start a run with `start from "FILE.safetensors"`.
    """
    from shapeflow.api import import_weights

    written = import_weights(model, output)
    say(f"wrote {output}: {written.tensors} tensors of {model}")
    say(f'a plan that starts from them:\n\n{written.sentence}\nstart from "{output.name}"')
