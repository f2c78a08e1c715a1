"""Warnings about logs and fits that may not be reliable."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from shapeflow.base.diagnostics import Label, Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.points import SMALL
from shapeflow.laws.logs.runs import Logs, Run
from shapeflow.laws.logs.usable import faults

APART = 3e4
"""Shapes whose longest runs are this factor apart in compute, with none between them, are in different units."""
LOOSE = 0.03
"""Root mean square of log residuals above which a fit is loose. Fits to smooth runs have 0.002 to 0.006."""
SHOWN = 8
"""Maximum number of items that a note or a list of notes shows."""


def without_runs(missing: Sequence[Shape], logs: Logs, request: LawRequest, report: Report) -> None:
    """Report candidates without runs (`law-without-runs`)."""
    if not missing:
        return
    names = [shape.written(request.units) for shape in missing]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    runs, count = len(logs.runs), len(request.candidates)
    matched = f"{runs} run{'s' if runs != 1 else ''} matched, for {count - len(missing)} of the {count} candidates"
    also = [
        Label(request.candidate_spans[shape], "this candidate has no runs")
        for shape in missing
        if shape in request.candidate_spans
    ]
    other_shapes = ", ".join(f"({text})" for text in list(logs.other_shapes)[:SHOWN])
    notes = [f"shapes in the logs that are not candidates: {other_shapes}"] if other_shapes else []
    notes += [f"`{name}` was not read: {why}" for name, why in list(logs.skipped.items())[:SHOWN]]
    which, its = ("it", "its") if len(missing) == 1 else ("them", "a")
    law = f"`law for {names[0]} is power(a: 4, b: 0.3, c: 0.2)`"
    report.error(
        "law-without-runs",
        f"no runs to fit a law for {', '.join(names[:3])}{more}",
        request.spans.get(""),
        matched,
        also=also,
        notes=notes,
        help=f"add runs for {which}, remove {which} from the axis, or state {its} law: {law}",
    )


def without_steps(shape: Shape, request: LawRequest, report: Report) -> None:
    """Report that warm-up cannot be dropped by steps (`missing-steps`)."""
    report.error(
        "missing-steps",
        f"the runs of {shape.written(request.units)} have no steps",
        request.at("drop_warmup"),
        "needs the step of each point",
        help=request.advice(
            ("step", "name the step column with `{}`"), ("drop_warmup", "drop points instead: `{}: 2`")
        ),
    )


def log_doubts(logs: Logs, request: LawRequest, report: Report) -> None:
    """Warn about problems in the logs: torn-log, skipped-runs, excluded-points, repeated-steps, falling-compute,
    sampled-history, unfinished-runs, computed-compute, unnamed-rate, small-compute."""

    def warn(code: str, message: str, notes: Iterable[str], help: str | None = None) -> None:
        every = list(notes)
        report.warning(code, message, request.at("paths"), notes=every[:SHOWN], details=every[SHOWN:], help=help)

    if logs.torn:
        message = f"the last line of {len(logs.torn)} of {len(logs.hashes)} logs is incomplete"
        warn("torn-log", message, [f"left out: the last line of `{name}`" for name in logs.torn])
    if logs.skipped:
        notes = [f"`{name}`: {why}" for name, why in logs.skipped.items()]
        warn("skipped-runs", f"skipped {len(logs.skipped)} of the files that match the pattern", notes)
    broken = [f"`{name}`: {count} lines are not rows" for name, count in logs.broken.items()]
    if excluded := _by_shape(logs, request, lambda run: faults(run.excluded)) + broken:
        warn("excluded-points", "some points cannot be used and are left out", excluded)
    if repeated := _by_shape(logs, request, lambda run: Counter({"repeated step(s)": run.repeated})):
        help = request.advice(("run", "if these are several runs, name the column that identifies a run with `{}`"))
        warn("repeated-steps", "some steps were logged more than once: the last entry is used", repeated, help)
    if again := [run.called for run in logs.runs.values() if run.by_compute]:
        message = f"the steps of {len(again)} runs begin again while compute goes on: they are read by compute"
        warn("repeated-steps", message, again)
    if mended := [run for run in logs.runs.values() if run.per_step is not None]:
        message = f"the compute of {len(mended)} runs begins again while their steps go on: it is counted by steps"
        warn("falling-compute", message, [f"{run.called}: {run.per_step:.4g} FLOPs per step" for run in mended])
    if falls := _by_shape(logs, request, lambda run: Counter({"decrease(s)": run.falls})):
        apart = request.advice(
            ("run", "; if a file contains several runs, name the column that identifies a run with `{}`")
        )
        help = "log the compute since the start of the run" + (apart or "")
        warn("falling-compute", "compute decreases from one row to the next", falls, help)
    if logs.sampled:
        message = f"{_files(logs.sampled)} exported by W&B and may contain only a sample of the logged points"
        help = "export all steps with `scan_history()` of the wandb package; ignore this warning if you did"
        warn("sampled-history", message, [f"`{name}`" for name in logs.sampled], help)
    if logs.unfinished:
        message = f"{logs.unfinished.total()} runs of a W&B table did not finish and are left out"
        warn("unfinished-runs", message, [f"{count} {state}" for state, count in logs.unfinished.items()])
    if logs.counted:
        without = f"{_files(logs.counted)} without a compute column"
        notes = [f"`{name}`: {how}" for name, how in logs.counted.items()]
        help = request.advice("log the FLOPs", ("compute", "name the compute column with `{}`"))
        message = f"{without}: compute was derived"
        if logs.assumed:
            message = f"compute was derived, and nothing confirms its steps: {'; '.join(logs.assumed)}"
            notes.insert(0, without)
            help = (
                "if it counts anything else, say so: `step_unit: 1 tokens`, `1 samples`, `40 steps`, or name another "
                "column by `step` or `compute`; `step_unit: 1 steps` confirms"
            )
        warn("computed-compute", message, notes, help)
    for column, file in list(logs.schedules.items())[:1]:
        help = request.advice(("rate", f'if it is the learning rate, write `{{}}: "{column}"`'))
        warn("unnamed-rate", f"`{column}` falls along the runs as a learning rate does", [f"in `{file}`"], help)
    spent = max((run.spent for run in logs.runs.values()), default=SMALL)
    if spent < SMALL:
        message = f"the longest run took {spent:.4g} FLOPs, less than any training run"
        help = request.advice(("compute_unit", "state the unit of the compute column: `{}: 1 PFLOPs`"))
        warn("small-compute", message, [], help)


def mixed_units(logs: Logs, request: LawRequest, report: Report) -> None:
    """Report shapes whose runs have compute in another unit than those of others (`mixed-conventions`). Of each shape
    the longest run counts: others may have broken off after a step."""
    longest: dict[Shape, Run] = {}
    for run in logs.runs.values():
        if run.spent > 0 and (run.shape not in longest or run.spent > longest[run.shape].spent):
            longest[run.shape] = run
    by_compute = sorted(longest.values(), key=lambda run: run.spent)
    for less, more in itertools.pairwise(by_compute):
        if more.spent >= APART * less.spent:
            report.error(
                "mixed-conventions",
                "the compute of these runs is in different units",
                request.at("paths"),
                f"no run lies between {less.spent:.3g} and {more.spent:.3g} FLOPs",
                notes=[f"{run.called} took {run.spent:.4g} FLOPs in all" for run in (less, more)],
                help="write compute, and what it is computed from, in one unit in all logs",
            )
            return


def _files(names: Collection[str]) -> str:
    return f"{len(names)} log{'s are' if len(names) > 1 else ' is'}"


def _plural(reason: str, number: int) -> str:
    return reason.replace("(s)", "s" if number > 1 else "")


def _by_shape(logs: Logs, request: LawRequest, count: Callable[[Run], Counter[str]]) -> list[str]:
    """Return a line for each candidate with a count above 0."""
    lines: list[str] = []
    for shape in request.candidates:
        total: Counter[str] = Counter()
        for run in logs.runs.values():
            if run.shape == shape:
                total.update(count(run))
        if counts := ", ".join(f"{number} {_plural(reason, number)}" for reason, number in total.items() if number):
            lines.append(f"{shape.written(request.units)}: {counts}")
    return lines


def doubts(laws: Mapping[Shape, Law], request: LawRequest, report: Report) -> None:
    """Warn about laws that do not describe the state of a run, or only roughly: falling-rate, loose-law."""
    at = request.spans.get("")
    falling = [shape.written(request.units) for shape, law in laws.items() if law.provenance.verdict]
    if falling:
        report.warning(
            "falling-rate",
            f"{len(falling)} of {len(laws)} laws are fitted to runs whose learning rate falls",
            at,
            "earlier points do not show what shorter runs reach",
            notes=falling[:SHOWN],
            details=falling[SHOWN:],
            help="fit laws to runs at a constant learning rate",
        )
    rms = {shape: law.provenance.rms or 0.0 for shape, law in laws.items()}
    loose = [
        f"{shape.written(request.units)}: root mean square of the residuals {100 * size:.1f}%"
        for shape, size in rms.items()
        if size > LOOSE
    ]
    if loose:
        message = "the points scatter widely around their law"
        help_ = "measure on more samples, average the weights, or add runs"
        report.warning("loose-law", message, at, notes=loose[:SHOWN], details=loose[SHOWN:], help=help_)
