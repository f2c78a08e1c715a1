"""A plan in the `Trainer` of Hugging Face's `transformers`."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import attrs
import peers
import pytest
import torch
from plans import toy_text_plan

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.events import CheckpointSaved, StepDone
from shapeflow.ir.plan_json import sealed
from shapeflow.running.runs import read_run

transformers = peers.hugging_face()

from adopted import CLIP, HELD_OUT, PLAN, TOKENS, llama, mistral, model, plain_loop  # noqa: E402

import shapeflow.hf  # noqa: E402
from shapeflow.torch import HF_LLAMA, Windows, grow  # noqa: E402
from shapeflow_torch.adopt import trainers  # noqa: E402

EXAMPLE = Path(__file__).parent.parent / "examples" / "trainers" / "hugging_face.py"
BLOCKS = [{"input_ids": row, "labels": row} for row in TOKENS.reshape(-1, 50).tolist()]
EVAL = [{"input_ids": row, "labels": row} for row in HELD_OUT.reshape(-1, 25).tolist()]


def trainer(folder: Path, data: Any = BLOCKS, net: Any = None, **settings: Any) -> Any:
    chosen: dict[str, Any] = {
        "learning_rate": 2e-3, "lr_scheduler_type": "constant", "logging_steps": 1, "report_to": [], "use_cpu": True,
        "optim": "adamw_torch", "weight_decay": 0.01, "max_grad_norm": CLIP, "disable_tqdm": True, "seed": 3,
        "save_strategy": "no",
    }  # fmt: skip
    args = transformers.TrainingArguments(str(folder), **{**chosen, **settings})
    made = transformers.Trainer(llama() if net is None else net, args, train_dataset=data, eval_dataset=EVAL)
    made.remove_callback(transformers.PrinterCallback)
    return made


def losses_of(made: Any) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in made.state.log_history if "loss" in row}


def run(made: Any, **choices: Any) -> dict[int, float]:
    """Step -> the loss that the trainer logged, from 1."""
    shapeflow.hf.follow(made, PLAN, HF_LLAMA, **choices)
    made.train()
    return losses_of(made)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with checkpoints after every fifth step and a run folder, and the trainer that made them."""
    folder = tmp_path_factory.mktemp("hf")
    made = trainer(folder, save_strategy="steps", save_steps=5)
    run(made, folder=folder / "run")
    return folder, made


def test_a_trainer_makes_the_steps_of_a_plain_loop(whole: tuple[Path, Any]) -> None:
    """The same bits, over a plan that moves batch, context, width, depth and rate."""
    _, made = whole
    assert tuple(losses_of(made).values()) == plain_loop()
    assert (made.model.config.hidden_size, made.model.config.num_hidden_layers) == (32, 2)
    rates = {row["step"]: row["learning_rate"] for row in made.state.log_history if "learning_rate" in row}
    assert rates == {n + 1: shapeflow.at(PLAN, n).lr for n in range(PLAN.steps)}


def test_mistral_makes_the_steps_of_a_plain_loop(tmp_path: Path) -> None:
    """The same bits too; and of Llama's loop, since it computes the same from the same first weights."""
    made = trainer(tmp_path, net=mistral())
    assert tuple(run(made).values()) == plain_loop(make=mistral)
    assert plain_loop(make=mistral) == pytest.approx(plain_loop(), abs=1e-6)
    assert type(made.model).__name__ == "MistralForCausalLM"
    assert (made.model.config.hidden_size, made.model.config.num_hidden_layers) == (32, 2)


OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("Qwen2", {}, "`model.layers.0.self_attn.k_proj.bias`: the plan's model does not have it"),
    ("Qwen2", {"use_sliding_window": True, "sliding_window": 8}, "`config.sliding_window` of the module is 8"),
    ("Qwen3", {}, "`model.layers.0.self_attn.k_norm.weight`: the plan's model does not have it"),
    ("Qwen3", {"attention_bias": True}, "`config.attention_bias` of the module is True"),
    ("Granite", {"embedding_multiplier": 12.0}, "may compute something else"),
    ("SmolLM3", {"no_rope_layers": [0], "pad_token_id": 0}, "may compute something else"),
]
"""Models whose tensors have the names of Llama's: class, settings, and what is noted of it."""


