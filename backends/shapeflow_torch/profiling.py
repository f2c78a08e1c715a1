"""Measures the seconds of steps, evaluations, switches and a checkpoint of some plans, without training them."""

from __future__ import annotations

import signal
import statistics
import tempfile
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import attrs
import torch

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.printing import say
from shapeflow.ir import plan_json
from shapeflow.ir.parameters import scalars
from shapeflow.ir.plan import Plan
from shapeflow.ir.profile import Machine, Pace, Times
from shapeflow.ir.workload import check_shares
from shapeflow.running import launchers
from shapeflow.running.execute import checkpoint_name
from shapeflow.running.stop import let_through
from shapeflow_torch import distribute
from shapeflow_torch.clock import Clock
from shapeflow_torch.compilation import wants_compile
from shapeflow_torch.data import open_data
from shapeflow_torch.devices import Place, name_of, place
from shapeflow_torch.hardware import hardware_of
from shapeflow_torch.losses import Saving
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.out_of_memory import is_out_of_memory
from shapeflow_torch.team import Team
from shapeflow_torch.train import be_deterministic, choose_threads

WARM, FIRST = 3, 3
"""Number of steps before the timed ones; and of those after a switch that count as part of it, as far as they take
longer than later ones."""
TRIALS = 3
"""Number of times that a switch is made. The shortest counts; with a compiled model, the first, since later ones find
the compiled model again."""
ROUNDS, BLOCK, LONGEST = 12, 0.1, 50
"""Number of times that every plan gets a turn, least seconds of a turn, most steps of one."""
LEAST = 4
"""Least number of timed steps of a turn."""


@attrs.frozen
class Asked:
    """What to measure, and how. `fixed`: plans with one stage; `switching`: plans with two; `root`: base directory of
    relative data paths; `threads`: CPU threads of each process, by default as `run` chooses them for the most expensive
    plan; `peak_flops`: FLOP/s of one device, if the user states it."""

    fixed: tuple[Plan, ...]
    switching: tuple[Plan, ...]
    root: Path
    threads: int | None = None
    saving: Saving = attrs.field(factory=Saving)
    peak_flops: float | None = None


def profile(asked: Asked, device: str = "auto", processes: int | None = None, gpus: int | None = None) -> Times | None:
    """Measure in this process, in several that are started here, or in those of a launcher; None in processes of a
    launcher that do not lead. `device`, `processes`, `gpus`: as for a run. Raises what `measured` raises, and what a
    run raises for its processes."""
    own = launchers.placed()
    if own is not None:
        distribute.require_one_launcher(own, processes, gpus)
        with distribute.losses_named(_lost), distribute.joined(device, own) as team:
            times = _reported(asked, team)
        return times if team.leads else None
    where = place(device, processes, gpus)
    if where.processes == 1:
        return measured(asked, Team(device=where.device(0)))
    fixed, switching = ([plan_json.dumps(plan) for plan in plans] for plans in (asked.fixed, asked.switching))
    rest = attrs.evolve(asked, fixed=(), switching=())
    found, lost = distribute.followed(_one, (fixed, switching, rest, where), where.processes, {})
    if found is None:
        raise Refused(_lost(distribute.failures(lost)))
    return found  # type: ignore[no-any-return]  # what the leader sent


def _lost(notes: Sequence[str]) -> Diagnostic:
    message = "a process of the profile was lost, so the others were ended"
    help_ = "measure again; if memory ran out, with `--micro-batch N` of N samples, or `--checkpoint-activations`"
    return Diagnostic("worker-lost", message, place="profile", notes=tuple(notes), help=help_)


def _reported(asked: Asked, team: Team) -> Times:
    """Measure in a process of a launcher. If memory runs out in one that does not lead, it says so itself: the others
    only lose it."""
    try:
        return measured(asked, team)
    except Refused as refused:
        if not team.leads and any(one.code == "out-of-memory" for one in refused.diagnostics):
            say(str(refused), err=True)
        raise


def _one(fixed: Sequence[str], switching: Sequence[str], asked: Asked, where: Place, sender: Connection) -> None:
    """Measure in one of several processes. `fixed`, `switching`: the plans of `asked` as JSON."""
    # The process that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    let_through()
    plans = [tuple(plan_json.loads(text, "plan") for text in texts) for texts in (fixed, switching)]
    with distribute.one_of_several(where.kind, sender, all_report=True) as (team, send):
        send("outcome", measured(attrs.evolve(asked, fixed=plans[0], switching=plans[1]), team))


def measured(asked: Asked, team: Team) -> Times:
    """Measure in this process, which is one of a team. All processes return their own times; those of the leader count.

    The fixed plans take turns, so that a slow phase of the machine affects all of them alike. If their models do not
    fit in the memory of a GPU together, and where several processes have a GPU each, they are timed one after the
    other. Raises Refused `batch-not-divisible`, `out-of-memory`, and what a run raises when it opens data and builds a
    model."""
    for plan in asked.fixed:
        check_shares(plan, team.world)
    return _Measurement(asked, team).times()


