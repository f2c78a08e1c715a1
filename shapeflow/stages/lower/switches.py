"""Convert shapes to edits: the views and slots of a stage's shape, the edits of a switch, and checks of blends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from shapeflow.base.diagnostics import Label, Report, Span
from shapeflow.base.settings import name_of
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import Transition as TransitionComponent
from shapeflow.ir.edits import Edit, EditError, Grow, joined
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Stage, Transition
from shapeflow.ir.program import AxisUse, Program, Trained
from shapeflow.ir.route import Leg
from shapeflow.stages.lower.credited import credited

PRESERVES = ("exact", "shared-positions", "lossy")
REWARM = 50
"""The default number of warm-up steps after a switch that resets the optimizer's state. After a reset, the first
updates all have the same size; without warm-up they undo some of the training."""


class Illegal(Exception):  # noqa: N818 - the report already holds the error
    """A switch that cannot be made; the error has been reported."""


@attrs.frozen
class Switches:
    """The transitions of a program, applied to its shapes."""

    program: Program
    report: Report

    @property
    def trained(self) -> Trained:
        assert self.program.trained is not None
        return self.program.trained

    def reading(self, shape: Shape) -> tuple[Edit, ...]:
        """The View and Swap edits that select this shape from any other, in the order in which axes change."""
        whole = self.trained.whole(shape)
        return joined(axis.transition.reading(self.trained.model, whole) for axis in self.program.axes_in_order)

    def ledger(self, shape: Shape) -> Ledger:
        """The ledger of a new model in a shape. Raises Illegal."""
        model, whole = self.trained.model, self.trained.whole(shape)
        try:
            ledger = Ledger.of(model.parameters, model.sizes(whole), model.slots, self.reading(shape))
            ledger.check(model.seen(whole))
        except EditError as error:
            raise self.illegal(error, self.program.axes[0].via) from error
        return ledger

    def switch(self, before: Shape, after: Shape, ledger: Ledger, where: tuple[Span, Span] | None) -> Transition:
        """The transition between two shapes, after a dry run on the ledger. Raises Illegal."""
        moved = self.program.moved(before, after)
        parts: dict[str, Sequence[Edit]] = {}
        here, goal = self.trained.whole(before), self.trained.whole(after)
        for axis in moved:
            # One-way transitions grow stored sizes one axis at a time. All others get the complete new shape: if patch
            # and resolution change together, each change alone may be impossible.
            there = here.with_({axis.name: after[axis.name]}) if axis.transition.one_way else goal
            try:
                parts[axis.name] = axis.transition.edits(self.trained.model, here, there)
            except EditError as error:
                raise self.illegal(error, axis.via, where) from error
            here = there if axis.transition.one_way else here
        try:
            edits = joined(parts.values())
            for edit in edits:
                ledger.apply(edit)
            ledger.check(self.trained.model.seen(goal))
        except EditError as error:
            raise self.illegal(error, self.program.axis(before.changed(after)[0]).via, where) from error
        grows = {name for name, part in parts.items() if any(isinstance(edit, Grow) for edit in part)}
        joint = _joint(moved, edits, grows)
        return credited(self.program, before, after, joint)

    def arrive(
        self, before: Shape | None, after: Shape, ledger: Ledger | None, index: int
    ) -> tuple[Transition | None, Ledger | None]:
        """The transition from the previous stage into the next, and the ledger after it. Raises Illegal."""
        where = sides(self.program, index)
        if self.program.trained is None:
            self.forward(before, after, where)
            return None, None
        if before is None or ledger is None:
            return None, self.ledger(after)
        return (None if before == after else self.switch(before, after, ledger, where)), ledger

    def forward(self, before: Shape | None, after: Shape, where: tuple[Span, Span] | None) -> None:
        """Check the direction of one-way transitions, which a plan without a model cannot check by its edits. Raises
        Illegal."""
        axis = None if before is None else self.program.backward(before, after)
        if before is None or axis is None:
            return
        here, there = (f"{axis.name} {shape[axis.name]} {axis.unit}".rstrip() for shape in (before, after))
        error = EditError(
            "one-way-transition",
            f"`{name_of(axis.transition)}` cannot go from {here} to {there}",
            why="smaller than the stage before",
            help="order the stages from small to large",
        )
        raise self.illegal(error, axis.via, where)

    def blendable(self, leg: Leg, index: int) -> None:
        """Check that a leg blends only shapes that differ in axes that may change between single steps. Raises
        Illegal."""
        at = leg_span(self.program, index)
        for share in leg.shares:
            for axis in (self.program.axis(name) for name in leg.shape.changed(share.shape)):
                one_way = axis.transition.one_way
                if one_way or not axis.transition.blends:
                    units = self.program.units
                    self.report.error(
                        "not-blendable",
                        f"a stage in {leg.shape.written(units)} cannot take steps in {share.shape.written(units)}",
                        at,
                        f"mixes two values of {axis.name}",
                        also=[
                            Label(
                                axis.via,
                                "changes the stored weights, in one direction only" if one_way else "is set per stage",
                            )
                        ],
                        help="use one stage for each, from small to large" if one_way else "use one stage for each",
                    )
                    raise Illegal
        if leg.shares and self.program.trained is None:
            self.report.warning(
                "blend-without-model",
                f"the stage is planned as if all its steps were in {leg.shape.written(self.program.units)}",
                at,
                "shares need steps, and steps need a model",
                help="add a `model` sentence so that the shares are counted",
            )

    def rehearse(self, ledger: Ledger, stage: Stage) -> None:
        """Apply the edits of a stage's blends to a ledger, then those of its own shape. Raises Illegal."""
        readings = [*((blend.shape, blend.edits) for blend in stage.blends), (stage.shape, stage.reading)]
        try:
            for shape, edits in readings:
                for edit in edits:
                    ledger.apply(edit)
                ledger.check(self.trained.model.seen(self.trained.whole(shape)))
        except EditError as error:
            raise self.illegal(error, self.program.axes[0].via) from error

    def illegal(self, error: EditError, at: Span, where: tuple[Span, Span] | None = None) -> Illegal:
        label, also = Label(at, error.why), [Label(span, text) for span, text in _sides(where)]
        if where is not None and error.code == "one-way-transition":
            label, also = (
                Label(where[1], error.why),
                [Label(at, "goes one way only"), Label(where[0], "switch from this shape")],
            )
        self.report.error(error.code, error.message, label, also=also, notes=error.notes, help=error.help)
        return Illegal()


