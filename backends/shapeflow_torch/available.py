"""How much memory there is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import torch

_MEMINFO, _GROUPS, _OWN = Path("/proc/meminfo"), Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_LIMITS = {"": ("memory.max", "memory.current"), "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
"""Controller -> files with the limit and the use of a control group, in versions 2 and 1 of the interface of Linux."""


def available(device: torch.device, meminfo: Path = _MEMINFO, groups: Path = _GROUPS, own: Path = _OWN) -> float | None:
    """Return the bytes that are free for this process, or None if that is not known. On a CPU: the smallest of what the
    system has and what the limits of the control group of the process, and of those around it, leave."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    found = [_line(meminfo, "MemAvailable")]
    for limit, use in _limits(groups, own):
        most, used = _number(limit), _number(use)
        found.append(None if most is None or used is None else max(0.0, most - used))
    return min((one for one in found if one is not None), default=None)


def total(device: torch.device, meminfo: Path = _MEMINFO, groups: Path = _GROUPS, own: Path = _OWN) -> float | None:
    """Return the bytes that the device has, or that the control groups allow; None if that is not known."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[1])
    found = [_line(meminfo, "MemTotal"), *(_number(limit) for limit, _ in _limits(groups, own))]
    return min((one for one in found if one is not None), default=None)


def _limits(groups: Path, own: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files of the control group of this process and of all around it. The group is named in `own`, a line
    for each hierarchy: `0::/job/step`, `4:memory:/job/step`. In a namespace of its own, the outermost is that group."""
    lines = []
    with contextlib.suppress(OSError, ValueError):
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    named = {parts[1]: parts[2] for parts in lines if len(parts) == 3}
    for controller, (limit, use) in _LIMITS.items():
        path = PurePosixPath(named.get(controller, "/"))
        for inner in (path, *path.parents):
            folder = groups / controller / str(inner).lstrip("/")
            yield folder / limit, folder / use


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
