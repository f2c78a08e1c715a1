"""Finds ways that train in the same way, so that they are trained once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import attrs

from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import plan_to_json
from shapeflow.running.rivals.ways import Entry

_TRAINED = (
    *("convention", "model", "data", "objectives", "optimizer", "parameters", "apart", "slots"),
    *("cooldown", "schedule", "seed"),
)
"""Fields of a plan that determine its steps, in addition to its stages."""
_PREDICTED = {"enter", "leave"}
_EXPECTED = {"credit", "credits", "seconds"}
"""Fields of a stage and of its transition that do not change a step."""


def training(plan: Plan) -> str:
    """A text that is equal for plans that make the same steps with the same seed.

    Names, laws, predictions and the places of measurements do not count. Neither does the length of a run in a single
    shape at a constant rate: the longer run begins with the shorter one."""
    body = plan_to_json(plan)
    endless = len(plan.stages) == 1 and not plan.stages[0].blends and plan.cooldown is None and plan.schedule is None
    stages = [_stage(stage, endless) for stage in body["stages"]]
    return json.dumps([{name: body[name] for name in _TRAINED}, stages], sort_keys=True)


def _stage(stage: dict[str, Any], endless: bool) -> dict[str, Any]:
    found = {
        name: value for name, value in stage.items() if name not in _PREDICTED and not (endless and name == "steps")
    }
    if found["transition"] is not None:
        found["transition"] = {name: one for name, one in found["transition"].items() if name not in _EXPECTED}
    return found


def joined(plan: Entry, rivals: Iterable[Entry]) -> list[Entry]:
    """The plan and its rivals. A rival that trains like an earlier way has the same jobs, and names that way.

    Of two rivals in one fixed shape, both have the longer runs. A rival that trains like the plan has the plan's runs:
    every run of the plan reaches the default target."""
    ways, first = [plan], {training(plan.plan): 0}
    for rival in rivals:
        at = first.setdefault(training(rival.plan), len(ways))
        if at < len(ways):
            if at and rival.plan.steps > ways[at].plan.steps:
                ways[at] = attrs.evolve(ways[at], jobs=rival.jobs)
            rival = attrs.evolve(rival, same=ways[at].name)
        ways.append(rival)
    named = {way.name: way.jobs for way in ways}
    return [way if way.same is None else attrs.evolve(way, jobs=named[way.same]) for way in ways]
