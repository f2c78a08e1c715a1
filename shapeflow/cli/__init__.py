"""The command line: it reads arguments, calls one function, sets the exit code.

0: done. 1: something is wrong with a file, a plan, a run or the machine, and has been told. 2: the command itself was
mistyped. A command's module is imported when it is called, so that `shapeflow --help` is quick.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "compile": "Turn a .shape file into a plan, and show it.",
    "fit": "Fit the laws of a .shape file, and say how far to trust them.",
    "simulate": "Preview what a plan costs and reaches, without training.",
    "check": "Make every switch in small, and see whether it does what it says.",
    "run": "Train: execute a plan.",
    "sweep": "Train every candidate in its fixed shape, to find the laws.",
    "probe": "Measure what survives a switch, on a forked run.",
    "compare": "Train a plan and its rivals, and say what each needed.",
    "export": "Write the weights of a run into one file: a teacher.",
    "tokenize": "Turn text into a file of tokens.",
    "doctor": "Say what logs hold, and how laws are fitted to them.",
    "show": "Show a plan, a run or a file of tokens, or how two plans differ.",
    "explain": "Explain a component, a sentence or a diagnostic code.",
    "fmt": "Lay out .shape files in the one standard way.",
}


class _Commands(click.Group):
    """Commands by name, imported when one is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"shapeflow.cli.{cmd_name}_").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from shapeflow.base.diagnostics import did_you_mean

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = did_you_mean(args[0], COMMANDS) if args else None
            if close is None:
                raise
            raise click.UsageError(f"{error.message} Did you mean `{close}`?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"shapeflow {version('shapeflow')}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def group() -> None:
    """Train at the shape that pays: laws to a plan, a plan to a trained model.

    Start with `shapeflow compile examples/bytes.shape`.
    """


def main(arguments: list[str] | None = None) -> None:
    """The `shapeflow` command."""
    sys.exit(answer(arguments))


def answer(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; nothing a user does ends in a traceback."""
    from shapeflow.base.diagnostics import Refused

    try:
        # The words of the command go along, so that a run can say how to go on with it.
        words = sys.argv[1:] if arguments is None else arguments
        result = group.main(args=words, prog_name="shapeflow", standalone_mode=False, obj=list(words))
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return 130
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Refused as refused:
        from shapeflow.cli.common import tell

        tell(refused.diagnostics)
        return 1
    except Exception as error:
        return _bug(error)


def _bug(error: Exception) -> int:
    if os.environ.get("SHAPEFLOW_DEBUG"):
        raise error
    frame: Any = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame is not None else "?"
    click.echo(f"this is a bug in shapeflow: {type(error).__name__}: {error} ({where})", err=True)
    click.echo(
        "please report it, with the command and its files; SHAPEFLOW_DEBUG=1 shows the whole traceback", err=True
    )
    return 1
