"""Writes the table of pilots that `laws from mixture` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from shapeflow.base.files import write_text
from shapeflow.base.shapes import Shape
from shapeflow.running.runs import Run


def write_pilots(runs: Sequence[Run], path: Path) -> int:
    """Write all measurements of pilots, with the tokens or samples at each shape so far. Returns the number of rows.
    Raises Refused."""
    metrics = sorted({name for run in runs for event in run.measured for name in event.values})
    shapes = [shape for shape in _candidates(runs) if any(shape in run.plan.data_of(run.done) for run in runs)]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["run", "seed", "step", "compute", *map(_column, shapes), *metrics, "convention"])
    rows = 0
    for run in runs:
        for event in run.measured:
            if not event.values or not event.step:
                continue
            data = run.plan.data_of(event.step)
            values = [f"{event.values[name]:.6g}" if name in event.values else "" for name in metrics]
            place = [run.folder.name, run.plan.seed, event.step, repr(event.compute)]
            table.writerow([*place, *(data.get(shape, 0) for shape in shapes), *values, run.plan.convention])
            rows += 1
    write_text(path, text.getvalue())
    return rows


def _candidates(runs: Sequence[Run]) -> list[Shape]:
    return [candidate.shape for candidate in runs[0].plan.candidates]


def _column(shape: Shape) -> str:
    return " ".join(f"{axis}={value}" for axis, value in shape.items())
