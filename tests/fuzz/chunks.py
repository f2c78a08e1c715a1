"""Some inputs of one kind, in one process. Each input is a function of its name: seed, kind, chunk, number."""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import random
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from judge import bounded, judged, keep
from target import Target, replace

from shapeflow.language import parse

LONGEST = 20.0
"""CPU seconds after which a chunk ends early, so that its counts are not lost for long."""


@attrs.frozen
class Chunk:
    """`inputs`: how many to make at most."""

    kind: str
    seed: int
    number: int
    inputs: int

    def name(self, number: int) -> str:
        return f"{self.seed}/{self.kind}/{self.number}/{number}"


@attrs.frozen
class Tally:
    """What was tried and found. `slowest`: the most CPU seconds of an input; `which`: its name. `peak`: bytes.
    `faults`: each with how often it occurred."""

    inputs: int = 0
    faults: dict[str, int] = attrs.field(factory=dict)
    slowest: float = 0.0
    which: str = ""
    peak: int = 0
    cpu: float = 0.0
    wall: float = 0.0

    def and_(self, other: Tally) -> Tally:
        slow = max(self, other, key=lambda one: one.slowest)
        return Tally(
            self.inputs + other.inputs,
            dict(collections.Counter(self.faults) + collections.Counter(other.faults)),
            slow.slowest,
            slow.which,
            max(self.peak, other.peak),
            self.cpu + other.cpu,
            self.wall + other.wall,
        )


class _Places:
    """The folders of targets. Those with the same other files share one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[int, tuple[str, frozenset[tuple[str, int]]]] = {}
        self.used: dict[tuple[str, frozenset[tuple[str, int]]], tuple[Target, Path]] = {}

    def of(self, target: Target) -> Path:
        """The folder of a target, with its files."""
        key = self._known.setdefault(id(target), (target.mutated, target.others))
        _, place = self.used.setdefault(key, (target, self._folder / str(len(self.used))))
        if not place.exists():
            target.write(place)
        return place


def drawn(name: str, targets: Sequence[Target]) -> tuple[Target, bytes]:
    """The target and the mutated file of an input."""
    draw = random.Random(name)
    target = draw.choice(targets)
    return target, target.mutation(draw)


def run(chunk: Chunk, targets: Sequence[Target], folder: Path, corpus: Path | None, at: Path | None = None) -> Tally:
    """Try the inputs of a chunk. `folder`: an empty folder to work in. `at`: gets the name of each input before it is
    tried, for a process that may die."""
    home, found, places = Path.cwd(), Tally(), _Places(folder)
    begun, wall = time.process_time(), time.perf_counter()
    try:
        with bounded(), remembered():
            while found.inputs < chunk.inputs and time.process_time() - begun < LONGEST:
                name = chunk.name(found.inputs)
                target, content = drawn(name, targets)
                if at is not None:
                    replace(at, name.encode())
                found = found.and_(_tried(name, target, content, places.of(target), corpus))
    finally:
        os.chdir(home)
    for target, place in places.used.values():
        if strange := target.strange(place):
            found = found.and_(Tally(faults={f"{target.name}: wrote {', '.join(strange[:3])}": 1}))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return attrs.evolve(found, peak=peak, cpu=time.process_time() - begun, wall=time.perf_counter() - wall)


def _tried(name: str, target: Target, content: bytes, place: Path, corpus: Path | None) -> Tally:
    """Run the commands of a target on one input. Returns what was wrong, and the CPU seconds of all commands."""
    replace(place / target.mutated, content)
    os.chdir(place)
    seconds, faults = 0.0, collections.Counter[str]()
    for command in target.commands:
        outcome = judged(command)
        seconds += outcome.seconds
        if outcome.fault is not None:
            faults[f"{target.name}: {outcome.fault}"] += 1
            if corpus is not None:
                keep(target, content, command, outcome.fault, corpus)
    os.chdir(place.parent)
    target.clear(place)
    return Tally(1, dict(faults), seconds, name)


_plain = parse._attempt
_known = functools.lru_cache(maxsize=3_000)(_plain)


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Lets the parser remember the trees of sentences: most of a mutated text is as it was before."""
    parse._attempt = lambda text: _known(text) if len(text) < 1_000 else _plain(text)
    try:
        yield
    finally:
        parse._attempt = _plain
