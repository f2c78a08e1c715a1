"""Plans that change the patch size, in the trainers of Lightning and `transformers`."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import peers
import pytest
import torch
from plans import toy_image_plan
from timm_nets import optimizer_of, taken
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import shapeflow
from shapeflow.base.diagnostics import Refused
from shapeflow.optimizers.adamw import Adamw
from shapeflow.torch import TIMM_VIT, PlanSampler, grow, look

lightning = peers.lightning()
transformers = peers.hugging_face()

import shapeflow.hf  # noqa: E402
from shapeflow.lightning import PlanCallback  # noqa: E402

PLAN = toy_image_plan(
    (
        ({"patch": 4, "width": 32, "depth": 2}, 4),
        ({"patch": 2, "width": 32, "depth": 2}, 4),
        ({"patch": 2, "width": 48, "depth": 3}, 4),
    ),
    grid=4,
    preview=0.5,
    optimizer=Adamw(lr=2e-3, warmup=4),
    evaluate=2,
)


class Images(Dataset[dict[str, Tensor]]):
    """Noise, and the label of each image."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(96, 1, 8, 8, generator=generator)
        self.labels = torch.randint(0, 10, (96,), generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, at: int) -> dict[str, Tensor]:
        return {"images": self.images[at], "labels": self.labels[at]}


@functools.cache
def plain_loop() -> tuple[float, ...]:
    net, optimizer = taken()
    losses = []
    batches = DataLoader(Images(), batch_sampler=PlanSampler(PLAN, 96))
    for step, batch in zip(shapeflow.follow(PLAN), batches, strict=True):
        if step.switch is not None:
            grow(net, optimizer, PLAN, step.switch, TIMM_VIT)
        look(net, PLAN, step, TIMM_VIT)
        for group in optimizer.param_groups:
            group["lr"] = step.lr
        loss = nn.functional.cross_entropy(net(batch["images"]), batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tuple(losses)


class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.net, _ = taken()
        self.losses: list[float] = []
        self.validated: list[tuple[int, int]] = []
        """Step and patch size of each validation."""

    def training_step(self, batch: Any, at: int) -> Any:
        loss = nn.functional.cross_entropy(self.net(batch["images"]), batch["labels"])
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: Any, at: int) -> None:
        self.net(batch["images"])
        self.validated.append((self.global_step, self.net.patch_embed.patch_size[0]))

    def configure_optimizers(self) -> Any:
        return optimizer_of(self.net)

    def train_dataloader(self) -> Any:
        return DataLoader(Images(), batch_sampler=PlanSampler(PLAN, 96, done=lambda: self.trainer.global_step))

    def val_dataloader(self) -> Any:
        return DataLoader(Images(), batch_size=96)


def trained(folder: Path, *callbacks: Any, resume: Path | None = None) -> Module:
    module = Module()
    trainer = lightning.Trainer(
        max_steps=PLAN.steps, use_distributed_sampler=False, accelerator="cpu", devices=1, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=bool(callbacks),
        default_root_dir=folder, check_val_every_n_epoch=None, val_check_interval=2,
        callbacks=[PlanCallback(PLAN, TIMM_VIT, module="net"), *callbacks],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, ckpt_path=resume, weights_only=True)
    return module


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Module]:
    folder = tmp_path_factory.mktemp("lightning")
    saver = lightning.callbacks.ModelCheckpoint(folder, "{step}", every_n_train_steps=2, save_top_k=-1)
    return folder, trained(folder, saver)


def test_lightning_makes_the_steps_of_a_plain_loop(whole: tuple[Path, Module]) -> None:
    assert whole[1].losses == pytest.approx(plain_loop(), abs=1e-6)
    assert {shapeflow.at(PLAN, n).patch for n in range(4)} == {2, 4}


def test_lightning_validates_in_the_shape_of_the_stage(whole: tuple[Path, Module]) -> None:
    assert {patch for step, patch in whole[1].validated if step <= 4} == {4}
    assert {patch for step, patch in whole[1].validated if step > 4} == {2}


@pytest.mark.parametrize("done", [2, 6, 10])
def test_lightning_resumes_under_a_view(done: int, whole: tuple[Path, Module], tmp_path: Path) -> None:
    again = trained(tmp_path, resume=whole[0] / f"step={done}.ckpt")
    assert again.losses == pytest.approx(plain_loop()[done:], abs=1e-6)


def test_a_plan_with_views_needs_an_adapter() -> None:
    with pytest.raises(Refused) as caught:
        PlanCallback(PLAN)
    assert (caught.value.diagnostics[0].code, "view" in caught.value.diagnostics[0].message) == ("unfit-model", True)


class Trainer(transformers.Trainer):  # type: ignore[misc, name-defined]
    """A trainer of images that records the losses and the patch sizes of evaluations."""

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        self.losses: list[float] = []
        self.validated: list[tuple[int, int]] = []

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        logits = model(inputs["images"])
        loss = nn.functional.cross_entropy(logits, inputs["labels"])
        if model.training:
            self.losses.append(loss.item())
        else:
            self.validated.append((self.state.global_step, model.patch_embed.patch_size[0]))
        return (loss, {"logits": logits}) if return_outputs else loss


def test_a_trainer_of_transformers_makes_the_steps_of_a_plain_loop(tmp_path: Path) -> None:
    def trainer(folder: Path) -> Any:
        net, optimizer = taken()
        args = transformers.TrainingArguments(
            folder, use_cpu=True, report_to=[], disable_tqdm=True, remove_unused_columns=False, save_steps=6,
            save_strategy="steps", max_grad_norm=0.0, label_names=["labels"], per_device_eval_batch_size=96,
        )  # fmt: skip
        found = Trainer(net, args, train_dataset=Images(), eval_dataset=Images(), optimizers=(optimizer, None))
        shapeflow.hf.follow(found, PLAN, TIMM_VIT)
        return found

    first = trainer(tmp_path / "first")
    first.train()
    assert first.losses == pytest.approx(plain_loop(), abs=1e-6)
    assert dict(first.validated) == {2: 4, 4: 4, 6: 2, 8: 2, 10: 2, 12: 2}
    again = trainer(tmp_path / "again")
    again.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-6"))
    assert again.losses == pytest.approx(plain_loop()[6:], abs=1e-6)
