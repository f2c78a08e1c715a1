"""The error curve of a plan as it is drawn, and the compute to a target error."""

from pathlib import Path

import pytest

from shapeflow.compiler import compile_file
from shapeflow.ir.plan import Plan
from shapeflow.preview.curves import plan_curve, reached

COSTLY = """
axis width in [1, 2] via width_expand(credit: 50%)
law  for (width: 1) is power(a: 1, b: 1, c: 0.2, d: 0)
law  for (width: 2) is power(a: 4, b: 1, c: 0, d: 0)
start at error 1.2
stage (width: 1) until 5 FLOPs
stage (width: 2) until end
budget 40 FLOPs
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan with a switch at error 0.4, where the second law has spent 10 FLOPs; the switch keeps half of them."""
    path = tmp_path / "plan.shape"
    path.write_text(COSTLY, encoding="utf-8")
    return compile_file(path)


def test_a_switch_that_costs_error_is_drawn_as_a_step(plan: Plan) -> None:
    points = plan_curve(plan).points
    at = next(number for number, (compute, _) in enumerate(points) if compute == pytest.approx(5)) + 1
    assert points[at - 1][1] == pytest.approx(0.4)
    assert points[at] == pytest.approx((5, 0.8))


def test_a_target_counts_from_where_the_error_is_back(plan: Plan) -> None:
    curve = reached(plan)
    errors = [error for _, error in curve.points]
    assert errors == sorted(errors, reverse=True)
    assert curve.reaches(0.4) == pytest.approx(5)
    # The second stage starts with 5 credited FLOPs: its error is 4 / (5 + spent), which is 0.4 again after 5 more.
    for target in (0.399, 0.38, 0.3, 0.2):
        assert curve.reaches(target) == pytest.approx(5 + 4 / target - 5, rel=2e-3)
