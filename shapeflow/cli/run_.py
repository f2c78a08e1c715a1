"""`shapeflow run`"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.printing import say
from shapeflow.cli.common import (
    MOST,
    machine_option,
    of_a_file,
    plan_of,
    print_diagnostics,
    print_json,
    stoppable,
    whole,
)
from shapeflow.cli.limit import limit, seconds_of, stopped_after
from shapeflow.cli.pooling import computing_options, require_torch, track_option

if TYPE_CHECKING:
    from shapeflow.base.units import Amount
    from shapeflow.ir.events import Event
    from shapeflow.ir.plan import Plan, TimedBy
    from shapeflow.running.follow import Outcome
    from shapeflow.running.options import Goal, Origin, Steps

PROFILED = 100
"""The most steps that a trace has: all of it is held in memory, and viewers fail on larger ones."""


@click.command("run")
@of_a_file
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="The run's folder.  [runs/NAME]")
@click.option("--gpus", type=click.IntRange(1, MOST), help="Number of GPUs; every step is split among them.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to train."
)
@machine_option
@click.option("--processes", type=click.IntRange(1, MOST), help="Number of processes; every step is split among them.")
@click.option("--threads", type=click.IntRange(1, MOST), help="CPU threads per process.")
@click.option(
    "--resume", is_flag=True, help="Continue from the newest checkpoint in the folder; start where there is no run."
)
@click.option(
    "--from",
    "origin",
    callback=lambda _, __, text: None if text is None else _origin(text),
    metavar="FOLDER[@STEP]",
    help="Go on from a checkpoint of another run (the newest, or that of STEP), in a new folder.",
)
@click.option(
    "--other-rates",
    is_flag=True,
    help="With --from: allow another optimizer setting, schedule or cooldown from the checkpoint on.",
)
@click.option(
    "--until",
    callback=lambda _, __, text: None if text is None else _goal(text),
    metavar="METRIC<=VALUE",
    help="Stop as soon as a held-out value is this low.",
)
@click.option(
    "--pause", type=click.IntRange(1, MOST), metavar="STEP", help="Save a checkpoint after this step and stop."
)
@click.option(
    "--stop-after",
    callback=lambda _, __, text: None if text is None else limit(text),
    metavar="AMOUNT",
    help="Save a checkpoint and stop after this wall time or cost, such as '2 hours' or '5 dollars'.",
)
@click.option("--compile", type=click.Choice(["auto", "on", "off"]), default="auto", help="Use torch.compile.")
@computing_options
@click.option(
    "--root", type=click.Path(path_type=Path), help="Folder that data paths are relative to.  [folder of FILE]"
)
@track_option
@click.option(
    "--profile",
    callback=lambda _, __, text: None if text is None else _steps(text),
    metavar="STEPS",
    help="Write a torch.profiler trace of these steps, such as 100..105, into the folder.",
)
@click.option("--check", "check_", is_flag=True, help="Run `shapeflow check` on the plan first.")
@click.option("--quiet", is_flag=True, help="Print nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@stoppable
def command(
    file: Path,
    sentences: list[str],
    output: Path | None,
    machine: str,
    threads: int | None,
    root: Path | None,
    track: tuple[str, ...],
    check_: bool,
    quiet: bool,
    as_json: bool,
    other_rates: bool,
    stop_after: Amount | None,
    **options: Any,
) -> int:
    """Train a model: execute the plan of a .shape file, a compiled plan, or the plan in a run's folder.

    Ctrl-C and `--stop-after` save a checkpoint and stop, with exit code 75; `--resume` continues from it, with any
    number of processes.
    The plan may differ in what comes after the checkpoint, such as a larger budget. `--from` starts a new folder from
    another run; with `--resume`, the run is continued if the folder has one already.
    """
    named, file, folder, root = file, *_places(file, output, root)
    plan = plan_of(file, sentences)
    if not plan.runnable:
        message = "the plan has no model to train"
        help_ = "add `model`, `data` and `objective` sentences, or preview it with `shapeflow simulate`"
        raise Refused(Diagnostic("no-model", message, place=str(file), help=help_))
    require_torch(machine, options["micro_batch"], options["checkpoint_activations"], options["peak_flops"])
    if other_rates:
        if options["origin"] is None:
            raise click.UsageError("`--other-rates` belongs to `--from`.")
        options["origin"] = attrs.evolve(options["origin"], other_rates=True)
    if threads is not None:
        use_threads(threads)
    if check_:
        from shapeflow.cli.check_ import check

        check(plan, None, "nothing" if quiet or as_json else "text")
    from shapeflow.api import run

    if plan.timed_by is not None and (devices := _devices(options)) != plan.timed_by.devices and not quiet:
        print_diagnostics([_other_devices(plan.timed_by, devices, file)])
    after = None if stop_after is None else seconds_of(stop_after, plan, _devices(options))
    with stopped_after(after), _listening(plan, folder, track, quiet or as_json) as listen:
        options |= {"root": root, "file": str(named), "sentences": tuple(sentences)}
        options |= {"listen": listen, "warn": lambda each: print_diagnostics([each])}
        outcome = run(plan, folder, machine, **options)
    return 0 if outcome is None else _summary(outcome, folder, quiet, as_json)


def _devices(options: Mapping[str, Any]) -> int:
    """The number of processes, each of which has a device."""
    from shapeflow.running.launchers import placed

    place = placed()
    return place.world if place is not None else options["gpus"] or options["processes"] or 1


def _other_devices(timed: TimedBy, devices: int, file: Path) -> Diagnostic:
    """The warning for a run in another number of processes than its profile."""
    several = f" --processes {devices}" if devices > 1 else ""
    return Diagnostic(
        "other-devices",
        f"the seconds of the plan are those of {timed.devices} process{'es' * (timed.devices != 1)}, and the run has "
        f"{devices}",
        place=timed.file,
        notes=("the plan makes the same steps; its time and its cost will be others",),
        help=f"to plan for this run, measure it: `shapeflow profile {file}{several}`",
        severity="warning",
    )


def _places(file: Path, output: Path | None, root: Path | None) -> tuple[Path, Path, Path]:
    """The plan's file, the run's folder, and the folder that data paths are relative to.

    FILE may be a run's folder: its plan is continued there, with the data of its start. Raises Refused `no-run`."""
    from shapeflow.running.run_folder import begun, remembered_root
    from shapeflow.running.run_log import PLAN

    inside = file.parent if file.name == PLAN and file.is_file() and begun(file.parent) else None
    if file.is_dir():
        inside, file = file, file / PLAN
        if not file.is_file():
            message, help_ = f"`{inside}` contains no run", "name a .shape file, or the folder of a run"
            notes = (f"it has no `{PLAN}`",)
            raise Refused(Diagnostic("no-run", message, place=str(inside), notes=notes, help=help_))
    if inside is None:
        return file, output or Path("runs") / file.stem, root or file.parent
    return file, output or inside, root or remembered_root(inside) or inside


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


