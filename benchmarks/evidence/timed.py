"""Piece `step`: the time of a training step of our models, and of timm's and Hugging Face's, with and without
torch.compile.

Each case is a process of its own. All of its variants alternate, several steps of each in every round, so that a clock
or a neighbour that changes affects all of them. A ratio compares two variants of the same round.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from evidence.kit import Kit, Result, finish

CASES = ("vit-192-12-question", "vit-384-12-imagenet", "llama-512-8", "llama-768-12")
TOY_CASES = ("vit-toy", "llama-toy")


def step(kit: Kit, found: Result) -> Iterator[Result]:
    """Measure the cases that are left. The result: what each case measured."""
    folder = kit.folder / "step"
    folder.mkdir(parents=True, exist_ok=True)
    for case in TOY_CASES if kit.toy else CASES:
        if case in found:
            continue
        written = folder / f"{case}.json"
        command = [sys.executable, "-m", "evidence.variants", case, "--device", kit.device, "--out", str(written)]
        command += ["--rounds", "3", "--seconds", "0.02"] if kit.toy else []
        finish(kit, command, folder / f"{case}-log.txt")
        found = {**found, case: json.loads(written.read_text(encoding="utf-8"))}
        yield found
