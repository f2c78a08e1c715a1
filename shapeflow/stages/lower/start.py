"""The weights that a run starts from, compared with the plan's first stage."""

from __future__ import annotations

import math
from collections.abc import Iterator

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import name_of
from shapeflow.ir.edits import SlotValue
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Stage, Start
from shapeflow.ir.program import Program, Trained
from shapeflow.ir.weights import Weights

CALLED = {
    "residual": "a width of {}",
    "heads": "{} channels of heads",
    "kv_heads": "{} channels of key and value heads",
    "hidden": "{} hidden units",
    "vocabulary": "a vocabulary of {} tokens",
    "depth": "{} blocks",
    "classes": "{} classes",
}
"""Dim -> its size in words."""
OF_TRAINING = frozenset({"batch", "context", "features", "loss", "patch", "resolution"})
"""Slots that any run may set, whatever the weights."""
USUAL = {"rope.rule": "keep"}
"""Slot -> the value of a model that does not have it."""
SETTINGS = {"norm.eps": "norm_eps", "rope.base": "rope_base", "attend.separator": "attend"}
"""Slot -> the setting of the model that it comes from."""


def start(program: Program, stage: Stage, report: Report) -> Start | None:
    """The start of a plan whose first stage is `stage`; None for new weights, and after reporting `start-mismatch`."""
    if program.first is None or program.start_path is None or program.trained is None:
        return None
    wrong = list(_differences(program.trained, stage, program.first))
    if wrong:
        shape = stage.shape.written(program.units)
        report.error(
            "start-mismatch",
            f"`{program.start_path}` {wrong[0]}",
            program.spans["start from.path"],
            f"the plan begins in {shape}",
            notes=wrong[1:],
            help="begin the plan in the sizes of the file, and let a switch change them, or start from another file",
        )
        return None
    return Start(program.start_path, program.first.sha256, program.first.shape)


def start_notes(program: Program, stage: Stage) -> Iterator[str]:
    """Yield what a plan whose first stage is `stage` says of the weights that it starts from."""
    first = program.first
    if first is None:
        return
    kind = "averaged weights" if first.averaged else "weights"
    yield f"it starts from the {kind} of `{program.start_path}`, with new optimizer state"
    theirs = first.shape.get("context") or first.settings.get("context")
    ours = None if program.trained is None else program.trained.whole(stage.shape).get("context")
    if isinstance(theirs, int) and isinstance(ours, int) and ours > theirs:
        yield (
            f"the weights were made for contexts up to {theirs:,} tokens, and the plan begins at {ours:,}: positions"
            " beyond are new to them"
        )
    if program.start is not None and (program.law_source is not None or program.stated):
        yield f"each law is entered at error {program.start:.4g}, where these weights begin; intervals are not known"


def _differences(trained: Trained, stage: Stage, first: Weights) -> Iterator[str]:
    """Yield what differs, each as a clause that begins with a verb."""
    kind = name_of(trained.model_component)
    if first.model != kind:
        yield f"holds a `{first.model}`, and the plan trains `{kind}`"
        return
    model, theirs = trained.model, {one.name: one for one in first.parameters}
    ours = {one.name: one for one in model.parameters}
    if other := sorted(theirs.keys() ^ ours.keys()):
        has = "has" if other[0] in theirs else "does not have"
        not_ = "does not have it" if other[0] in theirs else "has it"
        yield f"{has} `{other[0]}`, and the plan's model {not_}"
        return
    for dim, size in stage.sizes.items():
        if first.sizes.get(dim) != size:
            theirs_, ours_ = (CALLED.get(dim, f"{{}} of `{dim}`").format(each) for each in (first.sizes.get(dim), size))
            yield f"has {theirs_}, and the plan's first stage {ours_}"
    own = Ledger.of(model.parameters, stage.sizes, model.slots, stage.reading).slots
    for slot in sorted((own.keys() | first.slots.keys()) - OF_TRAINING):
        a, b = (slots.get(slot, USUAL.get(slot)) for slots in (first.slots, own))
        if not _alike(a, b):
            setting = f" (`{SETTINGS[slot]}` of its model)" if slot in SETTINGS else ""
            yield f"has {_said(a)} in the slot `{slot}`{setting}, and the plan's first stage {_said(b)}"


def _alike(a: SlotValue | None, b: SlotValue | None) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-6)
    return a == b


def _said(value: SlotValue | None) -> str:
    return "nothing" if value is None else f"{value:g}" if isinstance(value, float) else f"{value}"
