"""Finds ways that train in the same way, so that they are trained once."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from shapeflow.running.rivals.ways import Entry
from shapeflow.running.training import training


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
