"""How long do `shapeflow doctor` and `shapeflow fit` take for a large CSV file, and how much memory, compared with a
scan of the same file by polars?

    python benchmarks/big_log.py --megabytes 1000 --polars /path/to/python

Each is a process of its own on one thread, in turns. `--polars`: a Python that has polars; without it, that column is
left out. `fit` is measured with 10 resamples, so that reading counts and not the fit.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

RUNS, WIDTHS = 40, (64, 128, 256, 512)
LINE = 37.5
"""The usual number of bytes of a row."""
SHAPE = """plan "big log"

metric loss

axis width in [64, 128, 256, 512] via width_expand

laws      from fit("big.csv", compute: "6 * width * tokens", resamples: 10)
traversal steepest
stop      when error <= 1.9
"""
SCAN = """import sys, polars as pl
pl.scan_csv(sys.argv[1]).group_by("run").agg(pl.col("loss").min(), pl.col("step").max()).collect(engine="streaming")
"""


def write(path: Path, megabytes: float) -> int:
    """Write the table, and return its number of rows."""
    rng, each = np.random.default_rng(0), int(megabytes * 1e6 / LINE / RUNS)
    with path.open("w", encoding="utf-8") as file:
        file.write("run,width,step,tokens,lr,loss\n")
        for run in range(RUNS):
            width = WIDTHS[run % len(WIDTHS)]
            for first in range(0, each, 100_000):
                step = np.arange(first + 1, min(first + 100_000, each) + 1)
                loss = 1.5 + 4 * (step * 512.0 * width) ** -0.1 + rng.normal(0, 0.01, len(step))
                pairs = zip(step.tolist(), loss.tolist(), strict=True)
                file.write("".join(f"r{run},{width},{at},{at * 512},0.001,{value:.6f}\n" for at, value in pairs))
    return each * RUNS


def measured(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Run a command, and return its seconds, its seconds of CPU and its peak memory in MB."""
    begun = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execvpe(command[0], command, {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"})
    _, status, used = os.wait4(child, 0)
    if status:
        raise click.ClickException(f"{' '.join(command[:2])} failed")
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


@click.command(help=__doc__)
@click.option("--megabytes", default=1000.0, help="The size of the table.")
@click.option("--polars", default=None, help="A Python that has polars.")
@click.option("--rounds", default=2, help="How often each is measured; the fastest counts.")
def main(megabytes: float, polars: str | None, rounds: int) -> None:
    ours = [sys.executable, "-c", "from shapeflow.cli import main; main()"]
    commands = {"doctor": [*ours, "doctor", "big.csv"], "fit": [*ours, "fit", "big.shape"]}
    if polars is not None:
        commands["polars"] = [polars, "-c", SCAN, "big.csv"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = write(folder / "big.csv", megabytes)
        (folder / "big.shape").write_text(SHAPE, encoding="utf-8")
        size = (folder / "big.csv").stat().st_size / 1e6
        found = {name: [(np.inf, np.inf, 0.0)] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                found[name].append(measured(command, folder))
    print(f"{rows:,} rows, {size:.0f} MB")
    print(f"{'':8}{'seconds':>9}{'CPU':>9}{'peak MB':>9}{'CPU / polars':>14}")
    theirs = min(one[1] for one in found["polars"]) if polars is not None else None
    for name, all_ in found.items():
        seconds, used = (min(one[at] for one in all_) for at in (0, 1))
        peak = max(one[2] for one in all_)
        ratio = f"{'no polars':>14}" if theirs is None else f"{used / theirs:14.1f}"
        print(f"{name:8}{seconds:9.1f}{used:9.1f}{peak:9.0f}{ratio}")


if __name__ == "__main__":
    main()
