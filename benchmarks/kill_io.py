"""Kills a run at every one of its file operations, and checks that it resumes to the same result.

    python benchmarks/kill_io.py [--every 1] [--seed 0] [--pairs 60] [--json]

A run of 12 steps with one switch and four checkpoints is trained to its end. Its file operations are listed (see
`file_operations.py`). Then the run is trained again for each operation: it kills itself with SIGKILL just before the
operation, and, if it is a write, once more after half of the bytes. A user's next command follows: `shapeflow run`
with `--resume`, which starts a run where there is none. Afterwards the folder must be that of the run that was
never killed: the same files, none of them temporary, with the same bytes, and the same events up to their times.

run                         what is killed
one process                 a run from its beginning to its end
resumed, half a write       a run that was killed halfway through a checkpoint, and is killed again after `--resume`
resumed, half a removal     a run that was killed while it removed an old checkpoint, and is killed again
two processes               the leader of two processes; the other one must end by itself and report `worker-lost`. If
                            the leader dies after the last exchange, the other process may have finished

`--every K` tries every K-th point from a random first one, `--pairs N` at most N points of two processes, spread
evenly. All runs are forks of this process, which imports torch once. A kill does not lose what the system has not yet
written to disk: a power failure is not tested. The exit code is 1 if any trial fails.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Table

from file_operations import Operation, Point
from kill_forks import Bench, End, warm_up
from shapeflow.ir.events import OF_THE_CLOCK

PROGRAM = """\
model      vit(depth: 1, head_width: 8, patch: 4 px)
data       digits(batch: 16)
objective  cross_entropy
metric     cross_entropy

axis width in [16, 24] via width_expand

stage (width: 16) until 7 steps
stage (width: 24) until end

