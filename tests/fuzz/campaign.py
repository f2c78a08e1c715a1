"""Feeds mutated inputs to the command line, and keeps those that break it.

    python tests/fuzz/campaign.py [--minutes 60] [--seed 0] [--keep tests/fuzz/corpus]

An input breaks it if a command ends in a traceback, takes more than 2 s of CPU, or asks for more than 1 GB. The corpus
holds one folder for each fault, with its files and the command; `tests/test_fuzz.py` runs them all again.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent))

from targets import RAW, Target, targets

from shapeflow.cli import answer

SECONDS, STUCK, BYTES = 2.0, 20.0, 1 << 30


class Endless(BaseException):
    """A command was stopped after `STUCK` seconds of CPU."""


def write(files: Mapping[str, str], folder: Path) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1" if name.endswith(RAW) else "utf-8", "surrogatepass"))


def fault(command: Sequence[str]) -> str | None:
    """What is wrong with a command in the current folder; None if nothing is."""
    begun, out = time.process_time(), io.StringIO()
    signal.setitimer(signal.ITIMER_VIRTUAL, STUCK)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            answer(list(command))
    except Endless:
        return f"endless: more than {STUCK:.0f} s of CPU"
    except MemoryError:
        return f"memory: more than {BYTES >> 20} MiB"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"traceback: {type(error).__name__} in {Path(last.filename).name}:{last.name}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    took = time.process_time() - begun
    return f"slow: {command[0]}" if took > SECONDS else None


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Limits memory to `BYTES` more than now, and lets commands raise their exceptions."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Endless

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    before, debug = signal.signal(signal.SIGVTALRM, stop), os.environ.get("SHAPEFLOW_DEBUG", "")
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, hard))
    os.environ["SHAPEFLOW_DEBUG"] = "1"
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGVTALRM, before)
        os.environ["SHAPEFLOW_DEBUG"] = debug


def keep(target: Target, text: str, command: Sequence[str], wrong: str, corpus: Path) -> None:
    """Add a fault to the corpus, with the files that its command needs."""
    name = f"{target.name}-{hashlib.sha256(wrong.encode()).hexdigest()[:8]}"
    folder = corpus / name
    if not folder.exists():
        write({**target.files, target.mutated: text}, folder)
        (folder / "fault.json").write_text(json.dumps({"command": list(command), "fault": wrong}, indent=1) + "\n")


def campaign(seconds: float, seed: int, corpus: Path | None = None) -> collections.Counter[str]:
    """Fuzz for some seconds of CPU. Returns the faults, each with how often it occurred."""
    draw, found, done = random.Random(seed), collections.Counter[str](), 0
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        prepared, work = Path(scratch) / "prepared", Path(scratch) / "work"
        prepared.mkdir()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            every = targets(prepared)
        by_name = collections.defaultdict(list)
        for target in every:
            by_name[target.name].append(target)
        begun = time.process_time()
        try:
            while time.process_time() - begun < seconds:
                target = draw.choice(by_name[draw.choice(sorted(by_name))])
                text = target.mutation(draw)
                shutil.rmtree(work, ignore_errors=True)
                write({**target.files, target.mutated: text}, work)
                os.chdir(work)
                done += 1
                for command in target.commands:
                    with bounded():
                        wrong = fault(command)
                    if wrong is not None:
                        found[f"{target.name}: {wrong}"] += 1
                        if corpus is not None:
                            keep(target, text, command, wrong, corpus)
                os.chdir(home)
        finally:
            os.chdir(home)
    print(f"{done} inputs, seed {seed}, {len(by_name)} targets: {sum(found.values())} faults")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(__file__).parent / "corpus")
    options = parser.parse_args()
    found = campaign(60 * options.minutes, options.seed, options.keep.resolve())
    for wrong, count in found.most_common():
        print(f"{count:6}  {wrong}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
