"""A plan in `SFTTrainer` of TRL, which inherits Hugging Face's `Trainer`, and its other trainers, which are refused."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import peers
import pytest
import torch
from torch.utils.data import DataLoader

transformers = peers.hugging_face()

from adopted import CLIP, HELD_OUT, PLAN, TOKENS, llama, optimizer_of, plain_loop  # noqa: E402

import shapeflow.hf  # noqa: E402
from shapeflow.base.diagnostics import Diagnostic, Refused  # noqa: E402
from shapeflow.ir.events import StepDone  # noqa: E402
from shapeflow.running.runs import read_run  # noqa: E402
from shapeflow.torch import HF_LLAMA, PlanSampler, Windows, grow  # noqa: E402

DOCS = Path(__file__).parent.parent / "docs" / "trainers.md"
WRAPPED = {"packing": True, "packing_strategy": "wrapped"}
PAIRS = {"prompt": ["1 2 3"] * 80, "completion": ["4 5"] * 80}


@pytest.fixture(scope="module")
def trl() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        # Its trainers report their use over the network, except in CI.
        patch.setenv("CI", "true")
        patch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        yield peers.trl()


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({str(number): number for number in range(256)}, unk_token="0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="0", pad_token="1", unk_token="0")


def settings_of(**settings: Any) -> dict[str, Any]:
    """Settings of the arguments of a trainer of TRL; its own defaults are bfloat16 and recomputed activations."""
    chosen: dict[str, Any] = {
        "learning_rate": 2e-3, "lr_scheduler_type": "constant", "logging_steps": 1, "report_to": [], "use_cpu": True,
        "optim": "adamw_torch", "weight_decay": 0.01, "max_grad_norm": CLIP, "disable_tqdm": True, "seed": 3,
        "save_strategy": "no", "bf16": False, "gradient_checkpointing": False,
    }  # fmt: skip
    return {**chosen, **settings}


def sft(trl: ModuleType, folder: Path, data: dict[str, Any] | None = None, **settings: Any) -> Any:
    from datasets import Dataset

    rows = {"input_ids": TOKENS.reshape(-1, 50).tolist()} if data is None else data
    args = trl.SFTConfig(str(folder), **settings_of(**settings))
    train, held_out = Dataset.from_dict(rows), Dataset.from_dict({"input_ids": HELD_OUT.reshape(-1, 25).tolist()})
    made = trl.SFTTrainer(llama(), args, train_dataset=train, eval_dataset=held_out, processing_class=tokenizer())
    made.remove_callback(transformers.PrinterCallback)
    return made


def losses_of(made: Any) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in made.state.log_history if "loss" in row}


def run(made: Any, **choices: Any) -> tuple[float, ...]:
    shapeflow.hf.follow(made, PLAN, HF_LLAMA, **choices)
    made.train()
    return tuple(losses_of(made).values())


def loop_with_the_loss_of(made: Any) -> tuple[float, ...]:
    """Losses of the plan in a plain loop, with the collator and the loss of a trainer, which does not train."""
    net, windows, losses = made.model.train(), Windows(TOKENS, labels="same"), []
    optimizer = optimizer_of(net)
    sampler = PlanSampler(PLAN, len(windows))
    batches = DataLoader(windows, batch_sampler=sampler, collate_fn=made.data_collator)
    for step, batch in zip(shapeflow.follow(PLAN), batches, strict=True):
        if step.switch is not None:
            grow(net, optimizer, PLAN, step.switch, HF_LLAMA)
        predicted = batch["labels"][:, 1:].numel()
        loss = made.compute_loss(net, dict(batch), num_items_in_batch=torch.tensor(predicted))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = step.lr
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return tuple(losses)


@pytest.fixture(scope="module")
def whole(trl: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with checkpoints after every tenth step and a run folder, and the trainer that made them."""
    folder = tmp_path_factory.mktemp("trl")
    made = sft(trl, folder, save_strategy="steps", save_steps=10)
    run(made, folder=folder / "run")
    return folder, made


