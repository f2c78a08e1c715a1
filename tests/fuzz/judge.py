"""What counts as a fault of a command, and where faults are kept."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import attrs
from made_from import edited
from target import Target, write

from shapeflow.cli import answer

SECONDS, STUCK, ASLEEP, BYTES = 2.0, 20.0, 120.0, 1 << 30
"""CPU seconds of a slow command; CPU and wall seconds after which it is stopped; memory that it may ask for."""
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal would interpret, or what turns the text around it. White space of a text is none of it."""
QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python does not show to users."""


class Endless(BaseException):
    """A command was stopped."""


@attrs.frozen
class Outcome:
    """What is wrong with a command (None: nothing), and the CPU seconds that it took."""

    fault: str | None
    seconds: float


def judged(command: Sequence[str]) -> Outcome:
    """Run a command in the current folder. One that is slow runs twice more, and the fastest counts: the first may have
    loaded a library, and a busy machine makes CPU seconds longer."""
    found = _once(command)
    if found.fault is None or not found.fault.startswith("slow"):
        return found
    return min((found, _once(command), _once(command)), key=lambda one: one.seconds)


def called(command: Sequence[str]) -> int:
    """Run a command, or ask what an editor asks. Returns the exit code."""
    return edited(command) if command[0] == "editing" else answer(list(command))


def _once(command: Sequence[str]) -> Outcome:
    begun, out = time.process_time(), io.StringIO()
    signal.setitimer(signal.ITIMER_VIRTUAL, STUCK)
    signal.setitimer(signal.ITIMER_REAL, ASLEEP)
    code: int | None = None
    try:
        with warned() as said, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = called(command)
        wrong = next(iter(said), None) or _printed(out.getvalue(), code)
    except Endless:
        wrong = f"endless: more than {STUCK:.0f} s of CPU or {ASLEEP:.0f} s"
    except MemoryError:
        wrong = f"memory: more than {BYTES >> 20} MiB"
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        wrong = f"traceback: {type(error).__name__} in {Path(last.filename).name}:{last.name}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    took = time.process_time() - begun
    return Outcome(wrong or (f"slow: {command[0]}" if took > SECONDS else None), took)


def _printed(text: str, code: int) -> str | None:
    """What is wrong with the output of a command and its exit code."""
    if (found := RAW.search(text)) is not None:
        return f"raw: U+{ord(found[0]):04X} in the output"
    if code not in (0, 1, 2):
        return f"exit: code {code}"
    return "silent: exit code 1 without a word" if code == 1 and not text.strip() else None


@contextlib.contextmanager
def warned() -> Iterator[list[str]]:
    """Collects the warnings that a user would see, as faults."""
    said: list[str] = []

    def show(message: object, category: type[Warning], name: str, line: int, *_: object) -> None:
        if not issubclass(category, QUIET):
            said.append(f"warning: {category.__name__} in {Path(name).name}:{line}")

    with warnings.catch_warnings():
        # Otherwise a place warns once in a process.
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield said


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Limits memory to `BYTES` more than now, and lets commands raise their exceptions."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Endless

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    before = {number: signal.signal(number, stop) for number in (signal.SIGVTALRM, signal.SIGALRM)}
    debug = os.environ.get("SHAPEFLOW_DEBUG", "")
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, hard))
    os.environ["SHAPEFLOW_DEBUG"] = "1"
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, handler in before.items():
            signal.signal(number, handler)
        os.environ["SHAPEFLOW_DEBUG"] = debug


def keep(target: Target, content: bytes, command: Sequence[str], wrong: str, corpus: Path) -> None:
    """Add a fault to the corpus, with the files that its command needs. Each fault is kept once."""
    name = f"{target.name}-{hashlib.sha256(wrong.encode()).hexdigest()[:8]}"
    if (corpus / name).exists():
        return
    files = {**target.files, target.mutated: content}
    if not wrong.startswith(("died", "endless", "slow")):
        for other in target.files:
            fewer = {each: held for each, held in files.items() if each != other}
            if _again(fewer, command) == wrong:
                files = fewer
    files["fault.json"] = (json.dumps({"command": list(command), "fault": wrong}, indent=1) + "\n").encode()
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=corpus) as partial, contextlib.suppress(OSError):
        write(files, Path(partial) / name)
        # Another process may have kept it meanwhile.
        (Path(partial) / name).rename(corpus / name)


def _again(files: Mapping[str, bytes], command: Sequence[str]) -> str | None:
    """What is wrong with a command on other files."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        write(files, Path(folder))
        os.chdir(folder)
        try:
            return judged(command).fault
        finally:
            os.chdir(home)
