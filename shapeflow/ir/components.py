"""Protocols of components: what a class of each folder must offer.

`Transition` holds what is required of a transition, and `TransitionHooks` what is optional, with defaults. A component
inherits the hooks of its kind, `class BatchResize(TransitionHooks)`, and writes the rest: mypy compares it with the
whole protocol where it is listed, in `COMPONENTS`. A member that is declared as a property here may be a property, a
class variable or a setting there.

The registry compares every class with its protocol when it is loaded (`base/conformance.py`): a required member is a
class variable without a value, or abstract.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape, Value
from shapeflow.base.units import Dimension
from shapeflow.ir.decay import Decay
from shapeflow.ir.edits import Edit
from shapeflow.ir.law import Law
from shapeflow.ir.parameters import ANY, Convention, DataFacts, Growth, Model, Moments, Parameter, Preserves, Teacher
from shapeflow.ir.route import LawRequest, Problem, Purpose, Route


class Architecture(Protocol):
    """A component of `models/`."""

    axes: ClassVar[frozenset[str]]
    """The axes that it takes values on; a setting of the same name holds the value where there is no such axis."""

    @property
    @abstractmethod
    def convention(self) -> Convention: ...

    @abstractmethod
    def shape(self, values: Mapping[str, Value]) -> Shape:
        """A candidate made whole: values of the axes, settings for the others. Raises EditError `missing-setting`,
        `setting-and-axis`."""
        ...

    @abstractmethod
    def declare(self, facts: DataFacts, stored: Mapping[str, int]) -> Model:
        """The model for some data; `stored`: sizes that the program's transitions keep (`Transition.stored`)."""
        ...


class DataHooks(Protocol):
    """Optional members of a data component, with their defaults."""

    def found_in(self, folder: Path) -> Self:
        """The component with the settings that a small file states; relative paths start at `folder`. Plans hold these.
        Default: the component as it is. Raises EditError, reported at the first setting."""
        return self

    def longest(self, folder: Path) -> int | None:
        """Tokens of the longest context (`DataFacts.longest`), if known without reading the text. Default: None."""
        return None


class Data(DataHooks, Protocol):
    """A component of `data/`."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """Images, or tokens, of one step."""
        ...

    @abstractmethod
    def facts(self) -> DataFacts:
        """What models must know, without reading a byte."""
        ...


class ObjectiveHooks(Protocol):
    """Optional members of an objective, with their defaults."""

    @property
    def label_smoothing(self) -> float:
        """The share of the target mass that is spread over all classes. Default: 0."""
        return 0.0

    @property
    def teachers(self) -> Mapping[str, str]:
        """Place among the settings -> the file of weights that it names. Default: no teachers."""
        return {}

    def taught(self, found: Mapping[str, Teacher]) -> Self:
        """The component with what was found in each file of `teachers`. Default: the component as it is."""
        return self

    def passes(self, shape: Shape) -> Mapping[str, float]:
        """Digest of a teacher's file -> compute of its forward pass. If it is not empty, `compute` is the sum of it, so
        that a mixture counts a teacher of several parts once. Default: empty."""
        return {}


class Objective(ObjectiveHooks, Protocol):
    """A component of `objectives/`: what a step minimises."""

    @property
    @abstractmethod
    def data(self) -> str:
        """The kind of data that it is for: `images` or `text`, or ANY."""
        ...

    @property
    @abstractmethod
    def reserved(self) -> int:
        """Token ids that it needs after those of the data, for marks of its own."""
        ...

    @abstractmethod
    def compute(self, facts: DataFacts, shape: Shape, convention: Convention) -> float:
        """Compute of one sample in addition to the model's own training: the forward passes of teachers. Raises
        EditError for a shape in which nothing can be asked."""
        ...


class Optimizer(Protocol):
    """A component of `optimizers/`: its settings, and what it keeps of each parameter.

    A backend makes the updates; the torch backend does in the file of the same name in
    `backends/shapeflow_torch/optimizers/`. The rate of a step is that of `shapeflow.ir.rates`."""

    @property
    @abstractmethod
    def lr(self) -> float:
        """Learning rate after the warm-up, before the factors of a stage."""
        ...

    @property
    @abstractmethod
    def warmup(self) -> int:
        """Steps over which the learning rate rises at the start of a run."""
        ...

    @property
    @abstractmethod
    def weight_decay(self) -> float:
        """Decoupled weight decay of matrices: a step multiplies them by 1 - rate * `weight_decay`."""
        ...

    @property
    @abstractmethod
    def clip(self) -> float:
        """Largest norm of the gradient of all parameters together."""
        ...

    @property
    @abstractmethod
    def average(self) -> int:
        """Horizon of the averaged weights, in steps of the data's own batch."""
        ...

    @abstractmethod
    def state(self, parameter: Parameter) -> Mapping[str, Growth]:
        """The parts of the state kept for each tensor of a parameter, by name. All have the tensor's sizes, except
        that a `count` is one number where all entries have the same."""
        ...

    @abstractmethod
    def decays(self, memory: float) -> Mapping[str, float]:
        """The decays that follow the batch under `batch_resize(beta2: samples)`, by setting, for a step that counts as
        `memory` steps of the data's own batch: decay ** memory. Those of second moments; empty without any."""
        ...