class _Measurement:
    def __init__(self, asked: Asked, team: Team) -> None:
        self._asked, self._team, self._at = asked, team, asked.fixed[0]
        self._compiled = wants_compile("auto", team.device)
        if team.device.type == "cpu":
            be_deterministic(self._compiled)
            if asked.threads is None:
                choose_threads(max(asked.fixed, key=lambda plan: max(stage.cost for stage in plan.stages)))
            else:
                torch.set_num_threads(asked.threads)

    def times(self) -> Times:
        try:
            # Compiled models of the fixed plans would shorten the first steps after switches.
            switches = tuple(self._switch(plan) for plan in self._asked.switching)
            paces = tuple(self._paces())
            largest = max(self._asked.fixed, key=lambda plan: scalars(plan.parameters, plan.stages[0].sizes))
            return Times(self._here(), paces, switches, self._checkpoint(largest))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise Refused(_too_large(self._at, self._asked.saving, error)) from None

    def _here(self) -> Machine:
        device, saving = self._team.device, self._asked.saving
        peak, limit = hardware_of(self._team, self._asked.peak_flops).peak_flops, saving.micro_batch
        assert limit is None or isinstance(limit, int)
        how = torch.get_num_threads(), self._team.world, self._compiled, torch.__version__
        return Machine(name_of(device), device.type, *how, peak, limit, saving.recompute)

    def _clock(self, plan: Plan) -> Clock:
        self._at = plan
        return Clock(self._machine, plan, self._team.device)

    def _machine(self, plan: Plan) -> TorchMachine:
        root, team = self._asked.root, self._team
        data = open_data(plan, root, team.device)
        return TorchMachine(plan, data, team, compiled=self._compiled, root=root, saving=self._asked.saving)

    def _paces(self) -> list[Pace]:
        plans = self._asked.fixed
        if self._team.world == 1 or self._team.device.type == "cpu":
            try:
                return self._in_turns(plans)
            except Exception as error:
                # Other processes may have had enough memory, and would wait for this one.
                if len(plans) == 1 or self._team.world > 1 or not is_out_of_memory(error):
                    raise
                # The frames of the error hold the models.
                traceback.clear_frames(error.__traceback__)
        return [pace for plan in plans for pace in self._in_turns([plan])]

    def _in_turns(self, plans: Sequence[Plan]) -> list[Pace]:
        """The times of some plans. The first step of each turn finds cold caches, and is not counted."""
        clocks, counts = list[Clock](), list[int]()
        for plan in plans:
            clocks.append(self._clock(plan))
            usual = statistics.median(clocks[-1].steps(WARM + LEAST)[WARM:])
            # All processes must make the same steps.
            counts.append(self._team.least(min(LONGEST, max(LEAST, round(BLOCK / usual)))))
        for _ in range(ROUNDS):
            for clock, count in zip(clocks, counts, strict=True):
                clock.seconds += clock.steps(1 + count)[1:]
        # The first evaluation compiles.
        evaluations = [[clock.evaluation() for _ in range(1 + self._compiled)][-1] for clock in clocks]
        return [clock.pace(evaluation) for clock, evaluation in zip(clocks, evaluations, strict=True)]

    def _switch(self, plan: Plan) -> float:
        """Seconds of the switch of a plan: those of its edits, and of the first steps after them more than of as many
        later ones."""
        return min(self._switched(plan) for _ in range(1 if self._compiled else TRIALS))

    def _switched(self, plan: Plan) -> float:
        if self._compiled:
            # A graph that another plan compiled would be used again, as it is not in a run.
            torch._dynamo.reset()
        clock = self._clock(plan)
        clock.steps(WARM)
        begun = time.perf_counter()
        clock.switch(plan.stages[1])
        clock.steps(FIRST)
        taken = time.perf_counter() - begun
        usual = min(clock.steps(1 + LEAST)[1:])
        return max(0.0, taken - FIRST * usual)

    def _checkpoint(self, plan: Plan) -> float:
        """Seconds of saving a checkpoint of a plan after its first step."""
        clock = self._clock(plan)
        clock.steps(1)
        with tempfile.TemporaryDirectory(prefix="shapeflow-") as folder:
            return clock.saved(Path(folder, checkpoint_name(1)))


def _too_large(plan: Plan, saving: Saving, error: Exception) -> Diagnostic:
    """The error for a plan whose steps need more memory than there is."""
    shape = plan.stages[-1].shape.written(plan.units) or "the only shape"
    notes = (f"torch says: {str(error).partition(chr(10))[0][:200]}",)
    help_ = "use a smaller model, or a machine with more memory"
    if saving.micro_batch is None:
        help_ = "measure with `--micro-batch N` of N samples, or with `--checkpoint-activations`, and run with the same"
    elif not saving.recompute:
        help_ = "measure with a smaller `--micro-batch`, or with `--checkpoint-activations`, and run with the same"
    return Diagnostic(
        "out-of-memory", f"there is not enough memory for a step in {shape}", place="profile", notes=notes, help=help_
    )
