"""Times the steps, the evaluations, the switch and the checkpoint of one plan, whose weights nobody keeps."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

import torch

from shapeflow.ir.plan import Plan, Stage
from shapeflow.ir.profile import Pace
from shapeflow_torch.machine import TorchMachine

LOW = 10
"""A step's time is this percentile."""


class Clock:
    """A machine whose actions are timed. `make`: makes the machine of a plan."""

    def __init__(self, make: Callable[[Plan], TorchMachine], plan: Plan, device: torch.device) -> None:
        self.seconds: list[float] = []
        """Of the steps that count."""
        self._memory: int | None = None
        self._device, self._before = device, _allocated(device)
        self._machine = make(plan)
        self._stage, self._done = plan.stages[0], 0
        self._machine.take(self._stage)
        self._machine.look(self._stage.reading)

    def steps(self, count: int) -> list[float]:
        """Make some steps; return the seconds of each, until the GPU is done with all of them."""
        found = []
        length = self._stage.last_step - self._stage.first_step
        for _ in range(count):
            begun = time.perf_counter()
            self._machine.step(self._stage, self._stage.first_step + self._done % length, 0.0)
            found.append(time.perf_counter() - begun)
            self._done += 1
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            if self._memory is None:
                self._memory = torch.cuda.max_memory_allocated(self._device) - self._before
        return found

    def switch(self, stage: Stage) -> None:
        """Make the switch to the next stage."""
        assert stage.transition is not None
        self._machine.apply(stage.transition, stage)
        self._stage, self._done = stage, 0
        self._machine.look(stage.reading)

    def evaluation(self) -> float:
        """The seconds of an evaluation."""
        begun = time.perf_counter()
        self._machine.measure(self._stage)
        return time.perf_counter() - begun

    def saved(self, path: Path) -> float:
        """The seconds of saving a checkpoint."""
        begun = time.perf_counter()
        self._machine.save(path, self._done)
        return time.perf_counter() - begun

    def pace(self, evaluation: float) -> Pace:
        """The times of the plan's shape. `evaluation`: seconds of an evaluation."""
        step = sorted(self.seconds)[len(self.seconds) * LOW // 100]
        return Pace(step, evaluation, len(self.seconds), self._memory)


def _allocated(device: torch.device) -> int:
    """Bytes that torch has allocated on a GPU, which begins a new search for the most of them; 0 on a CPU."""
    # Models of earlier clocks may wait for a collection.
    gc.collect()
    if device.type != "cuda":
        return 0
    # The first product allocates the workspace of all later ones, which is of no one shape.
    square = torch.ones(64, 64, device=device, dtype=torch.bfloat16)
    square = square @ square
    del square
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)
