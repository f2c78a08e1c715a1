"""Reads run folders.

plan.json       the executed plan
events.jsonl    the events, one per line
data.json       the identity of the data
checkpoints/    the newest few checkpoints
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import open_regular, read_text
from shapeflow.base.json_text import parse_json
from shapeflow.ir.events import Event, Measured, RunEnded, RunStarted, StepDone, event_from_json
from shapeflow.ir.plan import Plan
from shapeflow.running.run_log import EVENTS, PLAN
from shapeflow.running.specs import load

_TAIL = 4096
"""The number of bytes read from the end of a log; more than one line."""


@attrs.frozen
class Run:
    """A run, read from its folder."""

    folder: Path
    plan: Plan
    events: tuple[Event, ...]

    @property
    def measured(self) -> tuple[Measured, ...]:
        return tuple(event for event in self.events if isinstance(event, Measured))

    @property
    def ended(self) -> RunEnded | None:
        return next((event for event in reversed(self.events) if isinstance(event, RunEnded)), None)

    @property
    def done(self) -> int:
        """The number of steps done, from the log."""
        return max((e.step for e in self.events if isinstance(e, StepDone | Measured | RunEnded)), default=0)

    def curve(self, metric: str) -> list[tuple[float, float, float]]:
        """(FLOPs, seconds of training, value) of a metric, at each measurement that has it."""
        found, before, last = [], 0.0, 0.0
        for event in self.events:
            if isinstance(event, RunStarted) and event.step:
                # A resumed run restarts its count of seconds from zero.
                before += last
            if isinstance(event, Measured):
                last = event.seconds
                if metric in event.values:
                    found.append((event.compute, before + event.seconds, event.values[metric]))
        return found

    @property
    def trained(self) -> float:
        """Seconds of training until the last measurement, including those before a resume."""
        last = next((m for m in reversed(self.measured) if m.values), None)
        return 0.0 if last is None else self.curve(next(iter(last.values)))[-1][1]

    @property
    def evaluated(self) -> float:
        """Seconds of all evaluations until the last measurement, including those before a resume."""
        found = 0.0
        for event, after in itertools.zip_longest(self.measured, self.measured[1:]):
            if after is None or after.evaluating < event.evaluating:
                found += event.evaluating
        return found

    def at(self, metric: str, compute: float) -> float:
        """The value of a metric after `compute` FLOPs, interpolated in log compute; outside the curve, that of its
        nearest end. The curve must not be empty."""
        curve = self.curve(metric)
        after = bisect.bisect_left(curve, compute, key=lambda point: point[0])
        if after in (0, len(curve)):
            return curve[min(after, len(curve) - 1)][2]
        (before, _, first), (here, _, second) = curve[after - 1 : after + 1]
        return first + (second - first) * math.log(compute / before) / math.log(here / before)

    def reaches(self, metric: str, target: float, stage: int = 0) -> tuple[float, float] | None:
        """The compute and seconds at which a metric first reaches a target in a stage or after it, interpolated in log
        compute; None if it never does."""
        before: tuple[float, float, float] | None = None
        stages = [event.stage for event in self.measured if metric in event.values]
        for at, (compute, seconds, value) in zip(stages, self.curve(metric), strict=True):
            if value <= target and at >= stage:
                if before is None or before[2] <= target:
                    return compute, seconds
                part = (before[2] - target) / (before[2] - value)
                # Use a geometric mean: it is exact at the measurements.
                return before[0] ** (1 - part) * compute**part, before[1] + part * (seconds - before[1])
            before = (compute, seconds, value)
        return None


def last_step(folder: Path) -> int:
    """The step of the last complete line of a log; 0 if there is none. Reads only the end of the file."""
    try:
        with open_regular(folder / EVENTS) as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            lines = file.read().split(b"\n")
        return int(parse_json(lines[-2], finite=False)["step"]) if len(lines) > 1 else 0
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return 0


def aside(folder: Path) -> Path:
    """Where a run folder lies while a longer one takes its place."""
    return folder.with_name(f".{folder.name}.before")


def copies(folder: Path) -> list[Path]:
    """What killed processes left next to a run folder: the run that was replaced, and incomplete copies."""
    if not folder.parent.is_dir():
        return []
    name = re.compile(rf"\.{re.escape(folder.name)}\.(before|\d+)")
    return sorted(path for path in folder.parent.iterdir() if name.fullmatch(path.name) and path.is_dir())


def is_run(folder: Path) -> bool:
    return (folder / PLAN).is_file()


def read_run(folder: str | Path) -> Run:
    """The run in a folder. An incomplete last line of the log is skipped. Raises Refused `no-run` if there is no
    run."""
    folder = Path(folder)
    if not is_run(folder):
        message, help_ = f"`{folder}` is not a run folder", "name a folder that `shapeflow run` has made"
        raise Refused(Diagnostic("no-run", message, place=str(folder), notes=(f"it has no `{PLAN}`",), help=help_))
    log = folder / EVENTS
    return Run(folder, load(folder / PLAN), tuple(_events(log)) if log.is_file() else ())


def _events(log: Path) -> Iterator[Event]:
    lines = read_text(log).splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield event_from_json(parse_json(line, finite=False))
        except (ValueError, TypeError):
            if number == len(lines):
                return
            message = f"line {number} of the run's log is not an event"
            raise Refused(Diagnostic("broken-log", message, place=f"{log}:{number}")) from None
