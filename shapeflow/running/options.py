"""The options of a run in addition to its plan: what `run` of every machine takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.memory import Need

Goal = tuple[str, float]
"""A metric, and the value at or below which a run ends early."""

Steps = tuple[int, int]
"""The first and the last of consecutive steps, counted from 1."""

Needs = Mapping[str, Mapping[Shape, Need]]
"""Kind of device -> shape -> what determines its memory. Empty where it is not known."""

Compile = Literal["auto", "on", "off"]
"""When to compile. `auto`: on CUDA only, since it does not pay off for runs of minutes on a CPU."""


@attrs.frozen
class Origin:
    """The run that another one begins with. `step`: the checkpoint to start from; None: the newest. `other_rates`:
    whether its steps may have had other settings of the optimizer, another schedule or another cooldown."""

    folder: Path
    step: int | None = None
    other_rates: bool = False


def _origin(value: Origin | tuple[Path, int | None] | None) -> Origin | None:
    return Origin(*value) if isinstance(value, tuple) else value


@attrs.frozen(kw_only=True)
class Options:
    """How to run a plan. They are the same in every process."""

    device: str = "auto"
    """`auto`, `cpu` or `cuda`."""
    processes: int | None = None
    """Number of processes that share every step."""
    gpus: int | None = None
    """Number of GPUs, with one process each."""
    resume: bool = False
    """Go on with the run in the folder, or start it where there is none."""
    origin: Origin | None = attrs.field(default=None, converter=_origin)
    """The run that this one begins with. With `resume`, a run that its folder has already is continued instead."""
    until: Goal | None = None
    """End early, after a checkpoint, once this held-out metric is at most this value."""
    pause: int | None = None
    """End early, after a checkpoint, at the end of this step."""
    compile: Compile = "auto"
    micro_batch: int | Literal["auto"] | None = None
    """Largest number of samples (images, windows of text) whose forward and backward pass a process makes at once;
    `auto`: the most that fits; None: its whole share of a step. It changes a step by rounding only, so that a resumed
    run may choose another."""
    checkpoint_activations: bool = False
    """Keep only the inputs of blocks, and compute each block again in the backward pass."""
    needs: Needs = attrs.field(factory=dict)
    """Estimates of memory (`shapeflow.running.memory.needs`), for `micro_batch: auto` and for diagnostics."""
    peak_flops: float | None = None
    """FLOP/s of one device, for the MFU; None: that of a table of devices, if it is there."""
    profile: Steps | None = None
    """Record these steps, and write a trace of their operations into the run's folder."""
    root: Path = attrs.field(factory=Path.cwd)
    """Base directory of relative data paths."""
    file: str = "FILE"
    """The plan's file as the user names it, for diagnostics."""
    sentences: tuple[str, ...] = ()
    """Sentences that replaced those of the file, for diagnostics."""
