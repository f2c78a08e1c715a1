"""The options of commands that train several runs, and those that say how a run computes and where its values go."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from shapeflow.cli.common import MOST, machine_option, stoppable, whole

if TYPE_CHECKING:
    from shapeflow.running.pool import Pool

_F = TypeVar("_F", bound=Callable[..., Any])


@attrs.frozen
class Pooling:
    """What the options of `pool_options` ask for. `more`: further arguments of each `shapeflow run`."""

    jobs: int | None
    device: str
    machine: str
    more: tuple[str, ...] = ()

    def pool(self, root: Path) -> Pool:
        """The pool. `root`: the folder that data paths are relative to."""
        from shapeflow.running.pool import Pool

        return Pool.of(self.jobs, self.device, root, self.machine, self.more)


def pool_options(function: _F) -> _F:
    """Add the options of commands that train several runs, which signals stop. The command gets `pooling`."""
    kinds = click.Choice(["auto", "cpu", "cuda"])

    @click.option("--jobs", type=click.IntRange(1, MOST), help="Number of parallel runs.  [CPU cores; 1 on a GPU]")
    @click.option("--device", type=kinds, default="auto", show_default=True, help="Where to train.")
    @machine_option
    @computing_options
    @track_option
    @stoppable
    @functools.wraps(function)
    def command(
        *args: Any,
        jobs: int | None,
        device: str,
        machine: str,
        micro_batch: int | str | None,
        checkpoint_activations: bool,
        peak_flops: float | None,
        track: tuple[str, ...],
        **kwargs: Any,
    ) -> Any:
        from shapeflow.running.launchers import require_alone
        from shapeflow.tracking.named import tracker_of

        # Processes of a launcher would each train all runs.
        require_alone(f"`shapeflow {click.get_current_context().command.name}`")
        require_torch(machine, micro_batch, checkpoint_activations, peak_flops)
        for tracker in track:
            tracker_of(tracker)  # refuses one that cannot be used, before anything is trained
        more = [] if micro_batch is None else ["--micro-batch", str(micro_batch)]
        more += ["--checkpoint-activations"] * checkpoint_activations
        more += [] if peak_flops is None else ["--peak-flops", repr(peak_flops)]
        more += [word for tracker in track for word in ("--track", tracker)]
        return function(*args, pooling=Pooling(jobs, device, machine, tuple(more)), **kwargs)

    return command  # type: ignore[return-value]


def computing_options(function: _F) -> _F:
    """Add the options that say how a run computes its steps."""
    micro_batch = click.option(
        "--micro-batch",
        callback=lambda _, __, text: None if text is None else _count(text),
        metavar="N|auto",
        help="Compute at most N samples at once and add up gradients; `auto`: as many as fit in memory.",
    )
    recompute = click.option(
        "--checkpoint-activations", is_flag=True, help="Compute blocks again in the backward pass, to need less memory."
    )
    peak = click.option(
        "--peak-flops",
        callback=lambda _, __, text: None if text is None else _peak(text),
        metavar="FLOPS",
        help="Peak of one device per second, for the MFU: '989 TFLOPs'.  [that of a table of GPUs]",
    )
    return micro_batch(recompute(peak(function)))


def track_option(function: _F) -> _F:
    """Add the option `--track`."""
    help_ = "Send the run's values to tensorboard, wandb, mlflow, trackio or PACKAGE:CLASS; may be repeated."
    return click.option("--track", multiple=True, metavar="TRACKER", help=help_)(function)


def require_torch(
    machine: str, micro_batch: int | str | None, checkpoint_activations: bool, peak_flops: float | None
) -> None:
    """Raise UsageError if options are given that only the torch machine has."""
    given = {"micro-batch": micro_batch, "checkpoint-activations": checkpoint_activations, "peak-flops": peak_flops}
    for name, value in given.items():
        if machine == "exact" and value:
            raise click.UsageError(f"`--{name}` is for `--machine torch`.")


def _count(text: str) -> int | str:
    """The samples of `--micro-batch`, or `auto`."""
    if text == "auto":
        return text
    if (count := whole(text, 1)) is not None:
        return count
    raise click.BadParameter(f"`{text}` is neither a number of samples from 1 to {MOST:,} nor `auto`")


def _peak(text: str) -> float:
    """FLOP/s of `--peak-flops`: a number, with or without a unit of compute."""
    from shapeflow.base.units import UNITS

    found = re.fullmatch(r"\s*([0-9.]+(?:[eE]\+?[0-9]+)?)\s*(?:([kMGTPEZ]?FLOPs)(?:/s)?)?\s*", text)
    try:
        value = float(found[1]) * UNITS[found[2] or "FLOPs"].size if found else 0.0
    except ValueError:
        value = 0.0
    if not 1e6 <= value <= 1e21:
        raise click.BadParameter(f"`{text}` is not a number of FLOPs per second: write one such as '989 TFLOPs'")
    return value
