"""Complete runs on a GPU: the events of the simulator, bfloat16, resuming, the command line.

`test_torch_cuda.py` compares losses with those of a CPU.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

import attrs
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # plans of the tests above

from plans import toy_image_plan, toy_text_plan
from test_profile import TINY

from shapeflow.cli import answer
from shapeflow.ir.events import CheckpointSaved, Event, Measured, RunStarted, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import save, sealed
from shapeflow.ir.profile import load as load_profile
from shapeflow.running.execute import checkpoint_name, execute
from shapeflow_simulator import Simulator
from shapeflow_torch.compilation import wants_compile
from shapeflow_torch.data import open_data
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.team import Team

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]

CUDA = torch.device("cuda")
PLANS = {
    "text": toy_text_plan(
        (({"context": 16, "width": 32}, 5), ({"context": 64, "width": 32}, 4), ({"context": 64, "width": 48}, 4)),
        evaluate=4,
        checkpoint=1,
    ),
    "images": toy_image_plan(
        (({"patch": 4, "width": 32}, 5), ({"patch": 2, "width": 32}, 4), ({"patch": 2, "width": 48}, 4)),
        evaluate=4,
        checkpoint=1,
    ),
    "blended": toy_image_plan(preview=0.3, evaluate=4, checkpoint=1),
}
plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
ROUNDING = 2e-2
"""The relative tolerance of losses whose sums are rounded in another order."""


def machine(plan: Plan, compiled: bool = False) -> TorchMachine:
    return TorchMachine(plan, open_data(plan, Path(), CUDA), Team(device=CUDA), compiled=compiled)


def losses(events: list[Event]) -> list[float]:
    return [event.loss for event in events if isinstance(event, StepDone)]


@plans
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_gpu_emits_the_events_of_the_simulator(plan: Plan, compiled: bool, tmp_path: Path) -> None:
    trained = list(execute(plan, machine(plan, compiled), tmp_path / "cuda"))
    assert trained == list(execute(plan, Simulator(plan), tmp_path / "none"))
    values = [value for event in trained if isinstance(event, Measured) for value in event.values.values()]
    assert all(map(math.isfinite, [*losses(trained), *values]))


@plans
def test_products_are_of_bfloat16_and_weights_of_float32(plan: Plan) -> None:
    made = machine(plan)
    stage = plan.stages[0]
    made.take(stage)
    made.look(stage.reading)
    seen: set[torch.dtype] = set()
    linear = [module for module in made.body.net.modules() if isinstance(module, torch.nn.Linear)]
    for module in linear:
        module.register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    loss = made.step(stage, 0, 0.0)
    assert math.isfinite(loss)
    assert torch.bfloat16 in seen
    assert {parameter.dtype for parameter in made.body.net.parameters()} == {torch.float32}
    assert {parameter.device.type for parameter in made.body.net.parameters()} == {"cuda"}


@plans
def test_a_resumed_run_is_the_rest_of_the_whole_one(plan: Plan, tmp_path: Path) -> None:
    """Resumes after the last step before each switch, and after the first step of each stage."""
    at = {step for stage in plan.stages[1:] for step in (stage.first_step, stage.first_step + 1)}
    whole: list[Event] = []
    for event in execute(plan, machine(plan), tmp_path / "all"):
        whole.append(event)
        if isinstance(event, CheckpointSaved) and event.step in at:
            shutil.copytree(tmp_path / "all" / event.name, tmp_path / event.name)
    for step in at:
        name = checkpoint_name(step)
        rest = whole[1 + whole.index(CheckpointSaved(step, name)) :]
        again = list(execute(plan, machine(plan), None, tmp_path / name))
        assert again == [RunStarted(plan.digest, step), *(e for e in rest if not isinstance(e, CheckpointSaved))]
        assert losses(again) == pytest.approx(losses(rest), rel=ROUNDING)


def test_the_command_line_uses_the_gpu_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`auto` selects the GPU and compiles; `--gpus 1` does the same; a run can be resumed."""
    assert wants_compile("auto", CUDA)
    plan = sealed(attrs.evolve(PLANS["images"], checkpoint=4))
    save(plan, tmp_path / "plan.json")
    for name, choices in (("auto", []), ("one", ["--gpus", "1"])):
        capsys.readouterr()
        command = ["run", str(tmp_path / "plan.json"), "-o", str(tmp_path / name), "--json", *choices]
        assert answer(command) == 0
        outcome = json.loads(capsys.readouterr().out)
        assert (outcome["finished"], outcome["step"]) == (True, plan.steps)
        shutil.rmtree(tmp_path / name / "checkpoints" / checkpoint_name(plan.steps))
        assert answer([*command, "--resume"]) == 0


def test_a_profile_measures_the_memory_of_each_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the MFU is that of one GPU."""
    (file := tmp_path / "tiny.shape").write_text(TINY)
    assert answer(["profile", str(file), "--gpus", "1", "--peak-flops", "100 TFLOPs"]) == 0
    found = load_profile(tmp_path / "tiny.profile.json")
    assert (found.machine.kind, found.machine.processes, found.machine.peak_flops) == ("cuda", 1, 1e14)
    coarse, fine = (one.pace.memory for one in found.candidates)
    assert coarse is not None
    assert fine is not None
    assert min(coarse, fine) > 0
    shown = capsys.readouterr().out
    assert "peak memory" in shown
    assert "MFU" in shown
