"""The commands as a group of click, and what a command that fails prints.

A command's module is imported when the command is called, which keeps `shapeflow --help` fast.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from shapeflow.base.diagnostics import Refused
from shapeflow.base.printing import cannot_print, prepare_streams, say, silence
from shapeflow.running.stop import EXIT_STOPPED, Stopped

COMMANDS = {
    "compile": "Compile a .shape file into a plan, and show it.",
    "ask": "Find out whether a plan pays, by training its candidates.",
    "fit": "Fit the laws of a .shape file, and show how reliable they are.",
    "simulate": "Predict the cost and the result of a plan, without training.",
    "check": "Test every switch of a plan on a small model.",
    "run": "Train a model: execute a plan.",
    "sweep": "Train every candidate as a fixed shape, to fit laws to.",
    "pilot": "Train short runs, to find the best mixture of shapes.",
    "probe": "Measure how much progress survives a switch.",
    "profile": "Measure the seconds of a step in every candidate.",
    "compare": "Train a plan and its rivals, and compare the compute they need.",
    "export": "Export the weights of a run, also for transformers and timm.",
    "import": "Import weights of transformers or timm, to start a run from.",
    "generate": "Continue a text with the language model of a run.",
    "emit": "Write a plan as settings of another trainer.",
    "tokenize": "Tokenize text into a token file.",
    "doctor": "Inspect logs, and propose the sentences that fit laws to them.",
    "frontier": "Find the best size of a model, and its tokens, for a budget.",
    "phases": "Show what limits the loss of a model that theory solves.",
    "track": "Send the values of a run to an experiment tracker.",
    "report": "Write a report of a plan, a run or a comparison as one page.",
    "show": "Show a plan, a run or a token file, or compare two plans.",
    "explain": "Explain a component, a sentence or a diagnostic code.",
    "fmt": "Format .shape files.",
    "lsp": "Serve an editor: mistakes, help and completion.",
}


class _Commands(click.Group):
    """Commands by name; each is imported when it is called."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        return _printed_by_us(super().get_help_option(ctx))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"shapeflow.cli.{cmd_name}_").command
        _printed_by_us(command.get_help_option(ctx))
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


def _printed_by_us(option: click.Option | None) -> click.Option | None:
    """The help option of a command, whose help is printed as everything else is."""
    if option is not None:
        option.callback = _help
    return option


def _help(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        say(ctx.get_help())
        ctx.exit()


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        say(f"shapeflow {version('shapeflow')}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def group() -> None:
    """Compile scaling laws into a training plan, and train a model with it.

    Start with `shapeflow compile examples/bytes.shape`.
    """


def answered(words: list[str]) -> int:
    """Run a command and return its exit code. User errors never end in a traceback."""
    prepare_streams()
    try:
        code = _answered(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of the output closed it (`| head`). This is not an error, but nothing more can be printed.
        silence(sys.stdout)
        return 0
    except OSError as error:
        return _refused(cannot_print(error))


def _answered(words: list[str]) -> int:
    """Run a command and return its exit code. Raises OSError if stdout cannot be flushed, BrokenPipeError."""
    try:
        # `main` of click would end the process with status 1 if the reader of the output has closed it. The context
        # keeps the arguments, so that a stopped run can print the command that resumes it.
        with group.make_context("shapeflow", list(words), obj=list(words)) as context:
            result = group.invoke(context)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show(file=(text := io.StringIO()))
        say(text.getvalue().rstrip("\n"), err=True)
        return error.exit_code
    except Stopped as stopped:
        if stopped.number == getattr(signal, "SIGALRM", None):
            say("stopped by `--stop-after` before the run began: give it more time", err=True)
        else:
            say(f"stopped by {stopped}; the same command continues", err=True)
        return EXIT_STOPPED
    except (click.Abort, KeyboardInterrupt):
        say("stopped", err=True)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        raise
    except Refused as refused:
        return _refused(refused)
    except Exception as error:
        explained = _refusal(error)
        return _bug(error) if explained is None else _refused(explained)


def _refusal(error: Exception) -> Refused | None:
    """What an exception says of a file that was not found out before. None if it is a bug."""
    if getattr(error, "errno", None) in _OUT_OF_REACH:
        return _out_of_reach(error)
    if isinstance(error, FileNotFoundError) and error.filename is None and not os.stat(".").st_nlink:
        return _out_of_reach(OSError(error.errno, "it was removed", "the current folder"))
    from shapeflow.laws.logs.readers.log import Unreadable

    return _changed(error, error.path) if isinstance(error, Unreadable) else None


def _changed(error: Exception, path: Path | None) -> Refused:
    """A log that could be read before, and no longer can."""
    from shapeflow.base.diagnostics import Diagnostic

    name, help_ = path or "a log", "it may have changed while it was read: run the command again"
    return Refused(
        Diagnostic("unreadable-log", f"`{name}` cannot be read", place=f"{path}", notes=(f"{error}",), help=help_)
    )


_OUT_OF_REACH = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG)
"""Why the system cannot look at a path. It appears wherever a path is first looked at."""


def _out_of_reach(error: Exception) -> Refused:
    """A file that may not be seen, or that no path can lead to."""
    from shapeflow.base.diagnostics import Diagnostic

    name = f"{getattr(error, 'filename', None) or ''}"
    long = getattr(error, "errno", None) == errno.ENAMETOOLONG
    shown = f"{name[:40]}..." if long else name
    reason = "its name is too long" if long else (getattr(error, "strerror", None) or f"{error}").lower()
    return Refused(Diagnostic("cannot-read", f"`{shown}` cannot be read", notes=(reason,)))


def _refused(refused: Refused) -> int:
    from shapeflow.cli.common import print_diagnostics

    print_diagnostics(refused.diagnostics)
    return 1


def _bug(error: Exception) -> int:
    if os.environ.get("SHAPEFLOW_DEBUG"):
        raise error
    frames: list[Any] = []
    frame: Any = error.__traceback__
    while frame is not None:
        frames.append(frame)
        frame = frame.tb_next
    last = frames[-1].tb_frame.f_code.co_filename if frames else "?"
    where = f"{os.path.basename(last)}:{frames[-1].tb_lineno}" if frames else "?"
    brought = _distribution_of([each.tb_frame.f_globals.get("__name__", "") for each in frames])
    blamed = f"`{brought}`, which brings components" if brought else "shapeflow"
    say(f"this is a bug in {blamed}: {type(error).__name__}: {error} ({where})", err=True)
    say("please report it with the command and its files; SHAPEFLOW_DEBUG=1 shows the full traceback", err=True)
    return 1


def _distribution_of(modules: list[str]) -> str | None:
    """The distribution whose component raised an exception: that of the last module that belongs to a plugin."""
    from importlib.metadata import distributions

    packages = {
        entry.module.partition(".")[0]: brought.name
        for brought in distributions()
        if brought.name != "shapeflow"
        for entry in brought.entry_points
        if entry.group.startswith("shapeflow.")
    }
    return next((packages[top] for name in reversed(modules) if (top := name.partition(".")[0]) in packages), None)
