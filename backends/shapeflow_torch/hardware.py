"""What a run computes on: its devices, the peak of their FLOP/s, and the memory it uses."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from functools import partial
from pathlib import Path

import torch

from shapeflow.running.meter import Hardware
from shapeflow_torch.devices import autocast, name_of
from shapeflow_torch.team import Team

PEAKS = {
    "bfloat16": {
        r"NVIDIA A100.*|NVIDIA A800.*": 312e12,
        r"NVIDIA A30": 165e12,
        r"NVIDIA A40": 149.7e12,
        r"NVIDIA H100 PCIe": 756e12,
        r"NVIDIA H100 NVL|NVIDIA H200 NVL": 835.5e12,
        r"NVIDIA H100 \d+GB HBM3|NVIDIA H200|NVIDIA GH200 .*": 989.4e12,
        r"NVIDIA B200": 2250e12,
        r"NVIDIA L4": 121e12,
        r"NVIDIA L40": 181e12,
        r"NVIDIA L40S": 362e12,
        r"AMD Instinct MI300X": 1307.4e12,
    }
}
"""Type of the matrix products -> pattern of the device's name -> FLOP/s of dense products that add up in float32, from
the data sheets of the vendors. Devices whose published peaks differ by what they count are left out."""

_CPU_MEMORY = "resident memory of the process"
_GPU_MEMORY = "memory allocated by torch on the GPU of one process"


def hardware_of(team: Team, stated: float | None) -> Hardware:
    """Return what the processes of a run compute on. `stated`: FLOP/s of one device that the user states as the peak;
    None: that of the table, if it has the device."""
    device, name = team.device, name_of(team.device)
    on_gpu = device.type == "cuda"
    peak, why = (stated, "--peak-flops") if stated is not None else peak_of(name, _dtype(device), on_gpu)
    memory = partial(torch.cuda.max_memory_allocated, device) if on_gpu else resident
    return Hardware(name, team.world, peak, why, _GPU_MEMORY if on_gpu else _CPU_MEMORY, memory)


def _dtype(device: torch.device) -> str:
    """Return the type in which a run multiplies matrices on a device."""
    with autocast(device, torch.float32):
        on = torch.is_autocast_enabled(device.type)
        return str(torch.get_autocast_dtype(device.type) if on else torch.float32).removeprefix("torch.")


def peak_of(name: str, dtype: str, on_gpu: bool) -> tuple[float | None, str]:
    """Return the peak of a device, and where it comes from; None, and why there is none."""
    if not on_gpu:
        return None, "the peak of a CPU is not known: state it with --peak-flops"
    for pattern, peak in PEAKS.get(dtype, {}).items():
        # A slice of a GPU (MIG) has another name, and another peak.
        if re.fullmatch(pattern, name) and "MIG" not in name:
            return peak, f"data sheet of {name}, {dtype}"
    return None, f"the peak of `{name}` in {dtype} is not known: state it with --peak-flops"


def resident() -> int | None:
    """Return the largest resident memory that this process has had, in bytes."""
    # The number of `getrusage` includes the memory that a parent had when it started this process.
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        if found is not None:
            return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
