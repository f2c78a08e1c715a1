"""The counts of a campaign: which kind is next, a table, and a file of JSON."""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from chunks import Chunk, Tally

EVERY = 60.0
"""Seconds between two times that the file is written."""
PARTS, LEAST, MOST = 1_000, 20, 1_000
"""A chunk is this part of its kind's quota, within bounds: many kinds get a turn in a short campaign."""


@attrs.define
class Report:
    """What was tried and found. `quotas`: the inputs of each kind. `path`: where to write it; None: nowhere."""

    seed: int
    quotas: Mapping[str, int]
    path: Path | None = None
    tallies: dict[str, Tally] = attrs.field(factory=dict)
    begun: float = attrs.field(factory=time.monotonic)
    _taken: collections.Counter[str] = attrs.field(factory=collections.Counter)
    _saved: float = 0.0

    def next(self) -> str | None:
        """The kind with the smallest part of its quota done or begun; None if all have theirs."""
        kind = min(self.quotas, key=lambda one: self._taken[one] / self.quotas[one], default=None)
        return None if kind is None or self._taken[kind] >= self.quotas[kind] else kind

    def begin(self, kind: str) -> int:
        """Take a chunk of a kind. Returns its inputs."""
        left = self.quotas[kind] - self._taken[kind]
        inputs = min(left, MOST, max(LEAST, self.quotas[kind] // PARTS))
        self._taken[kind] += inputs
        return inputs

    def end(self, chunk: Chunk, found: Tally) -> None:
        """Add what a chunk found. Inputs that it did not get to are still to be made."""
        self._taken[chunk.kind] -= chunk.inputs - found.inputs
        self.tallies[chunk.kind] = self.tallies.get(chunk.kind, Tally()).and_(found)

    @property
    def whole(self) -> Tally:
        whole = Tally()
        for tally in self.tallies.values():
            whole = whole.and_(tally)
        return whole

    @property
    def faults(self) -> dict[str, int]:
        return self.whole.faults

    def to_json(self) -> dict[str, Any]:
        elapsed = time.monotonic() - self.begun
        kinds = {kind: attrs.asdict(tally) for kind, tally in sorted(self.tallies.items())}
        whole = attrs.asdict(self.whole)
        return {"seed": self.seed, "elapsed": elapsed, "quotas": dict(self.quotas), "whole": whole, "kinds": kinds}

    def save(self, now: bool = False) -> None:
        """Write the file if a minute has passed since the last time. It is replaced as a whole."""
        if self.path is None or not (now or time.monotonic() - self._saved > EVERY):
            return
        self._saved = time.monotonic()
        partial = self.path.with_name(self.path.name + ".part")
        partial.write_text(json.dumps(self.to_json(), indent=1) + "\n")
        partial.replace(self.path)

    def show(self) -> None:
        """Print a table of the kinds, and the faults."""
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None)
        table.add_column("kind")
        for heading in ("inputs", "faults", "CPU s", "ms each", "wall s", "peak MiB", "slowest s", "which"):
            table.add_column(heading, justify="left" if heading == "which" else "right")
        for kind, one in [*sorted(self.tallies.items()), ("all", self.whole)]:
            numbers = (f"{one.inputs:,}", f"{sum(one.faults.values()):,}", f"{one.cpu:,.0f}")
            each = f"{1000 * one.cpu / max(one.inputs, 1):.1f}"
            rest = (f"{one.wall:,.0f}", f"{one.peak >> 20:,}", f"{one.slowest:.2f}", one.which)
            table.add_row(kind, *numbers, each, *rest)
        Console(width=120).print(f"seed {self.seed}, {time.monotonic() - self.begun:,.0f} s", table, highlight=False)
        for fault, count in sorted(self.faults.items(), key=lambda each: -each[1]):
            print(f"{count:6}  {fault}")
