"""The contexts of a plan, and the size of the blocks into which its text is cut."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shapeflow.ir.corpora import Weights, normal
from shapeflow.ir.plan import Plan, Spec

MIXTURE = "mixture"
"""The data component that contains several corpora."""

LARGEST = 4
"""Most longest contexts in a block that all contexts divide."""


def contexts_of(plan: Plan) -> Sequence[int]:
    """All contexts at which a plan may train or measures, sorted; empty for a plan without text."""
    shapes = [candidate.shape for candidate in plan.candidates]
    shapes += [shape for stage in plan.stages for shape in (stage.shape, *(blend.shape for blend in stage.blends))]
    found = {shape.number("context") for shape in shapes if "context" in shape}
    fixed = plan.slots.get("context")
    return sorted(found | ({fixed} if isinstance(fixed, int) else set()))


def corpora_of(plan: Plan) -> Sequence[Mapping[str, Any]]:
    """The settings of each corpus of a plan: those of its data, or of the parts of a mixture."""
    settings = {} if plan.data is None else plan.data.settings
    return list(settings["of"]) if plan.data is not None and plan.data.name == MIXTURE else [settings]


def weights_of(plan: Plan) -> Sequence[Weights]:
    """The weights of the corpora of a mixture, from the first step on."""
    settings = {} if plan.data is None else plan.data.settings
    return [Weights(0, normal(settings["weights"])), *(Weights(one.first, normal(one.shares)) for one in plan.weights)]


def parts_of(mixture: Spec) -> Sequence[Spec]:
    """The corpora of a mixture."""
    parts: Sequence[Mapping[str, Any]] = mixture.settings["of"]
    return [Spec(one["is"], {name: value for name, value in one.items() if name != "is"}) for one in parts]


def reads_epochs(settings: Mapping[str, Any]) -> bool:
    """Whether a corpus is read without replacement. Settings that do not say so are of a plan that was made before
    there was a choice, and its windows are drawn."""
    return settings.get("order") == "epochs"


def block_of(plan: Plan, settings: Mapping[str, Any]) -> int:
    """Tokens of a block of a corpus: its setting `block`, or else the least common multiple of all contexts, or the
    longest context if that is less than a quarter of the multiple."""
    stated = settings.get("block")
    if stated is not None:
        return int(stated)
    contexts = contexts_of(plan) or [1]
    common = math.lcm(*contexts)
    return common if common <= LARGEST * contexts[-1] else contexts[-1]


def data_of(plan: Plan) -> Spec:
    """The data of a plan with the order and the block that it is read by. The name is `none` if there is no data."""
    if plan.data is None:
        return Spec("none")
    told = [{**one, **_read(plan, one)} for one in corpora_of(plan)]
    return Spec(plan.data.name, {**plan.data.settings, "of": told} if plan.data.name == MIXTURE else told[0])


def _read(plan: Plan, settings: Mapping[str, Any]) -> dict[str, Any]:
    if reads_epochs(settings):
        return {"order": "epochs", "block": block_of(plan, settings)}
    return {"order": "drawn", "block": None}
