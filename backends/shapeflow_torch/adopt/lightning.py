"""A plan in the `Trainer` of Lightning: a callback, next to a `PlanSampler` in the user's data loader."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from shapeflow.foreign.adapters import Adapter
from shapeflow.ir.plan import Plan
from shapeflow.ir.steps import Step
from shapeflow.running.session import follow as session_of
from shapeflow_torch.adopt.sampler import PlanSampler
from shapeflow_torch.adopt.trainers import (
    LIGHTNING,
    GroupRates,
    Rates,
    able_to_load,
    carry_out,
    require_carried_out,
    require_model,
    require_names,
    require_optimizer,
    require_rates,
    require_same_plan,
    require_version,
    resize,
    rest,
    unfit_trainer,
)

require_version(LIGHTNING)

from lightning.pytorch import Callback  # noqa: E402
from lightning.pytorch.callbacks import GradientAccumulationScheduler  # noqa: E402

NAMES = ("_accelerator_connector", "fit_loop", "optimizers", "lr_scheduler_configs", "accumulate_grad_batches")
"""What is read of a trainer."""


class PlanCallback(Callback):
    """Carries out a plan in Lightning's `Trainer(max_steps=plan.steps, use_distributed_sampler=False)`.

    The training data loader has a `PlanSampler(plan, ..., done=lambda: trainer.global_step)`."""

    def __init__(
        self,
        plan: Plan | str | Path,
        adapter: Adapter | None = None,
        *,
        module: str = "",
        folder: str | Path | None = None,
        rates: Rates = "plan",
        metric: str | None = None,
    ) -> None:
        """`adapter`: where the tensors of the plan are in the module; None for a plan that does not change its sizes;
        `module`: path of the module that the plan is for, in the LightningModule; empty: the LightningModule itself;
        `folder`: a run folder to write; `rates`: `plan`: the learning rate is the plan's; `shape`: the trainer's own
        schedule times the factors that the plan has for its shapes and after switches; `metric`: name of the logged
        value that is recorded as the plan's metric after each validation.

        Raises Refused `unfit-trainer`, `unfit-plan`, `unfit-model`, and what `shapeflow.follow` raises."""
        require_rates(rates)
        self.session = session_of(plan, folder)
        self.plan, self.adapter, self.module, self.metric = self.session.plan, adapter, module, metric
        require_carried_out(self.plan, adapter)
        self._rates = GroupRates(rates)
        self._losses: list[Any] | None = None if folder is None else []
        self._steps: Iterator[Step] = iter(())
        self._step: Step | None = None
        self._resumed, self._begun = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs: the digest of the plan."""
        return {"plan": self.plan.digest}

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Raises Refused `unsupported-version`, `unfit-trainer`, `unfit-model`, `wrapped-module`."""
        if stage != "fit":
            return
        require_names(trainer, NAMES, "lightning")
        _require_settings(trainer, pl_module, self.plan)
        require_model(self._own(pl_module), self.plan, 0, self.adapter)
        resize(self._own(pl_module), self.plan, 0, self.adapter, None)
        load = pl_module.on_load_checkpoint
        schedule = pl_module.lr_scheduler_step

        # Lightning loads the weights before it calls `on_load_checkpoint` of a callback.
        def on_load_checkpoint(checkpoint: dict[str, Any]) -> None:
            require_same_plan(checkpoint.get("callbacks", {}).get(self.state_key), self.plan)
            self._resumed = int(checkpoint["global_step"])
            resize(self._own(pl_module), self.plan, self._resumed, self.adapter, None)
            load(checkpoint)

        # A schedule may compute its next rate from the rate that the groups have.
        def lr_scheduler_step(*args: Any) -> None:
            self._restore()
            schedule(*args)

        pl_module.on_load_checkpoint, pl_module.lr_scheduler_step = on_load_checkpoint, lr_scheduler_step

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Raises Refused `unfit-trainer`. The optimizers exist, and their state is not loaded yet."""
        if len(trainer.optimizers) != 1:
            help_ = "use one optimizer, or a loop of your own (`shapeflow.follow`)"
            raise unfit_trainer(f"the trainer has {len(trainer.optimizers)} optimizers", help_)
        if trainer.lr_scheduler_configs and self._rates.rates == "plan":
            help_ = 'use `rates="shape"`, or return the optimizer alone from `configure_optimizers`'
            raise unfit_trainer("the module has a learning rate schedule, and the plan sets the rate", help_)
        able_to_load(trainer.optimizers[0], self.plan, self._resumed)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Raises Refused `unfit-trainer`, `unfit-model`, `unfit-optimizer`, `no-such-step`."""
        _require_sampler(trainer, self.plan)
        own, done = self._own(pl_module), trainer.global_step
        require_model(own, self.plan, done, self.adapter)
        require_optimizer(own, trainer.optimizers[0], self.plan, done, self.adapter)
        self.session.load_state_dict({"plan": self.plan.digest, "done": trainer.global_step})
        self._steps, self._step = iter(self.session), None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Raises what `grow` raises."""
        if self._step is not None and self._step.index == trainer.global_step:
            return
        self._step = next(self._steps)
        optimizer: Optimizer = trainer.optimizers[0]
        carry_out(self._own(pl_module), optimizer, self.plan, self._step, self.adapter)
        if self._losses is not None:
            self._losses.clear()
        self._begun = time.monotonic()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if self._step is not None:
            self._rates.set(optimizer, self._step)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._restore()
        step = self._step
        if step is None:
            return
        if self._losses is not None and isinstance(outputs, dict) and "loss" in outputs:
            self._losses.append(outputs["loss"].detach())
        if trainer.global_step > step.index:
            rest(self._own(pl_module), self.plan, step, self.adapter)
            # Lightning divides the loss of each micro-batch by their number.
            loss = sum(self._losses) if self._losses else None
            self.session.log(step, loss, seconds=time.monotonic() - self._begun, learning_rate=self._rates.rate)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        value = trainer.callback_metrics.get(self.metric) if self.metric else None
        if value is not None and self._step is not None and not trainer.sanity_checking:
            self.session.measured(self._step, {self.plan.metric: value})

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if self.session.done == self.plan.steps:
            next(self._steps, None)
        self.session.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.session.__exit__(type(exception), exception, exception.__traceback__)

    def _own(self, pl_module: Any) -> nn.Module:
        """The module that the plan is for. Raises Refused `unfit-trainer`."""
        try:
            found: nn.Module = pl_module.get_submodule(self.module)
        except AttributeError as error:
            message = f"the LightningModule has no module `{self.module}`"
            raise unfit_trainer(message, "give `module` the path of the module that the plan is for") from error
        return found

    def _restore(self) -> None:
        if self._rates.rates == "shape":
            self._rates.restore()


