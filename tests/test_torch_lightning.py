"""A plan in the `Trainer` of Lightning."""

from __future__ import annotations

import runpy
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import peers
import pytest
import torch
from torch.utils.data import DataLoader

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.events import CheckpointSaved, Measured, RunEnded, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import sealed
from shapeflow.running.runs import read_run

lightning = peers.lightning()

from adopted import CLIP, PLAN, TOKENS, llama, optimizer_of, plain_loop  # noqa: E402

import shapeflow  # noqa: E402
from shapeflow.lightning import HF_LLAMA, PlanCallback  # noqa: E402
from shapeflow.torch import PlanSampler, Windows  # noqa: E402

EXAMPLE = Path(__file__).parent.parent / "examples" / "trainers" / "lightning_loop.py"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Lightning warns of few workers, and of a folder that exists."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        yield


class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
    """A module of one's own around Hugging Face's Llama."""

    def __init__(self, schedule: bool = False, plan: Plan = PLAN, accumulation: int = 1, **choices: Any) -> None:
        super().__init__()
        self.net, self.schedule, self.seen = llama(), schedule, dict[int, list[float]]()
        self.plan, self.accumulation, self.choices = plan, accumulation, choices

    def training_step(self, batch: Any, at: int) -> Any:
        loss = self.net(**batch).loss
        self.seen.setdefault(self.global_step, []).append(loss.item())
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = optimizer_of(self.net)
        if not self.schedule:
            return optimizer
        for group in optimizer.param_groups:
            group["lr"] = 2e-3
        # A schedule that computes a rate from the one before.
        constant = torch.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda step: 1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": constant, "interval": "step"}}

    def train_dataloader(self) -> Any:
        windows = Windows(TOKENS, labels="same")
        choices = {"done": lambda: self.trainer.global_step, **self.choices}
        sampler = PlanSampler(self.plan, len(windows), accumulation=self.accumulation, **choices)
        return DataLoader(windows, batch_sampler=sampler)

    @property
    def losses(self) -> list[float]:
        return [sum(own) / len(own) for own in self.seen.values()]


def trainer(folder: Path, *callbacks: Any, **settings: Any) -> Any:
    chosen: dict[str, Any] = {
        "max_steps": PLAN.steps, "use_distributed_sampler": False, "accelerator": "cpu", "devices": 1, "logger": False,
        "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": bool(callbacks[1:]),
        "gradient_clip_val": CLIP, "default_root_dir": folder,
    }  # fmt: skip
    return lightning.Trainer(callbacks=list(callbacks), **{**chosen, **settings})


def callback(**choices: Any) -> Any:
    return PlanCallback(PLAN, HF_LLAMA, module="net", **choices)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Module]:
    folder = tmp_path_factory.mktemp("lightning")
    saver = lightning.callbacks.ModelCheckpoint(folder, "{step}", every_n_train_steps=5, save_top_k=-1)
    module = Module()
    trainer(folder, callback(folder=folder / "run"), saver).fit(module)
    return folder, module


def test_a_run_whose_last_evaluation_fails_has_not_finished(tmp_path: Path) -> None:
    failing = callback(folder=tmp_path / "run")
    for step in failing.session:
        failing.session.log(step, 1.0)
        if step.last:
            break
    failing.on_exception(None, None, ValueError("the evaluation failed"))
    assert not any(isinstance(each, RunEnded) for each in read_run(tmp_path / "run").events)


def test_lightning_makes_the_steps_of_a_plain_loop(whole: tuple[Path, Module]) -> None:
    folder, module = whole
    assert module.losses == pytest.approx(plain_loop(), abs=1e-6)
    assert len(module.losses) == PLAN.steps
    assert (module.net.config.hidden_size, module.net.config.num_hidden_layers) == (32, 2)
    found = read_run(folder / "run")
    expected = [each for each in shapeflow.simulate(PLAN) if not isinstance(each, CheckpointSaved | Measured)]
    assert list(found.events) == expected
    steps = [each for each in found.events if isinstance(each, StepDone)]
    assert [each.loss for each in steps] == module.losses
    assert [each.learning_rate for each in steps] == [shapeflow.at(PLAN, n).lr for n in range(PLAN.steps)]


