"""The memory of a plan, as one line and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from shapeflow.base.units import size
from shapeflow.ir.memory import Choices
from shapeflow.ir.plan import Plan
from shapeflow.running.memory import memories

SHOWN = 4
"""Stages whose memory is printed one by one; of more, only the largest."""


def memory_line(plan: Plan) -> Iterator[str]:
    """Yield the estimated peak of each stage in one process on a CPU, if it is known."""
    peaks = [found.peak for found in memories(plan, Choices())]
    if not peaks:
        return
    if len(peaks) == 1:
        yield f"memory: {size(peaks[0])} in one process on a CPU"
    elif len(peaks) <= SHOWN:
        yield f"memory: {', '.join(map(size, peaks))} in the stages, in one process on a CPU"
    else:
        most = max(peaks)
        yield f"memory: up to {size(most)} (stage {peaks.index(most) + 1}), in one process on a CPU"


def memory_json(plan: Plan) -> list[dict[str, Any]]:
    """The estimate of each stage in bytes, in one process on a CPU and on a GPU, also with blocks computed again."""
    kinds = {"cpu": Choices(), "cuda": Choices("cuda")}
    kinds |= {f"{name}_checkpointed": attrs.evolve(one, recompute=True) for name, one in kinds.items()}
    columns = {name: memories(plan, choices) for name, choices in kinds.items()}
    return [
        {name: {**attrs.asdict(found[number]), "peak": found[number].peak} for name, found in columns.items()}
        for number in range(len(columns["cpu"]))
    ]
