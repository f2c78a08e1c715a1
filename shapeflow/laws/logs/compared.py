"""Report compute that is not what the parameters and tokens of the same logs take."""

from __future__ import annotations

from shapeflow.base.diagnostics import Report
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.conventions import Verdict, verdict_of
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.readers import number
from shapeflow.laws.logs.runs import Logs


def report_compute(logs: Logs, query: Query, request: LawRequest, report: Report) -> None:
    """Report compute that counts something else than 6 N D (`odd-compute`), or something else in other files
    (`mixed-conventions`). Where a setting states the unit, it is a warning."""
    verdict = verdict_of(logs.ratios)
    if verdict is None or logs.compared is None:
        return
    product, instead = logs.compared
    listed = " * ".join(f"`{column}`" for column in product.columns)
    at = request.at("compute", "paths")
    message = f"compute ({listed}) {verdict.why}"
    if confirmed(query, request) or not verdict.refused:
        help = request.advice(("compute", f'for 6 N D, write `{{}}: "{instead}"`'))
        report.warning("odd-compute", message, at, help=help)
        return
    help = request.advice(("compute", ways_out(verdict, product.columns, product.factor, instead)))
    if verdict.kind == "mixed":
        report.error("mixed-conventions", message, at, "FLOPs counted differently are not comparable", help=help)
    else:
        report.error("odd-compute", message, at, "what it counts is not known", help=help)


def report_percent(logs: Logs, request: LawRequest, report: Report) -> None:
    """Report errors above 1 of a metric that is a fraction (`error-above-one`)."""
    if not request.metric.partition("@")[0].endswith("_error"):
        return
    pairs = (
        (point.error, run) for run in logs.runs.values() if run.file in logs.hashes for point in run.points.values()
    )
    highest, run = max(pairs, key=lambda pair: pair[0], default=(0.0, None))
    if run is not None and highest > 1:
        report.error(
            "error-above-one",
            f"`{run.file}` contains errors up to {highest:.4g}, but `{request.metric}` is a share between 0 and 1",
            request.at("paths"),
            "is it in percent, or another metric?",
            help=request.advice("divide a column in percent by 100", ("error", "name the error column with `{}`")),
        )


def ways_out(verdict: Verdict, columns: tuple[str, ...], factor: float, instead: str) -> str:
    """Return what to write for compute that is not 6 N D. The name of the setting takes the place of braces."""
    apart = ", or name the files of each kind apart" if verdict.kind == "mixed" else ""
    keep = " * ".join((f"{factor:g}", *columns))
    return f'for 6 N D, write `{{}}: "{instead}"`; if it is right as it is, `{{}}: "{keep}"`{apart}'


def confirmed(query: Query, request: LawRequest) -> bool:
    """Return whether a setting states the unit of compute: `compute_unit`, or a number in `compute`."""
    factors = [number(part.strip()) for part in (query.compute or "").split("*")]
    return "compute_unit" in request.spans or any(isinstance(one, float) for one in factors)