budget     12 steps
evaluate   every 4 steps
checkpoint every 3 steps
"""
LAST = "checkpoints/step-000000012"


@attrs.frozen
class Trial:
    """The outcome of a trial."""

    operation: Operation
    point: Point
    same: bool
    """Whether all files but the log have the same bytes."""
    leftovers: tuple[str, ...]
    """Files and folders that the run that was never killed does not have."""
    logs: bool
    """Whether the events are equal."""
    problems: tuple[str, ...]
    """Processes that did not end as they should."""

    @property
    def passed(self) -> bool:
        return self.same and self.logs and not self.leftovers and not self.problems

    def __str__(self) -> str:
        """One line about a failed trial."""
        found = [] if self.same else ["other bytes"]
        found += [] if self.logs else ["other events"]
        found += [f"left {name}" for name in self.leftovers] + list(self.problems)
        return f"{'in' if self.point.within else 'before'} {self.operation}: {', '.join(found)}"


def names(folder: Path) -> set[str]:
    """All files and folders next to and in a run, by their path."""
    return {str(path.relative_to(folder.parent)) for path in folder.parent.rglob("*")}


def same_bytes(folder: Path, whole: Path) -> bool:
    """Whether all files of a finished run but the log are equal to those of another one."""
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file() and path.name != "events.jsonl"]
    found = [folder / name for name in files]
    return (folder / LAST).is_dir() and all(
        one.is_file() and one.read_bytes() == (whole / name).read_bytes()
        for one, name in zip(found, files, strict=True)
    )


def events(folder: Path) -> list[dict[str, object]]:
    """The events of a log without `run_started` and seconds. Losses and held-out values are kept: on one CPU they are
    equal, too. Raises ValueError for a broken line."""
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["event"] != "run_started"]
    return [{key: value for key, value in line.items() if key not in OF_THE_CLOCK} for line in kept]


def same_events(folder: Path, whole: Path) -> bool:
    try:
        return events(folder) == events(whole)
    except (OSError, ValueError):
        return False


def problems(killed: Sequence[End], resumed: Sequence[End], late: bool) -> Iterator[str]:
    """What is wrong with how processes ended. `late`: the leader was killed after the last exchange of processes."""
    leader, *others = killed
    if leader.code != -signal.SIGKILL:
        yield f"not killed: {leader}"
    lost, done = End(1, ("worker-lost",)), End(0)
    yield from (f"other process: {end}" for end in others if end != lost and not (late and end == done))
    yield from (f"resumed: {end}" for end in resumed if end != done)


def points(operations: Sequence[Operation]) -> list[Point]:
    """All points of a run at which it is killed."""
    every = [Point(number) for number in range(len(operations))]
    return every + [Point(number, True) for number, one in enumerate(operations) if one.call == "write"]


@attrs.frozen
class Row:
    """One campaign. `begun`: the folder that each trial starts from; None: none."""

    name: str
    bench: Bench
    operations: Sequence[Operation]
    whole: Path
    begun: Path | None = None

    def trial(self, point: Point) -> Trial:
        """Kill a run at a point, resume it and compare."""
        top = self.bench.top / "trial"
        shutil.rmtree(top, ignore_errors=True)
        top.mkdir()
        folder = top / "run"
        if self.begun is not None:
            shutil.copytree(self.begun, folder)
        killed = self.bench.run(folder, *(["--resume"] if self.begun is not None else []), point=point)
        return self.compared(point, folder, killed, self.bench.run(folder, "--resume"))

    def compared(self, point: Point, folder: Path, killed: Sequence[End], resumed: Sequence[End]) -> Trial:
        """Compare a killed and resumed run with the whole one."""
        wrong = problems(killed, resumed, point.number > self.last_exchange)
        left = sorted(names(folder) - names(self.whole))
        same, logs = same_bytes(folder, self.whole), same_events(folder, self.whole)
        return Trial(self.operations[point.number], point, same, tuple(left), logs, tuple(wrong))

    @property
    def last_exchange(self) -> int:
        """The last operation after which processes exchange something: that of the last checkpoint."""
        return max(number for number, one in enumerate(self.operations) if one.path.startswith("run/checkpoints"))


def rows(top: Path, worlds: Sequence[int]) -> Iterator[Row]:
    """Train the complete runs and list their operations. Runs of one process come first."""
    for world in worlds:
        bench, whole = Bench(top, world), top / f"whole-{world}" / "run"
        whole.parent.mkdir()
        operations = bench.operations(whole)
        if world > 1:
            yield Row("two processes", bench, operations, whole)
            continue
        yield Row("one process", bench, operations, whole)
        written = [n for n, one in enumerate(operations) if one.call == "write" and "step-000000009" in one.path]
        removed = [n for n, one in enumerate(operations) if one.call == "unlink" and "step-000000003" in one.path]
        yield resumed(bench, whole, "resumed, half a write", Point(written[0], True))
        yield resumed(bench, whole, "resumed, half a removal", Point(removed[1]))


def resumed(bench: Bench, whole: Path, name: str, point: Point) -> Row:
    """The campaign that resumes a run that was killed at a point."""
    # As deep as the folders of trials: a run that was moved writes where its data lies again.
    begun, again = (bench.top / f"{name}, {part}" / "run" for part in ("begun", "again"))
    begun.parent.mkdir()
    bench.run(begun, point=point)
    shutil.copytree(begun, again)
    return Row(name, bench, bench.operations(again, "--resume"), whole, begun)


def chosen(every: Sequence[Point], step: int, most: int | None, chance: random.Random) -> list[Point]:
    """Every `step`-th point from a random first one; at most `most`, spread evenly."""
    some = list(every[chance.randrange(min(step, len(every))) :: step])
    if most is None or len(some) <= most:
        return some
    return [some[number * len(some) // most] for number in range(most)]


def counted(tried: Sequence[Trial]) -> dict[str, int]:
    """The numbers of a row of the table."""
    return {
        "points": len(tried),
        "writes": sum(one.point.within for one in tried),
        "same_bits": sum(one.same for one in tried),
        "leftovers": sum(bool(one.leftovers) for one in tried),
        "logs_equal": sum(one.logs for one in tried),
        "wrong_end": sum(bool(one.problems) for one in tried),
    }


def show(found: Mapping[str, tuple[Row, list[Trial]]]) -> None:
    """Print the table and the failed trials."""
    table = Table(box=None, padding=(0, 1))
    headings = ("operations", "kills", "in a write", "same bits", "leftovers", "logs equal", "wrong end")
    for heading in ("run", *headings):
        table.add_column(heading, justify="left" if heading == "run" else "right", no_wrap=True)
    for name, (row, tried) in found.items():
        table.add_row(name, str(len(row.operations)), *map(str, counted(tried).values()))
    console = Console(highlight=False, width=110)
    console.print(table)
    for name, (_, tried) in found.items():
        for one in tried:
            if not one.passed:
                console.print(f"  {name}, {one}", markup=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--every", type=int, default=1, help="try every K-th point")
    parser.add_argument("--seed", type=int, default=0, help="of the first point")
    parser.add_argument("--pairs", type=int, default=60, help="most points of two processes; 0: none")
    parser.add_argument("--json", action="store_true", help="print the counts and the failed trials as JSON")
    choices = parser.parse_args()
    chance, found = random.Random(choices.seed), {}
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary).resolve()
        (top / "kill.shape").write_text(PROGRAM, encoding="utf-8")
        warm_up(top)
        for row in rows(top, (1, 2) if choices.pairs else (1,)):
            most = choices.pairs if row.bench.world > 1 else None
            some = chosen(points(row.operations), choices.every, most, chance)
            found[row.name] = row, [row.trial(point) for point in some]
    failed = [f"{name}, {one}" for name, (_, tried) in found.items() for one in tried if not one.passed]
    if choices.json:
        print(json.dumps({"rows": {name: counted(tried) for name, (_, tried) in found.items()}, "failed": failed}))
    else:
        show(found)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
