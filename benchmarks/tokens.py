"""Measures how fast windows are read from a token file, compared with tokens in memory and with plain file reads.

    python benchmarks/tokens.py [--tokens 50_000_000] [--times 7]

A step reads 65,536 tokens at each context. `memory` indexes a numpy array that holds all tokens. `reading` opens the
file at every step, then seeks and reads each window. All three return the tensors of a step. The table shows the
shortest of several times; the file is in the page cache of the system.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from shapeflow.data.bins import Header, digest_of
from shapeflow_torch.data.random import WINDOWS, generator
from shapeflow_torch.data.tokens import open_
from shapeflow_torch.data.windows import Windows

CONTEXTS = (64, 256, 1_024, 4_096)
STEP, STEPS = 65_536, 8
"""The number of tokens per step, and of steps per timing."""
VOCABULARY, HELD_OUT = 50_257, 100_000

Step = Callable[[int, int], torch.Tensor]
"""(step, context) -> windows of context + 1 tokens."""


def made(folder: Path, count: int) -> Windows:
    """Write a file of random tokens and open it as a run does."""
    path = folder / "corpus.bin"
    np.random.default_rng(0).integers(0, VOCABULARY, count, np.uint16).tofile(path)
    about = (count, VOCABULARY, "random", None, None, 1, HELD_OUT, "tail", 0, digest_of(path))
    path.with_suffix(".json").write_text(Header("uint16", *about).json())  # type: ignore[arg-type]
    settings = {"path": path.name, "held_out": None, "vocabulary": VOCABULARY, "end_of_document": None}
    return open_(settings, folder, CONTEXTS, torch.device("cpu"))


def starts(step: int, context: int, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return generator(0, WINDOWS, step).integers(0, count - context, STEP // context)


def from_memory(path: Path, count: int) -> Step:
    whole = np.fromfile(path, np.uint16)

    def take(step: int, context: int) -> torch.Tensor:
        places = starts(step, context, count)[:, None] + np.arange(context + 1)
        return torch.from_numpy(whole[places].astype(np.int64))

    return take


def by_reading(path: Path, count: int) -> Step:
    def take(step: int, context: int) -> torch.Tensor:
        windows = []
        with path.open("rb") as file:
            for start in starts(step, context, count):
                file.seek(2 * int(start))
                windows.append(np.frombuffer(file.read(2 * (context + 1)), np.uint16))
        return torch.from_numpy(np.stack(windows).astype(np.int64))

    return take


def from_windows(data: Windows) -> Step:
    def take(step: int, context: int) -> torch.Tensor:
        samples = STEP // context
        return data.batch(0, step, 0, samples, context, slice(0, samples))[1]

    return take


def seconds(step: Step, context: int) -> float:
    begun = time.perf_counter()
    for number in range(STEPS):
        step(number, context)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=50_000_000, help="tokens in the file")
    parser.add_argument("--times", type=int, default=7, help="how often each way is timed")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        data, path, count = made(Path(name), asked.tokens), Path(name) / "corpus.bin", asked.tokens - HELD_OUT
        ways = {"tokens": from_windows(data), "memory": from_memory(path, count), "reading": by_reading(path, count)}
        table = Table(box=None, padding=(0, 2))
        for heading in ("context", "tokens, M/s", "memory, M/s", "reading, M/s", "of memory", "of reading"):
            table.add_column(heading, justify="right")
        for context in CONTEXTS:
            # Alternate between the methods, so that a change in machine load affects all of them equally.
            rounds = [[seconds(way, context) for way in ways.values()] for _ in range(asked.times + 1)][1:]
            rates = [STEPS * STEP / min(times) / 1e6 for times in zip(*rounds, strict=True)]
            ratios = [f"{rates[0] / rate:.2f} x" for rate in rates[1:]]
            table.add_row(f"{context:,}", *(f"{rate:.0f}" for rate in rates), *ratios)
        Console(highlight=False, width=100).print(table)
        print(f"\n  {asked.tokens:,} tokens of uint16, one thread, shortest of {asked.times}")


if __name__ == "__main__":
    main()