@pytest.mark.parametrize(("kind", "settings", "noted"), OTHERS, ids=[f"{each[0]}-{len(each[1])}" for each in OTHERS])
def test_models_that_compute_something_else_are_refused_by_name(
    kind: str, settings: dict[str, Any], noted: str, tmp_path: Path
) -> None:
    net = model(kind, **settings)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimizer = torch.optim.AdamW(net.parameters())
    made = trainer(tmp_path, net=net)
    config = net.config.to_dict()
    for call in (lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA), lambda: grow(net, optimizer, PLAN, 1, HF_LLAMA)):
        found = refusal(call)
        assert (found.code, f"{kind}ForCausalLM" in found.message) == ("unfit-model", True)
        assert any(noted in note for note in found.notes), found.notes
    assert net.config.to_dict() == config
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert made.args.max_steps == -1
    assert "get_train_dataloader" not in vars(made)


def test_the_run_folder_of_a_trainer(whole: tuple[Path, Any]) -> None:
    folder, made = whole
    found = read_run(folder / "run")
    assert list(found.events) == [each for each in shapeflow.simulate(PLAN) if not isinstance(each, CheckpointSaved)]
    assert tuple(each.loss for each in found.events if isinstance(each, StepDone)) == plain_loop()
    evaluated = [row["eval_loss"] for row in made.state.log_history if "eval_loss" in row]
    assert [each.values["loss@own"] for each in found.measured] == evaluated
    assert len(evaluated) == 6


@pytest.mark.parametrize("done", [10, 15, 20, 30, 35])
def test_a_run_resumed_behind_a_switch_goes_on_with_the_same_bits(
    done: int, whole: tuple[Path, Any], tmp_path: Path
) -> None:
    """Moments and ages too, into a model of the first stage. At 30, the switch follows the checkpoint."""
    again = trainer(tmp_path)
    session = shapeflow.hf.follow(again, PLAN, HF_LLAMA)
    again.train(resume_from_checkpoint=str(whole[0] / f"checkpoint-{done}"))
    rest = losses_of(again)
    assert [rest[n] for n in range(done + 1, PLAN.steps + 1)] == list(plain_loop()[done:])
    assert (session.done, again.state.epoch) == (PLAN.steps, 1.0)


def test_accumulation_does_not_change_the_steps(tmp_path: Path) -> None:
    found = run(trainer(tmp_path, gradient_accumulation_steps=2))
    assert list(found.values()) == pytest.approx(plain_loop(), abs=2e-6)


def test_the_trainers_own_schedule_with_the_factors_of_the_plan(tmp_path: Path) -> None:
    made = trainer(tmp_path, TOKENS, logging_steps=20)
    found = run(made, rates="shape", folder=tmp_path / "run")
    assert len({shapeflow.at(PLAN, n).rates.shape for n in (0, 20)}) == 2
    logged = {each.step: each for each in read_run(tmp_path / "run").events if isinstance(each, StepDone)}
    assert found.keys() == logged.keys() == {12, 18, 20, 30, 32, 40}
    own = plain_loop("shape")
    assert found[12] == pytest.approx(sum(own[:12]) / 12, abs=1e-6)
    assert found[40] == pytest.approx(sum(own[32:]) / 8, abs=1e-6)
    assert logged[40].learning_rate == 2e-3 * shapeflow.at(PLAN, 39).rates.shape
    assert {group["lr"] for group in made.optimizer.param_groups} == {2e-3}


def refusal(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    ("settings", "code", "names"),
    [
        ({"max_steps": 7}, "unfit-trainer", "max_steps=40"),
        ({"gradient_accumulation_steps": 3}, "batch-not-divisible", "1, 2, 4"),
        ({"auto_find_batch_size": True}, "unfit-trainer", "auto_find_batch_size"),
        ({"torch_compile": True}, "unfit-trainer", "torch_compile"),
        (
            {"load_best_model_at_end": True, "save_strategy": "steps", "eval_strategy": "steps"},
            "unfit-trainer",
            "load_best_model_at_end",
        ),
    ],
)
def test_trainers_that_are_refused(settings: dict[str, Any], code: str, names: str, tmp_path: Path) -> None:
    made = trainer(tmp_path, **settings)
    before = (made.args.max_steps, len(made.callback_handler.callbacks))
    found = refusal(lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA))
    assert (found.code, names in str(found.help)) == (code, True)
    assert (made.args.max_steps, len(made.callback_handler.callbacks)) == before
    assert "get_train_dataloader" not in vars(made)


