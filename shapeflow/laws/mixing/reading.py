"""Read pilots: run folders, whose plans say which step was taken in which shape, or a table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.files import read_regular
from shapeflow.base.json_text import parse_json
from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import load
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.collect import read_each
from shapeflow.laws.logs.log_search import LogSearch
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.readers import Row, Unreadable, number, open_log
from shapeflow.laws.logs.run_folders import DATA, EVENTS, PLAN, standard_error
from shapeflow.laws.mixing.pilots import Trial

SHARE = "="
"""In the name of a column of a table: data at a shape, as in `context=256` or `context=256 width=64`."""
SHOWN = 12


@attrs.frozen
class Pilots:
    """The pilots that were read, and facts about their files."""

    trials: tuple[Trial, ...]
    skipped: Mapping[str, str]
    """Name of a file or folder -> why it was not read."""
    hashes: Mapping[str, str]
    """Name of a file -> its SHA-256."""


def read_pilots(pattern: str, request: LawRequest, report: Report) -> Pilots | None:
    """The pilots that match a pattern. None after an error: `path-outside`, `no-such-logs`, `unknown-place`,
    `unreadable-log`, `missing-column`, `mixed-conventions`, `unpiloted-shape`."""
    before, found = len(report.errors), list[Trial]()

    def run(search: LogSearch, folder: Path) -> None:
        if (trial := _of_run(search, folder)) is not None:
            found.append(trial)

    def table(search: LogSearch, path: Path, given: Mapping[str, str]) -> None:
        found.extend(_of_table(search, path))

    search = read_each(Query(pattern), request, report, run, table)
    if search is None or len(report.errors) > before:
        return None
    return Pilots(tuple(_distinct(found, search.logs.skipped)), search.logs.skipped, search.logs.hashes)


def _distinct(trials: Sequence[Trial], skipped: dict[str, str]) -> list[Trial]:
    """Each run once, the longest record of it: a folder and a table of the same pilots are not two seeds."""
    kept: list[Trial] = []
    for one in sorted(trials, key=lambda trial: -float(trial.compute[-1])):
        if (other := next((each for each in kept if one.repeats(each)), None)) is not None:
            skipped[one.name] = f"it is the same run as `{other.name}`"
        else:
            kept.append(one)
    return [one for one in trials if any(one is each for each in kept)]


def _of_run(search: LogSearch, folder: Path) -> Trial | None:
    """The pilot in a run folder; None if it is left out, or after an error."""
    request, name = search.request, search.name(folder)
    try:
        plan = load(folder / PLAN)
    except Refused as refused:
        raise Unreadable(refused.diagnostics[0].message) from None
    used = {stage.shape for stage in plan.stages} | {blend.shape for stage in plan.stages for blend in stage.blends}
    known = {shape: search.candidate(shape) for shape in used}
    if other := [shape for shape in used if known[shape] is None]:
        search.logs.skipped[name] = f"it trains {other[0].written(plan.units)}, which is not a candidate"
        return None
    if plan.convention != request.convention:
        search.other_convention(name, plan.convention)
        return None
    if plan.schedule is not None or plan.cooldown is not None:
        search.logs.skipped[name] = "its learning rate falls: a law needs a constant one"
        return None
    values = _measured(search, folder, name)
    rows = [(step, *found) for step, found in sorted(values.items()) if step <= plan.steps]
    if not rows:
        return None
    return Trial(
        name=name,
        data=np.array([_row(plan.data_of(step), known, request) for step, *_ in rows]),
        error=np.array([error for _, _, error, _ in rows]),
        compute=np.array([compute for _, compute, _, _ in rows]),
        seed=plan.seed,
        about=_about(plan, folder),
        trained=_trained(plan),
        held_out_error=rows[-1][3],
    )


def _row(data: Mapping[Shape, int], known: Mapping[Shape, Shape | None], request: LawRequest) -> list[float]:
    by_candidate = {known[shape]: float(amount) for shape, amount in data.items()}
    return [by_candidate.get(shape, 0.0) for shape in request.candidates]


def _measured(search: LogSearch, folder: Path, name: str) -> dict[int, tuple[float, float, float | None]]:
    """Step -> (FLOPs, error, standard error of the held-out set) of each measurement. Those that a resumed run
    repeats are replaced."""
    log, metric = open_log(folder / EVENTS, whole=True), search.request.metric
    found: dict[int, tuple[float, float, float | None]] = {}
    names: dict[str, None] = {}
    for event in log.rows():
        step = number(event.get("step"))
        if event.get("event") == "run_started" and isinstance(step, float):
            found = {at: one for at, one in found.items() if at <= step}
        if event.get("event") != "measured" or not isinstance(event.get("values"), dict):
            continue
        names.update(dict.fromkeys(list(event["values"])[:100]))
        compute, error = number(event.get("compute")), number(event["values"].get(metric))
        if _usable(step, compute, error):
            found[int(step)] = (float(compute), float(error), standard_error(event, metric))
    search.close(log)
    if names and metric not in names:
        search.finder.missing("error", [metric], list(names), name)
    return found


def _usable(*values: Any) -> bool:
    return all(isinstance(value, float) and 0 < value < 1e36 for value in values)


def _about(plan: Plan, folder: Path) -> dict[str, Any]:
    """What has to be equal in all pilots."""
    return {
        "model": plan.model,
        "data": (plan.data, _digest(folder / DATA)),
        "objective": plan.objectives,
        "optimizer": plan.optimizer,
        "shape at which errors are measured": _measured_at(plan),
        "amount of held-out data": plan.held_out,
    }


def _trained(plan: Plan) -> dict[str, dict[str, Any] | None]:
    parts = {"model": plan.model, "data": plan.data, "optimizer": plan.optimizer, **plan.objectives}
    return {
        part: None if spec is None else {"is": spec.name, "settings": spec.settings} for part, spec in parts.items()
    }


def _measured_at(plan: Plan) -> Shape | int:
    if not plan.metric.endswith("@longest"):
        return plan.stages[-1].shape
    return max((one.shape.number("context") for one in plan.candidates if "context" in one.shape), default=0)


def _digest(path: Path) -> str | None:
    try:
        found = parse_json(read_regular(path))
    except (OSError, ValueError):
        return None
    return str(found.get("sha256")) if isinstance(found, Mapping) else None


def _of_table(search: LogSearch, path: Path) -> list[Trial]:
    """The pilots of a table with the columns `run`, `compute`, the metric, and data at each shape (`context=256`)."""
    log, request, name = open_log(path), search.request, search.name(path)
    names = log.columns()
    shapes = {column: _shape(search, column) for column in names if SHARE in column}
    for needed in ("run", "compute", request.metric):
        if needed not in names:
            message, why = f"`{name}` has no column `{needed}`", "not a table of pilots of this metric"
            notes = [f"its columns: {', '.join(names[:SHOWN])}"] if names else ["it has no rows"]
            help_ = "`shapeflow pilot --csv` writes such a table"
            search.report.error("missing-column", message, request.at("paths"), why, notes=notes, help=help_)
            return []
    runs: dict[str, list[tuple[float, list[float], float]]] = {}
    seeds: dict[str, int] = {}
    unusable = 0
    for row in log.rows():
        if row.get("convention") and row["convention"] != request.convention:
            search.other_convention(name, row["convention"])
            return []
        point = _point(row, request, shapes)
        if isinstance(point, str):
            message = f"`{name}` has data at {point}, which is not a candidate"
            search.report.error("unpiloted-shape", message, request.at("paths"), "its pilots cannot be used")
            return []
        if point is None:
            unusable += row.get(request.metric) not in (None, "")
        else:
            runs.setdefault(str(row["run"]), []).append(point)
            if isinstance(seed := number(row.get("seed")), float) and seed.is_integer():
                seeds[str(row["run"])] = int(seed)
    search.close(log)
    if unusable:
        message, at = f"some rows of `{name}` are left out: {unusable}", request.at("paths")
        note = f"`compute` and `{request.metric}` must be above 0, and the data at each shape 0 or at least 1"
        search.report.warning("excluded-points", message, at, "without usable numbers", notes=[note])
    return [_trial(f"{name}: {run}", sorted(points), seeds.get(run)) for run, points in runs.items()]


def _shape(search: LogSearch, column: str) -> Shape | None:
    values = dict(part.partition(SHARE)[::2] for part in column.split())
    return search.candidate(values) if set(values) == set(search.request.units) else None


def _point(
    row: Row, request: LawRequest, shapes: Mapping[str, Shape | None]
) -> tuple[float, list[float], float] | str | None:
    """One measurement: FLOPs, data at each candidate, error; None if a cell is not usable; the name of a column with
    data at a shape that is not a candidate."""
    compute, error = number(row.get("compute")), number(row.get(request.metric))
    data: dict[Shape, float] = {}
    for column, shape in shapes.items():
        amount = number(row.get(column))
        if not isinstance(amount, float) or not (amount == 0 or 1 <= amount < 1e36):
            return None
        if shape is None and amount > 0:
            return column
        if shape is not None:
            data[shape] = amount
    if not _usable(compute, error) or not sum(data.values()) > 0:
        return None
    return float(compute), [data.get(shape, 0.0) for shape in request.candidates], float(error)


def _trial(name: str, points: list[tuple[float, list[float], float]], seed: int | None) -> Trial:
    compute, data, error = zip(*points, strict=True)
    return Trial(name, np.array(data), np.array(error), np.array(compute), seed)
