"""`shapeflow explain`"""

from __future__ import annotations

import click

from shapeflow.cli.common import formatted, print_json


@click.command("explain")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as JSON.")
@formatted
def command(name: str | None, as_json: bool) -> None:
    """Explain a component, a sentence, a term or a diagnostic code. Without NAME, list all of them."""
    import attrs

    from shapeflow.explain import explain, overview

    if name is None:
        whole = overview()
        if as_json:
            print_json(attrs.asdict(whole))
            return
        from shapeflow.preview.explanation import overview_view
        from shapeflow.preview.screen import show

        show(overview_view(whole))
        return
    pages = explain(name)
    if as_json:
        print_json([{"is": type(page).__name__.removesuffix("Help").lower(), **attrs.asdict(page)} for page in pages])
        return
    from shapeflow.preview.explanation import pages_view
    from shapeflow.preview.screen import show

    show(pages_view(pages))
