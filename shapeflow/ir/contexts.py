"""The contexts of a plan, and the size of the blocks into which its text is cut."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shapeflow.ir.plan import Plan, Spec

LARGEST = 4
"""Most longest contexts in a block that all contexts divide."""


def contexts_of(plan: Plan) -> Sequence[int]:
    """All contexts at which a plan may train or measures, sorted; empty for a plan without text."""
    shapes = [candidate.shape for candidate in plan.candidates]
    shapes += [shape for stage in plan.stages for shape in (stage.shape, *(blend.shape for blend in stage.blends))]
    found = {shape.number("context") for shape in shapes if "context" in shape}
    fixed = plan.slots.get("context")
    return sorted(found | ({fixed} if isinstance(fixed, int) else set()))


def reads_epochs(plan: Plan) -> bool:
    """Whether a plan reads text without replacement. Plans that do not say so were made before there was a choice, and
    draw their windows."""
    return plan.data is not None and plan.data.settings.get("order") == "epochs"


def data_of(plan: Plan) -> Spec:
    """The data of a plan with the order and the block that it is read by. The name is `none` if there is no data."""
    if plan.data is None:
        return Spec("none")
    order = {"order": "epochs", "block": block_of(plan)} if reads_epochs(plan) else {"order": "drawn", "block": None}
    return Spec(plan.data.name, {**plan.data.settings, **order})


def block_of(plan: Plan) -> int:
    """Tokens of a block: the setting `block` of the data, or else the least common multiple of all contexts, or the
    longest context if that is less than a quarter of the multiple."""
    stated = None if plan.data is None else plan.data.settings.get("block")
    if stated is not None:
        return int(stated)
    contexts = contexts_of(plan) or [1]
    common = math.lcm(*contexts)
    return common if common <= LARGEST * contexts[-1] else contexts[-1]
