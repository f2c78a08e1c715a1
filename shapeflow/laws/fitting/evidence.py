"""The data that the law of each candidate is fitted to: its runs, and the points selected from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.law import MeasuredCurve, Provenance
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fitting.curve import measured_curve
from shapeflow.laws.fitting.warnings import without_runs, without_steps
from shapeflow.laws.logs.points import LEAST, Points, after_warmup, select
from shapeflow.laws.logs.runs import Logs, Run, common_error

FACTS = {"evaluation": "the evaluation", "data": "the data", "learning_rate": "the learning rate"}
"""Attribute of a run that is None if unknown -> its name in messages."""


@attrs.frozen(eq=False)
class Evidence:
    """The runs and points that one law is fitted to."""

    runs: tuple[Run, ...]
    points: Points
    curve: MeasuredCurve | None
    dropped: Mapping[str, int]
    """Reason -> number of points that were read but not used."""

    def about(
        self, logs: Logs, request: LawRequest, assumed: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> Provenance:
        """Return the provenance of a law before the fit. `assumed`: values of `FACTS` for runs that do not record
        them."""
        names = dict.fromkeys(name for run in self.runs for name in run.files)
        return Provenance(
            source="fit",
            metric=request.metric,
            convention=request.convention,
            unit=request.unit,
            **{fact: _known(self.runs, fact, assumed.get(fact)) for fact in FACTS},
            averaged=all(run.averaged for run in self.runs),
            files=tuple((name, logs.hashes[name]) for name in names),
            runs=len(self.runs),
            dropped=self.dropped,
            settings=settings,
            curve=self.curve,
            spent=sum(run.spent for run in self.runs),
            held_out_error=common_error([run.held_out_error for run in self.runs]),
        )


@attrs.frozen
class Selection:
    """How the points of a law are selected from its runs."""

    drop_warmup: Amount
    points: int | Literal["ends"]
    """Maximum number of points of a law, or the end of each run alone."""
    below: float | None = None
    """Points with an error of this or more are left out."""
    least: int = LEAST
    """Minimum number of points of a law at different compute."""


def gather(logs: Logs, request: LawRequest, how: Selection, report: Report) -> dict[Shape, Evidence]:
    """Return the evidence for each candidate, in the order of the candidates.

    Candidates without enough points are reported and left out (law-without-runs, missing-steps, too-few-points). Runs
    of one candidate that differ in evaluation or data are reported (mixed-laws).
    """
    by_shape = {shape: [run for run in logs.runs.values() if run.shape == shape] for shape in request.candidates}
    without_runs([shape for shape, runs in by_shape.items() if not runs], logs, request, report)
    found: dict[Shape, Evidence] = {}
    few: list[str] = []
    for shape, runs in by_shape.items():
        if not runs:
            continue
        _alike(shape, runs, request, report)
        if how.points == "ends":
            found[shape] = ends_of(runs, how.below)
            continue
        kept = [[one for one in run.points.values() if how.below is None or one.error < how.below] for run in runs]
        try:
            points, dropped = select(kept, how.drop_warmup, how.points)
        except ValueError:
            without_steps(shape, request, report)
            continue
        above = sum(len(run.points) for run in runs) - sum(map(len, kept))
        counts = _counted({**dropped, "above `error_below`": above}, runs)
        if len(set(points.compute.tolist())) >= how.least:
            rest = [after_warmup(run, how.drop_warmup) for run in kept]
            found[shape] = Evidence(tuple(runs), points, measured_curve(rest), counts)
            continue
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "none left out"
        few.append(f"{shape.written(request.units)}: {len(points.compute)} points ({reasons})")
    if few:
        _too_few(few, request, report)
    return found


def ends_of(runs: Sequence[Run], below: float | None) -> Evidence:
    """Return the ends of the runs of a shape as its points."""
    ends = [run.end for run in runs if run.end is not None and (below is None or run.end.error < below)]
    points = Points.of(list(enumerate(ends)))
    before = sum(len(run.points) + _after_fall(run) for run in runs) - len(ends)
    return Evidence(tuple(runs), points, None, {"before the end": before} if before > 0 else {})


def _after_fall(run: Run) -> int:
    return run.excluded["in a cooldown"] + run.excluded["where the learning rate falls"]


def _counted(dropped: Mapping[str, int], runs: Iterable[Run]) -> dict[str, int]:
    counts = Counter(dropped)
    for run in runs:
        counts.update(run.excluded)
        counts["repeated"] += run.repeated
    return {reason: count for reason, count in sorted(counts.items()) if count}


def _too_few(few: Sequence[str], request: LawRequest, report: Report) -> None:
    report.error(
        "too-few-points",
        f"too few points to fit a law for {len(few)} of {len(request.candidates)} candidates",
        request.spans.get(""),
        f"a fit needs {LEAST} points at different compute, better 12 or more",
        notes=few,
        help=request.advice("evaluate more often", "run longer", ("drop_warmup", "lower `{}`")),
    )


def _alike(shape: Shape, runs: Sequence[Run], request: LawRequest, report: Report) -> None:
    """Report runs of one shape that differ in evaluation or data (`mixed-laws`)."""
    for fact, called in FACTS.items():
        said: dict[Any, str] = {}
        for run in runs:
            if (value := getattr(run, fact)) is not None:
                said.setdefault(value, run.file)
        # Learning rates may differ: a single falling one makes the law unreliable, which the verdict reports.
        if len(said) > 1 and fact != "learning_rate":
            report.error(
                "mixed-laws",
                f"{called} of the runs of {shape.written(request.units)} differs",
                request.at("paths"),
                "one law is fitted to all of them",
                notes=[f"`{file}`: {value}" for value, file in list(said.items())[:8]],
                help="name the runs of one kind only",
            )


def _known(runs: Sequence[Run], fact: str, assumed: Any) -> Any:
    """Return the value of a fact that the runs record, or `assumed` if not all runs record it. A falling learning rate
    in any run takes precedence."""
    said = dict.fromkeys(getattr(run, fact) for run in runs)
    if "falling" in said:
        return "falling"
    known = [value for value in said if value is not None]
    return (assumed or None) if None in said or not known else known[0]
