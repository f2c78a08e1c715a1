"""Shows what runs cost before they are trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shapeflow.ir.program import Program
from shapeflow.preview.numbers import count, duration, flops, scale, share
from shapeflow.running.price import Part, Price, Prices, candidate_prices, evaluations_compute

STATES = {"new": "", "begun": "begun", "finished": "finished"}


def candidates_view(program: Program) -> RenderableType | None:
    """The price of every candidate, trained in its fixed shape for the whole budget; None if nothing is trained."""
    found = candidate_prices(program)
    if not found or program.trained is None:
        return None
    unit = "tokens" if program.trained.facts.kind == "text" else program.trained.facts.kind
    table, columns = _table([axis.name for axis in program.axes], found)
    for heading in (f"{unit} per\nparameter", "evaluation"):
        table.add_column(heading, justify="right", overflow="fold")
    for one in found:
        shape, spent = one.parts[0].shape, evaluations_compute(program, one)
        values = (f"{shape[axis.name]} {axis.unit}".rstrip() for axis in program.axes)
        part = "-" if spent is None else share(spent / (spent + one.compute))
        table.add_row(*values, *columns(one), f"{one.data / one.parameters:.3g}", part)
    title = Text("  without laws, a plan cannot compare its candidates; each of them, for the whole budget:")
    words = "evaluation: its share of all FLOPs, those of training included; the budget does not include it"
    return Group(title, Text(), table, Text(), _indented(words))


def prices_view(found: Prices, notes: Sequence[str] = ()) -> RenderableType:
    """A table of runs and their prices, then the totals. `notes`: printed last."""
    table, columns = _table(["run"], found.all, narrow=found.paces is not None)
    if found.paces is not None:
        table.add_column("seconds\nper step", justify="right")
        table.add_column("seconds", justify="right")
    table.add_column("")
    for one in found.all:
        table.add_row(Text(one.label), *columns(one), *_times(found, one), STATES[one.state])
    return Group(table, Text(), *map(_indented, (*_totals(found), *notes)))


def _times(found: Prices, one: Price) -> Iterator[str]:
    """Yield the seconds of a step and of the run, if runs are timed."""
    paces, seconds = found.paces, found.seconds(one)
    if paces is None:
        return
    yield "-" if seconds is None else _range(one, lambda part: paces[part.shape].step, _short)
    yield "-" if seconds is None else _short(seconds)


def prices_json(found: Prices) -> dict[str, Any]:
    """The prices as JSON: FLOPs, and seconds if the steps were timed."""
    left = found.left
    total: dict[str, Any] = {
        "runs": len(found.all),
        "finished": len(found.all) - len(left),
        "compute": sum(one.compute for one in found.all),
        "compute_left": sum(one.compute for one in left),
    }
    if found.paces is not None:
        total |= {"seconds_left": found.total_seconds, "at_once": found.at_once}
    return {"runs": [_run(found, one) for one in found.all], "total": total}


def _run(found: Prices, one: Price) -> dict[str, Any]:
    run = {
        "label": one.label,
        "folder": str(one.folder),
        "state": one.state,
        "parameters": one.parameters,
        "steps": one.steps,
        "compute": one.compute,
        "shapes": [_part(found, one, part) for part in one.parts],
    }
    return run if found.paces is None else {**run, "seconds": found.seconds(one)}


def _part(found: Prices, one: Price, part: Part) -> dict[str, Any]:
    flat = {
        "shape": part.shape.json(),
        "parameters": part.parameters,
        "step_compute": part.step_compute,
        "steps": part.steps,
        "data": part.data,
        "evaluations": part.evaluations,
    }
    if found.seconds(one) is None or found.paces is None:
        return flat
    pace = found.paces[part.shape]
    return {**flat, "step_seconds": pace.step, "evaluation_seconds": pace.evaluation}


def _table(
    first: Sequence[str], found: Sequence[Price], *, narrow: bool = False
) -> tuple[Table, Callable[[Price], list[str]]]:
    """A table with some first columns and those of all prices, and the function that fills the latter for one price.
    `narrow`: leaves room for more columns."""
    small, step = scale(max((part.step_compute for one in found for part in one.parts), default=1.0))
    large, whole = scale(max((one.compute for one in found), default=1.0))
    table = Table(box=None, padding=(0, 1 if narrow else 2))
    for name in first:
        table.add_column(name, overflow="fold")
    for heading in ("parameters", f"{small}FLOPs\nper step", "steps", f"{large}FLOPs"):
        table.add_column(heading, justify="right", no_wrap=True)

    def columns(one: Price) -> list[str]:
        return [
            _range(one, lambda part: part.parameters, lambda value: count(int(value))),
            _range(one, lambda part: part.step_compute / step, "{:.4g}".format),
            count(one.steps),
            f"{one.compute / whole:.4g}",
        ]

    return table, columns


def _range(one: Price, of: Callable[[Part], float], text: Callable[[float], str]) -> str:
    """The smallest and the largest value of all parts of a run; one value if their texts are equal."""
    values = [of(part) for part in one.parts if part.steps]
    low, high = text(min(values)), text(max(values))
    return low if low == high else f"{low} - {high}"


def _short(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 1000 else count(round(seconds))


def _totals(found: Prices) -> Iterator[str]:
    """Yield the totals of all runs, and of those that are not finished."""
    runs, left = found.all, found.left
    whole = flops(sum(one.compute for one in runs))
    yield f"{len(runs)} run{'s' * (len(runs) != 1)}, {whole} in total"
    if len(left) < len(runs):
        rest = f", {flops(sum(one.compute for one in left))} left" if left else ""
        yield f"finished: {len(runs) - len(left)}{rest}"
    seconds = found.total_seconds
    if seconds is not None and left:
        jobs = "one run at a time" if found.at_once == 1 else f"{found.at_once} runs in parallel"
        yield f"estimated time: {duration(seconds, 3)}, {jobs}, with evaluation, without start-up and checkpoints"


def _indented(line: str) -> RenderableType:
    return Padding(Text(line), (0, 0, 0, 2))
