"""Reads what a comparison has written: `comparison.json` and the runs in its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, get_args

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text
from shapeflow.base.json_text import parse_json
from shapeflow.base.shapes import Shape
from shapeflow.running.rivals.choice import LeftOut
from shapeflow.running.rivals.compared import Compared
from shapeflow.running.rivals.halving import Choice, Round
from shapeflow.running.rivals.predicted import Prediction, Says, Why
from shapeflow.running.rivals.results import Result
from shapeflow.running.runs import Run, is_run, read_run
from shapeflow.running.standing import COMPARISON


def is_comparison(folder: Path) -> bool:
    """Whether a folder has the result of a comparison, and not of its runs alone."""
    return (folder / COMPARISON).is_file()


def read_comparison(folder: Path) -> Compared:
    """The result of the comparison in a folder, with those of its runs that are still there. Raises Refused
    `broken-comparison`, and what reading a run raises."""
    path = folder / COMPARISON
    try:
        found = parse_json(read_text(path))
        results = tuple(_result(one) for one in found["ways"])
        seeds = tuple(int(_number(seed)) for seed in found["seeds"])
        if not results:
            raise ValueError("it has no results")
        if any(not len(one.compute) == len(one.seconds) == len(seeds) for one in results):
            raise ValueError("a way has another number of seeds")
        names = {one.name for one in results}
        if strange := [one.same for one in results if one.same is not None and one.same not in names - {one.name}]:
            raise ValueError(f"there is no way {strange[0]!r}")
        if found["unit"] not in ("compute", "seconds"):
            raise ValueError(f"the unit is {found['unit']!r}")
        return Compared(
            metric=_text(found["metric"]),
            target=_number(found["target"]),
            seeds=seeds,
            results=results,
            choice=None if found["choice"] is None else _choice(found["choice"]),
            left=tuple(LeftOut(_text(one["name"]), _text(one["reason"])) for one in found["left_out"]),
            predictions=tuple(_prediction(one) for one in found["predictions"]),
            runs=_runs(folder, results),
            unit=found["unit"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        help_ = "start `shapeflow compare` again: it keeps finished runs, and writes the result"
        message, notes = f"`{path}` is not the result of a comparison", (f"{type(error).__name__}: {error}",)
        raise Refused(Diagnostic("broken-comparison", message, place=str(path), notes=notes, help=help_)) from None


def _runs(folder: Path, results: Sequence[Result]) -> Mapping[Path, Run]:
    """Folder -> run. Runs are looked for next to the result, by the last part of their names: the folder may have been
    moved."""
    places = [folder / PurePath(name).name for one in results for name in one.runs]
    return {place: read_run(place) for place in places if is_run(place)}


def _result(one: Any) -> Result:
    compute, seconds = (tuple(map(_amount, one[key])) for key in ("compute", "seconds"))
    final = tuple(_number(value) for value in one["final"])
    if not final:
        raise ValueError("a way has no runs")
    same = None if one["same"] is None else _text(one["same"])
    return Result(_text(one["name"]), _text(one["what"]), compute, seconds, final, same, tuple(map(_text, one["runs"])))


def _prediction(one: Any) -> Prediction:
    numbers = {key: _maybe(one[key]) for key in ("predicted", "low", "high", "measured")}
    literal, doubt = get_args(Why)
    if one["what"] not in ("error", "best", "last", "rival") or one["says"] not in get_args(Says):
        raise ValueError(f"{one['what']!r} {one['says']!r} is not a prediction")
    if one["why"] not in (None, *get_args(literal), *get_args(doubt)):
        raise ValueError(f"{one['why']!r} is not a reason")
    rival = None if one["rival"] is None else _text(one["rival"])
    return Prediction(what=one["what"], says=one["says"], why=one["why"], rival=rival, **numbers)


def _choice(found: Any) -> Choice:
    rounds = tuple(
        Round(_maybe(one["compute"]), _values(one["values"]), _maybe(one["seconds"])) for one in found["rounds"]
    )
    return Choice(Shape.from_json(found["shape"]), rounds, _number(found["compute"]), int(_number(found["runs"])))


def _values(found: Any) -> tuple[tuple[Shape, float], ...]:
    """Shapes with their values; one that diverged has none."""
    pairs = [(Shape.from_json(one["shape"]), _maybe(one["value"])) for one in found]
    return tuple((shape, math.inf if value is None else value) for shape, value in pairs)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _amount(value: Any) -> float | None:
    """What a run took until the target; None if it did not reach it."""
    if (found := _maybe(value)) is not None and found <= 0:
        raise ValueError(f"a run took {found:g}, which is not above 0")
    return found


def _maybe(value: Any) -> float | None:
    return None if value is None else _number(value)
