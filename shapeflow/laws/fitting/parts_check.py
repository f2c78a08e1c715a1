"""Whether runs of one shape are the parts of one run: they are not independent, and each loses its own warm-up."""

from __future__ import annotations

from collections.abc import Mapping

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fitting.evidence import Evidence
from shapeflow.laws.logs.parts import ADVICE, Piece, following
from shapeflow.laws.logs.runs import Run


def runs_in_parts(found: Mapping[Shape, Evidence], request: LawRequest, report: Report) -> None:
    """Warn of runs that begin where others of their shape end (`runs-in-parts`). A cooldown begins there, too."""
    runs = [run for one in found.values() for run in one.runs]
    cooled = any(run.learning_rate == "falling" or run.cooled_share is not None for run in runs)
    pieces = [[_piece(run) for run in one.runs if run.points] for one in found.values()]
    if cooled or (said := following(pieces)) is None:
        return
    message = f"{said}: they are fitted as separate runs"
    report.warning("runs-in-parts", message, request.at("paths"), help=ADVICE)


def _piece(run: Run) -> Piece:
    places = [point.compute for point in run.points.values()]
    return Piece(min(places), max(places), run.file)