class MetricHooks(Protocol):
    """Optional members of a metric, with their defaults."""

    @property
    def own(self) -> bool:
        """Whether each shape is measured on held-out data as the shape reads data. Default: False."""
        return False


class Metric(MetricHooks, Protocol):
    """A component of `metrics/`: what laws predict and what a run is measured by."""

    @property
    @abstractmethod
    def data(self) -> str:
        """The kind of data that it is for: `images` or `text`."""
        ...

    @property
    @abstractmethod
    def unit(self) -> str:
        """`nats` or `share`."""
        ...

    @property
    @abstractmethod
    def key(self) -> str:
        """Its name in plans and logs, such as `loss@own`."""
        ...


LAST = 100
"""The `order` of an axis that does not state one."""


class AxisHooks(Protocol):
    """Optional members of an axis, with their defaults."""

    counts: ClassVar[Mapping[str, tuple[Dimension, ...]]] = {}
    """Kind of data -> the dimensions that values may have, if the unit depends on the data. Default: `dimension`."""

    names: ClassVar[str] = ""
    """For an axis of names: the kind of component that the values name."""

    order: ClassVar[int] = LAST
    """When the axis changes if several change at one switch: lowest number first, equal numbers by name."""

    usual: ClassVar[str] = ""
    """The transition that `doctor` proposes, as a file writes it; `{first}` stands for the first value listed. Default:
    a transition that moves along the axis, without settings."""

    columns: ClassVar[tuple[str, ...]] = ()
    """Usual names of its column in logs besides its own name, in lower case with underscores."""

    falls: ClassVar[bool] = False
    """Whether later stages usually have smaller values."""

    data: ClassVar[str] = ANY
    """The kind of data that the axis is for: `images` or `text`, or ANY."""

    caution: ClassVar[str] = ""
    """Why values that a metric takes at each shape's own value of the axis are not comparable, if they are not; a whole
    sentence, lower case, no full stop. See `MetricHooks.own`."""

    fact: ClassVar[str] = ""
    """The field of DataFacts that a value of the axis, or the model's setting of its name, takes the place of."""


class Axis(AxisHooks, Protocol):
    """A component of `axes/`."""

    dimension: ClassVar[Dimension]

    unit: ClassVar[str]
    """The unit after a value, or empty."""

    example: ClassVar[str]
    """Values as a file lists them, in the order in which they usually follow each other; `explain` shows them."""

    @abstractmethod
    def check(self, value: Value, facts: DataFacts, model: Model | None = None) -> None:
        """Raises EditError if the axis cannot take the value with this data and this model."""
        ...


class TransitionHooks(Protocol):
    """Optional members of a transition, with their defaults."""

    @property
    def blend(self) -> float:
        """The last part of a stage over which the next shape comes in more and more often. Default: 0."""
        return 0.0

    @property
    def blends(self) -> bool:
        """Whether a stage may take steps in two values of the axis. Default: True."""
        return True

    @property
    def rewarm(self) -> int | None:
        """Steps over which the learning rate rises after a switch. Default: None, which follows from `moments`."""
        return None

    def learning_rate(self, facts: DataFacts, shape: Shape) -> float:
        """Factor on the optimizer's learning rate in a shape. Default: 1."""
        return 1.0

    def matrix_rate(self, shape: Shape) -> float:
        """Further factor for the matrices that read channels, heads or hidden units. Default: 1."""
        return 1.0

    def memory(self, facts: DataFacts, shape: Shape) -> float:
        """Power on the decays of the second moment and of the average in a shape. Default: 1."""
        return 1.0

    def agree(self, dimension: Dimension, values: tuple[Value, ...]) -> None:
        """Raises EditError if its settings do not fit the values of the axis. Default: they always fit."""
        return  # a body: without one the method would count as abstract


