"""Protocols of components: the members that a class of each kind must have.

`Transition` declares the required members of a transition. `TransitionHooks` declares the optional members, with their
defaults. A component inherits the hooks of its kind, `class BatchResize(TransitionHooks)`, and defines the required
members. mypy checks each class against the full protocol in the `COMPONENTS` list. A component may implement a property
of a protocol as a property, a class variable or a setting.

The registry checks every class against its protocol when it loads the class (`base/conformance.py`). A member is
required if it is a class variable without a value, or abstract.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape, Value
from shapeflow.base.units import CostDimension, Dimension
from shapeflow.ir.decay import Decay
from shapeflow.ir.edits import Edit, SlotValue
from shapeflow.ir.law import Law
from shapeflow.ir.memory import Activations, Device
from shapeflow.ir.mixture import MixtureLaw
from shapeflow.ir.parameters import (
    ANY,
    Convention,
    Corpus,
    DataFacts,
    Growth,
    Model,
    Moments,
    Parameter,
    Preserves,
    Teacher,
)
from shapeflow.ir.route import LawRequest, Problem, Purpose, Route
from shapeflow.ir.tabulated import AnyLaw


class ArchitectureHooks(Protocol):
    """Optional members of an architecture, with their defaults."""

    def found_in(self, folder: Path) -> Self:
        """The component with the settings that it reads from a small file, as `DataHooks.found_in`. Default: the
        component unchanged. Raises EditError, which is reported at the first setting."""
        return self

    def activations(
        self, sizes: Mapping[str, int], slots: Mapping[str, SlotValue], device: Device
    ) -> Activations | None:
        """What a step keeps for its backward pass. `sizes`: size of every dim in the forward pass; `slots`: those of
        the shape that is read. Default: None, not known, so that no memory is estimated."""
        return None


class Architecture(ArchitectureHooks, Protocol):
    """A component of `models/`."""

    axes: ClassVar[frozenset[str]]
    """The axes along which the model can vary. If a file lacks one of them, the setting of the same name applies."""

    @property
    @abstractmethod
    def convention(self) -> Convention: ...

    @abstractmethod
    def shape(self, values: Mapping[str, Value]) -> Shape:
        """The complete shape of a candidate: `values` for the axes of the file, settings for all others. Raises
        EditError `missing-setting` or `setting-and-axis`."""
        ...

    @abstractmethod
    def declare(self, facts: DataFacts, stored: Mapping[str, int]) -> Model:
        """The model for the given data. `stored`: the sizes of arrays that transitions fix (`Transition.stored`)."""
        ...


class DataHooks(Protocol):
    """Optional members of a data component, with their defaults."""

    def found_in(self, folder: Path) -> Self:
        """The component with the settings that it reads from a small file, such as a header. The plan contains these
        settings. Relative paths start at `folder`. Default: the component unchanged. Raises EditError, which is
        reported at the first setting."""
        return self

    def longest(self, folder: Path) -> int | None:
        """Tokens of the longest context (`DataFacts.longest`), if known without reading the text. Default: None."""
        return None

    def corpora(self, folder: Path) -> tuple[Corpus, ...]:
        """What an evaluation reads (`DataFacts.corpora`), if known without reading the text. Default: one text of a
        size that is not known."""
        return (Corpus(),)

    def tokenizer_in(self, folder: Path) -> Mapping[str, Any]:
        """What the tokens were made with, as fact -> value, if a small file states it. Corpora of one mixture must have
        the same. Default: not known."""
        return {}


class Data(DataHooks, Protocol):
    """A component of `data/`."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """Images, or tokens, of one step."""
        ...

    @abstractmethod
    def facts(self) -> DataFacts:
        """The properties of the data that models need. Must not read the data."""
        ...


class ObjectiveHooks(Protocol):
    """Optional members of an objective, with their defaults."""

    @property
    def per_logit(self) -> float:
        """Bytes that the loss needs for each logit at its peak, the logit included. Default: 12, for a log-softmax in
        float32, its gradient and that of the logits."""
        return 12.0

    @property
    def label_smoothing(self) -> float:
        """The share of the target mass that is spread over all classes. Default: 0."""
        return 0.0

    @property
    def teachers(self) -> Mapping[str, str]:
        """Location among the settings -> the file of teacher weights given there. Default: no teachers."""
        return {}

    def taught(self, found: Mapping[str, Teacher]) -> Self:
        """The component with the properties of each teacher, by its file. Default: the component unchanged."""
        return self

    def passes(self, shape: Shape) -> Mapping[str, float]:
        """Digest of a teacher's file -> compute of its forward pass. If it is not empty, `compute` must be its sum. A
        mixture uses it to count a teacher once that several of its parts share. Default: empty."""
        return {}


class Objective(ObjectiveHooks, Protocol):
    """A component of `objectives/`: the loss that a step minimises."""

    @property
    @abstractmethod
    def data(self) -> str:
        """The kind of data that the objective supports: `images`, `text` or ANY."""
        ...

    @property
    @abstractmethod
    def reserved(self) -> int:
        """Number of token ids that the objective adds after those of the data, for its own sentinel tokens."""
        ...

    @abstractmethod
    def compute(self, facts: DataFacts, shape: Shape, convention: Convention) -> float:
        """Compute per sample in addition to the model's own training: the forward passes of teachers. Raises
        EditError if the objective cannot be used in this shape."""
        ...


class Optimizer(Protocol):
    """A component of `optimizers/`: its settings, and the state that it keeps for each parameter.

    A backend implements the update; the torch backend does so in the file of the same name in
    `backends/shapeflow_torch/optimizers/`. `shapeflow.ir.rates` gives the learning rate of each step."""

    @property
    @abstractmethod
    def lr(self) -> float:
        """Learning rate after the warm-up, before it is multiplied by the factors of a stage."""
        ...

    @property
    @abstractmethod
    def warmup(self) -> int:
        """Number of warm-up steps at the start of a run."""
        ...

    @property
    @abstractmethod
    def weight_decay(self) -> float:
        """Decoupled weight decay of matrices: a step multiplies them by 1 - rate * `weight_decay`."""
        ...

    @property
    @abstractmethod
    def clip(self) -> float:
        """Maximum norm of the gradient over all parameters."""
        ...

    @property
    @abstractmethod
    def average(self) -> int:
        """Horizon of the averaged weights, in steps at the batch size of the data component."""
        ...

    @abstractmethod
    def state(self, parameter: Parameter) -> Mapping[str, Growth]:
        """Name -> growth rule of each part of the state that is kept for every tensor of a parameter. Each part has the
        shape of the tensor, except that a `count` may be a single number if it is the same for all entries."""
        ...

    @abstractmethod
    def decays(self, memory: float) -> Mapping[str, float]:
        """Setting -> the decay of a second moment for a step that counts as `memory` steps at the batch size of the
        data component: decay ** memory. These decays scale under `batch_resize(beta2: samples)`. Empty for an
        optimizer without second moments."""
        ...


class MetricHooks(Protocol):
    """Optional members of a metric, with their defaults."""

    @property
    def own(self) -> bool:
        """Whether each shape is evaluated on held-out data in its own form, such as its own context. Default: False."""
        return False


class Metric(MetricHooks, Protocol):
    """A component of `metrics/`: the quantity that laws predict and that a run is evaluated by."""

    @property
    @abstractmethod
    def data(self) -> str:
        """The kind of data that the metric supports: `images` or `text`."""
        ...

    @property
    @abstractmethod
    def unit(self) -> str:
        """The unit of the metric: `nats`, `share`, `bits_per_byte` and the like. The key of a metric in an unusual unit
        states it: errors in two units never have the same key."""
        ...

    @property
    @abstractmethod
    def key(self) -> str:
        """The metric's name in plans and logs, such as `loss@own` and `loss@own:bits_per_byte`."""
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
    """Position of the axis in the order of changes, if several axes change at one switch. The lowest number changes
    first; equal numbers are ordered by name."""

    usual: ClassVar[str] = ""
    """The transition that `doctor` proposes, as written in a file. `{first}` is replaced by the first value listed.
    Default: a transition that moves along the axis, without settings."""

    columns: ClassVar[tuple[str, ...]] = ()
    """Common names of the axis's column in logs in addition to its own name, in lower case with underscores."""

    falls: ClassVar[bool] = False
    """Whether later stages usually have smaller values."""

    data: ClassVar[str] = ANY
    """The kind of data that the axis supports: `images`, `text` or ANY."""

    caution: ClassVar[str] = ""
    """Why metric values at different values of the axis are not comparable, for a metric that evaluates each shape in
    its own form (`MetricHooks.own`). A whole sentence, lower case, no full stop. Default: empty, they are
    comparable."""

    fact: ClassVar[str] = ""
    """The field of DataFacts that a value of the axis, or the model's setting of the same name, replaces."""


