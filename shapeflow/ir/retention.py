"""Which checkpoints of a run are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

NEWEST = 2
"""Number of checkpoints that are kept if the plan does not state it."""


@attrs.frozen
class Retention:
    """The checkpoints that a plan keeps: the newest, the last before every switch and before the cooldown, and, if
    asked, the one with the lowest error."""

    newest: int | None
    """Number of newest checkpoints; None: all."""
    best: bool = False
    """Whether the checkpoint with the lowest value of the plan's metric is kept, too."""


def retained(keep: Retention | None, turns: Sequence[int], errors: Mapping[int, float | None]) -> frozenset[int]:
    """The steps of the checkpoints to keep.

    `keep`: None for the newest two. `turns`: steps after which the run switches or cools down. `errors`: step of each
    checkpoint -> value of the plan's metric there; None if it was not measured."""
    steps = sorted(errors)
    if keep is None:
        return frozenset(steps[-NEWEST:])
    if keep.newest is None:
        return frozenset(steps)
    kept = set(steps[-keep.newest :])
    for turn in turns:
        if steps and turn <= steps[-1]:
            kept |= {max((step for step in steps if step <= turn), default=steps[-1])}
    measured = [(error, step) for step, error in errors.items() if error is not None]
    if keep.best and measured:
        kept.add(min(measured)[1])
    return frozenset(kept)
