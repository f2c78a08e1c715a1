"""Context: a property of the data. Parameters do not change."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Edit, EditError, SlotValue, Swap
from shapeflow.ir.parameters import Model, Preserves


@attrs.frozen
class ContextGrow(TransitionHooks):
    """Moves along `context`: longer or shorter sequences with the same number of tokens per step. Rotary positions keep
    their base, so logits at shared positions are equal.

    The model must not have learned positions. After a hard switch (`preview: 0%`; Anagnostidis et al. 2024, section 5)
    the model sees distances that it was never trained on. By default, a tenth of the steps before the switch therefore
    use the next context. On a small model, neither changed the error on the same text: see the table in
    `docs/transitions.md`. Also compare with a fixed mixture.

    `rope` other than `keep` changes the angles of positions that were trained, so it needs `allow_lossy: true`. It is
    for weights whose base was chosen for `trained` tokens; for a run from scratch, choose the model's `rope_base` for
    the longest context instead. A context of s times `trained` tokens is read with angles divided by s (`linear`, arXiv
    2306.15595), at the model's base times s^(w / (w - 2)) for heads of w channels (`ntk`), with the slow angles divided
    and attention sharpened (`yarn`, arXiv 2309.00071), or at a different base (`base`, arXiv 2309.16039). Up to
    `trained` tokens nothing changes."""

    axis: ClassVar[str] = "context"
    one_way: ClassVar[bool] = False

    rope: Literal["keep", "linear", "ntk", "yarn", "base"] = setting(
        default="keep", help="how a longer context reads rotary positions"
    )
    trained: int | None = setting(
        "tokens", default=None, low=1, help="the context that the model's base was chosen for"
    )
    base: float | None = setting(default=None, above=1.0, help="for `rope: base`, the base beyond `trained` tokens")
    allow_lossy: bool = setting(default=False, help="allow `rope` to change the angles of trained positions")
    moments: Literal["carry", "reset"] = setting(default="carry", help="the optimizer's moments at the switch")
    preview: float = setting("ratio", default=0.10, low=0.0, below=1.0, help="share of steps in the next context")
    preview_from: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="where in a stage the preview begins")
    retain: float = setting("ratio", default=0.0, low=0.0, below=1.0, help="share of steps in the last context")
    rewarm: int | None = setting(
        "steps", default=None, low=0, help="learning-rate warm-up after a switch; default: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def __attrs_post_init__(self) -> None:
        """Raises EditError `missing-setting`, `idle-setting`, `rope-base-changed`."""
        wanted = {"trained": self.rope != "keep", "base": self.rope == "base", "allow_lossy": self.rope != "keep"}
        given = {"trained": self.trained is not None, "base": self.base is not None, "allow_lossy": self.allow_lossy}
        idle = [name for name in wanted if given[name] and not wanted[name]]
        if idle:
            message = f"`context_grow` with `rope: {self.rope}` does not use `{idle[0]}`"
            help = f"leave `{idle[0]}` out, or choose another `rope`"
            raise EditError("idle-setting", message, why="has no effect", help=help, setting=idle[0])
        lacking = [name for name in ("trained", "base") if wanted[name] and not given[name]]
        if lacking:
            message = f"`context_grow` with `rope: {self.rope}` needs the setting `{lacking[0]}`"
            raise EditError("missing-setting", message, why=f"`{lacking[0]}` is not set")
        if self.rope != "keep" and not self.allow_lossy:
            raise EditError(
                "rope-base-changed",
                f"`rope: {self.rope}` changes the angles of positions that were trained",
                why="changes the function at the switch",
                help="leave `rope` out, or set `allow_lossy: true` to accept the change",
            )

    @property
    def preserves(self) -> Preserves:
        return "shared-positions" if self.rope == "keep" else "lossy"

    @property
    def average(self) -> Literal["map", "restart"]:
        """`restart` if the function changes, since an average over both sides of the switch would mix two functions."""
        return "map" if self.rope == "keep" else "restart"

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `context-needs-rope`, `head-width-mismatch`, `tokens-per-step-not-integral`."""
        if learned := model.bearing("grid", "position"):
            message = f"`{model.kind}` learns its positions in `{learned[0].name}`, which has none for a longer context"
            raise EditError("context-needs-rope", message, help="use a model with rotary positions: `transformer`")
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
        """The slots `rope.*` of a shape. They depend only on the shape, not on earlier stages."""
        if self.rope == "keep" or self.trained is None:
            return {}
        own = model.slots.get("rope.base")
        if own is None:
            message = f"`{model.kind}` has no rotary positions for `rope: {self.rope}` to change"
            raise EditError("context-needs-rope", message, help="leave `rope` out")
        if self.rope == "base":
            return {"rope.base": self.base if shape.number("context") > self.trained else own}
        if self.rope == "ntk" and model.slots.get("head_width") == 2:
            message = "`rope: ntk` is undefined for heads of 2 channels, which rotate at one rate"
            raise EditError("head-width-mismatch", message, help="use wider heads, or `rope: linear`")
        factor = max(1.0, shape.number("context") / self.trained)
        stretched: dict[str, SlotValue] = {"rope.rule": self.rope, "rope.factor": factor}
        return stretched if self.rope != "yarn" else {**stretched, "rope.trained": self.trained}
