"""Runs that start from a file of weights: the same function as the file's model, growth, resumed and branched runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from sources import compiled
from torch_tools import CPU, losses

from shapeflow.api import check, run
from shapeflow.base.diagnostics import Refused
from shapeflow.cli import answer
from shapeflow.ir.plan import Plan
from shapeflow.ir.weights import read_weights
from shapeflow.running.execute import execute
from shapeflow.running.options import Origin
from shapeflow_simulator import Simulator
from shapeflow_torch.data import open_data
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.objectives import Site
from shapeflow_torch.objectives.teacher import Teacher

GROWS = """
model transformer(depth: 2, head_width: 8, kv_ratio: 2, norm_eps: 5e-7)
data python_source(batch: 256 tokens)
objective next_token
axis width in [32, 64] via width_expand
axis context in [16, 64] tokens via context_grow(preview: 0%)
stage (context: 16 tokens, width: 32) until 2 steps
stage (context: 64 tokens, width: 64) until end
start from "first.safetensors"
budget 4 steps
evaluate every 4 steps on 512 tokens
checkpoint every 1 steps keep all
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights of a run that grew, `first.safetensors`."""
    found = tmp_path_factory.mktemp("start")
    legs = (({"width": 16, "context": 16}, 2), ({"width": 32, "context": 16}, 2))
    run(toy_text_plan(legs, model={"kv_ratio": 2}, held_out=512), found / "old", device="cpu")
    assert answer(["export", str(found / "old"), "-o", str(found / "first.safetensors")]) == 0
    return found


@pytest.fixture(scope="module")
def plan(folder: Path) -> Plan:
    return compiled(folder, GROWS)


@pytest.fixture(scope="module")
def made(folder: Path, plan: Plan) -> Path:
    """The folder of a finished run that starts from these weights."""
    run(plan, folder / "run", device="cpu", root=folder)
    return folder / "run"


def machine(plan: Plan, root: Path) -> TorchMachine:
    return TorchMachine(plan, open_data(plan, root, CPU), root=root)


def test_the_first_stage_is_the_function_of_the_file(folder: Path, plan: Plan) -> None:
    begun = machine(plan, folder)
    begun.take(plan.stages[0])
    file = Teacher(
        "first.safetensors", read_weights(folder / "first.safetensors").sha256, Site(folder, CPU, torch.float32)
    )
    tokens = torch.arange(48).view(3, 16)
    with torch.no_grad():
        assert torch.equal(begun.body.net(tokens), file.net(tokens))
        with begun.body.averaged():
            assert torch.equal(begun.body.net(tokens), file.net(tokens))
    assert not begun.body.optimizer.state


def test_it_grows_and_the_simulator_emits_the_same_events(folder: Path, plan: Plan) -> None:
    told = list(execute(plan, machine(plan, folder)))
    assert told == list(execute(plan, Simulator(plan)))
    assert len(losses(told)) == 4
    assert not check(plan).diagnostics


def test_a_resumed_run_does_not_need_the_file(folder: Path, plan: Plan, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "run")
    for step in (3, 4):
        shutil.rmtree(tmp_path / f"run/checkpoints/step-{step:09d}")
    outcome = run(plan, tmp_path / "run", device="cpu", root=tmp_path, resume=True)
    whole = run(plan, made, device="cpu", root=folder, resume=True)
    assert outcome.values == whole.values


def test_a_branch_of_other_first_weights_is_refused(folder: Path, plan: Plan, made: Path, tmp_path: Path) -> None:
    longer = compiled(folder, GROWS, "budget 6 steps")
    run(longer, tmp_path / "longer", device="cpu", root=tmp_path, origin=Origin(made, 4))
    new = compiled(folder, GROWS.replace('start from "first.safetensors"\n', ""), "budget 6 steps")
    with pytest.raises(Refused, match="other-history") as caught:
        run(new, tmp_path / "new", device="cpu", root=tmp_path, origin=Origin(made, 4))
    assert "the file of the first weights is" in str(caught.value.diagnostics[0].notes)


@pytest.mark.parametrize("spoilt", ["gone", "other", "broken"])
def test_a_missing_or_changed_file_is_refused_before_anything_is_written(
    spoilt: str, folder: Path, plan: Plan, tmp_path: Path
) -> None:
    file = tmp_path / "first.safetensors"
    if spoilt == "broken":
        file.write_bytes(b"no weights")
    elif spoilt == "other":
        raw = bytearray((folder / "first.safetensors").read_bytes())
        raw[-1] ^= 1
        file.write_bytes(raw)
    code = {"gone": "start-missing", "other": "start-changed", "broken": "start-broken"}[spoilt]
    with pytest.raises(Refused, match=code):
        run(plan, tmp_path / "run", device="cpu", root=tmp_path)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").rglob("*.json"))
    with pytest.raises(Refused, match=code):
        machine(plan, tmp_path).take(plan.stages[0])


def test_a_vision_transformer_starts_through_a_view(tmp_path: Path) -> None:
    """The file was last read at patches of 2 px, and the plan begins to read it at 4 px."""
    run(toy_image_plan((({"patch": 4}, 2), ({"patch": 2}, 2))), tmp_path / "old", device="cpu")
    assert answer(["export", str(tmp_path / "old"), "-o", str(tmp_path / "first.safetensors")]) == 0
    about = read_weights(tmp_path / "first.safetensors")
    sizes, head = about.sizes, about.slots["head_width"]
    text = f"""
    model vit(depth: {sizes["depth"]}, width: {sizes["residual"]}, head_width: {head})
    data digits(batch: 32)
    objective cross_entropy
    axis patch in [4, 2] px via flexi_resize(base: 4 px, grid: 2)
    stage (patch: 4 px) until 2 steps
    stage (patch: 2 px) until end
    start from "first.safetensors"
    budget 4 steps
    """
    plan = compiled(tmp_path, text)
    assert list(execute(plan, machine(plan, tmp_path))) == list(execute(plan, Simulator(plan)))
