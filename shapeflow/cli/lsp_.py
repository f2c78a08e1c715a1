"""`shapeflow lsp`"""

from __future__ import annotations

import click

from shapeflow.base.diagnostics import Diagnostic, Refused


@click.command("lsp")
@click.option("--stdio", is_flag=True, help="Talk on stdin and stdout; the default, and the only way.")
def command(stdio: bool) -> int:
    """Serve an editor: diagnostics, help, completion, layout, outline, definitions and fixes for .shape files.

    An editor starts this command, and talks to it in the Language Server Protocol.
    """
    try:
        from shapeflow.editing.server import serve
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        message = "the language server needs the package `pygls` 2, which is not installed"
        help_ = "install it: `pip install 'pygls>=2.0,<3'`"
        raise Refused(
            Diagnostic("missing-extra", message, place="shapeflow lsp", notes=(str(error),), help=help_)
        ) from error
    serve()
    return 0
