"""How much space the checkpoints of a plan take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shapeflow.ir.parameters import scalars
from shapeflow.ir.plan import Stage
from shapeflow.ir.program import Program
from shapeflow.ir.retention import NEWEST

BYTES = 4
"""Bytes of a scalar in a checkpoint, which is in float32."""
MUCH = 1e9
"""Bytes from which the note is given for a plan that does not state which checkpoints are kept."""


def space(program: Program, stages: Sequence[Stage], every: int | None, cools: bool) -> Iterator[str]:
    """Yield a note on the size and the number of checkpoints. `every`: steps between two of them; `cools`: whether the
    plan has a cooldown."""
    if program.trained is None or every is None:
        return
    size = BYTES * max(_scalars(program, stage) for stage in stages)
    number = _most(program, stages, every, cools)
    if program.keep is not None or size * number >= MUCH:
        yield f"a checkpoint takes up to {_said(size)}; at most {number:,} are kept, {_said(size * number)} in all"


def _scalars(program: Program, stage: Stage) -> int:
    """Scalars of a checkpoint: weights, averaged weights, and parts of the optimizer's state but for its counts."""
    trained = program.trained
    assert trained is not None
    found = 0
    for parameter in trained.model.parameters:
        parts = sum(rule != "count" for rule in trained.optimizer.state(parameter).values())
        found += (2 + parts) * scalars([parameter], stage.sizes)
    return found


def _most(program: Program, stages: Sequence[Stage], every: int, cools: bool) -> int:
    """The largest number of checkpoints at once, but for the one that is being written."""
    steps, turns = stages[-1].last_step, len(stages) - 1 + cools
    if program.keep is None:
        return min(NEWEST, -(-steps // every))
    all_ = -(-steps // every) + turns
    return all_ if program.keep.newest is None else min(all_, program.keep.newest + turns + program.keep.best)


def _said(size: float) -> str:
    """A number of bytes with a unit."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"
