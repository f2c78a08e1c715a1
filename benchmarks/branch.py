"""Checks that runs that are extended, annealed and killed on the way end like runs that were planned so from the start.

    python benchmarks/branch.py [--tries 3] [--seed 0]

A run of 60 steps is extended to 90 steps in its folder, and to 120 in a new one. From two of its checkpoints it cools
down. Every command is killed with SIGKILL at `tries` random times after its start, each of which may fall into the
start, the creation of the folder, a step or the writing of a checkpoint, and is given again each time. The last
checkpoint of each run is compared byte by byte with that of a run of the same plan that never branched.

The exit code is 1 if any run ends differently, or if a run that was branched from changed.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

PROGRAM = """\
model      vit(depth: 2, head_width: 8, patch: 2 px)
data       digits(batch: 32)
objective  cross_entropy
optimizer  adamw(lr: 3e-3, warmup: 10 steps)
metric     cross_entropy

axis width in [16, 32] via width_expand

stage (width: 16) until 40 steps
stage (width: 32) until end

budget     60 steps
evaluate   every 25 steps
checkpoint every 10 steps keep 3
"""
FILES = ("model.safetensors", "average.safetensors", "optimizer.safetensors")

RUNS: Sequence[tuple[str, str | None, Sequence[str]]] = (
    ("a", None, ()),
    ("a", None, ("budget 90 steps",)),
    ("b", "a@90", ("budget 120 steps",)),
    ("c", "a@80", ("budget 120 steps", "cooldown 40 steps")),
    ("d", "a@40", ("cooldown 10 steps",)),
    ("e", "b", ("budget 150 steps", "cooldown 25 steps")),
)
"""Folder, the run that it begins with, and the sentences that are set. In this order; `a` goes on in its folder."""


def command(top: Path, folder: str, origin: str | None, sentences: Sequence[str]) -> list[str]:
    words = [sys.executable, "-m", "shapeflow", "run", str(top / "p.shape"), "-o", str(top / folder)]
    words += ["--device", "cpu", "--threads", "1", "--quiet", "--resume"]
    words += [] if origin is None else ["--from", str(top / origin)]
    return [*words, *(word for sentence in sentences for word in ("--set", sentence))]


def killed(words: list[str], after: float) -> bool:
    """Start a run and kill it after some seconds. Returns whether it had not ended by itself."""
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def content(folder: Path) -> dict[str, str]:
    """Digest of every file of a run."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def last(folder: Path) -> tuple[str, list[str]]:
    """The name of the last checkpoint, and the digests of its tensors."""
    newest = max((folder / "checkpoints").glob("step-*"), default=None)
    if newest is None:
        return "no checkpoint", []
    return newest.name, [hashlib.sha256((newest / name).read_bytes()).hexdigest() for name in FILES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tries", type=int, default=3, help="how often each command is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the times at which they are")
    choices = parser.parse_args()
    chance, good = random.Random(choices.seed), True
    table = Table(box=None, padding=(0, 2))
    for heading in ("folder", "from", "with", "ends at", "killed", "same bits", "origin unchanged"):
        table.add_column(heading)
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        (top / "p.shape").write_text(PROGRAM, encoding="utf-8")
        for number, (folder, origin, sentences) in enumerate(RUNS):
            words = command(top, folder, origin, sentences)
            source = None if origin is None else top / origin.partition("@")[0]
            before = {} if source is None else content(source)
            began = time.monotonic()
            subprocess.run(command(top, f"whole-{number}", None, sentences), check=True)
            took = time.monotonic() - began
            times = [chance.uniform(0.3, 1.0) * took for _ in range(choices.tries)]
            count = sum(killed(words, after) for after in times)
            subprocess.run(words, check=False)
            same = last(top / folder) == last(top / f"whole-{number}") != ("no checkpoint", [])
            kept = source is None or content(source) == before
            good = good and same and kept
            said = ["yes" if same else "NO", "" if source is None else "yes" if kept else "NO"]
            table.add_row(folder, origin or "", ", ".join(sentences), last(top / folder)[0], str(count), *said)
    Console(highlight=False, width=120).print(table)
    sys.exit(not good)


if __name__ == "__main__":
    main()
