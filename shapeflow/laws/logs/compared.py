"""Report compute that is not what the parameters and tokens of the same logs, or the model of the file, take."""

from __future__ import annotations

from shapeflow.base.diagnostics import Report
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.conventions import Verdict, is_convention, verdict_of
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.readers import number
from shapeflow.laws.logs.runs import Logs
from shapeflow.laws.logs.series import Product


def report_compute(logs: Logs, query: Query, request: LawRequest, report: Report) -> None:
    """Report compute that counts something else than 6 N D, or than the model of the file (`odd-compute`), or something
    else in other files (`mixed-conventions`). Where a setting states the unit, it is a warning."""
    if logs.compared is None:
        _of_model(logs, query, request, report)
        return
    verdict = verdict_of(logs.ratios)
    if verdict is not None:
        product, instead = logs.compared
        as_product = f'for 6 N D, write `{{}}: "{instead}"`'
        help = ways_out(verdict, product.columns, product.factor, instead)
        _report(verdict, product, verdict.refused and not confirmed(query, request), as_product, help, request, report)


def _of_model(logs: Logs, query: Query, request: LawRequest, report: Report) -> None:
    """Report compute that is not what the model of the file takes for the steps or tokens of the same logs."""
    ratios = [ratio for one in logs.modelled for ratio in one.ratios]
    verdict = verdict_of(ratios, logs.modelled[0].reference) if ratios else None
    if verdict is None:
        return
    counted = all(one.counted for one in logs.modelled)
    if not counted and (verdict.ratio is None or len({one.size for one in ratios}) < 2):
        # The runs may have had other batches, of which steps say nothing: only one ratio of several shapes does.
        return
    product = logs.modelled[0].product
    factor = product.factor
    as_it_is = f'`{{}}: "{_written(factor, product.columns)}"` if it is right as it is'
    if verdict.ratio is not None:
        as_model = f'write `{{}}: "{_written(factor / verdict.ratio, product.columns)}"` to count as the model does'
        help = f"{as_model}, or {as_it_is}"
    else:
        as_model = "name the files of each kind apart" if verdict.kind == "mixed" else "compare the model with the runs"
        help = f"{as_model}, or write {as_it_is}"
    sure = all(one.sure for one in logs.modelled)
    sure &= counted or (verdict.ratio is not None and is_convention(verdict.ratio))
    refused = verdict.refused and sure and not confirmed(query, request)
    _report(verdict, product, refused, as_model, help, request, report)


def _report(
    verdict: Verdict, product: Product, refused: bool, hint: str, help: str, request: LawRequest, report: Report
) -> None:
    """Report a verdict on compute: an error with what to write (`help`), or a warning with a shorter `hint`."""
    listed = " * ".join(f"`{column}`" for column in product.columns)
    message, at = f"compute ({listed}) {verdict.why}", request.at("compute", "paths")
    if not refused:
        report.warning("odd-compute", message, at, help=request.advice(("compute", hint)))
    elif verdict.kind == "mixed":
        why = "FLOPs counted differently are not comparable"
        report.error("mixed-conventions", message, at, why, help=request.advice(("compute", help)))
    else:
        report.error("odd-compute", message, at, "what it counts is not known", help=request.advice(("compute", help)))


def _written(factor: float, columns: tuple[str, ...]) -> str:
    return " * ".join((f"{factor:.4g}", *columns))


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
