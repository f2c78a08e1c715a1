"""How far the error falls while the learning rate of a run falls: measured by runs that were cut at the fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Drop, Law
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fitting.evidence import Evidence
from shapeflow.laws.logs.points import Points
from shapeflow.laws.logs.runs import Run

OFF = 0.2
"""A drop farther than this from what the other shapes say is doubted, as a share."""
FEWEST = 4
"""Fewest shapes for that."""
SIGMAS = 3.0
"""A run that is farther from the law than this many times its scatter where its rate begins to fall is no measure of
the drop from the law."""
NOISE = 1e-3
"""Smallest scatter, in log error."""


def with_drops(
    laws: Mapping[Shape, Law], found: Mapping[Shape, Evidence], request: LawRequest, report: Report
) -> dict[Shape, Law]:
    """Return the laws with the drops that runs of their shapes measured. Warns of drops that are doubtful
    (`odd-drop`)."""
    dropped: dict[Shape, Law] = {}
    odd: list[str] = []
    for shape, law in laws.items():
        drop, wrong = _measured(law, found[shape].runs, _scatter(law, found[shape].points))
        odd += [f"{shape.written(request.units)}: {why}" for why in wrong]
        about = law.provenance if drop is None else attrs.evolve(law.provenance, drop=drop)
        dropped[shape] = attrs.evolve(law, provenance=about)
    odd += _off_the_others(dropped, request)
    if odd:
        message = "some measured drops of the error at a falling learning rate are doubtful"
        help = "check these runs: are they continued from the run before, with the same settings?"
        report.warning("odd-drop", message, request.at("paths"), notes=odd, help=help)
    return dropped


def _scatter(law: Law, points: Points) -> float:
    """Return the scatter of log errors around a law, which a few points far from it do not widen."""
    missed = np.log([law.error(compute) for compute in points.compute.tolist()]) - np.log(points.error)
    return max(1.48 * float(np.median(np.abs(missed))), NOISE)


def _measured(law: Law, runs: Sequence[Run], scatter: float) -> tuple[Drop | None, list[str]]:
    """Return the mean drop of the runs, brought to the length of the longest of them, and what is wrong with runs that
    do not count."""
    cut = [run for run in runs if run.cooled_share is not None and run.end is not None and run.points]
    drops: list[tuple[float, float, float]] = []
    wrong: list[str] = []
    for run in cut:
        last = max(run.points.values(), key=lambda point: point.compute)
        off = float(np.log(law.error(last.compute) / last.error))
        assert run.end is not None
        assert run.cooled_share is not None
        if abs(off) > SIGMAS * scatter:
            wrong.append(f"{run.called} is {100 * abs(off):.2g}% off the law where its learning rate begins to fall")
            continue
        drop = law.error(run.end.compute) - run.end.error
        if drop <= 0:
            wrong.append(f"{run.called} ends {-drop:.2g} above the law, although its learning rate fell")
            continue
        drops.append((run.end.compute, drop, run.cooled_share))
    if not drops:
        return None, wrong
    longest = max(compute for compute, _, _ in drops)
    value = float(np.mean([drop * (longest / compute) ** Drop.BY_LENGTH for compute, drop, _ in drops]))
    share = float(np.mean([share for _, _, share in drops]))
    return Drop(value=value, compute=longest, share=share, runs=len(drops)), wrong


def _off_the_others(laws: Mapping[Shape, Law], request: LawRequest) -> list[str]:
    """Return the drops that are far from the median of those of all shapes, brought to one size and length."""
    sizes, costs = request.parameters, request.step_compute
    known = {shape: drop for shape, law in laws.items() if (drop := law.provenance.drop) is not None}
    if sizes is None or costs is None or len(known) < FEWEST:
        return []
    alike = {
        shape: drop.value / (sizes[shape] ** Drop.BY_SIZE * (drop.compute / costs[shape]) ** Drop.BY_LENGTH)
        for shape, drop in known.items()
    }
    middle = float(np.median(list(alike.values())))
    return [
        f"{shape.written(request.units)}: its drop is {value / middle:.2f} times what the other shapes say"
        for shape, value in alike.items()
        if abs(value / middle - 1) > OFF
    ]
