"""The seconds of a training step in each candidate and of switches between them, as `shapeflow profile` measures them,
and the file of them.

The times hold for one machine and one program: the file describes both. Like a plan, it is JSON with a digest of its
content.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text, write_text
from shapeflow.base.sealed import Seal, SealError, StructureError, laid_out, structured
from shapeflow.base.shapes import Shape
from shapeflow.ir.measured_json import converter
from shapeflow.ir.timing import LONGEST, SHORTEST, Timing

SEAL = Seal("shapeflow-profile", 1)
MOST_BYTES = 1 << 50
"""No device has more memory."""
MOST_FLOPS = 1e21
"""No device has a higher peak, in FLOP/s."""


@attrs.frozen
class Pace:
    """Seconds in one shape."""

    step: float
    """Of a training step: the 10th percentile of `steps` steps."""
    evaluation: float
    """Of an evaluation on all held-out data."""
    steps: int
    """Number of steps that were timed."""
    memory: int | None = None
    """Most bytes that torch allocated on the GPU of one process for the model and its first steps; None on a CPU."""

    def __attrs_post_init__(self) -> None:
        for what, seconds in (("a step", self.step), ("an evaluation", self.evaluation)):
            if not SHORTEST <= seconds <= LONGEST:
                raise ValueError(f"{what} takes {seconds:g} s")
        if self.memory is not None and not 0 <= self.memory <= MOST_BYTES:
            raise ValueError(f"a step needs {self.memory:,} bytes")


@attrs.frozen
class Timed:
    """A candidate and its times."""

    shape: Shape
    pace: Pace


@attrs.frozen
class TimedSwitch:
    """A switch between two candidates and its seconds."""

    before: Shape
    after: Shape
    seconds: float
    """Of the edits, and of the first steps after them more than of as many later steps. These may compile."""

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.seconds <= LONGEST:
            raise ValueError(f"a switch takes {self.seconds:g} s")


@attrs.frozen
class Machine:
    """Where steps were timed."""

    device: str
    """Name of the GPU or the processor."""
    kind: str
    """`cuda` or `cpu`."""
    threads: int
    """CPU threads of each process."""
    processes: int
    """Number of processes that share a step."""
    compiled: bool
    """Whether torch compiled the model."""
    torch: str
    """Version of torch."""
    peak_flops: float | None = None
    """Peak of one device, in FLOP/s; None if it is not known."""
    micro_batch: int | None = None
    """Most samples that a process computes at once; None: all of its samples."""
    recompute: bool = False
    """Whether activations were computed again in the backward pass."""

    def __attrs_post_init__(self) -> None:
        if self.processes < 1:
            raise ValueError(f"{self.processes} processes share a step")
        if self.peak_flops is not None and not 0 < self.peak_flops <= MOST_FLOPS:
            raise ValueError(f"a device has a peak of {self.peak_flops:g} FLOP/s")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise ValueError(f"a micro-batch has {self.micro_batch} samples")

    def __str__(self) -> str:
        many = f"{self.processes} x " if self.processes > 1 else ""
        if self.kind == "cuda":
            return f"{many}{self.device}"
        return f"{many}{self.device}, {self.threads} thread{'s' * (self.threads != 1)}{' each' * bool(many)}"


@attrs.frozen
class Times:
    """What a backend measures for a profile."""

    machine: Machine
    paces: tuple[Pace, ...]
    """Of each plan with one stage."""
    switches: tuple[float, ...]
    """Seconds of the switch of each plan with two stages."""
    checkpoint: float
    """Seconds of saving a checkpoint."""


@attrs.frozen
class Profile:
    """The content of a profile."""

    subject: Mapping[str, Any]
    """What was trained, as given by `Program.subject`."""
    machine: Machine
    date: str
    """Day of the measurement, as `2026-01-31`."""
    candidates: tuple[Timed, ...]
    switches: tuple[TimedSwitch, ...] = ()
    """Empty in profiles of versions that did not time them."""
    checkpoint: float | None = None
    """Seconds of saving a checkpoint of the largest candidate; None if it was not timed."""

    def __attrs_post_init__(self) -> None:
        if self.checkpoint is not None and not 0 <= self.checkpoint <= LONGEST:
            raise ValueError(f"a checkpoint takes {self.checkpoint:g} s")

    @property
    def timing(self) -> Timing:
        """The seconds as the compiler uses them."""
        steps = {one.shape: one.pace.step for one in self.candidates}
        evaluations = {one.shape: one.pace.evaluation for one in self.candidates}
        switches = {(one.before, one.after): one.seconds for one in self.switches}
        where, devices = str(self.machine), self.machine.processes
        return Timing("measured", steps, devices, evaluations, switches, self.checkpoint, machine=where)


def save(profile: Profile, path: Path) -> None:
    """Write a file atomically. Raises Refused."""
    write_text(path, laid_out(SEAL.close(as_json(profile))))


def as_json(profile: Profile) -> dict[str, Any]:
    """The profile as JSON values."""
    body: dict[str, Any] = converter().unstructure(profile)
    return body


def load(path: Path) -> Profile:
    """The profile in a file. Raises Refused `cannot-read`, `broken-profile`."""
    try:
        return structured(converter(), SEAL.open(read_text(path)), Profile)
    except SealError as error:
        raise _broken(path, error.reason) from None
    except StructureError as error:
        raise _broken(path, *error.reasons) from None


def _broken(path: Path, *reasons: str) -> Refused:
    message, help_ = "the file does not contain a readable profile", "measure it again with `shapeflow profile`"
    return Refused(Diagnostic("broken-profile", message, place=str(path), notes=reasons, help=help_))
