"""The callback of Hugging Face's `Trainer` that carries out a plan, and what it replaces of the trainer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch.optim import Optimizer
from transformers import TrainerCallback

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text
from shapeflow.base.json_text import parse_json
from shapeflow.foreign.adapters import Adapter
from shapeflow.ir.steps import Step
from shapeflow.running.session import Session
from shapeflow_torch.adopt.trainers import (
    GroupRates,
    able_to_load,
    carry_out,
    require_model,
    require_optimizer,
    require_same_plan,
    resize,
    rest,
    unfit_trainer,
)

STATE = "trainer_state.json"
KEPT = "shapeflow"
"""Key of the trainer's stateful callbacks, in a checkpoint, that has the digest of the plan."""


class PlanCallback(TrainerCallback):
    """Carries out a plan at the steps of a trainer. `follow` of this package makes it."""

    carries_out = True

    def __init__(self, trainer: Any, session: Session, adapter: Adapter | None, rates: GroupRates, metric: str) -> None:
        self.trainer, self.session, self.adapter, self.rates, self.metric = trainer, session, adapter, rates, metric
        self._steps: Iterator[Step] = iter(())
        self._step: Step | None = None
        self._begun = 0.0
        self._unlogged = False
        """Whether the last update was made and is not in the log yet."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Raises Refused `unfit-trainer`, `unfit-model`, `unfit-optimizer`, `wrapped-module`, `no-such-step`."""
        trainer, plan = self.trainer, self.session.plan
        if state.is_hyper_param_search:
            help_ = "make a trainer for each trial, and call `shapeflow.hf.follow` with its own plan"
            raise unfit_trainer("the trainer searches hyperparameters, and a plan is for one run", help_)
        if state.max_steps != plan.steps:
            message = f"`max_steps` of the trainer is {state.max_steps}, and the plan has {plan.steps} steps"
            raise unfit_trainer(message, "do not change `trainer.args` after `shapeflow.hf.follow`")
        require_model(trainer.model, plan, state.global_step, self.adapter)
        require_optimizer(trainer.model, _bare(trainer.optimizer), plan, state.global_step, self.adapter)
        self.session.load_state_dict({"plan": plan.digest, "done": state.global_step})
        state.stateful_callbacks[KEPT] = {"plan": plan.digest}
        self._steps, self._step, self._unlogged = iter(self.session), None, False

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Raises what `grow` raises."""
        self._flush()
        self._step = next(self._steps)
        carry_out(self.trainer.model, _bare(self.trainer.optimizer), self.session.plan, self._step, self.adapter)
        self._begun = time.monotonic()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._step is not None:
            self.rates.set(self.trainer.optimizer, self._step)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.rates.restore()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = self._step
        if step is None:
            return
        self._begun, self._unlogged = time.monotonic() - self._begun, True
        rest(self.trainer.model, self.session.plan, step, self.adapter)
        # Without it, the epoch of a run that was resumed counts from the resume on.
        state.epoch = state.global_step / self.session.plan.steps
        control.should_log |= step.measure or step.last
        control.should_evaluate |= step.measure and self.trainer.eval_dataset is not None
        control.should_save |= step.save and args.save_strategy != "no"

    def on_log(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        """The trainer logs the mean loss since its last log, with the rate that its schedule had."""
        logs: dict[str, Any] = found["logs"]
        if self._step is None or not self._unlogged or "loss" not in logs:
            return
        for shown in (logs, state.log_history[-1]):
            shown["learning_rate"] = self.rates.rate
        self._flush(logs["loss"], logs.get("grad_norm"))

    def on_evaluate(self, args: Any, state: Any, control: Any, **found: Any) -> None:
        metrics: Mapping[str, Any] = found["metrics"]
        self._flush()
        if self._step is not None and self.metric in metrics:
            self.session.measured(self._step, {self.session.plan.metric: metrics[self.metric]})

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._flush()
        if self.session.done == self.session.plan.steps:
            next(self._steps, None)
        self.session.close()

    def _flush(self, loss: float | None = None, norm: float | None = None) -> None:
        """Record the last update. `loss`: None if the trainer has not logged it."""
        if self._unlogged and self._step is not None:
            more: Any = {"seconds": self._begun, "learning_rate": self.rates.rate, "gradient_norm": norm}
            self.session.log(self._step, loss, **more)
            self._unlogged = False


def install(trainer: Any, session: Session, adapter: Adapter | None, rates: GroupRates, metric: str) -> None:
    """Add the callback, and give the model and the optimizer of a resumed run the sizes of its checkpoint: a trainer
    loads both before any callback is called."""
    plan, load, create = session.plan, trainer._load_from_checkpoint, trainer.create_optimizer
    resumed = [0]

    def load_from_checkpoint(checkpoint: Any, model: Any = None) -> Any:
        done = _done(Path(checkpoint), session)
        given = trainer.optimizer
        resize(trainer.model if model is None else model, plan, done, adapter, given and _bare(given))
        resumed[0] = done
        return load(checkpoint, model)

    def create_optimizer(*args: Any, **choices: Any) -> Any:
        made = create(*args, **choices)
        able_to_load(_bare(trainer.optimizer), plan, resumed[0])
        resumed[0] = 0
        return made

    trainer._load_from_checkpoint, trainer.create_optimizer = load_from_checkpoint, create_optimizer
    # The first callback: those that report a log then get the learning rate of the update.
    trainer.callback_handler.callbacks.insert(0, PlanCallback(trainer, session, adapter, rates, metric))


def _done(checkpoint: Path, session: Session) -> int:
    """The steps that are done in a checkpoint. Raises Refused `foreign-checkpoint`, `broken-checkpoint`."""
    try:
        state = parse_json(read_text(checkpoint / STATE), finite=False)
    except (Refused, ValueError) as error:
        message, help_ = f"the checkpoint has no `{STATE}` that can be read", "resume from another checkpoint"
        raise Refused(Diagnostic("broken-checkpoint", message, place=str(checkpoint), help=help_)) from error
    found: Mapping[str, Any] = state if isinstance(state, dict) else {}
    kept = found.get("stateful_callbacks")
    require_same_plan(kept.get(KEPT) if isinstance(kept, dict) else None, session.plan)
    session.load_state_dict({"plan": session.plan.digest, "done": found.get("global_step")})
    return session.done


def _bare(optimizer: Any) -> Optimizer:
    """The optimizer in the wrapper of `accelerate`."""
    found: Optimizer = getattr(optimizer, "optimizer", optimizer)
    return found
