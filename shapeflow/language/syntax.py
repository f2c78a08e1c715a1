"""The syntax tree of a `.shape` file: one class per kind of sentence, and one per kind of value.

Every node has a `span`, its location in the source text. Comparisons ignore spans: two documents are equal if they have
the same content, in any layout.
"""

from __future__ import annotations

from decimal import Decimal

import attrs

from shapeflow.base.diagnostics import Source, Span


@attrs.frozen
class Written:
    """A node with its location in the source text. The span of a sentence begins at its reserved word."""

    span: Span = attrs.field(eq=False, repr=False, kw_only=True)


@attrs.frozen
class Number(Written):
    """A bare number, and its text: `500_000`, `1e-3`."""

    value: float
    text: str

    @property
    def whole(self) -> int | None:
        """The exact integer if the number is one (`500_000`, `1e18`), else None."""
        exact = Decimal(self.text.replace("_", ""))
        return int(exact) if exact == exact.to_integral_value() else None


@attrs.frozen
class Quantity(Written):
    """A number and its unit: `8 px`, `40%`."""

    number: Number
    unit: str
    unit_span: Span = attrs.field(eq=False, repr=False)


@attrs.frozen
class Text(Written):
    """A text in double quotes, without double quotes or line breaks in it."""

    value: str


@attrs.frozen
class Listing(Written):
    """Values in square brackets; a unit after the bracket applies to each: `[16, 8] px`."""

    items: tuple[Value, ...]
    unit: str | None
    unit_span: Span | None = attrs.field(eq=False, repr=False)


@attrs.frozen
class Setting(Written):
    """One `name: value` of a component or a shape."""

    name: str
    name_span: Span = attrs.field(eq=False, repr=False)
    value: Value


@attrs.frozen
class Component(Written):
    """A registered component, or a name defined by `let`: `steepest`, `flexi_resize(base: 12 px)`."""

    name: str
    name_span: Span = attrs.field(eq=False, repr=False)
    settings: tuple[Setting, ...]
    arguments: tuple[Value, ...]
    called: bool


@attrs.frozen
class ShapeLiteral(Written):
    """A shape, axis by axis: `(patch: 8 px, width: 384)`."""

    settings: tuple[Setting, ...]


@attrs.frozen
class Reference(Written):
    """A name from another file: `imagenet.side`."""

    parts: tuple[str, ...]


Value = Number | Quantity | Text | Listing | Component | ShapeLiteral | Reference


@attrs.frozen
class Comparison(Written):
    """`width >= 384`, `loss is cross_entropy`; `operator` is one of `<=`, `>=`, `<`, `>`, `is`."""

    axis: str
    axis_span: Span = attrs.field(eq=False, repr=False)
    operator: str
    value: Value


@attrs.frozen
class Not(Written):
    """A condition that is true if its test is false."""

    test: Condition


@attrs.frozen
class All(Written):
    """A condition that is true if all of its two or more tests are true."""

    tests: tuple[Condition, ...]


@attrs.frozen
class Any_(Written):  # noqa: N801 - `Any` is typing's
    """A condition that is true if at least one of its two or more tests is true."""

    tests: tuple[Condition, ...]


Condition = Comparison | All | Any_ | Not


@attrs.frozen
class PlanName(Written):
    """`plan "a title"`"""

    name: Text


@attrs.frozen
class Use(Written):
    """`use "common/imagenet.shape" as imagenet`"""

    path: Text
    name: str
    name_span: Span = attrs.field(eq=False, repr=False)


@attrs.frozen
class Let(Written):
    """`let longest = 2048 tokens`"""

    name: str
    name_span: Span = attrs.field(eq=False, repr=False)
    value: Value


@attrs.frozen
class OfComponent(Written):
    """A sentence that names only one component."""

    component: Component


@attrs.frozen
class Model(OfComponent):
    """`model vit(width: 640)`"""


@attrs.frozen
class Data(OfComponent):
    """`data imagenet21k(batch: 256)`"""


@attrs.frozen
class Weights(Written):
    """`weights [20%, 80%] from 80%`"""

    shares: Value
    start: Value


