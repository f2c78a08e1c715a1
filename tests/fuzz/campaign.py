"""Feeds mutated inputs to the command line, and keeps those that break it.

    python tests/fuzz/campaign.py [--minutes 60] [--seed 0] [--jobs 2] [--inputs shape=1000000,other=10000]
                                  [--json counts.json] [--keep tests/fuzz/corpus] [--again SEED/KIND/CHUNK/NUMBER]

`judge.py` defines what breaks it. Each chunk of inputs of one kind has a process of its own, so that an input that
kills the process is found too, and the peak of memory is that of its kind. The corpus holds one folder for each fault,
with its files and the command; `tests/test_fuzz.py` runs them all again. `--again` writes the files of one input, and
prints its commands.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gc
import io
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import attrs

sys.path.insert(0, str(Path(__file__).parent))

from chunks import Chunk, Tally, drawn, run
from counts import Report
from judge import keep
from target import Target
from targets import targets

VOLUME = "shape=1000000,plan=100000,log=100000,other=10000"
HANGS = 900.0
"""Wall seconds after which the process of a chunk is killed: its input does not return to Python."""
MEMORY = Path("/dev/shm")


@attrs.define
class Work:
    """A chunk that a process tries."""

    chunk: Chunk
    process: BaseProcess
    folder: Path
    begun: float

    def tally(self, known: Sequence[Target], corpus: Path | None) -> Tally:
        """What the process found. If it died, its last input is a fault."""
        if (found := self.folder / "tally.json").exists():
            return Tally(**json.loads(found.read_text()))
        at = self.folder / "at"
        name = at.read_text() if at.exists() else self.chunk.name(0)
        wrong = f"died: exit code {self.process.exitcode}"
        target, content = drawn(name, known)
        if corpus is not None:
            keep(target, content, target.commands[0], wrong, corpus)
        return Tally(int(name.rpartition("/")[2]) + 1, {f"{target.name}: {wrong}": 1}, which=name)


def _child(chunk: Chunk, known: Sequence[Target], folder: Path, corpus: Path | None) -> None:
    (work := folder / "work").mkdir()
    found = run(chunk, known, work, corpus, folder / "at")
    partial = folder / "tally.part"
    partial.write_text(json.dumps(attrs.asdict(found)))
    partial.rename(folder / "tally.json")


def campaign(
    by_kind: Mapping[str, Sequence[Target]], report: Report, seconds: float, jobs: int, corpus: Path | None
) -> None:
    """Try inputs until the report has its quotas, or for some seconds. The kind with the smallest part of its quota is
    always next."""
    context, until = multiprocessing.get_context("fork"), time.monotonic() + seconds
    numbers, running = collections.Counter[str](), dict[int, Work]()
    with scratch() as home:
        try:
            while True:
                while time.monotonic() < until and len(running) < jobs and (kind := report.next()) is not None:
                    chunk = Chunk(kind, report.seed, numbers[kind], report.begin(kind))
                    numbers[kind] += 1
                    (folder := home / f"{kind}-{chunk.number}").mkdir()
                    process = context.Process(target=_child, args=(chunk, by_kind[kind], folder, corpus))
                    process.start()
                    running[process.sentinel] = Work(chunk, process, folder, time.monotonic())
                if not running:
                    break
                for sentinel in wait(list(running), timeout=5):
                    _ended(running.pop(sentinel), by_kind, report, corpus)  # type: ignore[arg-type]
                for work in running.values():
                    if time.monotonic() - work.begun > HANGS:
                        work.process.kill()
                report.save()
        finally:
            for work in running.values():
                work.process.kill()
            report.save(now=True)


def _ended(work: Work, by_kind: Mapping[str, Sequence[Target]], report: Report, corpus: Path | None) -> None:
    work.process.join()
    report.end(work.chunk, work.tally(by_kind[work.chunk.kind], corpus))
    shutil.rmtree(work.folder, ignore_errors=True)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for files of inputs: in memory if possible, where nothing waits for a disk."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


def prepared() -> dict[str, list[Target]]:
    """All targets by their kind."""
    with scratch() as folder, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = collections.defaultdict[str, list[Target]](list)
        for target in targets(folder):
            found[target.name].append(target)
    return dict(sorted(found.items()))


def warm(by_kind: Mapping[str, Sequence[Target]], kinds: Iterable[str]) -> None:
    """Try some inputs of each kind, so that forks have the libraries and the sentences that they need."""
    with scratch() as home:
        for kind in kinds:
            (folder := home / kind).mkdir()
            run(Chunk(kind, -1, 0, 300 if kind == "shape" else 5), by_kind[kind], folder, None)


def quotas(text: str, kinds: Sequence[str]) -> dict[str, int]:
    """`shape=1000,other=10`: the inputs of each kind. `other`: of each kind that is not named. Raises ValueError."""
    named = {name: int(count) for name, _, count in (part.partition("=") for part in text.split(","))}
    if wrong := named.keys() - {*kinds, "other"}:
        raise ValueError(f"{', '.join(sorted(wrong))}: the kinds are {', '.join(kinds)}, and `other`")
    other = named.get("other", 0)
    return {kind: count for kind in kinds if (count := named.get(kind, other)) > 0}


def again(name: str, by_kind: Mapping[str, Sequence[Target]]) -> None:
    """Write the files of one input to a folder of the same name, and print its commands."""
    target, content = drawn(name, by_kind[name.split("/")[1]])
    folder = Path("again") / name.replace("/", "-")
    target.write(folder)
    (folder / target.mutated).write_bytes(content)
    print(f"cd {folder}")
    for command in target.commands:
        print("shapeflow", *map(repr, command))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60, help="of wall time, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--inputs", default=VOLUME, metavar="KIND=N,...", help=f"how many of each kind [{VOLUME}]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts to this file, every minute")
    parser.add_argument("--keep", type=Path, default=Path(__file__).parent / "corpus", help="folder of new faults")
    parser.add_argument("--again", metavar="SEED/KIND/CHUNK/NUMBER", help="write the files of one input")
    options = parser.parse_args()
    by_kind = prepared()
    if options.again is not None:
        again(options.again, by_kind)
        return 0
    report = Report(options.seed, quotas(options.inputs, list(by_kind)), options.json)
    warm(by_kind, report.quotas)
    # What exists by now is never collected, so that the pages of a process stay shared with its forks.
    gc.freeze()
    with contextlib.suppress(KeyboardInterrupt):
        campaign(by_kind, report, 60 * options.minutes, options.jobs, options.keep.resolve())
    report.show()
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
