"""Times the steps and evaluations of plans on this machine, without training them."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import Edit
from shapeflow.ir.plan import Plan, Stage
from shapeflow.ir.profile import Machine, Pace
from shapeflow.running.execute import checkpoint_name
from shapeflow_torch.compilation import wants_compile
from shapeflow_torch.data import open_data
from shapeflow_torch.devices import name_of, place
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.team import Team
from shapeflow_torch.train import be_deterministic, choose_threads

WARM, TIMED = 3, 12
"""Number of steps in each shape before the timed ones, and of timed steps."""


def pace(
    plan: Plan, root: Path, device: str = "auto", threads: int | None = None, known: frozenset[Shape] = frozenset()
) -> Mapping[Shape, tuple[float, float]]:
    """Return shape -> (seconds of a step, seconds of an evaluation), for every shape of a plan that is not in `known`.

    A step's time is the median of `TIMED` real steps. The plan's switches are made on the way; nothing is written.
    `threads`: CPU threads; None: as `run` chooses them. Raises what `run.run` raises when it opens data and builds a
    model."""
    where = place(device).device(0)
    compiled = wants_compile("auto", where)
    if where.type == "cpu":
        be_deterministic(compiled)
        if threads is None:
            choose_threads(plan)
        else:
            torch.set_num_threads(threads)
    data = open_data(plan, root, where)
    machine = TorchMachine(plan, data, Team(device=where), compiled=compiled, root=root)
    machine.take(plan.stages[0])
    found: dict[Shape, tuple[float, float]] = {}
    for stage in plan.stages:
        if stage.transition is not None:
            machine.apply(stage.transition, stage)
        shapes = [(stage.shape, stage.reading), *((blend.shape, blend.edits) for blend in stage.blends)]
        for shape, edits in shapes:
            if shape not in known and shape not in found:
                found[shape] = _timed(machine, stage, edits, passes=2 if compiled else 1)
    return found


def _timed(machine: TorchMachine, stage: Stage, edits: Sequence[Edit], passes: int) -> tuple[float, float]:
    """Seconds of a step and of an evaluation in one reading. `passes`: number of evaluations; the last one counts, as
    the first compiles the model."""
    machine.look(edits)
    length = stage.last_step - stage.first_step
    steps = []
    for number in range(WARM + TIMED):
        begun = time.perf_counter()
        machine.step(stage, stage.first_step + number % length, 0.0)
        steps.append(time.perf_counter() - begun)
    for _ in range(passes):
        begun = time.perf_counter()
        machine.measure(stage)
        evaluation = time.perf_counter() - begun
    return statistics.median(steps[WARM:]), evaluation


FIRST = 3
"""Number of steps after a switch that count as part of it, as far as they take longer than later ones."""
TRIALS = 3
"""Number of times that a switch is made. The shortest counts; with a compiled model, the first, since later ones find
the compiled model again."""

ROUNDS, BLOCK, LONGEST = 12, 0.1, 50
"""For `profile`: number of times that every plan gets a turn, least seconds of a turn, most steps of one."""
LEAST = 4
"""Least number of timed steps of a turn."""
LOW = 10
"""A step's time is this percentile."""


def profile(
    plans: Sequence[Plan], root: Path, device: str = "auto", threads: int | None = None
) -> tuple[tuple[Pace, ...], Machine]:
    """Return the times of plans that have one stage each, in their order, and the machine.

    The plans take turns, so that a slow phase of the machine affects all of them alike; if their models do not fit in
    the memory of the GPU together, each is timed alone. `threads`: as for `pace`; by default as `run` chooses them for
    the most expensive of the plans. Raises what `run.run` raises when it opens data and builds a model."""
    where, compiled = _where(plans, device, threads)

    def ready(plan: Plan) -> _Clock:
        machine = TorchMachine(plan, open_data(plan, root, where), Team(device=where), compiled=compiled, root=root)
        return _Clock(machine, plan.stages[0])

    passes, found = 2 if compiled else 1, list[Pace]()
    with contextlib.suppress(torch.OutOfMemoryError):
        found = _in_turns([ready(plan) for plan in plans], passes)
    if not found:
        # The exception, which referred to all models, is gone by now.
        found = [pace for plan in plans for pace in _in_turns([ready(plan)], passes)]
    here = Machine(name_of(where), where.type, torch.get_num_threads(), 1, compiled, torch.__version__)
    return tuple(found), here


