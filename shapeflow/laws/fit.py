"""`laws from fit("runs/*.csv")`: a law for each candidate, fitted to logged runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from shapeflow.diagnostics import Report
from shapeflow.laws.curve import Law, Provenance
from shapeflow.laws.doubts import doubts, log_doubts, without_runs, without_steps
from shapeflow.laws.fitted import FittedLaws
from shapeflow.laws.logs import read_logs
from shapeflow.laws.method import method
from shapeflow.laws.points import Points, select
from shapeflow.laws.resample import intervals, resample
from shapeflow.laws.runs import Logs, Query, Run
from shapeflow.laws.solver import FitOptions, Fitted, fit_draws, fit_laws
from shapeflow.route import LawRequest
from shapeflow.settings import setting, written
from shapeflow.shapes import Shape
from shapeflow.units import Amount

LEAST = 5
"""Points below which no law of four numbers is fitted."""


@attrs.frozen
class Fit:
    """Laws fitted to runs: error = a (compute + d)^-b + c for each candidate (paper A, eq. 1 and B.4), by Huber's loss
    of log residuals on points at equal steps of log compute.

    `paths` names logs (CSV, TSV, JSON, parquet, event files of TensorBoard, trainer states of Hugging Face) or folders
    that shapeflow wrote, relative to the file. A log has a column for compute, for the error and for each axis; a
    setting tells what it is called where that is not its own name. Braces stand for the value of an axis, or name the
    run: in `paths`, `"runs/w{width}-s{run}/*.csv"`, or in `error` where a table has a column for each run,
    `"width{width} - loss"`. Rows without an error are passed over. `docs/logs.md` has an example of each format.
    """

    paths: str = setting(
        first=True, help='files or folders, with wildcards and places: `"runs/*.csv"`, `"runs/w{width}/*.csv"`'
    )
    form: Literal["power"] = setting(default="power", help="the form of the law")
    compute: str | None = setting(
        default=None,
        help="the column of compute since the run began, or a product: `6 * params * tokens`; `compute` or `flops`",
    )
    compute_unit: Amount = setting(  # noqa: RUF009
        "compute",
        default=Amount(1.0, "compute"),
        above=0.0,
        help="one unit of that column: `1 PFLOPs`; MACs: `2 FLOPs`",
    )
    error: str | None = setting(
        default=None, help='the column of the error, or of several: `"w{width} - loss"`; the metric, `error` or `loss`'
    )
    step: str | None = setting(default=None, help="the column of steps; `step` or `steps` where there is one")
    run: str | None = setting(default=None, help="the column that tells runs in one file apart; `run` and `seed`")
    rate: str | None = setting(default=None, help="the column of the learning rate; `learning_rate` or `lr`")
    axes: Mapping[str, str] | None = setting(default=None, help='columns of axes: `(context: "ctx")`')
    where: Mapping[str, Any] | None = setting(default=None, help='rows to read: `(tag: "static")`')
    drop_warmup: Amount = setting(  # noqa: RUF009
        "number", "compute", "steps", "ratio", default=Amount(2.0, "number"), low=0.0,
        help="what to leave out at the beginning of each run: points, compute, steps, or a share of its points",
    )  # fmt: skip
    points: int = setting(default=60, low=LEAST, help="points of each law, spread evenly over log compute")
    offset: Literal["signed", "nonnegative"] = setting(
        default="signed", help="may d be negative (compute burnt in warm-up)? Paper A: nonnegative"
    )
    exponent: Literal["auto", "pooled", "own"] = setting(
        default="auto", help="one b for all shapes, or one each; auto pools from three shapes on"
    )
    fixed_exponent: float | None = setting(default=None, above=0.0, help="a given b, not fitted")
    residual: Literal["log", "linear"] = setting(
        default="log", help="what is made small: log(law) - log(measured), or law - measured, over the lowest error"
    )
    resamples: int = setting(default=400, low=0, help="resamples of the points, for intervals; 0: no intervals")
    evaluation: Literal["held-out", "training"] | None = setting(
        default=None, help="what the errors were measured on, where the logs do not say"
    )
    data: str | None = setting(default=None, help="what was trained on, by a name of your own")
    learning_rate: Literal["constant", "falling"] | None = setting(
        default=None, help="how the learning rate went behind the warm-up, where the logs do not say"
    )
    delta: float = setting(default=1e-3, above=0.0, help="where Huber's loss turns from square to linear")

    def laws(self, request: LawRequest, report: Report) -> dict[Shape, Law]:
        """A law for each candidate that has runs enough; see `fitted`."""
        return dict(self.fitted(request, report).laws)

    def fitted(self, request: LawRequest, report: Report) -> FittedLaws:
        """A law for each candidate that has runs enough, and its points; what is wrong or doubtful is reported.

        Errors: path-outside, no-such-logs, unreadable-log, missing-extra, missing-column, unknown-place,
        mixed-conventions, law-without-runs,
        missing-steps, too-few-points. Warnings: torn-log, skipped-runs, excluded-points, repeated-steps,
        falling-compute, small-compute, flat-law, short-law, loose-law.
        """
        before = len(report.errors)
        logs = read_logs(self._query(), request, report)
        if logs is None:
            return FittedLaws()
        by_shape = _by_shape(logs, request)
        log_doubts(logs, request, report)
        without_runs([shape for shape in request.candidates if shape not in by_shape], logs, request, report)
        sets = self._points(by_shape, request, report)
        if len(report.errors) > before or not sets:
            return FittedLaws()
        options = FitOptions(self.offset, self.exponent, self.fixed_exponent, self.delta, self.residual)
        fitted = fit_laws([points for points, _ in sets.values()], options)
        laws = {
            shape: self._law(one, sets[shape], by_shape[shape], logs, request)
            for shape, one in zip(sets, fitted, strict=True)
        }
        if self.resamples:
            laws = self._resampled(laws, [points for points, _ in sets.values()], fitted, options)
        doubts(laws, [shape for shape, one in zip(sets, fitted, strict=True) if one.at_bound], request, report)
        used = {shape: points for shape, (points, _) in sets.items()}
        return FittedLaws(laws, used, method=method(options, len(used), self.drop_warmup, self.points))

    def _resampled(
        self, laws: Mapping[Shape, Law], sets: Sequence[Points], fitted: Sequence[Fitted], options: FitOptions
    ) -> dict[Shape, Law]:
        """The laws with their draws, and the intervals that these span."""
        drawn = [
            resample(points, law, self.resamples, seed)
            for seed, (law, points) in enumerate(zip(laws.values(), sets, strict=True))
        ]
        draws = fit_draws(sets, [one for one, _ in drawn], fitted, options)
        found: dict[Shape, Law] = {}
        for (shape, law), (_, how), rows in zip(laws.items(), drawn, draws, strict=True):
            provenance = attrs.evolve(law.provenance, resampling=how, intervals=intervals(rows))
            found[shape] = attrs.evolve(law, provenance=provenance, draws=rows)
        return found

    def _query(self) -> Query:
        return Query(
            pattern=self.paths,
            compute=self.compute,
            flops=self.compute_unit.value,
            error=self.error,
            step=self.step,
            run=self.run,
            rate=self.rate,
            axes=self.axes or {},
            where=self.where or {},
        )

    def _points(
        self, by_shape: Mapping[Shape, Sequence[Run]], request: LawRequest, report: Report
    ) -> dict[Shape, tuple[Points, dict[str, int]]]:
        """The points of each law, and what was dropped; shapes with too few are reported and left out."""
        sets: dict[Shape, tuple[Points, dict[str, int]]] = {}
        few: list[str] = []
        for shape, runs in by_shape.items():
            try:
                points, dropped = select([list(run.points.values()) for run in runs], self.drop_warmup, self.points)
            except ValueError:
                without_steps(shape, request, report)
                continue
            counts = Counter(dropped)
            for run in runs:
                counts.update(run.excluded)
                counts["repeated"] += run.repeated
            dropped = {reason: count for reason, count in sorted(counts.items()) if count}
            if len(set(points.compute.tolist())) >= LEAST:
                sets[shape] = points, dropped
                continue
            reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none left out"
            few.append(f"{shape.written(request.units)}: {len(points.compute)} points ({reasons})")
        if few:
            report.error(
                "too-few-points",
                f"too few points to fit a law for {len(few)} of {len(request.candidates)} candidates",
                request.spans.get(""),
                f"a law takes {LEAST} points at different compute, better 12",
                notes=few,
                help="evaluate more often, run longer, or lower `drop_warmup`",
            )
        return sets

    def _law(
        self,
        one: Fitted,
        read: tuple[Points, dict[str, int]],
        runs: Sequence[Run],
        logs: Logs,
        request: LawRequest,
    ) -> Law:
        points, dropped = read
        names = dict.fromkeys(name for run in runs for name in run.files)
        provenance = Provenance(
            source="fit",
            metric=request.metric,
            convention=request.convention,
            unit=request.unit,
            files=tuple((name, logs.hashes[name]) for name in names),
            runs=len(runs),
            points=len(points.compute),
            dropped=dropped,
            compute=(float(points.compute[0]), float(points.compute[-1])),
            error=(float(points.error.max()), float(points.error.min())),
            rms=one.rms,
            exponent=one.exponent,
            settings=written(self),
            spent=sum(run.spent for run in runs),
        )
        return Law(one.a, one.b, one.c, one.d, provenance)


def _by_shape(logs: Logs, request: LawRequest) -> dict[Shape, list[Run]]:
    """The runs of each candidate, in the candidates' order."""
    found: dict[Shape, list[Run]] = {}
    for shape in request.candidates:
        runs = [run for run in logs.runs.values() if run.shape == shape]
        if runs:
            found[shape] = runs
    return found
