"""Predicted error over compute of the plan, the best fixed shape, and the plan's last shape as a fixed shape; over
seconds for a plan with a budget in seconds."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Any

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Plan, Point, Stage, forecast
from shapeflow.ir.plan_json import answer_to_json
from shapeflow.preview.memory import memory_json
from shapeflow.preview.numbers import clock, error, percent, scale

PIECES = 64
"""The number of points on the curve of a stage."""
TARGETS = 6
"""The number of rows in the table of targets."""


@attrs.frozen
class Curve:
    """Points (compute or seconds, error) of one way to train, in order of the first."""

    label: str
    points: tuple[tuple[float, float], ...]

    def reaches(self, target: float) -> float | None:
        """The compute or seconds at which the error first reaches the target; None if it never does."""
        at = bisect.bisect_left([-value for _, value in self.points], -target)
        if at == len(self.points):
            return None
        if at == 0:
            return self.points[0][0]
        (c0, e0), (c1, e1) = self.points[at - 1], self.points[at]
        return c0 + (c1 - c0) * (e0 - target) / (e0 - e1) if e0 > e1 else c1


def unit_of(plan: Plan) -> str:
    """What curves are drawn over: `seconds` for a budget in seconds, else `compute`."""
    return "seconds" if plan.in_seconds else "compute"


def place(plan: Plan, point: Point) -> float:
    """A point of the run, in the unit of the curves."""
    return (point.seconds if plan.in_seconds else point.compute) or 0.0


def begun(plan: Plan, stage: Stage) -> float:
    """Where the steps of a stage begin, in the unit of the curves: after the seconds of the switch to it."""
    delay = stage.transition.delay if plan.in_seconds and stage.transition is not None else None
    return place(plan, stage.enter) + (delay or 0.0)


def plan_curve(plan: Plan) -> Curve:
    """The curve of a plan. At a switch with a credit below 1 the error steps up."""
    points = [point for stage in plan.stages for point in _stage_points(plan, stage)]
    return Curve(plan.name or "the plan", tuple(points))


def reached(plan: Plan) -> Curve:
    """The lowest error so far on the curve of a plan: constant after a step up until the error has recovered."""
    kept: list[tuple[float, float]] = []
    above: tuple[float, float] | None = None
    for compute, value in plan_curve(plan).points:
        if kept and value >= kept[-1][1]:
            above = (compute, value)
            continue
        if above is not None:
            lowest = kept[-1][1]
            part = (above[1] - lowest) / (above[1] - value)
            kept.append((above[0] + part * (compute - above[0]), lowest))
            above = None
        kept.append((compute, value))
    return Curve(plan.name or "the plan", tuple(kept))


def _stage_points(plan: Plan, stage: Stage) -> list[tuple[float, float]]:
    law = plan.law_of(stage)
    begin, end = begun(plan, stage), place(plan, stage.leave)
    own = end - begin if stage.steps is None else stage.steps * stage.cost
    found = []
    if (switch := place(plan, stage.enter)) < begin and stage.enter.error is not None:
        found += [(switch, stage.enter.error), (begin, stage.enter.error)]
    # The law may give the first of these errors with another last digit.
    for piece in range(len(found) // 2, PIECES + 1):
        # Use denser points at the beginning of the run, where the curve is steep.
        part = piece / PIECES if begin > 0 else (piece / PIECES) ** 3
        value = forecast(law, stage.enter, part * own)
        if value is not None and (begin > 0 or part > 0):
            found.append((begin + part * (end - begin), value))
    return found


def fixed_curve(plan: Plan, shape: Shape, label: str) -> Curve | None:
    """The curve of a fixed shape up to four times the compute, or seconds, of the plan; None without a law."""
    law, pace = plan.law(shape), plan.pace(shape)
    if law is None or not plan.totals.compute:
        return None
    most = 4 * place(plan, plan.stages[-1].leave)
    grid = [most * 10 ** (-4 * (1 - piece / (3 * PIECES))) for piece in range(3 * PIECES + 1)]
    points = [(at, law.error(at / pace)) for at in grid]
    return Curve(label, tuple((at, value) for at, value in points if math.isfinite(value)))


def all_curves(plan: Plan) -> list[Curve]:
    """The curve of the plan, then those of the two fixed shapes that have laws."""
    if plan.totals.error is None:
        return []
    found = [plan_curve(plan)]
    if not found[0].points:
        return []
    for what, comparator in _fixed(plan):
        if comparator is not None:
            curve = fixed_curve(plan, comparator, f"{what}: {comparator.written(plan.units)}")
            found += [curve] if curve is not None else []
    return found


def _fixed(plan: Plan) -> list[tuple[str, Shape | None]]:
    best, last = plan.comparison.best_fixed.shape, plan.comparison.last_shape_fixed.shape
    return [("best fixed", best)] if best == last else [("best fixed", best), ("last shape fixed", last)]


def targets(plan: Plan, curve: Curve) -> list[float]:
    """The errors at which to compare: on the lower part of the plan's curve down to its end, evenly spaced in log
    compute."""
    begun = plan.stages[0].enter.error
    # Laws are not fitted above the error at which the plan starts.
    first, last = (curve.reaches(begun) if begun is not None else None) or curve.points[0][0], curve.points[-1][0]
    first = max(first, last / 100)
    found = []
    for row in range(1, TARGETS + 1):
        compute = first * (last / first) ** (row / TARGETS)
        at = min(bisect.bisect_left([c for c, _ in curve.points], compute), len(curve.points) - 1)
        found.append(curve.points[at][1])
    return list(dict.fromkeys(found))


def along(plan: Plan, compute: float) -> float:
    """Some FLOPs of the run, in the unit of the curves."""
    stage = next((one for one in plan.stages if compute <= (one.leave.compute or 0.0)), plan.stages[-1])
    begin, end = stage.enter.compute or 0.0, stage.leave.compute or 0.0
    part = (compute - begin) / max(end - begin, 1e-300)
    return begun(plan, stage) + part * (place(plan, stage.leave) - begun(plan, stage))


def savings(plan: Plan, at: Sequence[float] | None = None) -> list[dict[str, Any]]:
    """For each target: the compute or seconds of the plan, those of the fixed shapes by their laws, and the saving. The
    latter two are None if the plan's answer is unknown. `at`: the targets; by default, those of the table."""
    if plan.totals.error is None:
        return []
    if not plan_curve(plan).points:
        return []
    curve, answered, unit = reached(plan), _answered(plan), unit_of(plan)
    rows = []
    for target in targets(plan, curve) if at is None else at:
        needs = curve.reaches(target)
        row: dict[str, Any] = {"error": target, "plan": needs}
        laws = {c.shape: c.law for c in plan.candidates if c.law is not None}
        fixed = {shape: law.compute(target) * plan.pace(shape) for shape, law in laws.items()}
        best = min(fixed, key=lambda shape: fixed[shape])
        last = plan.comparison.last_shape_fixed.shape
        for name, shape in (("best_fixed", best), ("last_shape_fixed", last)):
            need = fixed.get(shape, math.inf) if shape is not None else math.inf
            known = answered and math.isfinite(need) and need > 0 and needs is not None
            row[name] = {
                "shape": None if shape is None else shape.json(),
                unit: max(0.0, need) if answered and math.isfinite(need) else None,
                "saving": 1 - needs / need if known and needs is not None else None,
            }
        rows.append(row)
    return rows


