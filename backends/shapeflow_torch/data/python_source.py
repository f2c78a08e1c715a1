"""The source code of Python's standard library, read as bytes."""

from __future__ import annotations

import os
import random
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from shapeflow.base.diagnostics import Refused
from shapeflow.data.python_source import SEPARATOR
from shapeflow_torch.data.windows import Windows, missing, of_bytes, read

_LEFT_OUT = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "pydoc_data", "encodings"}
)
_SIZES = range(501, 400_000)
"""Size in bytes of files to use. This excludes stubs and generated tables."""

_SHUFFLE = 0
"""Seed for choosing the held-out files. It is fixed, so that the choice does not depend on the run's seed."""


def open_(settings: Mapping[str, Any], root: Path, contexts: Sequence[int], device: torch.device) -> Windows:
    """Read the standard library of the running Python. Raises Refused `data-missing`, `context-too-long`."""
    del settings, root
    library = Path(sysconfig.get_paths()["stdlib"])
    names = listed(library)
    if not names:
        raise Refused(
            missing(library, "no Python source files there", help="run a Python that has its library's source")
        )
    random.Random(_SHUFFLE).shuffle(names)
    count = max(1, len(names) // 20)
    held_out, training = names[:count], names[count:]
    about = {"data": "python_source", "library": str(library), "files": sorted(names), "held_out": sorted(held_out)}
    return of_bytes(_joined(library, training), _joined(library, held_out), about, contexts, device)


def listed(library: Path) -> list[str]:
    """Return the files to use, as sorted paths relative to the library."""
    found = []
    for folder, folders, names in os.walk(library):
        # Skip installed packages, which can be many times larger than the library.
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        paths = (Path(folder, name) for name in names if name.endswith(".py") and "stringprep" not in name)
        found += [path.relative_to(library).as_posix() for path in paths if path.stat().st_size in _SIZES]
    return sorted(found)


def _joined(library: Path, names: Sequence[str]) -> bytes:
    return bytes([SEPARATOR]).join(read(library / name) for name in names)
