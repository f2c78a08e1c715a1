"""The loop that executes a plan on a machine. The simulator and the torch backend differ only in the machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from shapeflow.ir.edits import Edit
from shapeflow.ir.events import (
    CheckpointSaved,
    Evaluation,
    Event,
    Measured,
    RunEnded,
    RunStarted,
    StageEntered,
    StepDone,
    TransitionApplied,
)
from shapeflow.ir.plan import Plan, Stage, Transition


class Machine(Protocol):
    """Executes a plan: takes a shape, applies edits, and makes steps.

    Every process of a distributed run has its own machine and makes the same calls; the machines share the work.
    """

    def take(self, stage: Stage) -> None:
        """Initialize the model in the shape of a stage, with the views of that stage."""

    def apply(self, transition: Transition, stage: Stage) -> None:
        """Apply the edits of a switch in order. `stage`: the stage after the switch."""

    def look(self, edits: Sequence[Edit]) -> None:
        """Change how the stored parameters are read; all edits are `View` or `Swap`."""

    def step(self, stage: Stage, step: int, compute: float) -> float:
        """Make one optimizer step and return the mean loss. `step`: counted from 0. `compute`: FLOPs of the step."""
        ...

    def measure(self, stage: Stage) -> Evaluation:
        """Held-out values of the averaged weights, in the shape of the stage."""
        ...

    def asked_to_stop(self) -> str | None:
        """The name of the signal that asked any process of the run to stop, or None. All processes return the same."""
        ...

    def save(self, path: Path, step: int) -> None:
        """Write a checkpoint folder atomically."""

    def load(self, path: Path) -> int:
        """Restore a checkpoint and return the number of steps done. Raises Refused for a checkpoint of another plan."""
        ...


def checkpoint_name(step: int) -> str:
    return f"step-{step:09d}"


def execute(
    plan: Plan,
    machine: Machine,
    folder: Path | None = None,
    resume: Path | None = None,
    until: tuple[str, float] | None = None,
    pause: int | None = None,
    sync: Callable[[], None] = lambda: None,
) -> Iterator[Event]:
    """Run a plan from its start, or from a checkpoint (`resume`), and yield its events.

    `folder`: where checkpoints are written; None: nowhere. `until`: a metric and the value at which the run ends early.
    `pause`: the step after which it ends early. `sync`: called before each checkpoint is written, to make the events so
    far durable: a checkpoint that survives a power failure is then never ahead of its log. The order of events depends
    only on the plan, until such an early end.
    """
    if resume is None:
        machine.take(plan.stages[0])
        done = 0
    else:
        done = machine.load(resume)
    yield RunStarted(plan.digest, done)
    compute, trained, evaluating, reached = plan.compute_at(done), 0.0, 0.0, False
    for index, stage in enumerate(plan.stages):
        first, last = stage.first_step, stage.last_step
        if last <= done and not (index == 0 and done == 0):
            continue
        if first >= done:
            if stage.transition is not None:
                begun = time.perf_counter()
                machine.apply(stage.transition, stage)
                seconds = time.perf_counter() - begun
                trained += seconds
                yield TransitionApplied(index, stage.arrives_by, first, compute, seconds)
            yield StageEntered(index, stage.shape, first, compute)
        for step in range(max(first, done), last):
            blend = stage.blend_at(plan.seed, index, step - first)
            machine.look(stage.reading if blend is None else blend.edits)
            cost = stage.cost if blend is None else blend.compute
            begun = time.perf_counter()
            loss = machine.step(stage, step, cost)
            seconds = time.perf_counter() - begun
            compute, trained = compute + cost, trained + seconds
            yield StepDone(step + 1, index, stage.shape if blend is None else blend.shape, compute, loss, seconds)
            if plan.measures_at(step + 1):
                machine.look(stage.reading)
                begun = time.perf_counter()
                held = machine.measure(stage)
                evaluating += time.perf_counter() - begun
                at = (step + 1, index, stage.shape, compute, plan.predicted(step + 1))
                yield Measured(*at, held.values, trained, held.errors, evaluating)
                reached = until is not None and held.values.get(until[0], math.inf) <= until[1]
            if folder is not None and plan.saves_at(step + 1):
                yield _save(machine, folder, step + 1, sync)
            early = "until" if reached else "pause" if step + 1 == pause else machine.asked_to_stop()
            if early is not None and step + 1 < plan.steps:
                if folder is not None and not plan.saves_at(step + 1):
                    yield _save(machine, folder, step + 1, sync)
                yield RunEnded(step + 1, compute, False, early)
                return
    yield RunEnded(plan.steps, compute, True)


def rehearse(plan: Plan, machine: Machine) -> None:
    """Make every switch of a plan, and its first step in every shape of a stage. Takes as long as there are stages and
    blends, however many steps they have. Raises what the machine raises."""
    machine.take(plan.stages[0])
    for stage in plan.stages:
        if stage.transition is not None:
            machine.apply(stage.transition, stage)
        for edits, cost in ((stage.reading, stage.cost), *((blend.edits, blend.compute) for blend in stage.blends)):
            machine.look(edits)
            machine.step(stage, stage.first_step, cost)
        machine.look(stage.reading)
        machine.measure(stage)


def _save(machine: Machine, folder: Path, done: int, sync: Callable[[], None]) -> Event:
    sync()
    name = checkpoint_name(done)
    machine.save(folder / name, done)
    return CheckpointSaved(done, name)
