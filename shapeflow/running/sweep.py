"""Trains every candidate as a fixed shape with the same budget. Laws are fitted to these runs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.files import write_text
from shapeflow.base.shapes import Shape
from shapeflow.compiler import compile_fixed, program_of
from shapeflow.ir.events import Measured
from shapeflow.running.pool import Job
from shapeflow.running.runs import Run


def sweep_jobs(path: Path, sentences: Sequence[str], seeds: Sequence[int], folder: Path, report: Report) -> list[Job]:
    """One job per candidate and seed. `sentences` must contain the budget of each run. Raises Refused."""
    jobs = []
    for seed in seeds:
        program = program_of(path, [*sentences, f"seed {seed}"], report)
        if program is None or report.failed:
            raise Refused(*report.diagnostics)
        if program.cooldown is not None and seed == seeds[0]:
            message, why = "runs of a sweep do not cool down", "laws need runs at a constant learning rate"
            report.warning("cooldown-left-out", message, program.spans["cooldown"], why)
        if program.weights and seed == seeds[0]:
            message, why = "runs of a sweep keep the first weights", "laws need runs with constant weights"
            report.warning("weights-left-out", message, program.weights[0].span, why)
        if program.decay is not None and seed == seeds[0]:
            message, why = "the runs of a sweep have no schedule", "laws are fitted to runs at a constant learning rate"
            report.warning("schedule-left-out", message, program.spans["schedule"], why)
        if program.first is not None and seed == seeds[0]:
            message, why = "the runs of a sweep start from new weights", "laws are of training from scratch"
            report.warning("start-left-out", message, program.spans["start from"], why)
        if program.trained is None or program.budget is None:
            message = "a sweep needs a model to train"
            raise Refused(Diagnostic("no-model", message, place=str(path), help="add `model`, `data` and `objective`"))
        for shape in program.candidates:
            plan = compile_fixed(program, shape, program.budget, report)
            if plan is None:
                raise Refused(*report.diagnostics)
            name = f"{file_name(shape)}-seed{seed}"
            jobs.append(Job(f"{shape.written(program.units)}, seed {seed}", plan, folder / name))
    return jobs


def file_name(shape: Shape) -> str:
    """A shape as a part of a file name."""
    return "-".join(f"{axis}-{value}" if isinstance(value, str) else f"{axis}{value}" for axis, value in shape.items())


def laws_sentence(place: Path, root: Path, source: str = "fit") -> str:
    """The sentence that fits laws to a folder of runs or a table. `root`: the folder of the file, which contains it."""
    # In a path of `fit`, these are wildcards and placeholders.
    written = re.sub(r"[*?{[]", r"[\g<0>]", place.relative_to(root).as_posix())
    return f'laws from {source}("{written}")'


def write_points(runs: Sequence[Run], path: Path) -> int:
    """Write all measurements of all runs to a table that `fit` reads. Returns the number of rows. Raises Refused."""
    metrics = sorted({name for run in runs for event in run.measured for name in event.values})
    axes = [axis.name for axis in runs[0].plan.axes]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["run", *axes, "step", "compute", *metrics, "seconds", "convention"])
    rows = 0
    for run in runs:
        shape = run.plan.stages[0].shape
        for event in run.measured:
            values = [_short(event.values.get(name)) for name in metrics]
            place = [shape[axis] for axis in axes]
            measured = [event.step, repr(event.compute), *values, _seconds(event)]
            table.writerow([run.folder.name, *place, *measured, run.plan.convention])
            rows += 1
    write_text(path, text.getvalue())
    return rows


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _seconds(event: Measured) -> str:
    return f"{event.seconds:.2f}"
