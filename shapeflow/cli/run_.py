"""`shapeflow run`"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.printing import say
from shapeflow.cli.common import machine_option, of_a_file, plan_of, print_diagnostics, print_json

if TYPE_CHECKING:
    from shapeflow.ir.events import Event
    from shapeflow.ir.plan import Plan


@click.command("run")
@of_a_file
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="The run's folder.  [runs/NAME]")
@click.option("--gpus", type=click.IntRange(1), help="Number of GPUs; every step is split among them.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to train."
)
@machine_option
@click.option("--processes", type=click.IntRange(1), help="Number of processes; every step is split among them.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads per process.")
@click.option("--resume", is_flag=True, help="Resume from the newest checkpoint in the folder.")
@click.option("--until", metavar="METRIC<=VALUE", help="Stop as soon as a held-out value is this low.")
@click.option("--pause", type=click.IntRange(1), metavar="STEP", help="Save a checkpoint after this step and stop.")
@click.option(
    "--compile", "compile_", type=click.Choice(["auto", "on", "off"]), default="auto", help="Use torch.compile."
)
@click.option(
    "--micro-batch",
    callback=lambda _, __, text: None if text is None else _count(text),
    metavar="N|auto",
    help="Compute at most N samples at once and add up gradients; `auto`: as many as fit in memory.",
)
@click.option(
    "--checkpoint-activations", is_flag=True, help="Compute blocks again in the backward pass, to need less memory."
)
@click.option(
    "--root", type=click.Path(path_type=Path), help="Folder that data paths are relative to.  [folder of FILE]"
)
@click.option(
    "--track",
    multiple=True,
    metavar="TRACKER",
    help="Send the run's values to tensorboard, wandb, mlflow, trackio or PACKAGE:CLASS; may be repeated.",
)
@click.option("--check", "check_", is_flag=True, help="Run `shapeflow check` on the plan first.")
@click.option("--quiet", is_flag=True, help="Print nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    file: Path,
    sentences: list[str],
    output: Path | None,
    gpus: int | None,
    device: str,
    machine: str,
    processes: int | None,
    threads: int | None,
    resume: bool,
    until: str | None,
    pause: int | None,
    compile_: str,
    micro_batch: int | str | None,
    checkpoint_activations: bool,
    root: Path | None,
    track: tuple[str, ...],
    check_: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Train a model: execute the plan of a .shape file, or a compiled plan.

    Ctrl-C saves a checkpoint and stops; `--resume` continues from it, with any number of processes.
    """
    plan = plan_of(file, sentences)
    if not plan.runnable:
        message = "the plan has no model to train"
        help_ = "add `model`, `data` and `objective` sentences, or preview it with `shapeflow simulate`"
        raise Refused(Diagnostic("no-model", message, place=str(file), help=help_))
    goal = _goal(until)
    if threads is not None:
        use_threads(threads)
    if check_:
        from shapeflow.cli.check_ import check

        check(plan, None, "nothing" if quiet or as_json else "text")
    from shapeflow.api import run

    folder = output or Path("runs") / file.stem
    choices: dict[str, Any] = {
        "gpus": gpus,
        "device": device,
        "machine": machine,
        "processes": processes,
        "resume": resume,
        "compile": compile_,
    }
    choices |= {
        "root": root or file.parent,
        "until": goal,
        "pause": pause,
        "warn": lambda warning: print_diagnostics([warning]),
    }
    saving = {"micro_batch": micro_batch, "checkpoint_activations": checkpoint_activations or None}
    if machine == "exact" and any(saving.values()):
        raise click.UsageError("`--micro-batch` and `--checkpoint-activations` are for `--machine torch`.")
    choices |= {name: value for name, value in saving.items() if value}
    with _listening(plan, folder, track, quiet or as_json) as listen:
        outcome = run(plan, folder, **choices, listen=listen)
    if outcome is None:
        return 0
    return _summary(outcome, folder, quiet, as_json)


@contextlib.contextmanager
def _listening(plan: Plan, folder: Path, track: Sequence[str], silent: bool) -> Iterator[Callable[[Event], None]]:
    """What gets the events of the run: the screen, unless it is silent, and the trackers."""
    listeners: list[Callable[[Event], None]] = []
    with contextlib.ExitStack() as stack:
        if not silent:
            from shapeflow.preview.live import live

            listeners.append(stack.enter_context(live(plan)).listen)
        if track:
            from shapeflow.tracking import Tracking, tracker_of

            trackers = {name: tracker_of(name) for name in track}
            tracking = Tracking(plan, folder, trackers, lambda warning: print_diagnostics([warning]))
            stack.callback(tracking.close)
            listeners.append(tracking.listen)

        def listen(event: Event) -> None:
            for each in listeners:
                each(event)

        yield listen


def _summary(outcome: object, folder: Path, quiet: bool, as_json: bool) -> int:
    from shapeflow.preview.run import run_view
    from shapeflow.preview.screen import show
    from shapeflow.running.runs import read_run

    run = read_run(folder)
    if as_json:
        import attrs

        print_json({"folder": str(folder), "plan": run.plan.digest, **attrs.asdict(outcome)})  # type: ignore[arg-type]
    elif not quiet:
        show("", run_view(run))
        if not getattr(outcome, "finished", True) and not getattr(outcome, "reached", False):
            words = [word for word in click.get_current_context().obj if word != "--resume"]
            say(f"\n  resume with: {shlex.join(['shapeflow', *words, '--resume'])}")
    return 0


def _count(text: str) -> int | str:
    """The samples of `--micro-batch`, or `auto`."""
    if text == "auto" or (text.isdecimal() and int(text) > 0):
        return text if text == "auto" else int(text)
    raise click.BadParameter(f"`{text}` is neither a number of samples above 0 nor `auto`")


def _goal(until: str | None) -> tuple[str, float] | None:
    """The metric and the value of `--until`."""
    if until is None:
        return None
    metric, _, value = until.partition("<=")
    try:
        return metric.strip(), float(value)
    except ValueError:
        raise click.BadParameter(f"`{until}` is not of the form METRIC<=VALUE", param_hint="--until") from None


def use_threads(threads: int) -> None:
    """Set the number of CPU threads of torch, which must not have been imported yet."""
    import os

    # Torch and its libraries read these variables when they are loaded, in this process and in its subprocesses.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
