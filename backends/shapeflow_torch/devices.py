"""What there is to train on."""

from __future__ import annotations

import contextlib
import os

import attrs
import torch

from shapeflow.base.diagnostics import Diagnostic, Refused


@attrs.frozen
class Place:
    """Where a run takes place: so many processes, each on a CPU or on a GPU of its own."""

    kind: str
    """`cpu` or `cuda`."""
    processes: int

    def device(self, local_rank: int) -> torch.device:
        """The device of a process, by its number on this machine."""
        return torch.device("cuda", local_rank) if self.kind == "cuda" else torch.device("cpu")


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """On CUDA, bfloat16 over float32 weights; elsewhere the weights' own precision."""
    if device.type == "cuda" and dtype == torch.float32:
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def gpus() -> tuple[str, ...]:
    """Names of the CUDA devices that this machine shows."""
    return tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))


def place(device: str = "auto", processes: int | None = None, gpus_wanted: int | None = None) -> Place:
    """Where to run. `device`: `auto`, `cpu` or `cuda`; `gpus_wanted` asks for as many GPUs, a process each.

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
