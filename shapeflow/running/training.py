"""Tells whether two plans train in the same way, so that the runs of one serve the other."""

from __future__ import annotations

import json
from typing import Any

import attrs

from shapeflow.ir.contexts import contexts_of, data_of
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import plan_to_json

_TRAINED = (
    *("convention", "model", "data", "objectives", "optimizer", "parameters", "apart", "slots"),
    *("cooldown", "schedule", "seed"),
)
"""Fields of a plan that determine its steps, in addition to its stages."""
_PREDICTED = {"enter", "leave", "law"}
_EXPECTED = {"credit", "credits", "seconds"}
"""Fields of a stage and of its transition that do not change a step."""


def training(plan: Plan) -> str:
    """A text that is equal for plans that make the same steps with the same seed.

    Names, laws, predictions and the places of measurements do not count. Neither does the length of a run of one stage
    with constant shares at a constant rate: the longer run begins with the shorter one."""
    body = plan_to_json(plan)
    stages = [_stage(stage, _endless(plan)) for stage in body["stages"]]
    read = {"data": attrs.asdict(data_of(plan)), "weights": [attrs.asdict(one) for one in plan.weights]}
    return json.dumps([{**{name: body[name] for name in _TRAINED}, **read}, stages], sort_keys=True)


def _stage(stage: dict[str, Any], endless: bool) -> dict[str, Any]:
    found = {
        name: value for name, value in stage.items() if name not in _PREDICTED and not (endless and name == "steps")
    }
    if endless:
        found["blends"] = [{name: one for name, one in blend.items() if name != "last"} for blend in found["blends"]]
    if found["transition"] is not None:
        found["transition"] = {name: one for name, one in found["transition"].items() if name not in _EXPECTED}
    return found


def begins_like(one: Plan, other: Plan) -> bool:
    """Whether two plans of different lengths make and measure the same up to the end of the shorter one."""
    return _endless(one) and _measured(one) == _measured(other) and training(one) == training(other)


def _measured(plan: Plan) -> tuple[str, int, int | None]:
    """The metric, the longest context of all candidates, since losses of every run are measured there too, and the
    amount of held-out data."""
    return plan.metric, max(contexts_of(plan), default=0), plan.held_out


def _endless(plan: Plan) -> bool:
    """Whether a longer run begins with this one: one stage with constant shares, at a constant learning rate, with
    constant weights of the corpora."""
    (first, *rest) = plan.stages
    constant = all(blend.first == 0 and blend.last == first.steps for blend in first.blends)
    return not rest and constant and plan.cooldown is None and plan.schedule is None and not plan.weights
