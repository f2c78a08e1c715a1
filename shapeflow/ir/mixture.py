"""The law of a mixture: the error at a target shape after training on some data at each of several shapes.

The form is in `two_skills.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Against, Reason
from shapeflow.ir.edits import Floats
from shapeflow.ir.joint import JointLaw
from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.ir.two_skills import B, C, Kinds, best, errors

LOWEST = 0.8
"""Smallest share of the target for which a saving is predicted, over the smallest share of the pilots."""


@attrs.frozen(kw_only=True)
class Pilot:
    """A run with constant shares that the law was fitted to."""

    name: str
    share: float
    """Share of the target in its data."""
    seed: int | None
    compute: float
    """FLOPs of the whole run."""
    error: float
    """The last measured error."""


@attrs.frozen(kw_only=True)
class Choice:
    """The best constant mixture. `cheap`: the shape that is mixed in; None: the target alone is the best."""

    cheap: Shape | None
    share: float
    """Share of the target in the data."""
    raised: bool = False
    """Whether the share is the smallest of the pilots, since the best one lies far below it."""


@attrs.frozen(kw_only=True, eq=False)
class MixtureLaw:
    """E = c + a (u^-b + lam v^-b), see `two_skills.py`, with the pilots that it was fitted to."""

    target: Shape
    shapes: tuple[Shape, ...]
    """All candidates; the order of data and prices in arrays."""
    kinds: Kinds
    theta: Floats
    """(1 + draws, parameters): the fit, then the fits to resampled pilots."""
    unit: float
    """Data, in tokens or samples, that the parameters count as 1."""
    level: float
    """Standard deviation of the error of a new run."""
    reach: float
    """Data of the longest pilot, in tokens or samples."""
    rms: float
    """Root mean square of the residuals, in units of the error."""
    pilots: tuple[Pilot, ...]
    reasons: tuple[Reason, ...] = ()
    """Why the pilots do not allow to quote a saving."""
    levels: Reason | None = None
    """Why they do not allow to predict errors, though savings."""
    worse: float | None = None
    """How far above the target alone, in units of the error, every mixture ended the pilots at equal compute, beyond
    the noise; None if not all of them did."""
    measured: Against | None = None
    """What the best share of the pilots needed less than the target alone; see `Mix.measured`."""
    provenance: Provenance

    @property
    def smallest(self) -> float:
        """The smallest share of the target in a pilot."""
        return min(pilot.share for pilot in self.pilots)

    @property
    def spent(self) -> float:
        """FLOPs of all pilots."""
        return sum(pilot.compute for pilot in self.pilots)

    @property
    def seeds(self) -> int:
        """Number of pilots of the target alone."""
        return sum(pilot.share > 1 - 1e-9 for pilot in self.pilots)

    def worth(self) -> dict[Shape, float]:
        """k of each shape that a pilot saw: the value of its data for what all shapes teach, relative to the target."""
        k = self.kinds.worth(self.theta[:1], len(self.shapes))[0]
        return {shape: float(k[place]) for place, shape in enumerate(self.shapes) if place in self.kinds.known}

    def knows(self, shapes: Sequence[Shape]) -> bool:
        """Whether a pilot saw all of these shapes."""
        return all(shape in self.shapes and self.shapes.index(shape) in self.kinds.known for shape in shapes)

    def row(self, values: Mapping[Shape, float]) -> Floats:
        """(shapes,): values by shape as an array, 0 for missing ones."""
        return np.array([values.get(shape, 0.0) for shape in self.shapes])

    def choose(self, prices: Mapping[Shape, float], among: Sequence[Shape]) -> Choice:
        """The best constant mixture at some prices per unit of data. `among`: the shapes that may be mixed in."""
        if self.worse is not None:
            return Choice(cheap=None, share=1.0)
        cheap = [place for place in self.kinds.free if self.shapes[place] in among]
        shares, _ = best(self.theta[:1], self.row(prices), self.kinds, cheap)
        target = float(shares[0, self.kinds.target])
        mixed = next((place for place in cheap if shares[0, place] > 0), None)
        if mixed is None:
            return Choice(cheap=None, share=1.0)
        raised = target < LOWEST * self.smallest
        return Choice(cheap=self.shapes[mixed], share=self.smallest if raised else target, raised=raised)

    def law(self, data: Mapping[Shape, float]) -> Law:
        """The law of constant shares over compute. `data`: tokens or samples at each shape per FLOP. A schedule of
        constant shares follows a power law without offset."""
        c, b = float(self.theta[0, C]), float(np.exp(self.theta[0, B]))
        row = self.row(data)
        # Any amount of data gives `a`; one near that of the pilots keeps the numbers in range.
        compute = self.reach / float(row.sum())
        level = float(errors(self.theta[:1], row[None] * compute / self.unit, self.kinds)[0, 0]) - c
        return Law(level * compute**b, b, c, 0.0, self.provenance)


class Laws(Mapping[Shape, AnyLaw]):
    """Candidate -> law, in the candidates' order.

    `mixture`: the law of mixtures, if the file asks for one. The law of its target is then that of the target alone,
    and no other candidate has one. `samples`: equally likely laws of each candidate, if its source knows several; the
    i-th of all candidates belong together. `joint`: the law of size and tokens that all come from, if they do; `sizes`:
    the number of parameters of each candidate there."""

    __slots__ = ("_table", "joint", "mixture", "samples", "sizes")

    def __init__(
        self,
        table: Mapping[Shape, AnyLaw] | None = None,
        mixture: MixtureLaw | None = None,
        samples: Mapping[Shape, tuple[AnyLaw, ...]] | None = None,
        joint: JointLaw | None = None,
        sizes: Mapping[Shape, float] | None = None,
    ) -> None:
        self._table = dict(table or {})
        self.mixture = mixture
        self.samples = dict(samples or {})
        self.joint = joint
        self.sizes = dict(sizes or {})

    def __getitem__(self, shape: Shape) -> AnyLaw:
        return self._table[shape]

    def __iter__(self) -> Iterator[Shape]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def entered(self, error: float) -> Laws:
        """The laws of training that goes on at an error, counted from there. All must be power laws above it.

        Samples and measured curves, which are of training from scratch, are left out."""
        return Laws({shape: law.entered(error) for shape, law in self.items() if isinstance(law, Law)})
