"""Read runs from the folders that shapeflow writes, which contain a plan and the events of its run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shapeflow.base.files import read_regular
from shapeflow.base.json_text import parse_json
from shapeflow.laws.logs.log_search import LogSearch
from shapeflow.laws.logs.readers import number, open_log
from shapeflow.laws.logs.runs import Run

PLAN, EVENTS, DATA = "plan.json", "events.jsonl", "data.json"
LARGEST = 64 << 20
"""Maximum size of a plan in bytes."""
METRICS = 1000
"""Maximum number of metrics of a run that are searched for a similar name."""


def is_run(path: Path) -> bool:
    """Return whether a path is a run folder."""
    # `Path.is_file` raises if the folder is not accessible.
    return os.path.isfile(path / PLAN) and os.path.isfile(path / EVENTS)


def read_run(search: LogSearch, folder: Path) -> None:
    """Read a run folder that shapeflow wrote. Raises Unreadable."""
    name = search.name(folder)
    plan = plan_of(folder)
    if (why := unlike(plan)) is not None:
        search.logs.skipped[name] = why
        return
    values = shapes_of(plan)[0]
    shape = search.candidate({axis: values.get(axis) for axis in search.request.units})
    if shape is None:
        search.other_shape(values)
        return
    if plan.get("convention") != search.request.convention:
        search.other_convention(name, plan.get("convention"))
        return
    run = Run.of_plan(shape, search.name(folder / EVENTS), plan, _json(folder / DATA))
    _events(search, folder / EVENTS, run, name)


def _events(search: LogSearch, path: Path, run: Run, name: str) -> None:
    log, metric = open_log(path, whole=True), search.request.metric
    seen: dict[str, None] = {}
    for event in log.rows():
        if event.get("event") == "measured" and isinstance(event.get("values"), dict):
            if len(seen) < METRICS:
                seen.update(dict.fromkeys(event["values"]))
            seen.update(dict.fromkeys([metric] if metric in event["values"] else []))
            run.add(event.get("compute"), event["values"].get(metric), event.get("step"))
            run.held_out_error = standard_error(event, metric)
        elif event.get("event") == "run_started" and isinstance(step := number(event.get("step")), float):
            run.come_back(step)
        elif event.get("event") == "run_branched" and isinstance(event.get("differs"), str):
            search.logs.skipped[name] = f"it was changed on the way: {event['differs']}"
            return
    search.close(log)
    if seen and metric not in seen:
        search.finder.missing("error", [metric], list(seen), name)
    search.logs.runs[name, repr(run.shape)] = run


def standard_error(event: Mapping[str, Any], metric: str) -> float | None:
    """Return the standard error of an event's metric over the held-out set. None if it does not state one."""
    errors = event.get("errors")
    found = number(errors.get(metric)) if isinstance(errors, dict) else "blank"
    return found if isinstance(found, float) and math.isfinite(found) and found >= 0 else None


def _json(path: Path) -> Any:
    """Return the JSON value in a file. None if it cannot be read."""
    try:
        # Reading from a named pipe could block forever.
        return parse_json(read_regular(path)) if path.is_file() and path.stat().st_size <= LARGEST else None
    except (OSError, ValueError):
        return None


def plan_of(folder: Path) -> dict[str, Any]:
    """Return the plan of a run. Empty if it cannot be read, or a stage does not have a shape."""
    plan = _json(folder / PLAN)
    stages = plan.get("stages") if isinstance(plan, dict) else None
    if not isinstance(stages, list) or not stages:
        return {}
    shaped = all(isinstance(stage, dict) and isinstance(stage.get("shape"), dict) for stage in stages)
    return dict(plan) if shaped else {}


def shapes_of(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the distinct shapes of the stages of a plan, in order."""
    found: list[dict[str, Any]] = []
    for stage in plan["stages"]:
        if stage["shape"] not in found:
            found.append(stage["shape"])
    return found


def unlike(plan: Mapping[str, Any]) -> str | None:
    """Return why the run of a plan is not a run of one shape. None if it is."""
    if not plan:
        return "its plan cannot be read"
    if len(shapes_of(plan)) > 1:
        return "it changes shape on the way: a law is fitted to runs of one shape"
    if any(stage.get("blends") for stage in plan["stages"]):
        return "it blends shapes: a law is fitted to runs of one shape"
    return None
