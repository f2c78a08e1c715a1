"""The steps that transitions blend into the stages on both sides of a switch. Traversals include their compute; `lower`
adds them to the plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import attrs

from shapeflow.base.settings import name_of
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Dimension
from shapeflow.ir.components import Transition
from shapeflow.ir.program import AxisUse, Program
from shapeflow.ir.route import END, Leg, Route, Share

RISE = (0.2, 0.4, 0.6, 0.8)
"""The shares of an increasing blend, each over an equal part of its range."""


def previewed(program: Program, route: Route) -> tuple[Leg, ...]:
    """The route's legs with the shares that transitions add: the next shape before a switch (`preview`, `blend`), and
    the previous shape after it (`retain`). A leg with its own shares is unchanged."""
    legs = list(route.legs)
    if program.trained is None:
        return route.legs
    found: list[Leg] = []
    for index, leg in enumerate(legs):
        shares = list(leg.shares)
        if not leg.shares and index + 1 < len(legs):
            shares += _share(program, leg.shape, legs[index + 1].shape, "preview")
        if not leg.shares and index > 0:
            shares += _share(program, legs[index - 1].shape, leg.shape, "retain")
        if not leg.shares and index + 1 < len(legs):
            shares += _rise(program, leg.shape, legs[index + 1].shape, 1 - sum(share.share for share in shares))
        found.append(attrs.evolve(leg, shares=tuple(shares)))
    return tuple(found)


def surcharge(program: Program, before: Shape, after: Shape, dimension: Dimension = "compute") -> float:
    """What steps in the next shape add to the stage before a switch, as a fraction of that stage's compute or
    seconds."""
    if program.trained is None or before == after or not blends(program):
        return 0.0
    first, _ = previewed(program, Route((Leg(before, END), Leg(after, END))))
    of_step, own = program.trained.of_step, program.trained.of_step(dimension, before)
    extra = ((of_step(dimension, one.shape) / own - 1) * one.share * (one.last - one.first) for one in first.shares)
    return max(0.0, sum(extra))


def blends(program: Program) -> bool:
    """Whether a transition of the file requests steps in the next shape before a switch."""
    asked = (_asked(axis.transition, what) for axis in program.axes for what in ("preview", "blend"))
    return program.trained is not None and any(part > 0 for part in asked)


def left_out(program: Program, route: Route) -> Iterator[str]:
    """Notes on blends that transitions request but that are left out, because their shape is not a candidate."""
    if program.trained is None:
        return
    for number, (first, second) in enumerate(pairwise(route.legs), 1):
        for what in ("preview", "blend", "retain"):
            stage, leg = (number + 1, second) if what == "retain" else (number, first)
            axes = _asking(program, first.shape, second.shape, what)
            shape = _beside(axes, first.shape, second.shape, what)
            if axes and not leg.shares and shape not in program.candidates:
                asking = " and ".join(f"`{name_of(axis.transition)}`" for axis in axes)
                written = shape.written(program.units)
                yield f"stage {stage} takes no steps in {written}, as `{what}` of {asking} asks: not a candidate"


def _asking(program: Program, before: Shape, after: Shape, what: str) -> list[AxisUse]:
    """The axes of a switch whose transitions can be reversed and request steps in the shape on the other side. `what`:
    `preview`, `blend` or `retain`."""
    moved = (program.axis(name) for name in before.changed(after))
    return [axis for axis in moved if not axis.transition.one_way and _asked(axis.transition, what) > 0]


def _asked(transition: Transition, what: str) -> float:
    """The setting `preview`, `blend` or `retain` of a transition: the share of a stage that it requests."""
    return {"preview": transition.preview, "blend": transition.blend, "retain": transition.retain}[what]


def _beside(axes: Sequence[AxisUse], before: Shape, after: Shape, what: str) -> Shape:
    """The shape on one side of a switch, with the other side's values on some axes."""
    here, other = (after, before) if what == "retain" else (before, after)
    return here.with_({axis.name: other[axis.name] for axis in axes})


def _share(program: Program, before: Shape, after: Shape, what: str) -> list[Share]:
    """The share of the shape on the other side of a switch, for the axes whose transitions request it; or an empty
    list."""
    axes = _asking(program, before, after, what)
    shape = _beside(axes, before, after, what)
    if not axes or shape not in program.candidates:
        return []
    share = max(_asked(axis.transition, what) for axis in axes)
    first = min(axis.transition.preview_from for axis in axes) if what == "preview" else 0.0
    return [Share(shape, share, first, 1.0)]


def _rise(program: Program, before: Shape, after: Shape, room: float) -> list[Share]:
    """The shares of the next shape, increasing over the last part of a stage, for the axes whose transitions request it
    (`blend`). `room`: the share of steps that previews do not take."""
    axes = _asking(program, before, after, "blend")
    shape = _beside(axes, before, after, "blend")
    if not axes or shape not in program.candidates:
        return []
    part = max(axis.transition.blend for axis in axes)
    bounds = [1 - part + part * step / len(RISE) for step in range(len(RISE) + 1)]
    pairs = zip(RISE, pairwise(bounds), strict=True)
    return [Share(shape, share * room, first, last) for share, (first, last) in pairs]
