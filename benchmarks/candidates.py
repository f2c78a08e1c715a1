"""Measures the time and memory of compiling a file with many candidates.

    python benchmarks/candidates.py [--counts 10,100,1000,10000]

The files have stated laws and `traversal steepest`; with a model, steps and transitions are computed too. The last row,
for comparison, fits nine laws to logs of nine runs. Every file is compiled in a process of its own. Seconds are of CPU,
without the start of Python.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

MODEL = """\
model transformer(head_width: 64, mlp_ratio: 3, context: 1024 tokens)
data tokens("n.bin", vocabulary: 32768, batch: 524288 tokens)
objective next_token
"""


def program(count: int, model: bool) -> str:
    """A file with about `count` candidates: widths times depths."""
    widths = [64 * (place + 1) for place in range(round(math.sqrt(count)))]
    depths = [2 * (place + 1) for place in range(round(count / len(widths)))]
    lines = [MODEL if model else ""]
    lines += [f"axis width in {widths} via width_expand", f"axis depth in {depths} via depth_expand"]
    for width in widths:
        for depth in depths:
            size = 12 * width * width * depth
            law = f"power(a: {410.7 * (6 * size) ** 0.28:.6g}, b: 0.28, c: {1.69 + 406.4 / size**0.34:.6g}, d: 1e15)"
            lines.append(f"law for (width: {width}, depth: {depth}) is {law}")
    return "\n".join([*lines, "traversal steepest", "start at error 7.0", "budget 1e6 PFLOPs", ""])


def fitted(folder: Path) -> str:
    """A file whose nine laws are fitted: three widths times three depths, with 60 points of each run."""
    widths, depths, noise = (256, 512, 1024), (4, 8, 16), random.Random(0)
    rows = ["width,depth,compute,val_loss"]
    for width in widths:
        for depth in depths:
            size = 12 * width * width * depth
            for place in range(60):
                compute = 6 * size * 1e7 * 300 ** (place / 59)
                error = 1.69 + 406.4 / size**0.34 + 410.7 * (compute / (6 * size)) ** -0.28
                rows.append(f"{width},{depth},{compute:.6g},{error * (1 + noise.gauss(0, 0.002)):.6f}")
    (folder / "runs.csv").write_text("\n".join([*rows, ""]))
    axes = [f"axis width in {list(widths)} via width_expand", f"axis depth in {list(depths)} via depth_expand"]
    laws = 'laws from fit("runs.csv", learning_rate: constant)'
    return "\n".join([*axes, laws, "traversal steepest", "start at error 6.0", "budget 1e4 PFLOPs", ""])


def measured(path: Path) -> dict[str, float]:
    """Compile a file in this process: the stages of its plan, seconds of CPU, and peak memory in MB."""
    import shapeflow

    begun = time.process_time()
    plan = shapeflow.compile(path)
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"stages": len(plan.stages), "seconds": seconds, "memory": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--counts", default="10,100,1000,10000")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measured(options.measure)))
        return
    table = Table("candidates", "model", "stages", "seconds", "MB")
    with tempfile.TemporaryDirectory() as name:
        folder, counts = Path(name), [int(count) for count in options.counts.split(",")]
        texts = [(f"{count:,}", model, program(count, model)) for model in (False, True) for count in counts]
        for said, model, text in [*texts, ("9, fitted", False, fitted(folder))]:
            (path := folder / "many.shape").write_text(text)
            command = [sys.executable, __file__, "--measure", str(path)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            row = (said, "yes" if model else "no", str(found["stages"]))
            table.add_row(*row, f"{found['seconds']:.2f}", f"{found['memory']:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
