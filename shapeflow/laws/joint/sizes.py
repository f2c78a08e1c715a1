"""The number of parameters of each candidate, and the compute of one token of it."""

from __future__ import annotations

from collections.abc import Mapping

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fitting.evidence import Evidence
from shapeflow.laws.joint.fit import LEAST, SIZES, faults, joint_points
from shapeflow.laws.logs.conventions import PER_PARAMETER

LARGEST = 1e15
"""The largest number of parameters that a column may state."""


def sizes_of(found: Mapping[Shape, Evidence], request: LawRequest, report: Report) -> dict[Shape, float]:
    """Return N of each candidate: as its runs state it, else as the model counts it. Empty after an error:
    missing-parameters, few-sizes."""
    sizes: dict[Shape, float] = {}
    wrong: list[str] = []
    for shape, evidence in found.items():
        stated = set[float]().union(*(run.sizes for run in evidence.runs))
        if not stated and request.parameters is not None:
            stated = {float(request.parameters[shape])}
        name = shape.written(request.units)
        if len(stated) != 1:
            listed = ", ".join(f"{size:.6g}" for size in sorted(stated)[:3])
            wrong.append(f"{name}: its rows state {listed}" if stated else f"{name}: its rows state no number")
        elif not 1 <= min(stated) <= LARGEST:
            wrong.append(f"{name}: {min(stated):.6g} is not a number of parameters")
        else:
            sizes[shape] = min(stated)
    if wrong:
        message = f"the number of parameters is not known for {len(wrong)} of {len(found)} candidates"
        why = "a joint law needs one N for each candidate"
        help = request.advice(("parameters", "name the column of N with `{}`"))
        report.error("missing-parameters", message, request.at("parameters"), why, notes=wrong[:8], help=help)
        return {}
    _enough(found, sizes, request, report)
    return {} if report.failed else sizes


def _enough(found: Mapping[Shape, Evidence], sizes: Mapping[Shape, float], request: LawRequest, report: Report) -> None:
    """Report too few sizes or points, and sizes that tokens follow (`few-sizes`)."""
    points = joint_points({shape: one.points for shape, one in found.items()}, sizes, per_token_of(sizes, request))
    if (wrong := faults(points)) is not None:
        why, help = wrong
        if points.size.size == sum(len(one.runs) for one in found.values()) == len(found):
            text = "if each row is the end of its own run, name a column that differs between them with `{}`"
            help = request.advice(help, ("run", text)) or help
        at = request.spans.get("form", request.spans.get(""))
        message = f"a joint law needs {SIZES} sizes or more, {LEAST} points or more, and several budgets a size"
        report.error("few-sizes", message, at, why, help=f"{help}, or leave out `form: chinchilla`")


def per_token_of(sizes: Mapping[Shape, float], request: LawRequest) -> dict[Shape, float]:
    """Return the FLOPs of a token of each candidate: as the model counts them, else 6 N."""
    costs, batches = request.step_compute, request.step_data
    if costs is None or batches is None:
        return {shape: PER_PARAMETER * size for shape, size in sizes.items()}
    return {shape: costs[shape] / batches[shape] for shape in sizes}