@pytest.mark.parametrize("done", [15, 20, 30, 35])
def test_a_run_resumed_behind_a_switch_goes_on(done: int, whole: tuple[Path, Module], tmp_path: Path) -> None:
    again = Module()
    trainer(tmp_path, callback()).fit(again, ckpt_path=whole[0] / f"step={done}.ckpt", weights_only=True)
    assert list(again.seen) == list(range(done, PLAN.steps))
    assert again.losses == pytest.approx(plain_loop()[done:], abs=1e-6)


def test_accumulation_does_not_change_the_steps(tmp_path: Path) -> None:
    module = Module(accumulation=2)
    trainer(tmp_path, callback(folder=tmp_path / "run"), accumulate_grad_batches=2).fit(module)
    assert module.losses == pytest.approx(plain_loop(), abs=2e-6)
    logged = [each.loss for each in read_run(tmp_path / "run").events if isinstance(each, StepDone)]
    assert logged == pytest.approx(plain_loop(), abs=2e-6)


def test_the_modules_own_schedule_with_the_factors_of_the_plan(tmp_path: Path) -> None:
    module = Module(schedule=True)
    trainer(tmp_path, callback(rates="shape")).fit(module)
    assert module.losses == pytest.approx(plain_loop("shape"), abs=1e-6)


def refusal(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    ("settings", "module", "names"),
    [
        ({"max_steps": 7}, {}, "max_steps=40"),
        ({"use_distributed_sampler": True}, {}, "use_distributed_sampler=False"),
        ({"overfit_batches": 2}, {}, "overfit_batches"),
        ({"accumulate_grad_batches": 2}, {}, "accumulation=2"),
        ({}, {"done": 0}, "done=lambda"),
        ({}, {"plan": sealed(attrs.evolve(PLAN, seed=9))}, "PlanSampler(plan"),
        ({}, {"schedule": True}, 'rates="shape"'),
    ],
)
def test_trainers_that_are_refused(
    settings: dict[str, Any], module: dict[str, Any], names: str, tmp_path: Path
) -> None:
    found = refusal(lambda: trainer(tmp_path, callback(), **settings).fit(Module(**module)))
    assert (found.code, names in str(found.help)) == ("unfit-trainer", True)


def test_modules_that_are_refused(tmp_path: Path) -> None:
    astray = PlanCallback(PLAN, HF_LLAMA, module="body")
    assert refusal(lambda: trainer(tmp_path, astray).fit(Module())).code == "unfit-trainer"
    assert refusal(lambda: PlanCallback(PLAN)).code == "unfit-model"
    module = Module()
    module.net.config.hidden_act = "gelu"
    assert refusal(lambda: trainer(tmp_path, callback()).fit(module)).code == "unfit-model"
    module = Module()
    module.train_dataloader = lambda: DataLoader(Windows(TOKENS, labels="same"))  # type: ignore[method-assign]
    assert "PlanSampler" in refusal(lambda: trainer(tmp_path, callback()).fit(module)).message


def test_a_checkpoint_of_another_plan_is_refused(whole: tuple[Path, Module], tmp_path: Path) -> None:
    plan = sealed(attrs.evolve(PLAN, seed=9))
    module = Module(plan=plan)
    path = whole[0] / "step=20.ckpt"
    other = PlanCallback(plan, HF_LLAMA, module="net")
    found = refusal(lambda: trainer(tmp_path, other).fit(module, ckpt_path=path, weights_only=True))
    assert (found.code, module.net.config.hidden_size) == ("foreign-checkpoint", 16)


def test_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE))["main"](tmp_path)
    assert "the same losses: True" in capsys.readouterr().out
    losses = [each.loss for each in read_run(tmp_path / "run").events if isinstance(each, StepDone)]
    assert len(losses) == 80
    assert losses[-1] < losses[0] - 2