def test_it_makes_the_steps_of_a_plain_loop_with_its_loss(trl: ModuleType, whole: Any, tmp_path: Path) -> None:
    """The same bits, over batch, context, width and depth. It sums its loss in another order than `Trainer`."""
    folder, made = whole
    found = tuple(losses_of(made).values())
    assert found == loop_with_the_loss_of(sft(trl, tmp_path))
    assert found == pytest.approx(plain_loop(), abs=2e-6)
    assert (made.model.config.hidden_size, made.model.config.num_hidden_layers) == (32, 2)
    logged = read_run(folder / "run")
    assert tuple(each.loss for each in logged.events if isinstance(each, StepDone)) == found
    assert [each.values["loss@own"] for each in logged.measured] == [
        row["eval_loss"] for row in made.state.log_history if "eval_loss" in row
    ]


@pytest.mark.parametrize("settings", [{"max_length": 50}, {"max_length": 64}, {"gradient_checkpointing": True}])
def test_packing_and_recomputed_activations_do_not_change_the_bits(
    settings: dict[str, Any], trl: ModuleType, whole: Any, tmp_path: Path
) -> None:
    """Rows of one text that was cut; at 64, the last is shorter."""
    made = sft(trl, tmp_path, **{**(WRAPPED if "max_length" in settings else {}), **settings})
    assert run(made) == tuple(losses_of(whole[1]).values())


def test_bfloat16_and_accumulation(trl: ModuleType, tmp_path: Path) -> None:
    assert run(sft(trl, tmp_path, bf16=True)) == pytest.approx(plain_loop(), abs=3e-3)
    assert run(sft(trl, tmp_path, gradient_accumulation_steps=2)) == pytest.approx(plain_loop(), abs=2e-6)


@pytest.mark.parametrize("done", [20, 30])
def test_a_resumed_run_goes_on_with_the_same_bits(done: int, trl: ModuleType, whole: Any, tmp_path: Path) -> None:
    """After a growth in width; and before one in depth."""
    again = sft(trl, tmp_path)
    shapeflow.hf.follow(again, PLAN, HF_LLAMA)
    again.train(resume_from_checkpoint=str(whole[0] / f"checkpoint-{done}"))
    rest, first = losses_of(again), losses_of(whole[1])
    assert [rest[n] for n in range(done + 1, PLAN.steps + 1)] == [first[n] for n in range(done + 1, PLAN.steps + 1)]


def refusal(made: Any) -> Diagnostic:
    before = (made.args.max_steps, len(made.callback_handler.callbacks))
    with pytest.raises(Refused) as caught:
        shapeflow.hf.follow(made, PLAN, HF_LLAMA)
    assert (made.args.max_steps, len(made.callback_handler.callbacks)) == before
    assert "get_train_dataloader" not in vars(made)
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    ("data", "settings", "code", "names"),
    [
        (None, {"packing": True, "max_length": 50}, "unfit-trainer", "padding_free"),
        (None, {"padding_free": True, "max_length": None}, "unfit-trainer", "padding_free"),
        (PAIRS, {}, "wrong-data", "labels of row 0"),
        ({"text": ["1 2 3 4 5", "1 2 3"]}, {}, "wrong-data", "row 1"),
    ],
    ids=["packed", "flattened", "completions", "documents"],
)
def test_settings_that_are_refused(
    data: Any, settings: dict[str, Any], code: str, names: str, trl: ModuleType, tmp_path: Path
) -> None:
    found = refusal(sft(trl, tmp_path, data, **settings))
    assert (found.code, names in found.message) == (code, True)


def test_trainers_of_preferences_are_refused_by_name(trl: ModuleType, tmp_path: Path) -> None:
    from datasets import Dataset

    pairs = Dataset.from_dict({"prompt": ["1 2"] * 4, "chosen": ["4 5"] * 4, "rejected": ["6 7"] * 4})
    args = trl.DPOConfig(str(tmp_path), **settings_of())
    made = trl.DPOTrainer(llama(), llama(), args=args, train_dataset=pairs, processing_class=tokenizer())
    found = refusal(made)
    assert (found.code, "DPOTrainer" in found.message, "SFTTrainer" in str(found.help)) == ("unfit-trainer", True, True)


def test_the_documentation_states_the_version(trl: ModuleType) -> None:
    assert f"TRL {'.'.join(version('trl').split('.')[:2])}" in DOCS.read_text()
