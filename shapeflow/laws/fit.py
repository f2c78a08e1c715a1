"""`laws from fit("runs/*.csv")`: a law for each candidate, fitted to logged runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting, written
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.route import LawRequest, Purpose
from shapeflow.laws.fitting.drops import with_drops
from shapeflow.laws.fitting.ends import laws_of_ends
from shapeflow.laws.fitting.ends_check import annealed, check_ends
from shapeflow.laws.fitting.evidence import Evidence, Selection, gather
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.fitting.fitted_source import FittedSource
from shapeflow.laws.fitting.from_points import laws_of_points
from shapeflow.laws.fitting.method import ends_method, ends_summary, method, summary
from shapeflow.laws.fitting.parts_check import runs_in_parts
from shapeflow.laws.fitting.solver import B_HIGH, FitOptions
from shapeflow.laws.fitting.unlike import unlike_runs
from shapeflow.laws.fitting.warnings import doubts, log_doubts, mixed_units
from shapeflow.laws.joint.fit import joint_laws
from shapeflow.laws.joint.method import joint_columns, joint_method, joint_summary
from shapeflow.laws.joint.sizes import per_token_of, sizes_of
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.points import LEAST
from shapeflow.laws.logs.query import ANY_SIZE, Query
from shapeflow.laws.logs.readers import Numerals
from shapeflow.laws.logs.runs import Logs

_WHY = {"fixed_exponent": "`fixed_exponent` already sets b", "points: ends": "ends have one point each, and d is 0"}


@attrs.frozen
class Fit(FittedSource):
    """Fits a law error = a (compute + d)^-b + c to the runs of each candidate (Anagnostidis et al. 2024, eq. 1 and
    B.4). The fit minimises the Huber loss of log residuals over points that are evenly spaced in log compute.

    `form: chinchilla` fits one law of size and tokens, E + A/N^alpha + B/D^beta, of which each candidate has its
    curve. `points: ends` fits to the ends of runs alone, for runs that each finished their own learning rate schedule.

    `paths` names logs (CSV, TSV, JSON, parquet, TensorBoard event files, Hugging Face trainer states) or run folders
    that shapeflow wrote, relative to the `.shape` file. A log needs a column for compute, for the error and for each
    axis; if a column does not have the usual name, a setting states its name. A placeholder in braces matches the
    value of an axis or the name of the run. Use placeholders in `paths`, `"runs/w{width}-s{run}/*.csv"`, or in `error`
    if a table has one column per run, `"width{width} - loss"`. Rows without an error are skipped. `docs/logs.md` has
    an example of each format.
    """

    paths: str = setting(
        first=True,
        help='files or folders, with wildcards and axis values in braces: `"runs/*.csv"`, `"runs/w{width}/*.csv"`',
    )
    form: Literal["power", "chinchilla"] = setting(
        default="power",
        help="the form of the law; `chinchilla`: one law of size and tokens, E + A/N^alpha + B/D^beta",
    )
    compute: str | None = setting(
        default=None,
        help="the compute column, or a product: `6 * params * tokens`; default: `compute` or `flops`",
    )
    compute_unit: Amount = setting(  # noqa: RUF009
        "compute",
        default=Amount(1.0, "compute"),
        above=0.0,
        help="unit of the compute column: `1 PFLOPs`; for MACs `2 FLOPs`",
    )
    error: str | None = setting(
        default=None,
        help='the error column, or a pattern for several: `"w{width} - loss"`; default: the metric, `error` or `loss`',
    )
    step: str | None = setting(default=None, help="the column of steps; default: `step` or `steps`")
    step_unit: Amount | None = setting(  # noqa: RUF009
        "steps", "tokens", "samples", default=None, above=0.0,
        help="unit of the step column: `40 steps` for epochs of 40 steps, `1 tokens`, `1 samples`",
    )  # fmt: skip
    run: tuple[str, ...] | None = setting(
        default=None,
        help='the columns that identify the run of a row together, if a file holds several: `["sweep", "seed"]`; '
        "default: `run` or `seed`",
    )
    rate: str | None = setting(default=None, help="the column of the learning rate; default: `learning_rate` or `lr`")
    axes: Mapping[str, str] | None = setting(default=None, help='columns of axes: `(context: "ctx")`')
    where: Mapping[str, Any] | None = setting(default=None, help='rows to read: `(tag: "static")`')
    numbers: Numerals = setting(  # noqa: RUF009
        default="plain", help="how numbers are written: `3.91`, with a decimal comma `3,91`, or by thousands `1,234`"
    )
    drop_warmup: Amount = setting(  # noqa: RUF009
        "number", "compute", "steps", "ratio", default=Amount(2.0, "number"), low=0.0,
        help="what to leave out at the start of each run: points, compute, steps, or a share of its points",
    )  # fmt: skip
    points: int | Literal["ends"] = setting(
        default=60,
        low=LEAST,
        help="points per law, evenly spaced in log compute; `ends`: the end of each run alone",
    )
    offset: Literal["signed", "nonnegative"] = setting(
        default="signed",
        help="whether d may be negative (compute lost in the warm-up); nonnegative in Anagnostidis et al.",
    )
    exponent: Literal["auto", "pooled", "own"] = setting(
        default="auto", help="one b for all shapes, or one b each; `auto`: one b for three shapes or more"
    )
    fixed_exponent: float | None = setting(
        default=None, above=0.0, high=B_HIGH, help="use this b instead of fitting it"
    )
    residual: Literal["log", "linear"] = setting(
        default="log", help="the residual to minimize: log(law) - log(measured), or (law - measured) / lowest error"
    )
    resamples: int = setting(
        default=400, low=0, help="number of resamples, for the intervals that `shapeflow fit` reports"
    )
    evaluation: Literal["held_out", "training"] | None = setting(
        default=None, help="what the errors were measured on, if the logs do not show it"
    )
    data: str | None = setting(default=None, help="the training data, by a name that you choose")
    learning_rate: Literal["constant", "falling"] | None = setting(
        default=None, help="the learning rate after the warm-up, if the logs do not show it"
    )
    delta: float = setting(
        default=1e-3, above=0.0, help="residual at which the Huber loss changes from quadratic to linear"
    )

    runs_differ: float = setting(
        "ratio",
        default=0.04,
        low=0.0,
        high=1.0,
        help="how much two runs of a shape differ in compute at equal error, as far as the seeds do not show it",
    )
    useful: float = setting("ratio", default=0.02, low=0.0, high=1.0, help="the smallest saving that is worth a switch")
    parameters: str | None = setting(
        default=None, omitted=True, help="for `form: chinchilla`: the column of N; default: that of the model"
    )
    error_below: float | None = setting(
        default=None, above=0.0, omitted=True, help="leave out points with an error of this or more"
    )

    setting_names: ClassVar[Mapping[Purpose, str]] = {name: name for name in get_args(Purpose)}

    def fitted(self, request: LawRequest, report: Report) -> FittedLaws:
        """Return the law of each candidate with its points. Empty after an error.

        Errors: idle-setting, path-outside, no-such-logs, unreadable-log, missing-extra, missing-column, unknown-place,
        mixed-conventions, law-without-runs, missing-steps, too-few-points, few-ends, few-sizes,
        missing-parameters, mixed-laws. Warnings: torn-log,
        skipped-runs, excluded-points, repeated-steps, falling-compute, sampled-history, unfinished-runs,
        computed-compute, unnamed-rate, small-compute, falling-rate, loose-law, odd-drop, unlike-runs.
        """
        before = len(report.errors)
        self._idle(request, report)
        logs = read_logs(self._query(request), request, report)
        if logs is None:
            return FittedLaws()
        log_doubts(logs, request, report)
        mixed_units(logs, request, report)
        joint = self.form == "chinchilla"
        selection = Selection(self.drop_warmup, self.points, self.error_below, 1 if joint else LEAST)
        found = gather(logs, request, selection, report)
        if self.points == "ends" and len(report.errors) == before:
            check_ends(found, self._options(), joint, request, report)
        sizes = sizes_of(found, request, report) if joint and len(report.errors) == before else {}
        if len(report.errors) > before or not found:
            return FittedLaws()
        return self._laws(found, logs, sizes, request, report)

    def _laws(
        self,
        found: Mapping[Shape, Evidence],
        logs: Logs,
        sizes: Mapping[Shape, float],
        request: LawRequest,
        report: Report,
    ) -> FittedLaws:
        """Return the laws of the points that were found. `sizes`: N of each candidate, for a joint law."""
        # The `.shape` language does not allow hyphens in names, so the setting is spelled `held_out`.
        evaluation = self.evaluation and self.evaluation.replace("_", "-")
        assumed = {"evaluation": evaluation, "data": self.data, "learning_rate": self.learning_rate}
        options, ends = self._options(), self.points == "ends"
        points = {shape: one.points for shape, one in found.items()}
        about = {shape: one.about(logs, request, assumed, written(self)) for shape, one in found.items()}
        if ends:
            about = {shape: annealed(each, found[shape].runs) for shape, each in about.items()}
        resamples = self.resamples if request.intervals else 0
        if self.form == "chinchilla":
            laws = joint_laws(points, about, sizes, per_token_of(sizes, request), self.delta, resamples)
            how = joint_method(self.delta)
            columns = joint_columns(logs, of_model=request.parameters is not None)
            how, words = {"columns": columns, **how}, f"{columns}; {joint_summary(self.delta)}"
        elif ends:
            laws = laws_of_ends(points, about, options, resamples)
            how, words = ends_method(options, len(found)), ends_summary(options)
        else:
            laws = laws_of_points(points, about, options, resamples)
            how, words = method(options, len(found), self.drop_warmup, self.points), summary(options)
        if logs.error is not None and self.form != "chinchilla":
            how, words = {"error column": logs.error, **how}, f"errors in `{logs.error}`; {words}"
        if not ends:
            unlike_runs(found, self.drop_warmup, request, report)
            runs_in_parts(found, request, report)
            laws = attrs.evolve(laws, laws=with_drops(laws.laws, found, request, report))
        doubts(laws.laws, request, report)
        return attrs.evolve(laws, method=how, summary=words)

    def _options(self) -> FitOptions:
        return FitOptions(self.offset, self.exponent, self.fixed_exponent, self.delta, self.residual)

    def _idle(self, request: LawRequest, report: Report) -> None:
        """Report settings that have no effect (`idle-setting`)."""
        idle = {"exponent": "fixed_exponent"} if self.fixed_exponent is not None else {}
        if self.form == "chinchilla":
            idle = dict.fromkeys(("offset", "exponent", "fixed_exponent", "residual"), "form: chinchilla")
        elif self.parameters is not None:
            idle["parameters"] = "form: power"
        if self.points == "ends":
            idle |= dict.fromkeys(("offset", "residual", "drop_warmup"), "points: ends")
        for name, other in idle.items():
            if name in request.spans:
                message = f"`{name}` has no effect together with `{other}`"
                why = _WHY.get(other, "for the other form of law")
                report.error("idle-setting", message, request.spans[name], why, help="keep one of them")

    def _query(self, request: LawRequest) -> Query:
        named = (self.parameters,) if self.parameters is not None else ANY_SIZE if request.parameters is None else ()
        return Query(
            pattern=self.paths,
            compute=self.compute,
            flops=self.compute_unit.value,
            error=self.error,
            step=self.step,
            step_unit=self.step_unit,
            run=self.run or (),
            rate=self.rate,
            axes=self.axes or {},
            where=self.where or {},
            size=named if self.form == "chinchilla" else (),
            numerals=self.numbers,
            ends=self.points == "ends" or self.form == "chinchilla",
        )