class Axis(AxisHooks, Protocol):
    """A component of `axes/`."""

    dimension: ClassVar[Dimension]

    unit: ClassVar[str]
    """The unit after a value, or empty."""

    example: ClassVar[str]
    """Example values as written in a file, in the order in which stages usually use them. `explain` shows them."""

    @abstractmethod
    def check(self, value: Value, facts: DataFacts, model: Model | None = None) -> None:
        """Raises EditError if the axis cannot take the value with this data and this model."""
        ...


class TransitionHooks(Protocol):
    """Optional members of a transition, with their defaults."""

    @property
    def blend(self) -> float:
        """Share of a stage, at its end, over which the share of steps in the next shape increases. Default: 0."""
        return 0.0

    @property
    def blends(self) -> bool:
        """Whether a stage may mix steps at two values of the axis. Default: True."""
        return True

    @property
    def rewarm(self) -> int | None:
        """Number of steps of learning-rate warm-up after a switch. Default: None, which derives it from `moments`."""
        return None

    def learning_rate(self, facts: DataFacts, shape: Shape) -> float:
        """Factor on the optimizer's learning rate in a shape. Default: 1."""
        return 1.0

    def matrix_rate(self, shape: Shape) -> float:
        """Additional factor for the matrices whose inputs are channels, heads or hidden units. Default: 1."""
        return 1.0

    def memory(self, facts: DataFacts, shape: Shape) -> float:
        """Exponent for the decays of the second moment and of the averaged weights in a shape. Default: 1."""
        return 1.0

    def agree(self, dimension: Dimension, values: tuple[Value, ...]) -> None:
        """Check that the settings fit the values of the axis. Raises EditError if not. Default: they always fit."""
        return  # Without a body the method would count as abstract.

    def stored(self, facts: DataFacts) -> dict[str, int]:
        """Dim -> stored size, for arrays whose stored size this transition fixes for all shapes. Default: none."""
        return {}

    def check(self, model: Model, before: Shape, after: Shape) -> None:
        """Check that the transition can switch from `before` to `after`. Raises EditError if not. Default: it can."""
        return  # Without a body the method would count as abstract.


