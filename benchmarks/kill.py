"""Checks that runs that are killed at random times and resumed end exactly like a run that was not killed.

    python benchmarks/kill.py [--tries 20] [--seed 0]

Each try starts `shapeflow run`, kills it with SIGKILL one to three times at random places, continues with `--resume`,
and compares the last checkpoint byte by byte with that of a run that was never killed. A place is a line of the log
plus a delay of a few milliseconds, so that kills occur during steps, switches and the writing of checkpoints. At the
end, one of two processes of a distributed run is killed: the run must stop by itself, report `worker-lost`, and be
resumable.

The exit code is 1 if any run ends differently.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Table

PROGRAM = """\
model      vit(depth: 2, head_width: 8)
data       digits(batch: 32)
objective  cross_entropy
metric     cross_entropy

axis patch in [4, 2] px  via flexi_resize(base: 4 px)
axis width in [16, 32]   via width_expand

stage (patch: 4 px, width: 16) until 35%
stage (patch: 2 px, width: 16) with 20% (patch: 4 px) until 60%
stage (patch: 2 px, width: 32) until end

budget     150 steps
evaluate   every 25 steps
checkpoint every 4 steps
"""
STEPS = 150
FILES = ("model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json")
LATEST = 0.06
"""The longest delay of a kill after a line of the log, in seconds: a few steps, or the writing of a checkpoint."""
GIVEN_UP = 300.0
"""Seconds after which a process that has not reached its step is considered stuck."""


@attrs.frozen
class Kill:
    """The state after a kill. `done`: the last step in the log; `saved`: the step of the newest checkpoint; `torn`: the
    files that were being written."""

    done: int
    saved: int
    torn: str


def command(top: Path, folder: Path, *more: str) -> list[str]:
    plain = [sys.executable, "-m", "shapeflow", "run", str(top / "kill.shape"), "-o", str(folder)]
    return [*plain, "--device", "cpu", "--threads", "1", "--quiet", *more]


def steps(folder: Path) -> Iterator[int]:
    """The steps in a log. Incomplete lines are skipped."""
    log = folder / "events.jsonl"
    for line in log.read_bytes().splitlines() if log.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event["event"] == "step_done":
            yield event["step"]


def kill_at(top: Path, folder: Path, step: int, after: float) -> Kill | None:
    """Start or resume a run and kill it when its log reaches a step. Returns None if the run finishes before that."""
    process = subprocess.Popen(command(top, folder, "--resume"))
    given_up = time.monotonic() + GIVEN_UP
    while max(steps(folder), default=0) < step:
        if process.poll() is not None:
            return None if process.returncode == 0 else Kill(-1, -1, f"failed with exit code {process.returncode}")
        if time.monotonic() > given_up:
            process.kill()
            raise SystemExit(f"the run in {folder} is stuck")
        time.sleep(0.002)
    time.sleep(after)
    process.kill()
    process.wait()
    return left(folder)


def left(folder: Path) -> Kill:
    saved = max((int(path.name[5:]) for path in folder.glob("checkpoints/step-*")), default=0)
    text = (folder / "events.jsonl").read_bytes()
    torn = ["a checkpoint"] if list(folder.glob("checkpoints/.step-*")) else []
    torn += ["the log"] if text and not text.endswith(b"\n") else []
    return Kill(max(steps(folder), default=0), saved, " and ".join(torn))


def ends_alike(folder: Path, whole: Path) -> bool:
    """Whether two runs have the same final checkpoint. False if one of them does not have it."""
    ends = [where / "checkpoints" / f"step-{STEPS:09d}" for where in (folder, whole)]
    if not all(end.is_dir() for end in ends):
        return False
    return all((ends[0] / name).read_bytes() == (ends[1] / name).read_bytes() for name in FILES)


def attempt(top: Path, number: int, chance: random.Random) -> tuple[list[Kill], bool]:
    """Make one try. Returns its kills, and whether it ended like the run that was not killed."""
    folder = top / f"try-{number}"
    places = sorted(chance.sample(range(1, STEPS - 10), chance.randint(1, 3)))
    kills = [kill_at(top, folder, step, chance.uniform(0, LATEST)) for step in places]
    if None not in kills:
        subprocess.run(command(top, folder, "--resume"), check=False)
    return [kill for kill in kills if kill is not None], ends_alike(folder, top / "whole")


def lose_a_worker(top: Path) -> tuple[str, bool]:
    """Kill one of two processes of a run. Returns what the run reported, and whether it can be resumed to the same
    end."""
    pair = ("--processes", "2", "--format", "json")
    subprocess.run(command(top, top / "pair", *pair), check=True)
    folder = top / "lost"
    process = subprocess.Popen(command(top, folder, *pair), stderr=subprocess.PIPE, text=True)
    while max(steps(folder), default=0) < STEPS // 2:
        if process.poll() is not None:
            raise SystemExit("the run of two processes ended before one of them was killed")
        time.sleep(0.002)
    pids = workers(process.pid)
    os.kill(pids[-1], signal.SIGKILL)
    said = process.communicate(timeout=GIVEN_UP)[1]
    codes = [json.loads(line)["code"] for line in said.splitlines() if line.startswith("{")]
    remain = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    outcome = f"exit {process.returncode}, {', '.join(codes)}, {len(remain)} processes remain"
    subprocess.run(command(top, folder, *pair, "--resume"), check=True)
    return outcome, (process.returncode, codes, remain) == (1, ["worker-lost"], []) and ends_alike(folder, top / "pair")


def workers(launcher: int) -> list[int]:
    """The ids of the training processes of a launcher, in ascending order."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            started = (path / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if parent == launcher and b"spawn_main" in started:
            found.append(int(path.name))
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tries", type=int, default=20, help="how many runs are killed")
    parser.add_argument("--seed", type=int, default=0, help="of the places where they are")
    choices = parser.parse_args()
    chance, alike = random.Random(choices.seed), 0
    table = Table(box=None, padding=(0, 2))
    for heading in ("try", "killed after steps", "gone on from", "cut off in the middle", "same bits"):
        table.add_column(heading, justify="left" if "cut" in heading else "right")
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        (top / "kill.shape").write_text(PROGRAM, encoding="utf-8")
        subprocess.run(command(top, top / "whole"), check=True)
        for number in range(1, choices.tries + 1):
            kills, same = attempt(top, number, chance)
            alike += same
            done, saved = (", ".join(str(getattr(kill, name)) for kill in kills) for name in ("done", "saved"))
            torn = ", ".join(kill.torn for kill in kills if kill.torn)
            table.add_row(str(number), done, saved, torn, "yes" if same else "NO")
        outcome, pair = (
            lose_a_worker(top) if Path("/proc/self/cmdline").exists() else ("not tried: no /proc here", True)
        )
    Console(highlight=False, width=110).print(table)
    print(f"\n  {alike} of {choices.tries} ended with the same bits as a run that was not killed")
    print(f"  one of two processes killed: {outcome}; gone on to the same bits: {'yes' if pair else 'NO'}")
    sys.exit(alike != choices.tries or not pair)


if __name__ == "__main__":
    main()
