"""How much memory there is."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

_GROUP = Path("/sys/fs/cgroup")
_LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""Files with the limit and the use of this process's control group, in versions 2 and 1 of the interface of Linux."""


def available(device: torch.device, meminfo: Path = Path("/proc/meminfo"), group: Path = _GROUP) -> float | None:
    """Return the bytes that are free for this process, or None if that is not known. On a CPU: the smaller of what the
    system has and what the limit of the control group leaves."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    found = [_line(meminfo, "MemAvailable")]
    for limit, use in _LIMITS:
        most, used = _number(group / limit), _number(group / use)
        found.append(None if most is None or used is None else max(0.0, most - used))
    return min((one for one in found if one is not None), default=None)


def total(device: torch.device, meminfo: Path = Path("/proc/meminfo"), group: Path = _GROUP) -> float | None:
    """Return the bytes that the device has, or that the control group allows; None if that is not known."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[1])
    found = [_line(meminfo, "MemTotal"), *(_number(group / limit) for limit, _ in _LIMITS)]
    return min((one for one in found if one is not None), default=None)


def _line(path: Path, name: str) -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024.0 * int(line.split()[1])
    return None


def _number(path: Path) -> float | None:
    """Return the number in a file; None if there is none, as for `max`."""
    with contextlib.suppress(OSError, ValueError):
        return float(int(path.read_text()))
    return None
