"""Input and output of a traversal and of a law source.

A traversal receives a `Problem` and returns a `Route`: the shapes in order, and where each leg ends. `stages/lower`
turns the route into steps, transitions and predicted errors. A law source receives a `LawRequest`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import attrs

from shapeflow.base.diagnostics import Span
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount, Dimension
from shapeflow.ir.mixture import MixtureLaw
from shapeflow.ir.tabulated import Knots


class Curve(Protocol):
    """The part of a law that a traversal uses: the expected error of one shape after some compute (FLOPs)."""

    @property
    def floor(self) -> float:
        """The error that the law approaches but never reaches."""
        ...

    @property
    def measured(self) -> tuple[float, float] | None:
        """The highest and the lowest error that the law was fitted to; None for a stated law."""
        ...

    @property
    def bends(self) -> tuple[float, ...]:
        """Errors, descending, between which the rates of two laws cross at most once. Empty for a power law, whose rate
        is a straight line over log(error - floor)."""
        ...

    @property
    def knots(self) -> Knots | None:
        """The points between which the law is a cubic; None for a power law."""
        ...

    def error(self, compute: float) -> float: ...

    def compute(self, error: float) -> float:
        """The inverse of `error`. Infinite at and below the floor; may be negative above the error at compute 0."""
        ...

    def log_rate(self, error: float) -> float:
        """log |dC/dE| at an error: the compute per unit of error; infinite at and below the floor."""
        ...


@attrs.frozen
class Until:
    """Where a leg ends: at an error, or at an amount counted from the start of the run. If both are None, the leg ends
    with the plan."""

    error: float | None = None
    amount: Amount | None = None
    """Compute, steps, samples, tokens, epochs, seconds, or a ratio of the budget."""


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
    """A part of the route in one shape."""

    shape: Shape
    until: Until
    shares: tuple[Share, ...] = ()
    """Shares that the traversal itself blends in. A later stage adds the previews of transitions."""


@attrs.frozen
class Route:
    """The legs in order, and notes of the traversal for the user (whole sentences, lower case, no full stop)."""

    legs: tuple[Leg, ...]
    notes: tuple[str, ...] = ()


@attrs.frozen
class Problem:
    """The input of a traversal."""

    candidates: tuple[Shape, ...]
    laws: Mapping[Shape, Curve]
    """Empty if the program does not have laws (hand-written stages, sweeps)."""
    units: Mapping[str, str]
    """Axis -> unit, for messages."""
    start: float | None
    """The error at which the first leg begins."""
    target: float | None
    """The error at which the plan may stop."""
    budget: Amount | None
    """Compute, steps, samples, tokens or seconds."""
    step_compute: Mapping[Shape, float] | None
    """FLOPs of one step in a shape; None without a model."""
    allowed: Callable[[Shape, Shape], bool]
    """Whether the plan may switch from the first shape to the second. False if this would reverse a one-way
    transition."""
    credit: Callable[[Shape, Shape], float]
    """eta of the switch: the share of the loss decrease predicted by the law that survives it; 1 in paper A."""
    spans: Mapping[str, Span]
    """Setting of the traversal's sentence -> its location. "" is the component itself; "budget", "stop" and "start" are
    the sentences of that name, if the file has them."""
    surcharge: Callable[[Shape, Shape], float] = lambda before, after: 0.0
    """Compute that the preview of a switch adds to the stage before it, as a fraction of that stage's compute; for a
    budget in seconds the fraction of that stage's seconds."""
    step_data: Mapping[Shape, float] | None = None
    """Images, or tokens, of one step in a shape; None without a model."""
    step_seconds: Mapping[Shape, float] | None = None
    """Seconds of one step in a shape; None without a profile."""
    switch_seconds: Callable[[Shape, Shape], float] | None = None
    """Seconds that a switch takes, by the profile. They are part of its price if seconds are optimized. None: not
    known, and 0."""
    mixture: MixtureLaw | None = None
    """The law of mixtures of the candidates, if the file asks for one."""
    one_way: frozenset[str] | None = None
    """The axes on which a switch may not lower the value, and no other switch is forbidden. None: not known."""
    credits: tuple[float, float] = (0.0, 1.0)
    """No switch has a smaller or a larger credit."""
    previewed: bool = True
    """Whether some switch may have a surcharge."""
    unit: Dimension = "compute"
    """What is optimized: the unit of the budget. Without one `compute` or `seconds`."""


