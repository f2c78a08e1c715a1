"""Runs out of the folders that shapeflow writes: a plan, and the events of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shapeflow.json_text import parse_json
from shapeflow.laws.readers import number, open_log
from shapeflow.laws.reading import Reading
from shapeflow.laws.runs import Run

PLAN, EVENTS, DATA = "plan.json", "events.jsonl", "data.json"
LARGEST = 64 << 20
"""Bytes of a plan."""
METRICS = 1000
"""Metrics of a run that are looked at for one of a like name."""


def is_run(path: Path) -> bool:
    """Is it the folder of a run?"""
    return (path / PLAN).is_file() and (path / EVENTS).is_file()


def read_run(reading: Reading, folder: Path) -> None:
    """Read a folder that shapeflow wrote. Raises Unreadable."""
    name = reading.name(folder)
    plan = _plan(folder / PLAN)
    if isinstance(plan, str):
        reading.logs.skipped[name] = plan
        return
    values = plan["stages"][0]["shape"]
    shape = reading.candidate({axis: values.get(axis) for axis in reading.request.units})
    if shape is None:
        reading.stranger(values)
        return
    if plan.get("convention") != reading.request.convention:
        reading.other_convention(name, plan.get("convention"))
        return
    run = Run.of_plan(shape, reading.name(folder / EVENTS), plan, _json(folder / DATA))
    _events(reading, folder / EVENTS, run, name)


def _events(reading: Reading, path: Path, run: Run, name: str) -> None:
    log, metric = open_log(path), reading.request.metric
    seen: dict[str, None] = {}
    for event in log.rows():
        if event.get("event") == "measured" and isinstance(event.get("values"), dict):
            if len(seen) < METRICS:
                seen.update(dict.fromkeys(event["values"]))
            seen.update(dict.fromkeys([metric] if metric in event["values"] else []))
            run.add(event.get("compute"), event["values"].get(metric), event.get("step"))
        elif event.get("event") == "run_started" and isinstance(step := number(event.get("step")), float):
            run.come_back(step)
    reading.close(log)
    if seen and metric not in seen:
        reading.finder.missing("error", [metric], list(seen), name)
    reading.logs.runs[name, repr(run.shape)] = run


def _json(path: Path) -> Any:
    """The value in a file; None where there is none."""
    try:
        return parse_json(path.read_bytes()) if path.stat().st_size <= LARGEST else None
    except (OSError, ValueError):
        return None


def _plan(path: Path) -> dict[str, Any] | str:
    """A run's plan, or why its run is no run of one shape."""
    try:
        plan = _json(path)
        stages = plan["stages"]
        shapes = [dict(stage["shape"]) for stage in stages]
    except (ValueError, KeyError, TypeError):
        return "its plan cannot be read"
    if not stages or any(shape != shapes[0] for shape in shapes):
        return "it changes shape on the way: a law is fitted to runs of one shape"
    if any(stage.get("blends") for stage in stages):
        return "it blends shapes: a law is fitted to runs of one shape"
    return dict(plan)
