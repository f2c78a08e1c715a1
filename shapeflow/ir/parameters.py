"""Description of a model without torch: parameters with named dims, their sizes in a shape, and the compute of a step.

Transitions read `Parameter` and `Model`. They select the parameters to edit by dim, role and the dim written, never by
name. `components.py` declares the protocols of components.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, get_args

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import EditError, SlotValue

Convention = Literal["flops", "paper"]
"""How compute is counted. `flops`: 2 for each multiply-accumulate of every matrix product. `paper`: the unit of paper
A, multiply-accumulates of the blocks alone (arXiv 2311.03233, Fig. 2b). In both, a training step counts as 3 forward
passes."""

Role = Literal["matrix", "bias", "scale", "shift"]
"""The function of a parameter; `scale` and `shift` are those of a norm."""

ANY = "any"
"""The kind of data of a component that supports both images and text."""

Moments = Literal["fresh", "carry", "carry_raw", "reset"]
"""Optimizer state of new entries after a switch. `fresh`: zeros, with a step count of their own; `carry`: the mean
second moment; `carry_raw`: zeros, with the step count of the old entries; `reset`: drops the state of all entries."""

Preserves = Literal["exact", "shared-positions", "lossy"]
"""How far a transition preserves the function that the model computes."""

Growth = Literal["value", "gradient", "squared", "count"]
"""How an edit that maps values by V and gradients by G changes a part of the optimizer's state:

- `value`: mapped like the weights, by V with the same fill;
- `gradient`: mapped by G, new entries are 0; for state that is linear in gradients;
- `squared`: mapped by G * G (elementwise square), new entries are 0; for a mean of squared gradients;
- `count`: not mapped; the number of updates of each entry, 0 for new entries."""


@attrs.frozen
class Parameter:
    """A parameter of the model. A name with `{depth}`, such as `blocks.{depth}.attn.q.weight`, stands for one tensor
    for each entry of `depth`.

    Raises EditError `unknown-role` for an unknown role.
    """

    name: str
    dims: tuple[str, ...]
    """One string for each tensor axis. Two words mean two dims fused in this axis, row-major, as in `part heads`."""
    role: Role = attrs.field()
    writes: str
    """The output dim; all other dims are inputs."""

    @role.validator
    def _known_role(self, _: object, role: str) -> None:
        if role not in get_args(Role):
            raise EditError("unknown-role", f"`{self.name}` has the role `{role}`, which no transition knows")

    @property
    def listed(self) -> tuple[str, ...]:
        """Dims whose entries are separate tensors: `depth`, or none."""
        return ("depth",) if "{depth}" in self.name else ()

    @property
    def logical(self) -> tuple[str, ...]:
        """Dims of one tensor in order, with fused dims separated. A dim of two tensor axes appears twice."""
        return tuple(word for axis in self.dims for word in axis.split())


HELD_OUT_TARGETS = 32_768
"""Number of held-out tokens of text that an evaluation predicts, the same at every context; fewer if the text has
fewer."""


@attrs.frozen
class Corpus:
    """One text of the data, as an evaluation reads it."""

    share: float = 1.0
    """Share of the predicted tokens; 1 for a single text."""
    held_out: int | None = None
    """Held-out tokens; None if not known without reading the text."""


@attrs.frozen
class DataFacts:
    """The properties of the data that a model needs."""

    kind: Literal["images", "text", "vectors"]
    image: int | None = None
    """Side of the square images, in pixels; 0 in the check of an axis if the resolution is also an axis."""
    channels: int | None = None
    classes: int | None = None
    vocabulary: int | None = None
    separator: int | None = None
    """Token id that ends a document of text; None if the data does not separate documents."""
    longest: int | None = None
    """Longest context in tokens that both training and held-out text can fill; None if not known without reading
    them."""
    batch: int = 1
    """Images or vectors of one step, or TOKENS of one step for text at every context; 0 in the check of an axis if the
    batch is also an axis."""
    samples: int | None = None
    """Images of one epoch; None if the data does not have epochs."""
    held_out: int | None = None
    """Held-out images; None for text, and if not known without reading the data."""
    corpora: tuple[Corpus, ...] = (Corpus(),)
    """The texts that an evaluation reads; of other data, one that is not read."""
    features: int | None = None
    """Entries of a vector."""
    decay: float | None = None
    """alpha: the j-th entry of a vector has the variance j^(-2 alpha)."""


def scalars(parameters: Iterable[Parameter], sizes: Mapping[str, int], without: str | None = None) -> int:
    """Number of scalars of some parameters, given the size of every dim. `without`: excludes parameters that have this
    dim."""
    parts = ((*one.listed, *one.logical) for one in parameters)
    return sum(math.prod(sizes[dim] for dim in dims) for dims in parts if without not in dims)


@attrs.frozen
class Compute:
    """Compute of training, in the units of a convention. `sample`: compute of one sample (3 forward passes). `step`:
    compute of a step in addition to its samples, such as resizing the patch kernel."""

    sample: float
    step: float = 0.0


@attrs.frozen(eq=False)
class Model:
    """A model declared for one program: its parameters, and functions of a shape.

    Shapes are complete, as returned by `Architecture.shape`. The four functions raise EditError for a shape that the
    model does not support.
    """

    kind: str
    """The architecture's name in a `.shape` file. A backend looks up its module by this name."""
    norm: Literal["layer", "rms", "none"]
    parameters: tuple[Parameter, ...]
    slots: Mapping[str, SlotValue]
    """Values that a module needs in addition to sizes: norm.eps, head_width, and batch, patch or context if it is not
    an axis."""
    grains: Mapping[str, int]
    """Dim -> number of entries that stay together, such as the channels of a head."""
    sizes: Callable[[Shape], dict[str, int]]
    """Stored size of every dim."""
    seen: Callable[[Shape], dict[str, int]]
    """Size of every dim in the forward pass. It differs from the stored size under a View, as for `patch` and
    `grid`."""
    compute: Callable[[Shape, Convention], Compute]
    samples: Callable[[Shape], int]
    """Samples (images, sequences) of one step."""
    apart: frozenset[str] = frozenset({"depth", "part"})
    """Dims along which each slice counts as a tensor of its own and has its own mean square."""

    def grain(self, dim: str) -> int:
        return self.grains.get(dim, 1)

    def bearing(self, *dims: str) -> tuple[Parameter, ...]:
        """The parameters that have one of these dims."""
        return tuple(p for p in self.parameters if not {*p.listed, *p.logical}.isdisjoint(dims))


