"""Whether a plan pays: yes, no or unknown, with the numbers that decide and what would settle it."""

from __future__ import annotations

from typing import Literal

import attrs

from shapeflow.base.shapes import Shape

Say = Literal["yes", "no", "unknown"]

Doubt = Literal[
    "no-measurements",
    "published",
    "mixture",
    "metric",
    "rises",
    "runs-differ",
    "falling-rate",
    "annealed",
    "too-far",
    "pilots",
]
"""Why the laws cannot answer, however narrow their intervals.

`no-measurements`: a law does not record the measurements it was fitted to. `published`: a law is of other data.
`mixture`: no law describes steps in several shapes. `metric`: errors of different shapes are not one measure of
progress. `rises`: a measured curve rises. `runs-differ`: runs of one shape differ too much. `falling-rate`: a curve was
measured at a falling learning rate. `annealed`: the laws are of the ends of runs. `too-far`: a curve is asked beyond
the range in which curves are drawn. `pilots`: the pilots
of a mixture do not support its law; `Answer.reasons` says why.
"""


@attrs.frozen(kw_only=True)
class Reason:
    """Why the pilots of a mixture do not support an answer, and what would, in words."""

    text: str
    help: str


@attrs.frozen(kw_only=True)
class Range:
    """A quantity over the draws: the ends of the 90% interval, and the median."""

    low: float
    middle: float
    high: float


@attrs.frozen(kw_only=True)
class Asked:
    """A curve that the answer uses beyond its data."""

    shape: Shape
    times: float
    """Compute at which it is used, over the largest measured."""


@attrs.frozen(kw_only=True)
class Chance:
    """The probability that a shape is the best fixed one."""

    shape: Shape
    share: float


@attrs.frozen(kw_only=True)
class Settle:
    """What would settle an unknown answer."""

    by: Literal["seeds", "compute"]
    """More runs of each shape, or longer runs."""
    times: float
    """Runs of each shape in total, over those there are; or compute of the longest run, over what it is now."""
    compute: float
    """FLOPs of the additional training."""
    shapes: tuple[Shape, ...]
    """What to train, the most useful first."""
    expected: Range | None
    """The saving against the best fixed shape that is then expected; None if longer runs are needed."""


@attrs.frozen(kw_only=True)
class Switch:
    """A switch that a plan makes, or might make, and what decides about it."""

    before: Shape
    after: Shape
    credit: float
    """The share of the progress that is counted on."""
    measured: bool
    """Whether all of it was measured."""


@attrs.frozen(kw_only=True)
class Against:
    """A share of the target, and a saving: of a plan against the mixture with this share."""

    share: float
    saving: Range


@attrs.frozen(kw_only=True)
class Mix:
    """The best constant mixture by the law of its pilots."""

    target: Shape
    cheap: Shape | None
    """The shape that is mixed in; None: the target alone is the best."""
    share: Range | None
    """Share of the target in the data, over the draws; None if the target alone is the best."""
    flat: tuple[float, float] | None
    """Shares that need at most 3% more than the best one, among those not far below the smallest of the pilots."""
    pilots: int
    seeds: int
    """Number of pilots of the target alone."""
    smallest: float
    """The smallest share of the target in a pilot."""
    measured: Against | None = None
    """The share that did best in the pilots: how much less compute it needed to reach the final error of the target
    alone, with the lowest and the highest value over the seeds. None if none reached it with every seed."""
    against: tuple[Against, ...] = ()
    """In ascending order of shares; empty where no saving is stated."""
    worse: float | None = None
    """How far above the target alone, in units of the error, every mixture ended the pilots at equal compute; None if
    not all of them did."""


@attrs.frozen(kw_only=True)
class Answer:
    """The answer to: does the plan pay, at its own budget, against the best fixed shape?

    `shapeflow/stages/assess/answer.py` states the rule. Savings are shares of the budget that a fixed shape needs to
    reach the plan's final error, in the unit of the budget.
    """

    say: Say
    doubts: tuple[Doubt, ...]
    """Why the laws cannot answer; then `say` is unknown."""
    stated: bool
    """All laws are stated: savings have no interval, their three numbers are equal."""
    unit: str
    """Unit of the budget: `compute`, `steps`, `samples`, `tokens` or `seconds`."""
    useful: float
    """The smallest saving that is worth a switch."""
    best: Range | None
    """Saving against the best fixed shape of each draw; None if the laws cannot say."""
    last: Range | None
    """Saving against the plan's last shape, fixed."""
    fixed: tuple[Chance, ...]
    """The shapes that may be the best fixed one, the most likely first."""
    other: float
    """The probability that a single switch would save more than 5% of the best fixed shape."""
    asked: tuple[Asked, ...]
    """Curves that are used beyond 1.1 times their data; empty: inside what was measured."""
    switches: tuple[Switch, ...]
    credit_needed: float | None
    """The least credit of every switch at which the plan pays; above 1 or None: it never does."""
    differ: float | None
    """Run-to-run standard deviation of log compute at equal error."""
    differ_runs: int
    """Additional runs of the same shapes that `differ` was estimated from; 0: it is assumed."""
    error: Range | None
    """The error at the end; None where the data do not allow a prediction."""
    spent: float | None
    """FLOPs of the runs that the laws were fitted to."""
    saved: Range | None
    """FLOPs that one run of the plan saves against the best fixed shape."""
    settle: Settle | None
    idle: tuple[Shape, ...] = ()
    """Candidates of which longer or more runs are unlikely to change the plan or its saving."""
    beware: tuple[str, ...] = ()
    """What the compared metric does not show about the model that is kept, in words."""
    mix: Mix | None = None
    """For a plan by the law of a mixture."""
    reasons: tuple[Reason, ...] = ()
    """Why the pilots of a mixture do not support the answer, or an error at its end."""

    @property
    def assumed(self) -> bool:
        """Whether the credit of some switch is assumed."""
        return any(not one.measured for one in self.switches)

    @property
    def uses(self) -> float | None:
        """Runs of the plan after which the laws have paid for themselves; None if that is not known or never."""
        if self.spent is None or self.saved is None or self.saved.middle <= 0:
            return None
        return self.spent / self.saved.middle


@attrs.frozen
class SavedAt:
    """What the plan, ended early, saves against fixed shapes that reach the same error; shares."""

    budget: float
    """FLOPs, or seconds for a plan by time."""
    best: Range
    """Against the best fixed shape of each draw."""
    last: Range
    """Against the last shape of the whole plan."""