class Transition(TransitionHooks, Protocol):
    """A component of `transitions/`. A pure function of (model, shape before, shape after).

    Rates and memory depend on the shape alone, so that a fixed run and one that comes to the shape are alike."""

    axis: ClassVar[str]

    one_way: ClassVar[bool]
    """It cannot go back; then it makes no reading, and no stage blends over it."""

    @property
    @abstractmethod
    def preview(self) -> float:
        """Share of a stage's steps taken in the next shape, from `preview_from` (0 to 1) of the stage on."""
        ...

    @property
    @abstractmethod
    def preview_from(self) -> float: ...

    @property
    @abstractmethod
    def retain(self) -> float:
        """Share of a stage's steps taken in the shape before."""
        ...

    @property
    @abstractmethod
    def credit(self) -> float:
        """Share of the law's descent that survives a switch, unless it was measured."""
        ...

    @property
    @abstractmethod
    def preserves(self) -> Preserves: ...

    @property
    @abstractmethod
    def moments(self) -> Moments: ...

    @property
    @abstractmethod
    def average(self) -> Literal["map", "restart"]: ...

    @abstractmethod
    def stored(self, facts: DataFacts) -> dict[str, int]:
        """Stored sizes that this transition keeps whatever the shape."""
        ...

    @abstractmethod
    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        """The absolute View and Swap edits by which any state reads as this shape on its axis."""
        ...

    @abstractmethod
    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Raises EditError if it cannot go this way."""
        ...

    @abstractmethod
    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        """What it does at a switch. Raises what `check` raises."""
        ...


class LawSourceHooks(Protocol):
    """Optional members of a law source, with their defaults. A source that fits laws inherits `FittedSource` of
    `laws/fitting/fitted_source.py` instead."""

    setting_names: ClassVar[Mapping[Purpose, str]] = {}
    """What a setting is for -> what it is called here. Messages about logs and fits point at these settings, and advise
    no setting that is not listed."""

    def fitted(self, request: LawRequest, report: Report) -> Any:
        """The laws with their points (`FittedLaws`), for a source that fits. Default: None, it does not fit."""
        return None

    def refit(self, request: LawRequest) -> str | None:
        """The sentence that fits the laws again, for a source that reads fitted laws. Default: None, unknown."""
        return None


class LawSource(LawSourceHooks, Protocol):
    """A component of `laws/` for the sentence `laws from`."""

    @abstractmethod
    def laws(self, request: LawRequest, report: Report) -> dict[Shape, Law]:
        """The laws of those candidates that it knows. What is wrong is reported at `request.spans`."""
        ...


class LawForm(Protocol):
    """A component of `laws/` for the sentence `law for ... is`: a stated law."""

    @abstractmethod
    def law(self, metric: str, convention: str) -> Law:
        """The law of a metric, with compute counted by a convention (`flops` or `paper`)."""
        ...


class TraversalHooks(Protocol):
    """Optional members of a traversal, with their defaults."""

    @property
    def picks(self) -> bool:
        """Whether it may use every candidate; one that it leaves out is then reported. Default: False."""
        return False

    @property
    def crosses(self) -> bool:
        """Whether it switches where the laws of two shapes cross. Default: False."""
        return False


class Traversal(TraversalHooks, Protocol):
    """A component of `traversals/`: the rule that picks which candidate is trained when."""

    @abstractmethod
    def route(self, problem: Problem, report: Report) -> Route | None:
        """The route, or None after an error was reported."""
        ...


class Schedule(Protocol):
    """A component of `schedules/`. Its settings become numbers in the plan, so that a plan runs where the component is
    not installed."""

    @abstractmethod
    def decay(self) -> Decay | None:
        """How the learning rate falls over the run; None if it stays constant."""
        ...


PROTOCOLS: Mapping[str, type] = {
    "model": Architecture,
    "data": Data,
    "objective": Objective,
    "optimizer": Optimizer,
    "metric": Metric,
    "axis": Axis,
    "transition": Transition,
    "law source": LawSource,
    "law": LawForm,
    "traversal": Traversal,
    "schedule": Schedule,
}
"""Kind of component -> its protocol."""