def _joint(axes: Sequence[AxisUse], edits: tuple[Edit, ...], grows: set[str]) -> Transition:
    """Combine several transitions at one switch. Takes the most cautious setting of each kind and the weakest
    guarantee. The transitions that add entries (`grows`) decide `moments`; `reset` applies if any transition asks for
    it."""
    parts = [axis.transition for axis in axes]
    said = {axis.name: axis.transition.moments for axis in axes}
    moments = {m for name, m in said.items() if name in grows or not grows or m == "reset"}
    return Transition(
        names=tuple(name_of(part) for part in parts),
        edits=edits,
        moments=next(m for m in ("reset", "carry", "carry_raw", "fresh") if m in moments),
        average="restart" if any(part.average == "restart" for part in parts) else "map",
        preserves=max((part.preserves for part in parts), key=PRESERVES.index),
        credit=1.0,
        rewarm=max(_rewarm(part) for part in parts),
    )


def _rewarm(transition: TransitionComponent) -> int:
    """The warm-up steps after a transition: its setting `rewarm` if it is given, else the default."""
    if transition.rewarm is not None:
        return transition.rewarm
    return REWARM if transition.moments == "reset" else 0


def _sides(where: tuple[Span, Span] | None) -> Iterable[tuple[Span, str]]:
    return () if where is None else ((where[0], "switch from this shape"), (where[1], "to this shape"))


def leg_span(program: Program, index: int) -> Span | None:
    """The location in the file that a leg comes from: its `stage` sentence, or the traversal."""
    spans: Sequence[Span] = program.leg_spans
    return spans[index] if index < len(spans) else program.spans.get("traversal")


def sides(program: Program, index: int) -> tuple[Span, Span] | None:
    """The locations of the `stage` sentences on both sides of a switch; None in a plan without them."""
    spans: Sequence[Span] = program.leg_spans
    return (spans[index - 1], spans[index]) if index < len(spans) and index > 0 else None
