"""The options of a run in addition to its plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.memory import Need
from shapeflow.running.follow import Goal
from shapeflow.running.launchers import Launch
from shapeflow_torch.compilation import Compile

Needs = Mapping[str, Mapping[Shape, Need]]
"""Kind of device -> shape -> what determines its memory. Empty where it is not known."""


@attrs.frozen
class Origin:
    """The run that another one begins with. `step`: the checkpoint to start from; None: the newest."""

    folder: Path
    step: int | None = None


@attrs.frozen
class Choices:
    """Options of a run in addition to its plan. They are the same in every process."""

    folder: Path
    root: Path
    """Base directory of relative data paths."""
    resume: bool
    """Go on with the run in the folder, or start it where there is none."""
    compile: Compile
    until: Goal | None
    pause: int | None = None
    """The step after which the run ends early, after a checkpoint."""
    launch: Launch | None = None
    """What may restart the run, which then goes on; None: nothing does."""
    file: str = "FILE"
    """How the user names the plan's file."""
    micro_batch: int | Literal["auto"] | None = None
    """Samples that a process computes at once; None: its whole share of a step."""
    recompute: bool = False
    """Whether blocks are computed again in the backward pass."""
    needs: Needs = attrs.field(factory=dict)
    origin: Origin | None = None
    """The run that this one begins with, if its folder has no run yet."""
