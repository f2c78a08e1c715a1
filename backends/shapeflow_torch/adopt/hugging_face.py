"""A plan in the `Trainer` of Hugging Face's `transformers`, and in trainers that inherit it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch.utils.data import DataLoader, IterableDataset

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.foreign.adapters import Adapter
from shapeflow.ir.contexts import contexts_of
from shapeflow.ir.plan import Plan
from shapeflow.running.session import Session
from shapeflow.running.session import follow as session_of
from shapeflow_torch.adopt.rows import Checked, require_columns, text_of
from shapeflow_torch.adopt.sampler import PlanSampler
from shapeflow_torch.adopt.trainers import (
    ACCELERATE,
    TRANSFORMERS,
    GroupRates,
    Rates,
    grows,
    require_carried_out,
    require_model,
    require_names,
    require_rates,
    require_version,
    unfit_trainer,
)

if TYPE_CHECKING:
    from transformers import Trainer

NAMES = (
    *("_load_from_checkpoint", "get_train_dataloader", "create_optimizer", "accelerator", "callback_handler"),
    *("_set_signature_columns_if_needed", "_signature_columns"),
)
"""What is replaced or read of a trainer."""


def follow(
    trainer: Trainer,
    plan: Plan | str | Path,
    adapter: Adapter | None = None,
    *,
    folder: str | Path | None = None,
    rates: Rates = "plan",
    order: Literal["epochs", "plan"] = "epochs",
    metric: str = "eval_loss",
) -> Session:
    """Let a trainer carry out a plan. Call it once, before `trainer.train()`.

    It sets `max_steps` and `ignore_data_skip`, gives the trainer the batches of the plan, and adds a callback. The
    optimizer, its other settings and the clipping stay the trainer's. The model must have the sizes of the plan's first
    stage, also where `trainer.train(resume_from_checkpoint=...)` goes on after a switch.

    `adapter`: where the tensors of the plan are in the model; None for a plan that does not change its sizes; `folder`:
    a run folder to write; `rates`: `plan`: the learning rate is the plan's; `shape`: the trainer's own schedule times
    the factors that the plan has for its shapes and after switches; `order`: see `PlanSampler`; `metric`: the trainer's
    metric that is recorded as the plan's.

    The training data of a plan for text is an array of token ids, a `Windows`, or a data set of rows `input_ids` of
    equal length, which are read one after another. That of a plan for images has a length. A trainer that reads other
    columns is refused.

    Returns the session, whose `done` is the number of steps that are done. Raises Refused `missing-extra`,
    `unsupported-version`, `unfit-trainer`, `unfit-plan`, `unfit-model`, `wrapped-module`, `wrong-data`, and what
    `shapeflow.follow` and `PlanSampler` raise. Resuming raises `foreign-checkpoint`."""
    require_version(TRANSFORMERS)
    require_version(ACCELERATE)
    require_names(trainer, NAMES, "transformers")
    session = session_of(plan, folder)
    require_rates(rates)
    _require_settings(trainer, session.plan)
    require_carried_out(session.plan, adapter)
    if trainer.model is not None:
        require_model(trainer.model, session.plan, 0, adapter)
    batches = batches_of(trainer, session.plan, order)
    if trainer.eval_dataset is None and any(session.plan.measures_at(n + 1) for n in range(session.plan.steps)):
        warnings.warn("the plan evaluates, and the trainer has no `eval_dataset`: nothing is measured", stacklevel=2)
    # `transformers` is imported here, since importing it takes seconds.
    from shapeflow_torch.adopt.hugging_face_callback import install

    trainer.args.max_steps, trainer.args.ignore_data_skip = session.plan.steps, True
    trainer.get_train_dataloader = batches  # type: ignore[method-assign]
    install(trainer, session, adapter, GroupRates(rates), metric)
    return session


def _require_settings(trainer: Trainer, plan: Plan) -> None:
    """Raise Refused `unfit-trainer` for settings with which the trainer cannot carry out the plan."""
    args: Any = trainer.args
    handler: Any = trainer.callback_handler
    if any(getattr(each, "carries_out", None) for each in handler.callbacks):
        raise unfit_trainer("the trainer follows a plan already", "make a new trainer for another plan")
    if args.max_steps not in (-1, plan.steps):
        message = f"`max_steps` of the trainer is {args.max_steps}, and the plan has {plan.steps} steps"
        raise unfit_trainer(message, f"set `max_steps={plan.steps}`, or leave it out")
    if args.world_size > 1 or args.n_gpu > 1:
        message = f"the trainer runs on {max(args.world_size, args.n_gpu)} devices, and switches are carried out on one"
        raise unfit_trainer(message, "use one device (`CUDA_VISIBLE_DEVICES=0`), or `shapeflow run`")
    for name, why in (
        ("deepspeed", "its engine holds the tensors"),
        ("fsdp", "its shards hold the tensors"),
        ("torch_compile", "what is compiled does not see that tensors change"),
        ("auto_find_batch_size", "the plan sets the batch"),
        ("fp16", "the scaler of the loss holds the optimizer of before a switch: use `bf16`"),
    ):
        if getattr(args, name, None):
            raise unfit_trainer(f"the trainer has `{name}`: {why}", f"leave `{name}` out")
    if getattr(trainer, "padding_free", False):
        message = "the trainer flattens its batches, so that documents do not see each other (`padding_free`)"
        help_ = 'use `packing_strategy="wrapped"`, or no packing and rows of equal length: windows cross documents'
        raise unfit_trainer(message, help_)
    if args.load_best_model_at_end and any(grows(stage.transition) for stage in plan.stages):
        help_ = "set `load_best_model_at_end=False`, and load the checkpoint into a model of its sizes"
        raise unfit_trainer("the best checkpoint may have other sizes than the model at the end", help_)


def _wrapped(args: Any) -> bool:
    """Whether the trainer, `SFTTrainer` of TRL, has made rows of one text by cutting it."""
    return bool(getattr(args, "packing", False)) and getattr(args, "packing_strategy", None) == "wrapped"


def batches_of(trainer: Trainer, plan: Plan, order: Literal["epochs", "plan"]) -> Callable[[], DataLoader[Any]]:
    """Return what makes the loader of a plan's batches, which begin at the trainer's step whenever they are iterated.

    Raises Refused `wrong-data`, and what `PlanSampler` raises."""
    data: Any = trainer.train_dataset
    if data is None or isinstance(data, IterableDataset) or not hasattr(data, "__len__"):
        message = "the trainer has no training data" if data is None else "the training data has no length"
        help_ = "give `train_dataset` an array of tokens, rows of tokens, or a data set with a length"
        raise Refused(Diagnostic("wrong-data", message, place="train_dataset", help=help_))
    text = bool(contexts_of(plan))
    if text:
        require_columns(trainer)
    samples: Any = text_of(data, _wrapped(trainer.args)) if text else data
    accumulation = trainer.args.gradient_accumulation_steps

    def get_train_dataloader() -> DataLoader[Any]:
        args: Any = trainer.args
        if args.gradient_accumulation_steps != accumulation:
            help_ = "set it before `shapeflow.hf.follow`"
            raise unfit_trainer("`gradient_accumulation_steps` has changed since the trainer follows the plan", help_)
        return DataLoader(
            samples,
            batch_sampler=sampler_of(lambda: trainer.state.global_step),
            collate_fn=Checked(trainer.data_collator, text),
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )

    def sampler_of(done: Any) -> PlanSampler:
        return PlanSampler(plan, len(samples), rank=0, world=1, accumulation=accumulation, done=done, order=order)

    sampler_of(0)
    return get_train_dataloader
