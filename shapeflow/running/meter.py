"""Measures how fast a run is and what it uses, and adds that to its events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from typing import Protocol

import attrs

from shapeflow.base.shapes import Shape
from shapeflow.ir.events import Event, RunStarted, StageEntered, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.ir.rates import factors

WINDOW = 50
"""Number of steps that a rate is measured over, at most. One step alone varies too much."""
MULTIPLY_ADD = {"flops": 1.0, "paper": 2.0}
"""Convention -> FLOPs of the hardware for one FLOP of the plan. `paper` counts multiply-accumulates."""


class Gauged(Protocol):
    """A machine that knows the norm of its last gradient."""

    gradient_norm: float | None


@attrs.frozen
class Hardware:
    """What a run computes on. The fields in text and numbers are those of `RunStarted`."""

    device: str
    devices: int
    peak_flops: float | None
    peak_from: str
    memory_of: str
    memory: Callable[[], int | None]
    """Returns the highest use of memory so far, in bytes; None if it is not known."""

    @property
    def peak(self) -> float | None:
        """FLOP/s of all devices."""
        return None if self.peak_flops is None else self.peak_flops * self.devices


class Meter:
    """Measures the steps of one process that leads a run."""

    def __init__(self, plan: Plan, hardware: Hardware, machine: Gauged) -> None:
        self._plan, self._hardware, self._machine = plan, hardware, machine
        self._steps: deque[tuple[float, float, float]] = deque(maxlen=WINDOW)
        """(tokens or images, FLOPs, seconds) of the last steps."""
        self._compute, self._read = 0.0, 0

    def read(self, event: Event, logged: bool) -> Event:
        """The event with what was measured, if it is a start or a step that is logged."""
        if isinstance(event, RunStarted):
            self._compute = self._plan.compute_at(event.step)
            about = self._hardware
            return attrs.evolve(
                event,
                device=about.device,
                devices=about.devices,
                peak_flops=about.peak_flops,
                peak_from=about.peak_from,
                memory_of=about.memory_of,
            )
        if isinstance(event, StageEntered):
            self._steps.clear()
        if not isinstance(event, StepDone):
            return event
        self._steps.append((self._batch(event.stage, event.shape), event.compute - self._compute, event.seconds))
        self._compute = event.compute
        return self._measured(event) if logged else event

    def _measured(self, event: StepDone) -> StepDone:
        items, flops, seconds = (sum(each) for each in zip(*self._steps, strict=True))
        flops *= MULTIPLY_ADD[self._plan.convention]
        self._read += 1
        # Reading the memory takes longer than anything else here.
        due = self._read % WINDOW == 0 or event.step == self._plan.stages[event.stage].last_step
        peak = self._hardware.peak
        return attrs.evolve(
            event,
            learning_rate=factors(self._plan, event.step - 1).rate,
            gradient_norm=self._machine.gradient_norm,
            throughput=items / seconds if seconds else None,
            mfu=flops / seconds / peak if seconds and peak else None,
            memory=self._hardware.memory() if due else None,
        )

    def _batch(self, stage: int, shape: Shape) -> float:
        return shape.number("batch") if "batch" in shape else float(self._plan.stages[stage].batch or 0)


def items_of(plan: Plan) -> str:
    """What the samples of a plan are counted in: `tokens`, `images` or `vectors`."""
    return items_among({*plan.slots, *(axis.name for axis in plan.axes)})


def items_among(known: Container[str]) -> str:
    """What samples are counted in. `known`: the axes of the model and of the file."""
    return "tokens" if "context" in known else "images" if "patch" in known else "vectors"