def _summary(outcome: Outcome, folder: Path, quiet: bool, as_json: bool) -> int:
    from shapeflow.preview.run import run_view
    from shapeflow.preview.screen import show
    from shapeflow.running.runs import read_run
    from shapeflow.running.stop import EXIT_STOPPED

    run = read_run(folder)
    if as_json:
        import attrs

        print_json({"folder": str(folder), "plan": run.plan.digest, **attrs.asdict(outcome)})
    elif not quiet and not (outcome.stopped_by == "SIGHUP" and _to_terminal()):  # it is gone: printing would fail
        show("", run_view(run))
        if outcome.trace is not None:
            say(f"\n  trace: {outcome.trace}; open it in https://ui.perfetto.dev or chrome://tracing")
        if outcome.before:
            say(f"\n  the run in {folder} is finished: there is nothing to resume")
        if not outcome.finished and not outcome.reached:
            words = [word for word in click.get_current_context().obj if word != "--resume"]
            say(f"\n  resume with: {shlex.join(['shapeflow', *words, '--resume'])}")
    return EXIT_STOPPED if outcome.interrupted else 0


def _to_terminal() -> bool:
    """Whether stdout is a terminal, or was before the terminal was closed, after which `isatty` is false."""
    try:
        return stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):
        return True


def _origin(text: str) -> Origin:
    """The run and the step of `--from`. A folder whose name ends like a step is a folder."""
    from shapeflow.running.options import Origin

    folder, at, step = text.rpartition("@")
    number = whole(step)
    if at and folder and number is not None and not Path(text).is_dir():
        return Origin(Path(folder), number)
    return Origin(Path(text))


def _steps(text: str) -> Steps:
    """The first and the last step of `--profile`."""
    first, dots, last = text.partition("..")
    begin, end = whole(first.strip(), 1), whole(last.strip() if dots else first.strip(), 1)
    if begin is None or end is None or end < begin:
        raise click.BadParameter(f"`{text}` is not a range of steps, counted from 1: write one such as 100..105")
    if end - begin >= PROFILED:
        raise click.BadParameter(f"`{text}` has {end - begin + 1:,} steps; a trace has at most {PROFILED}")
    return begin, end


def _goal(until: str) -> Goal:
    """The metric and the value of `--until`."""
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