def test_several_devices_and_second_plans_are_refused(tmp_path: Path) -> None:
    made = trainer(tmp_path)
    made.args._n_gpu = 2
    assert refusal(lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA)).code == "unfit-trainer"
    made.args._n_gpu = 0
    assert refusal(lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA, rates="own")).code == "unfit-trainer"  # type: ignore[arg-type]
    shapeflow.hf.follow(made, PLAN, HF_LLAMA)
    assert "already" in refusal(lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA)).message
    made.args.gradient_accumulation_steps = 2
    assert refusal(made.train).code == "unfit-trainer"


ROW = list(range(50))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [{"text": "a"}],
        [{"input_ids": ROW}, {"input_ids": ROW[:-1]}],
        [{"input_ids": ROW, "attention_mask": [1] * 49 + [0]}],
        [{"input_ids": ROW, "labels": [-100, *ROW[1:]]}],
        Windows(TOKENS),
        TOKENS / 2,
    ],
    ids=["none", "empty", "no tokens", "unequal", "padding", "masked", "shifted", "no ids"],
)
def test_data_that_is_refused(data: Any, tmp_path: Path) -> None:
    assert refusal(lambda: shapeflow.hf.follow(trainer(tmp_path, data), PLAN, HF_LLAMA)).code == "wrong-data"


def stacked(rows: list[Any]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([torch.as_tensor(row[name]) for row in rows]) for name in rows[0]}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda batch: {name: each[:, :-1] for name, each in batch.items()}, "(4, 15)"),
        (lambda batch: {name: each.reshape(1, -1) for name, each in batch.items()}, "(1, 64)"),
        (lambda batch: {"labels": batch["labels"]}, "no `input_ids`"),
        (lambda batch: {**batch, "input_ids": batch["input_ids"].flip(1)}, "changes tokens"),
        (lambda batch: {**batch, "labels": batch["labels"].where(batch["labels"] % 3 > 0, -100)}, "changes labels"),
        (lambda batch: {**batch, "attention_mask": (batch["labels"] % 3 > 0).long()}, "hides tokens"),
    ],
    ids=["cut", "flattened", "no tokens", "other tokens", "masked", "hidden"],
)
def test_collators_that_change_the_windows_are_refused(change: Callable[..., Any], names: str, tmp_path: Path) -> None:
    made = trainer(tmp_path)
    made.data_collator = lambda rows: change(stacked(rows))
    shapeflow.hf.follow(made, PLAN, HF_LLAMA)
    found = refusal(made.train)
    assert (found.code, names in found.message) == ("wrong-data", True)


def test_collators_that_add_what_changes_nothing_are_accepted(tmp_path: Path) -> None:
    """A mask of ones, and a hidden label of the first token, which no model predicts."""

    def collate(rows: list[Any]) -> dict[str, torch.Tensor]:
        batch = stacked(rows)
        batch["labels"][:, 0] = -100
        return {**batch, "attention_mask": torch.ones_like(batch["labels"])}

    made = trainer(tmp_path)
    made.data_collator = collate
    assert list(run(made).values()) == pytest.approx(plain_loop(), abs=2e-6)


class Weighted(transformers.Trainer):  # type: ignore[misc]
    """A trainer whose loss reads more than tokens."""

    read = ("input_ids", "weights")

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = list(self.read)


class Preferences(Weighted):
    read = ("chosen_ids", "rejected_ids")


@pytest.mark.parametrize(
    ("kind", "settings", "code", "names"),
    [
        (Weighted, {}, "wrong-data", "`weights`"),
        (transformers.Trainer, {"remove_unused_columns": False}, "wrong-data", "`weights`"),
        (Preferences, {}, "unfit-trainer", "`Preferences` reads `chosen_ids`, `rejected_ids`"),
    ],
)
def test_losses_that_read_other_columns_are_refused(
    kind: Any, settings: dict[str, Any], code: str, names: str, tmp_path: Path
) -> None:
    data = [{**row, "weights": [1.0] * 50, "text": "a"} for row in BLOCKS]
    made = kind(llama(), transformers.TrainingArguments(str(tmp_path), use_cpu=True, **settings), train_dataset=data)
    found = refusal(lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA))
    assert (found.code, names in found.message) == (code, True)
    # Without such a loss, other columns are left out, as the trainer does.
    shapeflow.hf.follow(trainer(tmp_path, data), PLAN, HF_LLAMA)