class Transition(TransitionHooks, Protocol):
    """A component of `transitions/`. A pure function of (model, shape before, shape after).

    Learning-rate factors and memory depend on the shape alone. A run that switches to a shape therefore trains with the
    same hyperparameters as a run that has this shape from the start."""

    axis: ClassVar[str]

    one_way: ClassVar[bool]
    """Whether the transition cannot be reversed. If so, `reading` returns no edits, and no stage blends over it."""

    @property
    @abstractmethod
    def preview(self) -> float:
        """Share of a stage's steps taken in the next shape, after the fraction `preview_from` of the stage."""
        ...

    @property
    @abstractmethod
    def preview_from(self) -> float: ...

    @property
    @abstractmethod
    def retain(self) -> float:
        """Share of a stage's steps taken in the previous shape."""
        ...

    @property
    @abstractmethod
    def credit(self) -> float:
        """Share of the loss decrease predicted by the law that survives a switch. A measured credit replaces it."""
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
    def reading(self, model: Model, shape: Shape) -> tuple[Edit, ...]:
        """The View and Swap edits that set the axis to its value in `shape`. They are absolute: they have the same
        result from every previous state."""
        ...

    @abstractmethod
    def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]:
        """The edits of a switch, in order. Raises the errors of `check`."""
        ...


