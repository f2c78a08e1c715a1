"""Kills runs of two processes at random moments, and checks that they resume to the same result.

    python benchmarks/kill_pairs.py [--tries 60] [--seed 0]

Each try trains a plan of 150 steps, with two switches and a blend, in two processes that share the work through gloo.
The leader, the other process or both are killed with SIGKILL; then the same command with `--resume` finishes the run.
The last checkpoint is compared byte by byte with that of two processes that were never killed. In turn, a try kills

    any step      a few milliseconds after a random step
    checkpoint    while the files of a checkpoint are being written
    switch        about when the shape changes
    evaluation    about when the held-out data is read
    branch        while a longer run begins with a checkpoint of another run (`--from`)

A process that loses the other one after the start must end by itself and report `worker-lost`. All runs are forks of
this process, which imports torch once. The exit code is 1 if any try fails.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Table

from kill import FILES, GIVEN_UP, PROGRAM, STEPS, steps
from kill_forks import Bench, End, warm_up

LONGER = ("--set", "budget 170 steps")
"""The plan of a branch: the same stages in the same steps, and a longer last one."""
BRANCHED_AT = 100
SWITCHES, EVERY = (52, 90), 25
KINDS = ("any step", "checkpoint", "switch", "evaluation", "branch")
VICTIMS = ("leader", "other", "both")


@attrs.frozen
class Try:
    """How one try went. `step`: the last one in the log at the kill; `wrong`: what was not as it must be."""

    kind: str
    victim: str
    step: int
    wrong: tuple[str, ...]


def program() -> str:
    """The program of `kill.py` with its stages in steps, so that a longer budget leaves the first ones alone."""
    first, second = (f"until {step} steps" for step in SWITCHES)
    return PROGRAM.replace("until 35%", first).replace("until 60%", second).rstrip() + " keep 40\n"


def begun(folder: Path) -> bool:
    """Whether a run has begun its log."""
    return (folder / "events.jsonl").exists()


def until(folder: Path, step: int) -> Callable[[], bool]:
    """Whether a log has reached a step."""
    return lambda: max(steps(folder), default=0) >= step


def writes(folder: Path, step: int) -> Callable[[], bool]:
    """Whether a checkpoint is being written after a step."""
    reached = until(folder, step)
    return lambda: any(folder.glob("checkpoints/.step-*")) and reached()


def moment(kind: str, folder: Path, chance: random.Random) -> tuple[Callable[[], bool], float]:
    """What to wait for before a kill, and for how many seconds after that."""
    if kind == "checkpoint":
        return writes(folder, chance.randrange(1, STEPS - 20)), chance.uniform(0, 0.004)
    if kind == "switch":
        return until(folder, chance.choice(SWITCHES) - 1), chance.uniform(0, 0.04)
    if kind == "evaluation":
        return until(folder, EVERY * chance.randrange(1, STEPS // EVERY - 1) - 1), chance.uniform(0, 0.02)
    if kind == "branch":
        return lambda: True, chance.uniform(0, 0.5)
    return until(folder, chance.randrange(1, STEPS - 20)), chance.uniform(0, 0.06)


def killed(
    folder: Path, children: Sequence[int], victims: Sequence[int], ready: Callable[[], bool], after: float
) -> None:
    """Kill processes of a run some seconds after it is ready; all of them before its log has begun, as a launcher does,
    since a process cannot know that the one it waits for will never start. Raises SystemExit if it is stuck."""
    given_up = time.monotonic() + GIVEN_UP
    while not ready():
        if time.monotonic() > given_up:
            raise SystemExit("a run is stuck")
        time.sleep(0.0005)
    time.sleep(after)
    for rank in victims if begun(folder) else range(len(children)):
        os.kill(children[rank], signal.SIGKILL)


def survivor(ends: Sequence[End], victims: Sequence[int]) -> str | None:
    """What is wrong with how a process ended that lost the other one."""
    for rank, end in enumerate(ends):
        if rank not in victims and end.code != 0 and (end.code, end.codes) != (1, ("worker-lost",)):
            return f"the process that was left ended with {end.code}, {', '.join(end.codes) or 'silent'}"
    return None


def attempt(bench: Bench, number: int, chance: random.Random) -> Try:
    kind, victim = KINDS[number % len(KINDS)], chance.choice(VICTIMS)
    folder = bench.top / f"try-{number}"
    more = (*LONGER, "--from", f"{bench.top / 'whole'}@{BRANCHED_AT}") if kind == "branch" else ()
    victims = {"leader": (0,), "other": (1,), "both": (0, 1)}[victim]
    children = bench.start(folder, *more)
    killed(folder, children, victims, *moment(kind, folder, chance))
    at = max(steps(folder), default=0)
    wrong = [survivor(bench.ends(children), victims if begun(folder) else (0, 1))]
    again = bench.run(folder, *more, "--resume")
    wrong += [f"resumed: {end}" for end in again if end != End(0)]
    whole, last = ("whole-longer", 170) if kind == "branch" else ("whole", STEPS)
    wrong.append(None if alike(folder, bench.top / whole, last) else "other bits")
    return Try(kind, victim, at, tuple(each for each in wrong if each is not None))


def alike(folder: Path, whole: Path, last: int) -> bool:
    """Whether two runs have the same last checkpoint, and nothing is left of one that was being written."""
    ends = [where / "checkpoints" / f"step-{last:09d}" for where in (folder, whole)]
    if any(folder.glob("checkpoints/.step-*")) or not all(end.is_dir() for end in ends):
        return False
    return all((ends[0] / name).read_bytes() == (ends[1] / name).read_bytes() for name in FILES[:3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tries", type=int, default=60, help="how many runs are killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    choices = parser.parse_args()
    chance, tries = random.Random(choices.seed), list[Try]()
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary), 2)
        (bench.top / "kill.shape").write_text(program(), encoding="utf-8")
        warm_up(bench.top)
        for name, more in (("whole", ()), ("whole-longer", LONGER)):
            if any(end.code for end in bench.run(bench.top / name, *more)):
                raise SystemExit("a run that is not killed fails")
        tries = [attempt(bench, number, chance) for number in range(choices.tries)]
    table = Table(box=None, padding=(0, 2))
    for heading in ("killed during", "tries", "leader, other, both", "at steps", "same bits"):
        table.add_column(heading)
    for kind in KINDS:
        own = [each for each in tries if each.kind == kind]
        counts = collections.Counter(each.victim for each in own)
        at = [each.step for each in own]
        same = sum(not each.wrong for each in own)
        who = ", ".join(str(counts[victim]) for victim in VICTIMS)
        table.add_row(kind, str(len(own)), who, f"{min(at)} to {max(at)}" if at else "", f"{same} of {len(own)}")
    Console(highlight=False, width=110).print(table)
    for each in tries:
        for wrong in each.wrong:
            print(f"  {each.kind}, {each.victim} killed at step {each.step}: {wrong}")
    good = sum(not each.wrong for each in tries)
    print(f"\n  {good} of {len(tries)} ended with the same bits as a run that was not killed")
    sys.exit(good != len(tries))


if __name__ == "__main__":
    main()
