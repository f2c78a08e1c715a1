"""`shapeflow emit`"""

from __future__ import annotations

from pathlib import Path

import click

from shapeflow.base.diagnostics import Report
from shapeflow.base.printing import say
from shapeflow.cli.common import MOST, of_a_file, plan_of, print_diagnostics


@click.command("emit")
@of_a_file
@click.option(
    "--to",
    "target",
    required=True,
    metavar="TARGET",
    help="megatron, olmo-core, deepspeed, modded-nanogpt, timm or torchtitan.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the files to this folder.  [print them]")
@click.option("--partly", is_flag=True, help="Leave out what the target cannot do, with warnings.")
@click.option("--model", help="For timm: its name of the model.")
@click.option("--images", type=click.IntRange(1, MOST), help="For timm: the number of training images.")
@click.option("--image-side", type=click.IntRange(1, MOST), help="For timm: pixels along a side of the images.")
def command(
    file: Path,
    sentences: list[str],
    target: str,
    output: Path | None,
    partly: bool,
    model: str | None,
    images: int | None,
    image_side: int | None,
) -> None:
    """Write a plan as settings of another trainer.

    Whatever the trainer cannot do is an error, or with --partly a warning and a line in the files.
    """
    from shapeflow.base.files import require_empty, write_text
    from shapeflow.emitting import emit

    report = Report()
    plan = plan_of(file, sentences)
    found = emit(plan, target, partly=partly, model=model, images=images, image_side=image_side, report=report)
    print_diagnostics(report.diagnostics)
    if output is None:
        for name, text in found.files.items():
            say(f"==> {name} <==\n{text}")
        return
    require_empty(output)
    for name, text in found.files.items():
        write_text(output / name, text)
        say(f"wrote {output / name}, for {found.written_for}")
