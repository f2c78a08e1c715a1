"""Devices for training."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

import attrs
import torch

from shapeflow.base.diagnostics import Diagnostic, Refused


@attrs.frozen
class Place:
    """The device kind and the number of processes of a run. On GPUs, each process has its own GPU."""

    kind: str
    """`cpu` or `cuda`."""
    processes: int

    def device(self, local_rank: int) -> torch.device:
        """Return the device of a process, given its number on this machine."""
        return torch.device("cuda", local_rank) if self.kind == "cuda" else torch.device("cpu")


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """Return a bfloat16 autocast context for float32 weights on CUDA; otherwise a context that does nothing."""
    if device.type == "cuda" and dtype == torch.float32:
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def gpus() -> tuple[str, ...]:
    """Return the names of the CUDA devices visible on this machine."""
    return tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))


def name_of(device: torch.device) -> str:
    """Return the name of a GPU, or of this machine's processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _processor() or platform.processor() or platform.machine()


def _processor() -> str:
    """Return the model of the processor as Linux names it; an empty text elsewhere."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return ""


def place(device: str = "auto", processes: int | None = None, gpus_wanted: int | None = None) -> Place:
    """Return where to run. `device`: `auto`, `cpu` or `cuda`; `gpus_wanted`: number of GPUs, with one process each.

    Raises Refused `no-such-device`, `no-such-gpus`, `no-processes`, `contradicting-devices`.
    """
    if device not in ("auto", "cpu", "cuda"):
        message = f"there is no device `{device}`"
        raise Refused(Diagnostic("no-such-device", message, place="--device", help="use `auto`, `cpu` or `cuda`"))
    if gpus_wanted is not None and (device == "cpu" or processes is not None):
        other = "--device cpu" if device == "cpu" else f"--processes {processes}"
        message = f"`--gpus {gpus_wanted}` and `{other}` contradict each other"
        help_ = "`--gpus N` means `--device cuda --processes N`: leave out one of the two"
        raise Refused(Diagnostic("contradicting-devices", message, place="--gpus", help=help_))
    wanted_count = processes if gpus_wanted is None else gpus_wanted
    count = 1 if wanted_count is None else wanted_count
    if count < 1:
        message = f"{count} processes cannot run anything"
        raise Refused(Diagnostic("no-processes", message, place="--processes", help="use 1 or more"))
    found = gpus()
    if gpus_wanted is None and (device == "cpu" or (device == "auto" and not found)):
        return Place("cpu", count)
    if count > len(found):
        names = ", ".join(found) or "none"
        wanted = "1 GPU is" if count == 1 else f"{count} GPUs are"
        shown = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        raise Refused(
            Diagnostic(
                "no-such-gpus",
                f"{wanted} asked for, this machine shows {len(found)}",
                place="--gpus" if gpus_wanted else "--device",
                notes=(
                    f"GPUs here: {names}",
                    f"CUDA_VISIBLE_DEVICES: {shown}",
                ),
                help=_instead(len(found), count),
            )
        )
    return Place("cuda", count)


def _instead(found: int, count: int) -> str:
    cpu = f"`--device cpu --processes {count}`" if count > 1 else "`--device cpu`"
    return f"use `--gpus {found}`, or {cpu}" if found else f"use {cpu}"
