"""Which rivals a plan is compared with, and which of them cannot be trained."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.shapes import Shape
from shapeflow.ir.plan import Plan
from shapeflow.running.rivals.halving import shape_of
from shapeflow.running.rivals.same import joined
from shapeflow.running.rivals.ways import FIXED, RIVALS, Cases, Entry


@attrs.frozen
class LeftOut:
    """A default rival that cannot be trained, and why."""

    name: str
    reason: str

    @property
    def note(self) -> Diagnostic:
        """The warning about it."""
        message = f"the rival `{self.name}` is left out: {self.reason}"
        return Diagnostic("rival-left-out", message, place="--rival", severity="warning")


@attrs.frozen
class Rivals:
    """The rivals of a plan, and those that were left out."""

    entries: tuple[Entry, ...]
    """In the order in which they were asked for, without `best` if it has to be measured."""
    field: tuple[Entry, ...]
    """The fixed shapes of which the best has to be measured; empty if it is not asked for, or known by laws."""
    at: int
    """The place of `best` among the entries if it has to be measured."""
    left: tuple[LeftOut, ...]

    def with_best(self, best: Entry) -> tuple[Entry, ...]:
        """All rivals, with the best fixed shape in its place."""
        what = _what("best", shape_of(best), best.plan)
        return *self.entries[: self.at], attrs.evolve(best, name="best", what=what, same=None), *self.entries[self.at :]


def rivals_of(cases: Cases, asked: Sequence[str], metric: str) -> Rivals:
    """The rivals that were asked for; if none, the default ones (`RIVALS`) without those that cannot be trained.

    A rival is `last`, `best`, or a traversal in the syntax of a `.shape` file. Laws say which fixed shape is the best
    only if they predict the metric that is compared; otherwise all candidates are returned, and the best is to be
    measured. Raises Refused if a rival that was asked for cannot be trained."""
    entries: list[Entry] = []
    field: tuple[Entry, ...] = ()
    left: list[LeftOut] = []
    at = 0
    for name in asked or RIVALS:
        try:
            if name == "best" and _best_by_laws(cases.plan.plan, metric) is None:
                field, at = _field(cases, left), len(entries)
            else:
                entries.append(_rival(cases, name, metric))
        except Refused as refused:
            if asked:
                raise
            left.append(LeftOut(name, _reason(refused)))
    return Rivals(tuple(entries), field, at, tuple(left))


def _reason(refused: Refused) -> str:
    return next(one.message for one in refused.diagnostics if one.severity == "error")


def _rival(cases: Cases, name: str, metric: str) -> Entry:
    if name not in FIXED:
        return cases.traversal(name, "uniform random" if name == "random" else name)
    plan = cases.plan.plan
    shape = plan.comparison.last_shape_fixed.shape if name == "last" else _best_by_laws(plan, metric)
    assert shape is not None
    return cases.fixed(name, _what(name, shape, plan), shape)


def _what(name: str, shape: Shape, plan: Plan) -> str:
    return f"{FIXED[name]}, {shape.written(plan.units)}"


def _best_by_laws(plan: Plan, metric: str) -> Shape | None:
    """The best fixed shape by the laws of the metric; None if they are of another metric, or missing."""
    return plan.comparison.best_fixed.shape if plan.metric == metric else None


def _field(cases: Cases, left: list[LeftOut]) -> tuple[Entry, ...]:
    """All candidates as fixed shapes. One that trains like the plan has the plan's runs; one that cannot be trained is
    added to `left`. Raises Refused if none can be trained."""
    found, plan = [], cases.plan.plan
    for shape in (candidate.shape for candidate in plan.candidates):
        name = f"fixed {shape.written(plan.units)}"
        try:
            found.append(cases.fixed(name, name, shape))
        except Refused as refused:
            left.append(LeftOut(name, _reason(refused)))
            last = refused
    if not found:
        raise last
    return tuple(joined(cases.plan, found)[1:])