Purpose = Literal[
    "paths",
    "error",
    "compute",
    "compute_unit",
    "step",
    "rate",
    "run",
    "axes",
    "where",
    "drop_warmup",
    "resamples",
    "parameters",
    "numbers",
]
"""Purpose of a setting of a law source; purposes are named after the settings of `fit`."""


@attrs.frozen(eq=False)
class Training:
    """What a file trains, for a source that computes laws from it."""

    model: str
    data: str
    optimizer: str
    """Names of the components."""
    data_settings: Mapping[str, Any]
    optimizer_settings: Mapping[str, Any]
    sizes: Mapping[Shape, Mapping[str, int]]
    """Stored size of every dim in a shape."""
    batch: Mapping[Shape, int]
    """Images, vectors or tokens of one step in a shape."""
    learning_rate: Mapping[Shape, float]
    """Learning rate in a shape, after the warm-up."""
    context: Mapping[Shape, int] = attrs.field(factory=dict)
    """Tokens of a sequence in a shape; empty for data that are not tokens."""


@attrs.frozen
class LawRequest:
    """The input of a law source."""

    candidates: tuple[Shape, ...]
    units: Mapping[str, str]
    metric: str
    """The metric's name as plans write it, such as `loss@own`, `loss@longest`, `classification_error`."""
    convention: str
    """Convention of compute: `flops` or `paper`."""
    folder: str
    """The folder that relative paths start from: that of the file that names them."""
    spans: Mapping[str, Span]
    """Setting of the source's component -> its location. "" is the component itself."""
    candidate_spans: Mapping[Shape, Span]
    """Candidate -> location of its value in the `axis` sentence."""
    unit: str | None = None
    """Unit of the metric: `nats`, `share`, `bits_per_byte` and the like."""
    step_compute: Mapping[Shape, float] | None = None
    """FLOPs of one step in a shape; None without a model."""
    step_data: Mapping[Shape, float] | None = None
    """Images, or tokens, of one step in a shape; None without a model."""
    parameters: Mapping[Shape, int] | None = None
    """Number of trained parameters in a shape, including embeddings and head; None without a model."""
    non_embedding: Mapping[Shape, int] | None = None
    """The same, without parameters that have an entry for each token of the vocabulary."""
    training: Training | None = None
    """What the file trains; None without a model."""
    trains_unlike: Callable[[Mapping[str, Mapping[str, Any] | None]], str | None] | None = None
    """The difference between what the file trains and the components of a run, see `Program`; None without a model."""
    setting_names: Mapping[Purpose, str] = attrs.field(factory=dict)
    """Purpose of a setting -> its name in the current law source. Messages advise only these settings."""
    sources: Mapping[str, Any] = attrs.field(factory=dict)
    """Name -> class of every installed law source."""
    intervals: bool = False
    """Whether the report of `shapeflow fit` is wanted: intervals of the laws' parameters. A plan does not use them."""

    def at(self, *purposes: Purpose) -> Span | None:
        """Location of the first of these settings that the file contains, otherwise of the source's component."""
        names = [self.setting_names[each] for each in purposes if each in self.setting_names]
        return next((self.spans[name] for name in names if name in self.spans), self.spans.get(""))

    def advice(self, *options: str | tuple[Purpose, str]) -> str | None:
        """Join the options for a help text by "or". An option about a setting is (purpose, text with `{}` for the
        setting's name); it is left out if the source lacks the setting. None if no option is left."""
        said = [one if isinstance(one, str) else self._about(*one) for one in options]
        left = [one for one in said if one]
        return ", or ".join([", ".join(left[:-1])] * (len(left) > 1) + left[-1:]) or None

    def _about(self, purpose: Purpose, text: str) -> str | None:
        name = self.setting_names.get(purpose)
        return None if name is None else text.replace("{}", name)