def step_compute(model: Model, shape: Shape, convention: Convention) -> float:
    """Compute of one training step in a shape."""
    compute = model.compute(shape, convention)
    return compute.sample * model.samples(shape) + compute.step


def divisors(number: int) -> list[int]:
    """The divisors of a number above 0, ascending."""
    small = [each for each in range(1, math.isqrt(number) + 1) if number % each == 0]
    return sorted({*small, *(number // each for each in small)})


def grid_of(image: int, patch: int, resizable: bool = False) -> int:
    """Number of patches along a side of an image; `image` and `patch` are in pixels. Raises EditError
    `indivisible-patch` if they do not tile it. `resizable`: whether the error may also suggest other resolutions."""
    grid, over = divmod(image, patch)
    if over or not grid:
        legal = divisors(image)
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
    """Number of sequences in the tokens of a step. Raises EditError `tokens-per-step-not-integral` if it is not a whole
    number."""
    count, over = divmod(tokens, context)
    if over or not count:
        raise EditError(
            "tokens-per-step-not-integral",
            f"a batch of {tokens} tokens is not a whole number of sequences of {context} tokens",
            why=f"{tokens} / {context} leaves {over} tokens over",
            help=f"use a batch that is a multiple of {context} tokens, such as {(count + 1) * context}",
        )
    return count


def fitting(context: int, facts: DataFacts) -> int:
    """Return `context` if the text can fill it. Raises EditError `context-too-long`."""
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
    """The properties of a teacher that the compiler reads from its file of weights. `forward`: compute of the forward
    pass of a sample, in the plan's convention, by the result of `input_of`."""

    sha256: str
    forward: Mapping[str, float]
    context: int | None = None
    """Context in tokens that the teacher was last trained at; None for images."""


def input_of(shape: Shape) -> str:
    """The input that a teacher sees in a complete shape: `image` for every patch size, or a number of tokens such as
    `512 tokens`."""
    return f"{shape['context']} tokens" if "context" in shape else "image"
