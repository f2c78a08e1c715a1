"""Measures the start-up time of commands, compared with that of the Python interpreter alone.

    python benchmarks/start.py [--times 7]

Every command runs in a separate process. The table shows the shortest of several times, which is affected least by
other load. `import torch` is included for comparison: compiling and simulating do not import torch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
LAWS_ONLY = "examples/laws_only.shape"
SHAPEFLOW = ("-m", "shapeflow")

COMMANDS: dict[str, Sequence[str]] = {
    "python -c pass": ("-c", "pass"),
    "python -c 'import shapeflow'": ("-c", "import shapeflow"),
    "shapeflow --help": (*SHAPEFLOW, "--help"),
    "shapeflow fmt --check FILE": (*SHAPEFLOW, "fmt", "--check", LAWS_ONLY),
    "shapeflow explain width_expand": (*SHAPEFLOW, "explain", "width_expand"),
    f"shapeflow compile {LAWS_ONLY}": (*SHAPEFLOW, "compile", LAWS_ONLY),
    f"shapeflow simulate {LAWS_ONLY}": (*SHAPEFLOW, "simulate", LAWS_ONLY),
    "shapeflow compile examples/by_hand.shape": (*SHAPEFLOW, "compile", "examples/by_hand.shape"),
    "python -c 'import torch'": ("-c", "import torch"),
}
"""Label in the table -> arguments of the interpreter."""


def seconds(arguments: Sequence[str]) -> float:
    """Wall time of one process, in seconds. Raises CalledProcessError if it fails."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=7, help="how often each command is run")
    times: int = parser.parse_args().times
    # Alternate, so that a change in machine load affects all commands equally. The first round fills the caches.
    rounds = [{name: seconds(arguments) for name, arguments in COMMANDS.items()} for _ in range(times + 1)][1:]
    shortest = {name: min(each[name] for each in rounds) for name in COMMANDS}
    bare = next(iter(shortest.values()))
    table = Table(box=None, padding=(0, 2))
    table.add_column("command")
    table.add_column("ms", justify="right")
    table.add_column("of a bare interpreter", justify="right")
    for name, shown in shortest.items():
        table.add_row(name, f"{shown * 1000:.0f}", f"{shown / bare:.1f} x")
    Console(highlight=False, width=100).print(table)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"\n  Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load:.1f}, shortest of {times}")


if __name__ == "__main__":
    main()