def switches(plans: Sequence[Plan], root: Path, device: str = "auto", threads: int | None = None) -> tuple[float, ...]:
    """Return the seconds of the switch of each plan that has two stages: those of its edits, and of the first `FIRST`
    steps after them more than of as many later ones. `threads`: as for `profile`. Raises what `run.run` raises."""
    where, compiled = _where(plans, device, threads)

    def once(plan: Plan) -> float:
        if compiled:
            # A graph that another plan compiled would be used again, as it is not in a run.
            torch._dynamo.reset()
        machine = TorchMachine(plan, open_data(plan, root, where), Team(device=where), compiled=compiled, root=root)
        before, after = plan.stages
        assert after.transition is not None
        clock = _Clock(machine, before)
        clock.steps(WARM)
        begun = time.perf_counter()
        machine.apply(after.transition, after)
        clock.enter(after)
        clock.steps(FIRST)
        taken = time.perf_counter() - begun
        usual = min(clock.steps(1 + LEAST)[1:])
        return max(0.0, taken - FIRST * usual)

    return tuple(min(once(plan) for _ in range(1 if compiled else TRIALS)) for plan in plans)


def saving(plan: Plan, root: Path, device: str = "auto", threads: int | None = None) -> float:
    """Return the seconds of saving a checkpoint of a plan after its first step. `threads`: as for `profile`. Raises
    what `run.run` raises."""
    where, compiled = _where([plan], device, threads)
    machine = TorchMachine(plan, open_data(plan, root, where), Team(device=where), compiled=compiled, root=root)
    _Clock(machine, plan.stages[0]).steps(1)
    with tempfile.TemporaryDirectory(prefix="shapeflow-") as folder:
        begun = time.perf_counter()
        machine.save(Path(folder, checkpoint_name(1)), 1)
        return time.perf_counter() - begun


def _where(plans: Sequence[Plan], device: str, threads: int | None) -> tuple[torch.device, bool]:
    """The device of a profile, and whether models are compiled on it. Sets the number of threads: that of the most
    expensive of the plans by default."""
    where = place(device).device(0)
    compiled = wants_compile("auto", where)
    if where.type == "cpu":
        be_deterministic(compiled)
        if threads is None:
            choose_threads(max(plans, key=lambda plan: max(stage.cost for stage in plan.stages)))
        else:
            torch.set_num_threads(threads)
    return where, compiled


class _Clock:
    """Times the steps of a stage."""

    def __init__(self, machine: TorchMachine, stage: Stage) -> None:
        self._machine, self._stage, self._done = machine, stage, 0
        self.seconds: list[float] = []
        machine.take(stage)
        machine.look(stage.reading)

    def enter(self, stage: Stage) -> None:
        """Time the steps of another stage, to which the machine has switched."""
        self._stage, self._done = stage, 0
        self._machine.look(stage.reading)

    def steps(self, count: int) -> list[float]:
        """Make some steps; return the seconds of each, until the GPU is done with all of them."""
        found = []
        for _ in range(count):
            begun = time.perf_counter()
            length = self._stage.last_step - self._stage.first_step
            self._machine.step(self._stage, self._stage.first_step + self._done % length, 0.0)
            found.append(time.perf_counter() - begun)
            self._done += 1
        if self._machine.team.device.type == "cuda":
            torch.cuda.synchronize(self._machine.team.device)
        return found

    def evaluation(self) -> float:
        """The seconds of an evaluation."""
        begun = time.perf_counter()
        self._machine.measure(self._stage)
        return time.perf_counter() - begun


def _in_turns(clocks: Sequence[_Clock], passes: int) -> list[Pace]:
    """The times of some machines. The first step of each turn finds cold caches, and is not counted."""
    counts = []
    for clock in clocks:
        usual = statistics.median(clock.steps(WARM + LEAST)[WARM:])
        counts.append(min(LONGEST, max(LEAST, round(BLOCK / usual))))
    for _ in range(ROUNDS):
        for clock, count in zip(clocks, counts, strict=True):
            clock.seconds += clock.steps(1 + count)[1:]
    evaluations = [[clock.evaluation() for _ in range(passes)][-1] for clock in clocks]
    return [
        Pace(sorted(clock.seconds)[len(clock.seconds) * LOW // 100], evaluation, len(clock.seconds))
        for clock, evaluation in zip(clocks, evaluations, strict=True)
    ]