def _require_settings(trainer: Any, pl_module: Any, plan: Plan) -> None:
    """Raise Refused `unfit-trainer` for settings with which the trainer cannot carry out the plan."""
    if trainer.max_steps != plan.steps:
        message = f"`max_steps` of the trainer is {trainer.max_steps}, and the plan has {plan.steps} steps"
        raise unfit_trainer(message, f"`Trainer(max_steps={plan.steps}, use_distributed_sampler=False)`")
    if getattr(trainer._accelerator_connector, "use_distributed_sampler", True):
        message = "the trainer may shard the sampler of the plan again"
        raise unfit_trainer(message, "`Trainer(use_distributed_sampler=False)`")
    if trainer.world_size > 1:
        message = f"the trainer runs in {trainer.world_size} processes, and switches are carried out in one"
        raise unfit_trainer(message, "`Trainer(devices=1)`, or `shapeflow run`")
    if trainer.overfit_batches:
        raise unfit_trainer("`overfit_batches` replaces the sampler of the plan", "leave `overfit_batches` out")
    if getattr(trainer.precision_plugin, "scaler", None) is not None:
        help_ = "use `bf16-mixed` or `32-true`"
        raise unfit_trainer("the scaler of the loss holds the optimizer of before a switch", help_)
    if not pl_module.automatic_optimization:
        help_ = "use automatic optimization, or a loop of your own (`shapeflow.follow`)"
        raise unfit_trainer("the module makes its updates itself", help_)
    if any(isinstance(each, GradientAccumulationScheduler) for each in trainer.callbacks):
        help_ = "use one `accumulate_grad_batches`: the plan changes the micro-batches"
        raise unfit_trainer("the accumulation of the trainer changes", help_)


def _require_sampler(trainer: Any, plan: Plan) -> None:
    """Raise Refused `unfit-trainer` unless the training batches are those of the plan."""
    sampler = getattr(trainer.train_dataloader, "batch_sampler", None)
    accumulation = trainer.accumulate_grad_batches
    write = f"`PlanSampler(plan, size, accumulation={accumulation}, done=lambda: trainer.global_step)`"
    help_ = f"give the training data loader `batch_sampler`: {write}"
    if not isinstance(sampler, PlanSampler):
        raise unfit_trainer("the training data loader has no `PlanSampler`", help_)
    if sampler.plan.digest != plan.digest:
        raise unfit_trainer("the sampler of the training data loader follows another plan", help_)
    if sampler.accumulation != accumulation:
        message = f"the trainer accumulates {accumulation} batches, and the sampler {sampler.accumulation}"
        raise unfit_trainer(message, help_)
    if not sampler.counts:
        raise unfit_trainer("the sampler does not follow the trainer when it is resumed", help_)