@attrs.frozen
class Objective(OfComponent):
    """`objective cross_entropy`"""


@attrs.frozen
class Optimizer(OfComponent):
    """`optimizer adamw(lr: 1e-3)`"""


@attrs.frozen
class Metric(OfComponent):
    """`metric perplexity`"""


@attrs.frozen
class Axis(Written):
    """`axis patch in [16, 8] px via flexi_resize`"""

    name: str
    name_span: Span = attrs.field(eq=False, repr=False)
    values: Value
    transition: Component


@attrs.frozen
class Candidates(Written):
    """`candidates patch * width where width >= 384`"""

    axes: tuple[tuple[str, Span], ...] = attrs.field(eq=lambda axes: tuple(name for name, _ in axes))
    condition: Condition | None


@attrs.frozen
class LawsFrom(OfComponent):
    """`laws from fit("runs/*.csv")`"""


@attrs.frozen
class LawFor(Written):
    """`law for (patch: 8 px) is power(a: 4, b: 0.3)`"""

    shape: ShapeLiteral
    law: Component


@attrs.frozen
class CreditsFrom(Written):
    """`credits from "credits.json"`"""

    path: Text


@attrs.frozen
class ProfileFrom(Written):
    """`profile from "digits.profile.json"`, or `profile from "digits.profile.json" for all`"""

    path: Text
    every: bool = False
    """Whether it must have the seconds of all candidates, so that none are interpolated."""


@attrs.frozen
class Traversal(OfComponent):
    """`traversal steepest`"""


@attrs.frozen
class Share(Written):
    """A share of a stage's steps taken in another shape: `10% (context: 256 tokens)`."""

    share: Quantity | Number
    shape: ShapeLiteral


@attrs.frozen
class Stage(Written):
    """`stage (patch: 16 px) with 10% (patch: 8 px) until 40%`; `until` is None for `until end`."""

    shape: ShapeLiteral
    blends: tuple[Share, ...]
    until: Value | None


@attrs.frozen
class Budget(Written):
    """`budget 10 EFLOPs`"""

    value: Value


@attrs.frozen
class StartAt(Written):
    """`start at error 120%`"""

    value: Value


@attrs.frozen
class StartFrom(Written):
    """`start from "first.safetensors"`"""

    path: Text


@attrs.frozen
class StopWhen(Written):
    """`stop when error <= 24%`"""

    condition: Comparison


@attrs.frozen
class Minimise(OfComponent):
    """`minimise dollars(price: 2.50)`"""


@attrs.frozen
class Schedule(OfComponent):
    """`schedule cosine(final: 10%)`"""


@attrs.frozen
class Cooldown(Written):
    """`cooldown 15%`"""

    value: Value


@attrs.frozen
class Evaluate(Written):
    """`evaluate every 1000 steps on 100_000 tokens`"""

    every: Value
    on: Value | None = None


@attrs.frozen
class Keep(Written):
    """`keep 3 and best` in a `checkpoint` sentence. `newest` is None for `keep all`."""

    newest: Number | None
    best: bool


@attrs.frozen
class Checkpoint(Written):
    """`checkpoint every 5% keep 3`"""

    every: Value
    keep: Keep | None = None


@attrs.frozen
class Seed(Written):
    """`seed 17`"""

    number: Number


# fmt: off
Sentence = (
    PlanName | Use | Let
    | Model | Data | Weights | Objective | Optimizer | Metric
    | Axis | Candidates | LawsFrom | LawFor | CreditsFrom | ProfileFrom
    | Minimise | Traversal | Stage | Budget | StartAt | StartFrom | StopWhen
    | Schedule | Cooldown | Evaluate | Checkpoint | Seed
)
# fmt: on


@attrs.frozen
class Comment(Written):
    """A comment, from its `#` to the end of the line."""

    text: str


@attrs.frozen
class Document:
    """The sentences and comments of one source, each in file order."""

    source: Source = attrs.field(eq=False, repr=False)
    sentences: tuple[Sentence, ...]
    comments: tuple[Comment, ...]