def _answered(plan: Plan) -> bool:
    return plan.answer is not None and plan.answer.say != "unknown"


def curves(plan: Plan) -> dict[str, Any]:
    """The output of `shapeflow simulate --json`."""
    return {
        "name": plan.name,
        "digest": plan.digest,
        "metric": plan.metric,
        "convention": plan.convention,
        "unit": unit_of(plan),
        "totals": attrs.asdict(plan.totals),
        "comparison": {
            name: {
                "shape": comparator.shape.json() if comparator.shape else None,
                "compute": comparator.compute,
                "seconds": comparator.seconds,
                "saving": comparator.saving,
                "reason": comparator.reason,
            }
            for name, comparator in (
                ("best_fixed", plan.comparison.best_fixed),
                ("last_shape_fixed", plan.comparison.last_shape_fixed),
            )
        },
        "answer": None if plan.answer is None else answer_to_json(plan.answer),
        "uncertainty": None if plan.uncertainty is None else attrs.asdict(plan.uncertainty),
        "stages": [
            {
                "shape": stage.shape.json(),
                "arrives_by": stage.arrives_by,
                "steps": stage.steps,
                "enter": attrs.asdict(stage.enter),
                "leave": attrs.asdict(stage.leave),
            }
            for stage in plan.stages
        ],
        "memory": memory_json(plan),
        "savings": savings(plan),
        "curves": [
            {"label": curve.label, "points": [list(point) for point in curve.points]} for curve in all_curves(plan)
        ],
    }


def scale_of(plan: Plan, largest: float) -> tuple[str, float]:
    """The unit in which the curves' largest value is written, and its size in FLOPs or seconds."""
    if plan.in_seconds:
        return clock(largest)
    prefix, size = scale(largest)
    return f"{prefix}FLOPs", size


def curves_view(plan: Plan) -> RenderableType:
    """The table of savings by target. The saving at one target does not predict the saving at another."""
    rows = savings(plan)
    if not rows:
        return Text("\n  nothing is predicted: the plan has no laws")
    unit, (name, size) = unit_of(plan), scale_of(plan, max(row["plan"] for row in rows))
    title = Text(f"\n  predicted {'training time' if plan.in_seconds else 'compute'} to reach each target:\n")
    table = Table(box=None, padding=(0, 2))
    table.add_column(f"at {plan.metric}", justify="right")
    table.add_column(f"plan, {name}", justify="right")
    if not _answered(plan):
        for row in rows:
            table.add_row(error(row["error"], plan.metric), f"{row['plan'] / size:.4g}")
        return Group(title, table)
    table.add_column("best fixed", justify="right")
    table.add_column("needs", justify="right")
    table.add_column("saving", justify="right")
    table.add_column("last shape needs", justify="right")
    table.add_column("saving", justify="right")
    for row in rows:
        best, last = row["best_fixed"], row["last_shape_fixed"]
        shape = Shape.of(best["shape"]).written(plan.units)
        table.add_row(
            error(row["error"], plan.metric),
            f"{row['plan'] / size:.4g}",
            shape,
            "-" if best[unit] is None else f"{best[unit] / size:.4g}",
            percent(best["saving"]),
            "never" if last[unit] is None else f"{last[unit] / size:.4g}",
            percent(last["saving"]),
        )
    return Group(title, table)
