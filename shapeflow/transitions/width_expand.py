"""Width: more channels, heads and hidden units next to the old ones."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TransitionHooks
from shapeflow.ir.edits import Along, Constant, Copy, Edit, EditError, Fill, Grow, Mean, Normal, Scale
from shapeflow.ir.parameters import Model, Parameter, Preserves

_SHARE = 0.3
"""The share of the outgoing weights that the first copy of a unit gets. At one half, both copies would get the same
gradient and stay equal."""


@attrs.frozen
class WidthExpand(TransitionHooks):
    """Moves along `width`, to wider models only. The width of a head stays the same: new heads and hidden units are
    added after the old ones.

    `normal` (Anagnostidis et al. 2024, section 6.1): new entries are drawn from N(0, gamma * mean square of the old
    entries), and old entries do not change; the error jumps. `preserve`: the outgoing weights of new heads and units
    are zero, and new residual channels carry the mean of the old ones under LayerNorm, zero under RMSNorm, so the
    function is kept exactly. `net2net` (arXiv 1511.05641): new heads and units are copies and share the outgoing
    weights with their originals; the function is also kept. `gamma` scales the free entries in all three. With a tied
    embedding use `normal` with a small gamma.

    A learning rate is tuned at one width. With `lr: mup`, matrices that read channels, heads or hidden units use the
    optimizer's rate times `tuned_at` / width (muP, Yang et al., arXiv 2203.03466, for Adam): every projection, and an
    untied output head. Embeddings, patch kernels, norms and biases keep the optimizer's rate. The rate depends only on
    the width, so a run that stays in one width and a run that switches to it use the same one.

    `credit`: 60-80% was measured at a small scale; Anagnostidis et al. assume 100%."""

    axis: ClassVar[str] = "width"
    one_way: ClassVar[bool] = True
    preview: ClassVar[float] = 0.0
    preview_from: ClassVar[float] = 0.0
    retain: ClassVar[float] = 0.0

    init: Literal["normal", "preserve", "net2net"] = setting(default="preserve", help="how new entries are made")
    gamma: float = setting(default=1.0, low=0.0, help="mean square of free new entries, relative to the old ones")
    moments: Literal["fresh", "carry", "carry_raw", "reset"] = setting(
        default="fresh", help="the optimizer's state for new entries: of age 0, mean, zero, or reset for all entries"
    )
    lr: Literal["keep", "mup"] = setting(default="keep", help="how the learning rate of matrices follows the width")
    tuned_at: int | None = setting(
        default=None, low=1, help="the width at which the learning rate was tuned, for `mup`"
    )
    rewarm: int | None = setting(
        "steps", default=None, low=0, help="learning-rate warm-up after a switch; default: 50 steps after a `reset`"
    )
    credit: float = setting("ratio", default=1.0, low=0.0, high=1.0, help="share of the descent that survives a switch")

    def __attrs_post_init__(self) -> None:
        """Raises EditError `missing-setting`, `idle-setting`."""
        if self.lr == "mup" and self.tuned_at is None:
            help = "add the width at which the optimizer's `lr` was tuned: `tuned_at: 192`"
            message, why = "`lr: mup` needs the setting `tuned_at`", "`tuned_at` is not set"
            raise EditError("missing-setting", message, why=why, help=help, setting="lr")
        if self.lr == "keep" and self.tuned_at is not None:
            help = "add `lr: mup`, or leave `tuned_at` out"
            message = "without `lr: mup` the setting `tuned_at` is not used"
            raise EditError("idle-setting", message, why="has no effect", help=help, setting="tuned_at")

    @property
    def preserves(self) -> Preserves:
        return "lossy" if self.init == "normal" else "exact"

    @property
    def average(self) -> Literal["map", "restart"]:
        """`restart` if the function changes, since an average over both sides of the switch would mix two functions."""
        return "restart" if self.init == "normal" else "map"

    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        """No edits: the stored width is read."""
        return ()

    def matrix_rate(self, shape: Shape) -> float:
        """The factor on the learning rate of matrices that read channels, heads or hidden units, in a shape."""
        return 1.0 if self.tuned_at is None else self.tuned_at / shape.number("width")

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError `dead-width`, `no-residual-stream`, `one-way-transition`, `kv-ratio-changed`, and errors
        of the model's sizes."""
        if self.gamma <= 0:
            help = "leave `gamma` out; `init: preserve` keeps the function with any `gamma` above 0"
            message = "with `gamma: 0` most new entries never receive a gradient"
            raise EditError("dead-width", message, why="must be above 0", help=help)
        if not model.bearing("residual"):
            message = f"`width_expand` adds channels of a residual stream, and `{model.kind}` has none"
            raise EditError("no-residual-stream", message, why="for transformers", help="use `via project`")
        old, new = model.sizes(before), model.sizes(after)
        if any(new[dim] < old[dim] for dim in new):
            raise EditError(
                "one-way-transition",
                f"`width_expand` cannot go from width {old['residual']} to width {new['residual']}",
                why="narrower than the stage before",
                help="order the stages from narrow to wide",
            )
        if "kv_heads" in new and new["heads"] * old["kv_heads"] != old["heads"] * new["kv_heads"]:
            message = "the number of heads that share one key and value head changes with the width"
            raise EditError("kv-ratio-changed", message, help="keep the ratio of heads to key and value heads")

    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        self.check(model, before, after)
        old, new = model.sizes(before), model.sizes(after)
        grown = {dim for dim in new if new[dim] > old[dim]}
        if not grown:
            return ()
        ratio = math.sqrt(old["residual"] / new["residual"])
        made: list[Edit] = []
        for parameter in model.bearing(*grown):
            # The residual dim comes last, so that its rule fills the corner of new rows and new columns.
            dims = sorted(grown.intersection(parameter.logical), key=lambda dim: (dim == "residual", dim))
            along = tuple(Along(dim, new[dim], self._fill(model, parameter, dim, ratio)) for dim in dims)
            keeps = self.init != "normal" and parameter.role == "scale"
            made.append(Grow(parameter.name, along, ratio if keeps else 1.0))
        # With `preserve` and `net2net`, the variance over D channels is d/D of the variance over d. The weights and eps
        # of the norms compensate.
        return tuple(made) if self.init == "normal" else (*made, Scale("norm.eps", ratio**2))

    def _fill(self, model: Model, parameter: Parameter, dim: str, ratio: float) -> Fill:
        """How new entries along one dim are filled. `ratio`: sqrt(old width / new width)."""
        if parameter.role == "scale":
            return Constant(1.0 if self.init == "normal" else ratio)
        if parameter.role == "shift":
            return Constant(0.0)
        free = Normal(self.gamma) if parameter.role == "matrix" else Constant(0.0)
        if self.init == "normal":
            return free
        if dim == "residual":
            if parameter.writes != dim:
                return free  # it reads channels that are zero after the norm
            return Mean() if model.norm == "layer" else Constant(0.0)
        writes = parameter.writes == dim
        if self.init == "net2net":
            # The gradient of a copied unit is split in the same proportion as its outgoing weights.
            values, gradients = (None, _SHARE) if writes else (_SHARE, None)
            return Copy("cycle", model.grain(dim), values, gradients)
        return free if writes else Constant(0.0)  # nothing reads new heads and units yet
