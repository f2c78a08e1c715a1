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
from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import REVERSIBLE, Edit
from shapeflow.ir.events import Evaluation
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Plan, Stage, Transition
from shapeflow.ir.rates import factors, remembered
from shapeflow.ir.replay import first_ledger, ledger_at
from shapeflow.ir.retention import retained
from shapeflow.ir.workload import Cursor, batch_of, samples_of, shape_of
from shapeflow.running.execute import checkpoint_name
from shapeflow.running.stop import SIGNALS
from shapeflow_torch import checkpoint
from shapeflow_torch.body import Body
from shapeflow_torch.compilation import allow_graphs
from shapeflow_torch.data import Data
from shapeflow_torch.data.pixels import resized
from shapeflow_torch.devices import autocast
from shapeflow_torch.losses import Saving, cut, loss_of, weight_of
from shapeflow_torch.measure import measure
from shapeflow_torch.objectives import Asked, Site, objective_of
from shapeflow_torch.optimizers import optimizer_of
from shapeflow_torch.reading import Reader
from shapeflow_torch.surgery import Kept, move, operate, rehearsed
from shapeflow_torch.team import Team
from shapeflow_torch.weight_files import first_weights

_SIGNALS = tuple(number.name for number in SIGNALS)


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
        stop: Callable[[], str | None] = lambda: None,
        root: Path = Path(),
        saving: Saving | None = None,
        around: Callable[[int], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        """`stop`: returns the name of the signal that asks for a stop, or None; it is called once per step. `root`:
        base directory of relative paths of weights; all teachers are read here, even those that only later stages need.
        `saving`: how steps save memory; by default they do not. `around`: what each step is made inside of, called
        with the step's number, counted from 1.

        Raises Refused `no-model`, and what `optimizer_of` and `objective_of` raise."""
        if plan.model is None or plan.optimizer is None:
            raise Refused(Diagnostic("no-model", "the plan has no model, so there is nothing to train", place="plan"))
        self.plan, self.data, self.team = plan, data, team or Team()
        self._kind = plan.model.name
        self._rules = optimizer_of(plan.optimizer, plan.apart, any(stage.memory != 1 for stage in plan.stages))
        site = Site(root, self.team.device, dtype, plan.stages[0].sizes.get("vocabulary"))
        self._objectives = {name: objective_of(spec, site) for name, spec in plan.objectives.items()}
        self._dtype, self._compiled, self._stop, self._around = dtype, compiled, stop, around
        self._saving = saving or Saving()
        self._stopping: str | None = None
        self._root = root
        if compiled:
            allow_graphs(plan)
        self._reader, self._cursor = Reader(), Cursor(plan)
        self._looking: Sequence[Edit] = ()
        self._done = 0
        self._error: float | None = None
        """The plan's metric, if it was measured after the last step."""
        self.average_age = 0
        """Number of steps in the averaged weights since the average last started."""
        self.resumable: int | None = None
        """Steps done, if a run can continue from the present state as if nothing had happened. None: before the first
        step, and while an update, a switch or an evaluation is made."""
        self._stage = 0
        self.entering: int | None = None
        """Index of the stage whose switch is being made; None otherwise."""
        self.gradient_norm: float | None = None
        """Norm of all gradients of the last step, before clipping."""

    def take(self, stage: Stage) -> None:
        """See `Machine`. Raises Refused `start-missing`, `start-broken`, `start-changed`, `start-mismatch`."""
        ledger, kept = first_ledger(self.plan), None
        if self.plan.start is not None:
            kept = first_weights(self.plan.start, self._root, ledger, self.team.device, self._dtype)
        self._become(ledger, self.plan.seed if kept is None else kept)
        self.resumable, self._stage = None, 0

    def apply(self, transition: Transition, stage: Stage) -> None:
        """See `Machine`. Raises Refused `not-arrived`, and what `rehearsed` raises, before anything changes. Does
        nothing if the checkpoint that was loaded was written after this switch."""
        index = self.plan.stages.index(stage)
        if index == self._stage:
            return
        done, self.resumable, self.entering = self.resumable, None, index
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
            # The longest memory (smallest `memory`) of the remaining stages decides whether ages will ever matter.
            longest = min(later.memory for later in self.plan.stages[index:])
            kept = self.body.released()
            operate(kept, self.ledger, transition, self.plan.apart, self.plan.seed, index - 1, self._rules, longest)
            self._become(self.ledger, kept)
        self._settle()
        self.resumable, self._stage, self.entering = done, index, None

    def look(self, edits: Sequence[Edit]) -> None:
        if edits is self._looking:
            return
        move(self.ledger, edits)
        self._read()
        self._looking = edits

    def step(self, stage: Stage, step: int, compute: float) -> float:
        """See `Machine`. Raises Refused `loss-not-finite`, `no-prefix-mask`."""
        del compute
        with self._around(step + 1):
            return self._step(stage, step)

    def _step(self, stage: Stage, step: int) -> float:
        loss = self.gradients(stage, step)
        norm = self.body.gradient_norm()
        mean, self.gradient_norm = self._agree(loss, norm)
        if not math.isfinite(mean):
            raise Refused(_diverged(f"the loss of step {step + 1} is {mean}"))
        self.resumable = None
        memory = self.plan.stages[self.plan.stage_at(step + 1)].memory
        worth = partial(remembered, self.plan, step)
        self._error = None
        self.body.update(norm, factors(self.plan, step), self.average_age, memory, worth)
        self.average_age, self._done = self.average_age + 1, step + 1
        if step + 1 == stage.last_step:
            self._settle()
        self.resumable = None if self.plan.measures_at(step + 1) else step + 1
        return mean

    def gradients(self, stage: Stage, step: int) -> Tensor:
        """Compute the gradients of a step and return its loss on this process's samples, without gradient.

        Samples and random draws are those of the whole step, so they do not depend on micro-batches. With several
        micro-batches the gradients are shared with other processes at the last one."""
        objective, asked = self._objectives[self.objective], self._asked(stage, step)
        pieces = list(cut(asked, self._saving.largest(shape_of(stage, self._looking))))
        weight, total = weight_of(asked, self.team), torch.zeros((), device=self.team.device)
        for number, (piece, share) in enumerate(pieces):
            last = number == len(pieces) - 1
            inputs = resized(piece.inputs, self.resolution)
            work = partial(loss_of, asked=piece, inputs=inputs, objective=objective, autocast=self._autocast)
            with contextlib.nullcontext() if last else self.body.alone():
                loss = self.body.wrapped(work)
                loss = loss if share * weight == 1 else loss * (share * weight)
                loss.backward()
            total = loss.detach() if len(pieces) == 1 else total + loss.detach()
        return total

    def measure(self, stage: Stage) -> Evaluation:
        """See `Machine`. Raises Refused `loss-not-finite`: what diverged is neither measured nor saved."""
        with self.body.averaged(), self._autocast():
            largest = self._saving.largest(stage.shape)
            held = measure(self.body.net, self.data, self.size, self.plan.metric, self.team, largest)
        for name, value in held.values.items():
            if not math.isfinite(value):
                raise Refused(_diverged(f"the held-out `{name}` after step {self._done} is {value}"))
        self._error = held.values.get(self.plan.metric)
        self.resumable = self._done
        return held

    def asked_to_stop(self) -> str | None:
        return self._stopping

    def save(self, path: Path, step: int) -> None:
        """See `Machine`. Only the leader writes. Raises Refused `disk-full`, `cannot-write`, and `loss-not-finite`:
        a model that has diverged does not take the place of an older checkpoint."""
        state = self._state(step)
        if (broken := checkpoint.not_finite(state.kept)) is not None:
            raise Refused(_diverged(f"`{broken}` is not finite after step {step}"))
        self.team.share(lambda: checkpoint.save(path, state, self._retain))

    def rescue(self, folder: Path) -> Path | None:
        """Write the checkpoint of `resumable` after a step failed, without the other processes, and return it. None if
        there is none to write, or if this process does not lead. Raises Refused `disk-full`, `cannot-write`."""
        if self.resumable is None or not self.team.leads:
            return None
        self.body.optimizer.zero_grad(set_to_none=True)
        path = folder / checkpoint_name(self.resumable)
        if not path.exists():
            checkpoint.save(path, self._state(self.resumable), self._retain)
        return path

    def _state(self, step: int) -> checkpoint.State:
        stage = None if self._stage == self.plan.stage_at(step) else self._stage
        error = self._error if self.plan.keep is not None and self.plan.keep.best else None
        return checkpoint.State(self.plan.digest, step, self.average_age, self.body.whole(), stage, error)

    @property
    def _retain(self) -> checkpoint.Retain:
        return partial(retained, self.plan.keep, self.plan.turns)

    def load(self, path: Path) -> int:
        """See `Machine`. Raises Refused `broken-checkpoint`, `foreign-checkpoint`."""
        step, stage = checkpoint.step_of(path, self.plan.digest), checkpoint.stage_of(path, self.plan.digest)
        ledger = ledger_at(self.plan, step, stage)
        parts = {m: self._rules.settings.state(p) for name, p in ledger.table.items() for m in ledger.members(name)}
        state = checkpoint.load(path, self.plan.digest, ledger.tensors(), parts, self.team.device, self._dtype)
        self.average_age = state.average_age
        self._become(ledger, state.kept)
        self._stage = self.plan.stage_at(step) if stage is None else stage
        self.resumable = self._done = step
        return state.step

    def pretend(self, stage: int, saving: Saving) -> None:
        """Take new weights in the sizes of a stage, to try how much memory a step needs. Replaces the state."""
        self._saving = saving
        self._become(ledger_at(self.plan, 0, stage), self.plan.seed)

    @property
    def where(self) -> tuple[int, Shape]:
        """The stage, counted from 0, and the shape in which a step is made; those after a switch while it is made."""
        if self.entering is not None:
            return self.entering, self.plan.stages[self.entering].shape
        return self._stage, shape_of(self.plan.stages[self._stage], self._looking)

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

    def _asked(self, stage: Stage, step: int) -> Asked:
        """Return this process's samples of a step. Raises Refused `no-prefix-mask`.

        Images keep the data's own size here. The student and each teacher resize them to their own resolution."""
        samples = samples_of(batch_of(stage, self._looking), self.context)
        part = slice(self.team.rank, samples, self.team.world)
        before = self._cursor.before(step)
        drawn = self.data.batch(self.plan.seed, step, before, samples, self.context, part)
        asked = self._objectives[self.objective].asked(*drawn, self.plan.seed, step, part)
        if asked.prefix is not None and not self.body.net.takes_prefix:
            raise Refused(_no_prefix(self._kind))
        return asked

    def _become(self, ledger: Ledger, kept: Kept | int) -> None:
        """Replace the body with one of the ledger's sizes. `kept`: the tensors to use, or the seed of new weights."""
        self.ledger = ledger
        self.body = Body(self._kind, ledger, self._rules, self.team, self._dtype, kept, self._compiled)
        self.body.net.seed, self.body.net.recompute = self.plan.seed, self._saving.recompute
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

    def _agree(self, loss: Tensor, norm: Tensor) -> tuple[float, float]:
        """Return the mean loss of all processes, and the norm of the gradients, which is the same in all. The same
        reduction also shares which signals asked any of them to stop. It waits for the device once."""
        asked, norm = self._stop(), norm.to(loss)[None]
        if self.team.world == 1:
            self._stopping = asked
            mean, found = torch.cat((loss[None], norm)).tolist()
            return float(mean), float(found)
        heard = loss.new_tensor([float(asked == name) for name in _SIGNALS])
        shared = self.team.sum(torch.cat(((loss / self.team.world)[None], heard)))
        mean, *stops, found = torch.cat((shared, norm)).tolist()
        self._stopping = next((name for name, count in zip(_SIGNALS, stops, strict=True) if count), None)
        return float(mean), float(found)


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


def _diverged(message: str) -> Diagnostic:
    help_ = "lower the learning rate, or lengthen the warm-up"
    return Diagnostic("loss-not-finite", message, place="run", help=help_)
