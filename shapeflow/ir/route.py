"""What lies between the laws and the plan: the question put to a traversal, and its answer.

A traversal answers a `Problem` with a `Route`: which shape, in which order, until when. Steps, transitions and
predicted errors are made of it by `lower.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import attrs

from shapeflow.base.diagnostics import Span
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount


class Curve(Protocol):
    """A law as a traversal sees it: the expected error of one shape after some compute (FLOPs)."""

    @property
    def floor(self) -> float:
        """The error below which the law never gets."""
        ...

    @property
    def measured(self) -> tuple[float, float] | None:
        """The highest and the lowest error that the law was fitted to; None for a law that was stated."""
        ...

    def error(self, compute: float) -> float: ...

    def compute(self, error: float) -> float:
        """The inverse; infinite at and below the floor; may be negative above the error at compute 0."""
        ...

    def log_rate(self, error: float) -> float:
        """log |dC/dE|, the compute that one unit of error costs here; infinite at and below the floor."""
        ...


@attrs.frozen
class Until:
    """Where a leg ends: at an error, or at an amount counted from the start of the run; None is the end of the plan."""

    error: float | None = None
    amount: Amount | None = None
    """Compute, steps, samples, tokens, epochs, or a ratio of the budget."""


END = Until()


@attrs.frozen
class Share:
    """A share of a leg's steps that is taken in another shape, between two points of the leg (0 to 1)."""

    shape: Shape
    share: float
    first: float = 0.0
    last: float = 1.0


@attrs.frozen
class Leg:
    """A stretch of the way in one shape."""

    shape: Shape
    until: Until
    shares: tuple[Share, ...] = ()
    """What the leg blends in from the traversal itself; previews of transitions come later."""


@attrs.frozen
class Route:
    """The way, and what the traversal wants said about it (whole sentences, lower case, no full stop)."""

    legs: tuple[Leg, ...]
    notes: tuple[str, ...] = ()


@attrs.frozen
class Problem:
    """All that a traversal may look at."""

    candidates: tuple[Shape, ...]
    laws: Mapping[Shape, Curve]
    """Empty where the program has no laws (hand-written stages, sweeps)."""
    units: Mapping[str, str]
    """Axis -> unit, for messages."""
    start: float | None
    """The error at which the first leg begins."""
    target: float | None
    """The error at which the plan may stop."""
    budget: Amount | None
    """Compute, steps, samples or tokens."""
    step_compute: Mapping[Shape, float] | None
    """FLOPs of one step in a shape; None without a model."""
    allowed: Callable[[Shape, Shape], bool]
    """May the plan go from the one shape to the other? False where a one-way transition would have to go back."""
    credit: Callable[[Shape, Shape], float]
    """eta of the switch: the share of the law's descent that survives it; 1 in paper A."""
    spans: Mapping[str, Span]
    """Settings of the traversal's sentence -> where they stand; "" is the component itself, "budget", "stop" and
    "start" the sentences of that name where the file has them."""
    surcharge: Callable[[Shape, Shape], float] = lambda before, after: 0.0
    """What the preview of a switch adds to the compute of the stage before it, as a part of that."""
    step_data: Mapping[Shape, float] | None = None
    """Images, or tokens, of one step in a shape; None without a model."""


Purpose = Literal[
    "paths", "error", "compute", "compute_unit", "step", "rate", "run", "axes", "where", "drop_warmup", "resamples"
]
"""What a setting of a law source is for, by the name that `fit` gives it."""


@attrs.frozen
class LawRequest:
    """What a law source is asked for."""

    candidates: tuple[Shape, ...]
    units: Mapping[str, str]
    metric: str
    """The metric's name as plans write it, such as `loss@own`, `loss@longest`, `classification_error`."""
    convention: str
    """`flops` or `paper`."""
    folder: str
    """Relative paths are relative to this folder: that of the file that names them."""
    spans: Mapping[str, Span]
    """Settings of the source's component -> where they stand; "" is the component itself."""
    candidate_spans: Mapping[Shape, Span]
    """Where each candidate's value stands in its axis sentence."""
    unit: str | None = None
    """Of the metric: `nats` or `share`."""
    step_compute: Mapping[Shape, float] | None = None
    """FLOPs of one step in a shape; None without a model."""
    step_data: Mapping[Shape, float] | None = None
    """Images, or tokens, of one step in a shape; None without a model."""
    parameters: Mapping[Shape, int] | None = None
    """Numbers that are trained in a shape, embeddings and head included; None without a model."""
    non_embedding: Mapping[Shape, int] | None = None
    """The same without what has an entry for each token of the vocabulary."""
    setting_names: Mapping[Purpose, str] = attrs.field(factory=dict)
    """What a setting is for -> its name in the law source that answers; a message advises no other setting."""
    sources: Mapping[str, Any] = attrs.field(factory=dict)
    """Name -> class of every law source that is installed."""

    def at(self, *purposes: Purpose) -> Span | None:
        """Where the first of these settings that the file gives stands, else the source's component."""
        names = [self.setting_names[each] for each in purposes if each in self.setting_names]
        return next((self.spans[name] for name in names if name in self.spans), self.spans.get(""))

    def advice(self, *options: str | tuple[Purpose, str]) -> str | None:
        """Options for a reader, joined by "or". One about a setting is (what it is for, text with `{}` for its name),
        and is left out where the source has no such setting. None where no option is left."""
        said = [one if isinstance(one, str) else self._about(*one) for one in options]
        left = [one for one in said if one]
        return ", or ".join([", ".join(left[:-1])] * (len(left) > 1) + left[-1:]) or None

    def _about(self, purpose: Purpose, text: str) -> str | None:
        name = self.setting_names.get(purpose)
        return None if name is None else text.format(name)
