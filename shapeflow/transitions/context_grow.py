"""Context: a setting of the data, no parameter changes."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Edit, EditError, SlotValue, Swap
from shapeflow.ir.parameters import DataFacts, Model, Preserves


@attrs.frozen
class ContextGrow(TransitionHooks):
    """Moves along `context`: longer or shorter sequences at the same tokens a step, positions by rotation at an
    unchanged base, so that logits at the positions both share are equal.

    The model must not learn positions. A hard switch (`preview: 0%`, paper A, section 5) brings distances that were
    never trained; by default a tenth of the steps before it are taken in the next context. On a small model neither
    changed the error on the same text: `docs/transitions.md` has the table. Compare with a fixed mixture, too.

    `rope` other than `keep` changes the angles of positions that were trained, so it needs `allow_lossy: true`. It is
    for weights whose base was made for `trained` tokens; for a run from its start, choose the model's `rope_base` for
    the longest context instead. A context of s times `trained` tokens is read with angles divided by s (`linear`, arXiv
    2306.15595), at the model's base times s^(w / (w - 2)) for heads of w channels (`ntk`), with the slow angles divided
    and attention sharpened (`yarn`, arXiv 2309.00071), or at another base (`base`, arXiv 2309.16039). Up to `trained`
    tokens nothing changes."""

    axis: ClassVar[str] = "context"
    one_way: ClassVar[bool] = False

    rope: Literal["keep", "linear", "ntk", "yarn", "base"] = setting(
        default="keep", help="how a longer context reads rotary positions"
    )
    trained: int | None = setting("tokens", default=None, low=1, help="the context that the model's base was made for")
    base: float | None = setting(default=None, above=1.0, help="for `rope: base`, the base beyond `trained` tokens")
    allow_lossy: bool = setting(default=False, help="let `rope` change the angles of positions that were trained")
    moments: Literal["carry", "reset"] = setting(default="carry", help="the optimizer's moments at the switch")
    preview: float = setting("ratio", default=0.10, low=0.0, below=1.0, help="share of steps in the next context")
    preview_from: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="where in a stage the preview begins")
    retain: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="share of steps in the last context")
    rewarm: int | None = setting(
        "steps", default=None, low=0, help="rise of the learning rate behind a switch; unsaid: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def __attrs_post_init__(self) -> None:
        """Raises EditError `missing-setting`, `idle-setting`, `rope-base-changed`."""
        wanted = {"trained": self.rope != "keep", "base": self.rope == "base", "allow_lossy": self.rope != "keep"}
        given = {"trained": self.trained is not None, "base": self.base is not None, "allow_lossy": self.allow_lossy}
        idle = [name for name in wanted if given[name] and not wanted[name]]
        if idle:
            message = f"`context_grow` with `rope: {self.rope}` has no use for `{idle[0]}`"
            help = f"leave `{idle[0]}` out, or choose another `rope`"
            raise EditError("idle-setting", message, why="changes nothing", help=help, setting=idle[0])
        lacking = [name for name in ("trained", "base") if wanted[name] and not given[name]]
        if lacking:
            message = f"`context_grow` with `rope: {self.rope}` needs the setting `{lacking[0]}`"
            raise EditError("missing-setting", message, why=f"`{lacking[0]}` is not set")
        if self.rope != "keep" and not self.allow_lossy:
            raise EditError(
                "rope-base-changed",
                f"`rope: {self.rope}` changes the angles of positions that were trained",
                why="the function is another one behind the switch",
                help="leave `rope` out, or set `allow_lossy: true` to have it so",
            )

    @property
    def preserves(self) -> Preserves:
        return "shared-positions" if self.rope == "keep" else "lossy"

    @property
    def average(self) -> Literal["map", "restart"]:
        """Where the function changes, an average over both sides is one of two functions."""
        return "map" if self.rope == "keep" else "restart"

    def stored(self, facts: DataFacts) -> dict[str, int]:
        """Nothing: no parameter depends on the context."""
        return {}

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `context-needs-rope`, `head-width-mismatch`, `tokens-per-step-not-integral`."""
        if learned := model.bearing("grid", "position"):
            message = f"`{model.kind}` learns its positions in `{learned[0].name}`: a longer context has none"
            raise EditError("context-needs-rope", message, help="use a model with rotary positions, as `transformer`")
        self.rotation(model, after)
        model.samples(after)

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        """Raises EditError `context-needs-rope`, `head-width-mismatch`."""
        slots = {"context": shape.number("context"), **self.rotation(model, shape)}
        return tuple(Swap(slot, value) for slot, value in slots.items())

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        self.check(model, before, after)
        return self.reading(model, after)

    def rotation(self, model: Model, shape: Shape) -> dict[str, SlotValue]:
        """The slots `rope.*` of a shape: a function of the shape alone, whatever way the run came."""
        if self.rope == "keep" or self.trained is None:
            return {}
        own = model.slots.get("rope.base")
        if own is None:
            message = f"`{model.kind}` has no rotary positions that `rope: {self.rope}` could read otherwise"
            raise EditError("context-needs-rope", message, help="leave `rope` out")
        if self.rope == "base":
            return {"rope.base": self.base if shape.number("context") > self.trained else own}
        if self.rope == "ntk" and model.slots.get("head_width") == 2:
            message = "`rope: ntk` has no base for heads of 2 channels, which turn at one rate"
            raise EditError("head-width-mismatch", message, help="use wider heads, or `rope: linear`")
        factor = max(1.0, shape.number("context") / self.trained)
        stretched: dict[str, SlotValue] = {"rope.rule": self.rope, "rope.factor": factor}
        return stretched if self.rope != "yarn" else {**stretched, "rope.trained": self.trained}