class LawSourceHooks(Protocol):
    """Optional members of a law source, with their defaults. A source that fits laws inherits `FittedSource` of
    `laws/fitting/fitted_source.py` instead."""

    setting_names: ClassVar[Mapping[Purpose, str]] = {}
    """Purpose of a setting -> its name in this source. Messages about logs and fits point at these settings, and advise
    only settings that are listed."""

    @property
    def runs_differ(self) -> float:
        """Prior standard deviation of log compute at equal error between two runs of one shape. Default: 0.04."""
        return 0.04

    @property
    def useful(self) -> float:
        """The smallest saving that is worth a switch. Default: 0.02."""
        return 0.02

    def fitted(self, request: LawRequest, report: Report) -> Any:
        """The laws with their points (`FittedLaws`), for a source that fits laws. Default: None, no fit."""
        return None

    def mixture(self, request: LawRequest, report: Report) -> MixtureLaw | None:
        """The law of mixtures of the candidates, for a source that has one. Default: None, and `laws` is called. After
        an error was reported, `laws` is not called."""
        return None

    def samples(self, request: LawRequest, report: Report) -> Mapping[Shape, tuple[AnyLaw, ...]]:
        """Equally likely laws of each candidate, for a source that knows how much its laws may differ from those of one
        run; the i-th of all candidates belong together. Called after `laws` has reported no error. Default: none."""
        return {}

    def refit(self, request: LawRequest) -> str | None:
        """The sentence that fits the laws again, for a source that reads fitted laws. Default: None, not known."""
        return None


class LawSource(LawSourceHooks, Protocol):
    """A component of `laws/` for the sentence `laws from`."""

    @abstractmethod
    def laws(self, request: LawRequest, report: Report) -> Mapping[Shape, AnyLaw]:
        """Candidate -> law, for the candidates that the source has a law for. Errors are reported at
        `request.spans`."""
        ...


class LawForm(Protocol):
    """A component of `laws/` for the sentence `law for ... is`: a stated law."""

    @abstractmethod
    def law(self, metric: str, convention: str) -> Law:
        """The law of a metric, with compute counted by `convention` (`flops` or `paper`)."""
        ...


class TraversalHooks(Protocol):
    """Optional members of a traversal, with their defaults."""

    @property
    def picks(self) -> bool:
        """Whether the traversal chooses among all candidates. If so, candidates that it does not use are reported.
        Default: False."""
        return False

    @property
    def target(self) -> Shape | None:
        """The axes and values that the model will be used at, if the traversal names them. Default: None."""
        return None


class Traversal(TraversalHooks, Protocol):
    """A component of `traversals/`: the rule that decides which candidate is trained when."""

    @abstractmethod
    def route(self, problem: Problem, report: Report) -> Route | None:
        """The route, or None if an error was reported."""
        ...


class Schedule(Protocol):
    """A component of `schedules/`. The plan contains the resulting numbers, so a plan also runs where the component is
    not installed."""

    @abstractmethod
    def decay(self) -> Decay | None:
        """The decay of the learning rate over the run; None if it stays constant."""
        ...


class Cost(Protocol):
    """A component of `costs/`: what a plan minimises. The plan contains the resulting number, so a plan also runs where
    the component is not installed."""

    dimension: ClassVar[CostDimension]
    """What the cost is counted in."""

    @abstractmethod
    def per_second(self, devices: int) -> float | None:
        """The cost of a second of all devices of the profile, in the base unit of the dimension; None for compute,
        which does not follow from time."""
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
    "cost": Cost,
}
"""Kind of component -> its protocol."""
