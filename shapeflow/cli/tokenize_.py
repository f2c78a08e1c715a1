"""`shapeflow tokenize`"""

from __future__ import annotations

from pathlib import Path

import click

from shapeflow.cli.common import NewFile, formatted, print_json


def _share(_: click.Context, __: click.Parameter, value: str) -> float:
    """Parse `1%` or `0.01`, from 0 to 0.5."""
    try:
        found = float(value[:-1]) / 100 if value.endswith("%") else float(value)
    except ValueError:
        raise click.BadParameter(f"`{value}` is not a share, such as 1%") from None
    if not 0 <= found <= 0.5:
        raise click.BadParameter(f"`{value}` is not between 0% and 50%")
    return found


def _bin(_: click.Context, __: click.Parameter, value: Path) -> Path:
    if value.suffix != ".bin":
        raise click.BadParameter(f"`{value}` does not end in .bin")
    return value


@click.command("tokenize")
@click.argument("sources", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=NewFile(),
    required=True,
    callback=_bin,
    help="The .bin file; its header is written next to it.",
)
@click.option("--tokenizer", required=True, metavar="FILE|bytes", help="A tokenizer.json, or `bytes` for UTF-8 bytes.")
@click.option("--column", default="text", show_default=True, help="The column or field with the text.")
@click.option("--files", default="*", show_default=True, metavar="GLOB", help="Files to read in a folder.")
@click.option(
    "--end",
    metavar="TOKEN|ID|none",
    help="The end-of-document token.  [the tokenizer's usual token; for bytes, the additional token 256]",
)
@click.option(
    "--held-out",
    default="1%",
    show_default=True,
    callback=_share,
    metavar="SHARE",
    help="Share of the documents to hold out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@formatted
def command(
    sources: tuple[Path, ...],
    output: Path,
    tokenizer: str,
    column: str,
    files: str,
    end: str | None,
    held_out: float,
    as_json: bool,
) -> None:
    """Tokenize text into a token file, which `data tokens("corpus.bin")` reads.

    SOURCES: text files (one document each), folders of them, .jsonl, .parquet, tar files with .txt members, folders
    saved by the library `datasets`. Nothing is downloaded.
    """
    from shapeflow.tokenize import Choice, tokenize
    from shapeflow.tokenize.encoders import encoder

    found = encoder(tokenizer, end)
    from shapeflow.preview.tokens import made_view, reading

    with reading() as watch:
        made = tokenize(sources, output, found, Choice(column, files), held_out, watch)
    if as_json:
        import json

        print_json({**json.loads(made.header.json()), "text_bytes": made.text, "left_out": dict(made.dropped)})
        return
    from shapeflow.preview.screen import show

    show(made_view(output, made))
