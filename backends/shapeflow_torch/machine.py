"""The torch machine: builds the model of each shape, applies the edits of switches, and makes training steps."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.edits import REVERSIBLE, Edit
from shapeflow.ir.events import Evaluation
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Plan, Stage, Transition
from shapeflow.ir.rates import factors, remembered
from shapeflow_torch import checkpoint
from shapeflow_torch.body import Body
from shapeflow_torch.compilation import allow_graphs
from shapeflow_torch.data import Data
from shapeflow_torch.data.pixels import resized
from shapeflow_torch.devices import autocast
from shapeflow_torch.measure import measure
from shapeflow_torch.objectives import Asked, Site, objective_of
from shapeflow_torch.optimizers import optimizer_of
from shapeflow_torch.reading import Reader
from shapeflow_torch.replay import first_ledger, ledger_at
from shapeflow_torch.surgery import Kept, move, operate, rehearsed
from shapeflow_torch.team import Team
from shapeflow_torch.workload import Cursor, batch_of, samples_of


class TorchMachine:
    """Implements `shapeflow.running.execute.Machine` in one process of a team.

    On CUDA it uses bfloat16 autocast over float32 weights. On a CPU it uses float32, and results are bitwise
    reproducible.
    """

    def __init__(
        self,
        plan: Plan,
        data: Data,
        team: Team | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
        stop: Callable[[], bool] = lambda: False,
        root: Path = Path(),
    ) -> None:
        """`stop`: returns whether this process was asked to stop; it is called once per step. `root`: base directory of
        relative teacher paths; all teachers are read here, even those that only later stages need.

        Raises Refused `no-model`, and what `optimizer_of` and `objective_of` raise."""
        if plan.model is None or plan.optimizer is None:
            raise Refused(Diagnostic("no-model", "the plan has no model, so there is nothing to train", place="plan"))
        self.plan, self.data, self.team = plan, data, team or Team()
        self._kind = plan.model.name
        self._rules = optimizer_of(plan.optimizer, plan.apart, any(stage.memory != 1 for stage in plan.stages))
        site = Site(root, self.team.device, dtype, plan.stages[0].sizes.get("vocabulary"))
        self._objectives = {name: objective_of(spec, site) for name, spec in plan.objectives.items()}
        self._dtype, self._compiled, self._stop = dtype, compiled, stop
        self._stopping = False
        if compiled:
            allow_graphs(plan)
        self._reader, self._cursor = Reader(), Cursor(plan)
        self._looking: Sequence[Edit] = ()
        self.average_age = 0
        """Number of steps in the averaged weights since the average last started."""

    def take(self, stage: Stage) -> None:
        self._become(first_ledger(self.plan), self.plan.seed)

    def apply(self, transition: Transition, stage: Stage) -> None:
        """See `Machine`. Raises Refused `not-arrived`, and what `rehearsed` raises, before anything changes."""
        _check_arrival(rehearsed(self.ledger, transition.edits), stage)
        if transition.average == "restart":
            self.average_age = 0
        if all(isinstance(edit, REVERSIBLE) for edit in transition.edits):
            self.look(transition.edits)
            if transition.average == "restart":
                self.body.restart_average()
            if transition.moments == "reset":
                self.body.forget_moments()
        else:
            switch = self.plan.stages.index(stage) - 1
            # The longest memory (smallest `memory`) of the remaining stages decides whether ages will ever matter.
            longest = min(later.memory for later in self.plan.stages[switch + 1 :])
            kept = self.body.released()
            operate(kept, self.ledger, transition, self.plan.apart, self.plan.seed, switch, self._rules, longest)
            self._become(self.ledger, kept)
        self._settle()

    def look(self, edits: Sequence[Edit]) -> None:
        if edits is self._looking:
            return
        move(self.ledger, edits)
        self._read()
        self._looking = edits

    def step(self, stage: Stage, step: int, compute: float) -> float:
        """See `Machine`. Raises Refused `loss-not-finite`, `no-prefix-mask`."""
        del compute
        loss = self._loss(stage, step)
        loss.backward()  # type: ignore[no-untyped-call]
        mean = self._agree(loss.detach())
        if not math.isfinite(mean):
            raise Refused(_diverged(step, mean))
        memory = self.plan.stages[self.plan.stage_at(step + 1)].memory
        worth = partial(remembered, self.plan, step)
        self.body.update(factors(self.plan, step), self.average_age, memory, worth)
        self.average_age += 1
        if step + 1 == stage.last_step:
            self._settle()
        return mean

    def measure(self, stage: Stage) -> Evaluation:
        with self.body.averaged(), self._autocast():
            return measure(self.body.net, self.data, self.size, self.plan.metric, self.team)

    def asked_to_stop(self) -> bool:
        return self._stopping

    def save(self, path: Path, step: int) -> None:
        """See `Machine`. Only the leader writes. Raises Refused `disk-full`, `cannot-write`."""
        state = checkpoint.State(self.plan.digest, step, self.average_age, self.body.whole())
        self.team.share(lambda: checkpoint.save(path, state))

    def load(self, path: Path) -> int:
        """See `Machine`. Raises Refused `broken-checkpoint`, `foreign-checkpoint`."""
        step = checkpoint.step_of(path, self.plan.digest)
        ledger = ledger_at(self.plan, step)
        parts = {m: self._rules.settings.state(p) for name, p in ledger.table.items() for m in ledger.members(name)}
        state = checkpoint.load(path, self.plan.digest, ledger.tensors(), parts, self.team.device, self._dtype)
        self.average_age = state.average_age
        self._become(ledger, state.kept)
        return state.step

    @property
    def objective(self) -> str:
        """Name of the objective that a step minimises in the current reading."""
        loss = self.ledger.slots.get("loss")
        return loss if isinstance(loss, str) else next(iter(self.plan.objectives))

    @property
    def context(self) -> int | None:
        """Tokens per window in the current reading; None for images."""
        context = self.ledger.slots.get("context")
        return context if isinstance(context, int) else None

    @property
    def size(self) -> int | None:
        """Size of a sample in the current reading: tokens per window, or pixels per image side. None: the data's own
        size."""
        return self.context if self.resolution is None else self.resolution

    @property
    def resolution(self) -> int | None:
        """Pixels per image side in the current reading; None: the data's own size."""
        resolution = self.ledger.slots.get("resolution")
        return resolution if isinstance(resolution, int) else None

    def _loss(self, stage: Stage, step: int) -> Tensor:
        """Return the loss of a step on this process's samples.

        Images keep the data's own size here. The student and each teacher resize them to their own resolution."""
        samples = samples_of(batch_of(stage, self._looking), self.context)
        part = slice(self.team.rank, samples, self.team.world)
        before = self._cursor.before(step)
        drawn = self.data.batch(self.plan.seed, step, before, samples, self.context, part)
        objective = self._objectives[self.objective]
        asked = objective.asked(*drawn, self.plan.seed, step, part)
        return objective.loss(self._answered(asked), asked)

    def _answered(self, asked: Asked) -> Tensor:
        """Return the model's logits. Raises Refused `no-prefix-mask`."""
        inputs = resized(asked.inputs, self.resolution)
        if asked.prefix is not None and not self.body.net.takes_prefix:
            raise Refused(_no_prefix(self._kind))
        with self._autocast():
            return self.body.wrapped(*((inputs,) if asked.prefix is None else (inputs, asked.prefix)))  # type: ignore[no-any-return]

    def _become(self, ledger: Ledger, kept: Kept | int) -> None:
        """Replace the body with one of the ledger's sizes. `kept`: the tensors to use, or the seed of new weights."""
        self.ledger = ledger
        self.body = Body(self._kind, ledger, self._rules, self.team, self._dtype, kept, self._compiled)
        self.body.net.seed = self.plan.seed
        self._looking = ()
        self._read()

    def _read(self) -> None:
        self.body.net.readings = self._reader.readings(self.ledger, self.team.device, self._dtype)
        self.body.net.slots = dict(self.ledger.slots)

    def _settle(self) -> None:
        """Wait for queued GPU work. This is called at the start and end of a switch, so that its time is measured
        separately."""
        if self.team.device.type == "cuda":
            torch.cuda.synchronize(self.team.device)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        return autocast(self.team.device, self._dtype)

    def _agree(self, loss: Tensor) -> float:
        """Return the mean loss of all processes. The same reduction also shares whether any process was asked
        to stop."""
        asked = self._stop()
        if self.team.world == 1:
            self._stopping = asked
            return float(loss)
        summed = self.team.sum(torch.stack((loss / self.team.world, loss.new_tensor(float(asked)))))
        mean, stops = summed.tolist()
        self._stopping = stops > 0
        return float(mean)


def _check_arrival(ledger: Ledger, stage: Stage) -> None:
    """Check that every parameter is stored in the stage's sizes after a switch. Raises Refused `not-arrived`."""
    for name, sizes in ledger.sizes.items():
        for dim, size in sizes.items():
            if size != stage.sizes[dim]:
                message = f"`{name}` has size {size} along `{dim}`; the stage at {stage.shape} needs {stage.sizes[dim]}"
                raise Refused(Diagnostic("not-arrived", message, place="plan"))


def _no_prefix(kind: str) -> Diagnostic:
    message = f"the objective needs an attention mask, and the module of `{kind}` does not support one"
    return Diagnostic("no-prefix-mask", message, place="model", help="train a `transformer`, or by `next_token`")


def _diverged(step: int, loss: float) -> Diagnostic:
    help_ = "lower the learning rate or lengthen the warm-up, then start again or resume from the last checkpoint"
    return Diagnostic("loss-not-finite", f"the loss of step {step + 1} is {loss}", place="run", help=help_)
