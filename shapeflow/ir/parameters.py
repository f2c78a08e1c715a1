"""What a model is, without torch: parameters with named dims, their sizes in a shape, the compute of a step.

`Parameter` and `Model` are what transitions read: they find what to edit by dim, role and the dim written, never by
name. What components offer is in `components.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import EditError, SlotValue

Convention = Literal["flops", "paper"]
"""How compute is counted. `flops`: 2 for each multiply-accumulate of every matrix product; `paper`: paper A's unit,
multiply-accumulates of the blocks alone (arXiv 2311.03233, Fig. 2b). Training is 3 forward passes in both."""

Role = Literal["matrix", "bias", "scale", "shift"]
"""What a parameter does; scale and shift are those of a norm."""

ANY = "any"
"""The data of an objective that both images and text can have."""

Moments = Literal["fresh", "carry", "carry_raw", "reset"]
"""What the optimizer's state becomes for new entries: an age of their own; the mean second moment; zeros at the old
age; all state dropped, of old entries too."""

Preserves = Literal["exact", "shared-positions", "lossy"]
"""What of the model's function a transition keeps."""

Growth = Literal["value", "gradient", "squared", "count"]
"""How a part of the optimizer's state follows an edit, which maps values by V and gradients by G:

- `value`: as the weights, by V with the same fill;
- `gradient`: by G, and new entries are 0; right for what is linear in gradients;
- `squared`: by G * G entry by entry, and new entries are 0; right for a mean of squared gradients;
- `count`: by no map; the updates that an entry has seen, 0 for new entries."""


@attrs.frozen
class Parameter:
    """A parameter, or one of each block: `blocks.{depth}.attn.q.weight` is one tensor for each entry of `depth`.

    Raises EditError `unknown-role` on a role that no transition could treat.
    """

    name: str
    dims: tuple[str, ...]
    """One string a tensor axis; two words: two dims fused in that axis, row-major, as in `part heads`."""
    role: Role = attrs.field()
    writes: str
    """The dim it puts values on; all its other dims are read."""

    @role.validator
    def _known_role(self, _: object, role: str) -> None:
        if role not in get_args(Role):
            raise EditError("unknown-role", f"`{self.name}` has the role `{role}`, which no transition knows")

    @property
    def listed(self) -> tuple[str, ...]:
        """Dims whose entries are tensors of their own."""
        return ("depth",) if "{depth}" in self.name else ()

    @property
    def logical(self) -> tuple[str, ...]:
        """Dims of one tensor, fused ones apart, in order; a dim that two axes bear stands twice."""
        return tuple(word for axis in self.dims for word in axis.split())


@attrs.frozen
class DataFacts:
    """What a model must know of the data."""

    kind: Literal["images", "text"]
    image: int | None = None
    """Side of the square images, in pixels; 0 for an axis' check where the resolution is an axis too."""
    channels: int | None = None
    classes: int | None = None
    vocabulary: int | None = None
    separator: int | None = None
    """Token id that ends a document of text; None where documents are not told apart."""
    longest: int | None = None
    """Tokens of the longest context that training and held-out text can fill; None where only reading them tells."""
    batch: int = 1
    """Images of one step, or TOKENS of one step for text, whatever the context; 0 for an axis' check where the
    batch is an axis too."""
    samples: int | None = None
    """Images of one epoch; None where there is no such number."""


@attrs.frozen
class Compute:
    """Compute of training, in the units of a convention: of one sample (3 forward passes), and what a step costs
    beside its samples (resizing the patch kernel)."""

    sample: float
    step: float = 0.0


