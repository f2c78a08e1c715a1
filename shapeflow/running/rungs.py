"""Which runs of the candidates to train next, and how long, until an answer is settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Answer, Doubt
from shapeflow.running.pool import Job
from shapeflow.running.runs import Run

SEEDS = 8
"""Largest number of runs of a shape."""
LONGEST = 8.0
"""Largest length of a run, as a multiple of the budget."""
STEPS = (1.0, 0.5, 0.25)
"""Parts of the way to the next length that are tried, if the whole of it does not fit."""
MARGIN = 1.02
"""Factor on a length that is asked for: the measurements after a round of runs ask a little further."""
ROUNDING = 1e-6

UNTRAINABLE: frozenset[Doubt] = frozenset({"published", "mixture", "metric", "falling-rate", "annealed"})
"""Doubts that longer or more runs of fixed shapes do not remove."""

Key = tuple[Shape, int]
"""A run: its shape and its seed."""
Lengths = Mapping[Key, float]
"""Lengths of runs, as multiples of the budget."""


@attrs.define
class Growing:
    """The runs so far."""

    lengths: dict[Key, float] = attrs.field(factory=dict)
    compute: dict[Path, float] = attrs.field(factory=dict)
    """Folder of a run -> its FLOPs."""
    wholes: Mapping[Shape, int] = attrs.field(factory=dict)
    """Shape -> steps of the whole budget, where they are known."""

    @property
    def spent(self) -> float:
        """FLOPs of all runs."""
        return sum(self.compute.values())

    def add(self, lengths: Lengths, jobs: Sequence[Job], runs: Sequence[Run]) -> None:
        """Note the runs of some jobs, in the order of `lengths`. Runs of an earlier call may be longer than asked."""
        for (key, asked), job, run in zip(lengths.items(), jobs, runs, strict=True):
            done = max(run.done, job.steps)
            # The steps of a part of the budget are rounded down, those of the whole say more exactly how long it is.
            exact = done > job.steps and key[0] in self.wholes
            self.lengths[key] = done / self.wholes[key[0]] if exact else asked * done / job.steps
            self.compute[run.folder] = run.plan.compute_at(done)

    def length(self, shape: Shape) -> float:
        """Length of the shortest run of a shape: its curve ends there."""
        return min(length for (one, _), length in self.lengths.items() if one == shape)

    def to(self, shapes: Mapping[Shape, float]) -> dict[Key, float]:
        """All runs of some shapes that are shorter than the lengths given for these, at those lengths."""
        every = self.lengths.items()
        return {key: shapes[key[0]] for key, now in every if now * (1 + ROUNDING) < shapes.get(key[0], 0.0)}

    def more(self, shapes: Sequence[Shape]) -> dict[Key, float]:
        """One more run of each shape, as long as its shortest one."""
        seeds = {shape: [seed for one, seed in self.lengths if one == shape] for shape in shapes}
        return {(shape, max(own) + 1): self.length(shape) for shape, own in seeds.items() if len(own) < SEEDS}


def next_lengths(growing: Growing, answer: Answer | None) -> list[Lengths]:
    """What to train next, the preferred choice first; the others are for an allowance that the first exceeds. Empty if
    the answer is settled, or if no run is expected to settle it. `answer`: None while there are no laws."""
    shapes = {shape for shape, _ in growing.lengths}
    waiting = set() if answer is None else shapes & set(answer.idle)
    active = shapes - waiting
    now = min(growing.length(shape) for shape in active)
    grown = now * (1 + ROUNDING) >= 1
    if answer is not None and (_settled(answer, grown) or UNTRAINABLE.intersection(answer.doubts)):
        return []
    if not grown:
        ahead = min(2 * now, 1.0) - now
        return [growing.to(dict.fromkeys(active, now + part * ahead)) for part in STEPS]
    if answer is None or answer.doubts:
        return []
    choices = _settling(growing, answer)
    # A shape that waits goes on before the search ends.
    late = growing.to(dict.fromkeys(sorted(waiting, key=growing.length), 1.0))
    return [choice for choice in (*choices, late) if choice]


def _settled(answer: Answer, grown: bool) -> bool:
    """Beyond the data a `no` is less certain than it says (docs/answers.md), so that runs go on."""
    return answer.say == "yes" or (answer.say == "no" and (grown or not answer.asked))


def _settling(growing: Growing, answer: Answer) -> list[dict[Key, float]]:
    """What the answer asks for: of all shapes, or of the most useful one."""
    settle = answer.settle
    if settle is None:
        return []
    if settle.by == "seeds":
        # A shape that waited first becomes as long as the others.
        short = growing.to(dict.fromkeys(settle.shapes, 1.0))
        return [short] if short else [growing.more(settle.shapes), growing.more(settle.shapes[:1])]
    wanted = {one.shape: min(MARGIN * one.times * growing.length(one.shape), LONGEST) for one in answer.asked}
    return [growing.to(wanted), growing.to({shape: wanted[shape] for shape in settle.shapes[:1]})]