def test_models_that_are_refused(tmp_path: Path) -> None:
    made = trainer(tmp_path)
    assert "HF_LLAMA" in str(refusal(lambda: shapeflow.hf.follow(made, PLAN)).help)
    made.model.config.hidden_act = "gelu"
    assert refusal(lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA)).code == "unfit-model"


def test_checkpoints_that_are_refused(whole: tuple[Path, Any], tmp_path: Path) -> None:
    """One of another plan, and one of a trainer without a plan; the model is left as it was."""
    made = trainer(tmp_path)
    shapeflow.hf.follow(made, sealed(attrs.evolve(PLAN, seed=PLAN.seed + 1)), HF_LLAMA)
    checkpoint = str(whole[0] / "checkpoint-20")
    found = refusal(lambda: made.train(resume_from_checkpoint=checkpoint))
    assert (found.code, len(found.notes)) == ("foreign-checkpoint", 2)
    assert made.model.config.hidden_size == 16
    state = json.loads((whole[0] / "checkpoint-20" / "trainer_state.json").read_text())
    del state["stateful_callbacks"]["shapeflow"]
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    made = trainer(tmp_path)
    shapeflow.hf.follow(made, PLAN, HF_LLAMA)
    assert refusal(lambda: made.train(resume_from_checkpoint=str(tmp_path))).code == "foreign-checkpoint"
    (tmp_path / "trainer_state.json").write_text("{")
    assert refusal(lambda: made.train(resume_from_checkpoint=str(tmp_path))).code == "broken-checkpoint"


@pytest.mark.parametrize(
    ("change", "names"),
    [({"matrix_rate": 0.5}, "mup"), ({"memory": 2.0}, "beta2")],
)
def test_plans_that_are_refused(change: dict[str, float], names: str, tmp_path: Path) -> None:
    stages = (*PLAN.stages[:-1], attrs.evolve(PLAN.stages[-1], **change))
    plan = sealed(attrs.evolve(PLAN, stages=stages))
    found = refusal(lambda: shapeflow.hf.follow(trainer(tmp_path), plan, HF_LLAMA))
    assert (found.code, names in str(found.help)) == ("unfit-plan", True)


def test_plans_with_another_loss_are_refused(tmp_path: Path) -> None:
    plan = toy_text_plan((({"loss": "next_token"}, 2), ({"loss": "denoising"}, 2)))
    assert "loss" in refusal(lambda: shapeflow.hf.follow(trainer(tmp_path), plan)).message


def test_versions_that_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = trainer(tmp_path)
    monkeypatch.setattr(trainers, "version", lambda name: "4.57.1")
    found = refusal(lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA))
    assert (found.code, "transformers>=5.0,<6" in str(found.help)) == ("unsupported-version", True)

    monkeypatch.setattr(trainers, "version", {"transformers": "5.0.0", "accelerate": "2.0.0.dev0"}.__getitem__)
    found = refusal(lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA))
    assert (found.code, found.place, "accelerate>=1.1,<2" in str(found.help)) == (
        "unsupported-version",
        "accelerate",
        True,
    )
    assert "get_train_dataloader" not in vars(made)

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(trainers, "version", absent)
    found = refusal(lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA))
    assert (found.code, "shapeflow[hf]" in str(found.help)) == ("missing-extra", True)
    monkeypatch.undo()
    monkeypatch.delattr(transformers.Trainer, "_load_from_checkpoint")
    found = refusal(lambda: shapeflow.hf.follow(made, PLAN, HF_LLAMA))
    assert (found.code, "_load_from_checkpoint" in found.message) == ("unsupported-version", True)


def test_importing_the_names_imports_no_trainer() -> None:
    code = "import sys, shapeflow, shapeflow.hf, shapeflow.lightning, shapeflow.torch\n"
    code += "sys.exit(bool({'torch', 'transformers', 'lightning', 'accelerate'} & set(sys.modules)))\n"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE))["main"](tmp_path)
    assert "the same losses: True" in capsys.readouterr().out
    losses = [each.loss for each in read_run(tmp_path / "run").events if isinstance(each, StepDone)]
    assert len(losses) == 80
    assert losses[-1] < losses[0] - 2