@attrs.frozen(eq=False)
class Model:
    """A model declared for one program: its parameters, and what follows from a shape.

    Shapes are whole, as `Architecture.shape` makes them. The four functions raise EditError for a shape that the model
    cannot take.
    """

    kind: str
    """The architecture's name in a `.shape` file; a backend finds its module by it."""
    norm: Literal["layer", "rms"]
    parameters: tuple[Parameter, ...]
    slots: Mapping[str, SlotValue]
    """What a module must be told beside sizes: norm.eps, head_width, batch, patch or context where no axis moves it."""
    grains: Mapping[str, int]
    """Entries of a dim that stay together: the channels of a head."""
    sizes: Callable[[Shape], dict[str, int]]
    """Stored size of every dim."""
    seen: Callable[[Shape], dict[str, int]]
    """Size of every dim as the forward pass reads it: `patch` and `grid` move under a View."""
    compute: Callable[[Shape, Convention], Compute]
    samples: Callable[[Shape], int]
    """Samples (images, sequences) of one step."""
    apart: frozenset[str] = frozenset({"depth", "part"})
    """Slices along these dims are tensors of their own, with a mean square of their own."""

    def grain(self, dim: str) -> int:
        return self.grains.get(dim, 1)

    def bearing(self, *dims: str) -> tuple[Parameter, ...]:
        """The parameters that have one of these dims."""
        return tuple(p for p in self.parameters if not {*p.listed, *p.logical}.isdisjoint(dims))


def step_compute(model: Model, shape: Shape, convention: Convention) -> float:
    """Compute of one training step in a shape."""
    compute = model.compute(shape, convention)
    return compute.sample * model.samples(shape) + compute.step


def grid_of(image: int, patch: int, resizable: bool = False) -> int:
    """Patches along a side of an image, both in pixels. Raises EditError `indivisible-patch` if they do not tile it.
    `resizable`: whether images are resized, so that another side would do as well."""
    grid, over = divmod(image, patch)
    if over or not grid:
        legal = [size for size in range(1, image + 1) if image % size == 0]
        below = max((size for size in legal if size < patch), default=None)
        above = min((size for size in legal if size > patch), default=None)
        near = " or ".join(f"{size} px" for size in (below, above) if size)
        sides = " or ".join(f"{side} px" for side in (image - over, image - over + patch) if side)
        raise EditError(
            "indivisible-patch",
            f"patches of {patch} px do not tile an image of {image} px",
            why=f"{image} / {patch} leaves {over} px over",
            help=f"use {near}, the nearest sizes that divide {image}" + f"; or a resolution of {sides}" * resizable,
        )
    return grid


def sequences_of(tokens: int, context: int) -> int:
    """Sequences in the tokens of a step. Raises EditError `tokens-per-step-not-integral` where they are not whole."""
    count, over = divmod(tokens, context)
    if over or not count:
        raise EditError(
            "tokens-per-step-not-integral",
            f"{tokens} tokens a step are not a whole number of sequences of {context} tokens",
            why=f"{tokens} / {context} leaves {over} tokens over",
            help=f"use a batch of a multiple of {context} tokens, such as {(count + 1) * context}",
        )
    return count


def fitting(context: int, facts: DataFacts) -> int:
    """A context that the text can fill. Raises EditError `context-too-long`."""
    if facts.longest is not None and context > facts.longest:
        shorter = f"use contexts up to {facts.longest} tokens, or " if facts.longest > 0 else "use "
        raise EditError(
            "context-too-long",
            f"a context of {context} tokens is longer than the text can fill",
            why=f"training and held-out text, the shorter of the two, has {facts.longest + 1} tokens",
            help=f"{shorter}a longer text",
        )
    return context


@attrs.frozen
class Teacher:
    """What a compiler finds out of a file of weights that a model learns from. `forward`: compute of the forward pass
    of a sample, in the plan's convention, by `input_of` the sample."""

    sha256: str
    forward: Mapping[str, float]
    context: int | None = None
    """Tokens of the windows that it was last trained on; None for images."""


def input_of(shape: Shape) -> str:
    """What a sample of a whole shape is to a teacher: an image, whatever its patches, or so many tokens."""
    return f"{shape['context']} tokens" if "context" in shape else "image"
