"""Inputs of teachers and their number of forward passes: resolutions, vocabularies, contexts, one pass per step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plans import toy_image_plan
from sources import compiled
from torch import Tensor
from torch_tools import CPU, losses, relative

from shapeflow.api import run
from shapeflow.base.diagnostics import Report
from shapeflow.cli import answer
from shapeflow.ir.events import StepDone
from shapeflow.ir.plan import Plan
from shapeflow.ir.weights import read_weights
from shapeflow.running.execute import execute
from shapeflow_simulator import Simulator
from shapeflow_torch import weight_files
from shapeflow_torch.data import open_data
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.pixels import resized
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.objectives.distill import Distill, divergence
from shapeflow_torch.objectives.teacher import Teacher

IMAGES = """
model vit(depth: 1, head_width: 8, width: 16, patch: 2 px)
data digits(batch: 16)
axis resolution in [4, 8] px via resolution_resize(grid: 2, preview: 0%)
stage (resolution: 4 px) until 50%
stage (resolution: 8 px) until end
budget 4 steps
"""
TWICE = """
let warm = distill(teacher: "t.safetensors")
let both = mixture(of: [warm, distill(teacher: "t.safetensors", temperature: 4.0)], weights: [0.5, 0.5])
model vit(depth: 1, head_width: 8, width: 16, patch: 2 px)
data digits(batch: 16)
axis loss in [cross_entropy, warm, both] via loss_switch
stage (loss: cross_entropy) until 3 steps
stage (loss: warm) until 5 steps
stage (loss: both) until end
budget 8 steps
"""
TEXT = """
model transformer(depth: 1, width: 32, heads: 2)
axis context in [16, 64] tokens via context_grow(preview: 0%)
data text("a.txt", batch: 128 tokens)
budget 6 steps
evaluate every 6 steps
"""
LEGS = "stage (context: 16 tokens) until 50%\nstage (context: 64 tokens) until end\n"
MARKED = """
let ul = denoising(sentinels: 12)
let kd = distill(teacher: "t.safetensors")
axis loss in [next_token, kd, ul] via loss_switch
stage (loss: next_token, context: 16 tokens) until 2 steps
stage (loss: kd, context: 16 tokens) until 4 steps
stage (loss: ul, context: 64 tokens) until end
"""


def machine(plan: Plan, root: Path) -> TorchMachine:
    return TorchMachine(plan, open_data(plan, root, CPU), root=root)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights of a vision transformer for images of 8 px."""
    folder = tmp_path_factory.mktemp("trained")
    run(toy_image_plan((({"patch": 4}, 2), ({"patch": 2}, 4))), folder / "run", device="cpu")
    answer(["export", str(folder / "run"), "-o", str(folder / "t.safetensors")])
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """A list that collects the inputs of all teachers from now on."""
    seen: list[Tensor] = []
    answering = Teacher.answer
    monkeypatch.setattr(Teacher, "answer", lambda self, inputs: seen.append(inputs) or answering(self, inputs))
    return seen


def text_teacher(folder: Path, objective: str) -> None:
    """A language model trained on a small text, exported as `t.safetensors`."""
    (folder / "a.txt").write_text("once upon a time, and then again\n" * 200)
    run(compiled(folder, TEXT + LEGS + objective), folder / "run", device="cpu", root=folder)
    assert answer(["export", str(folder / "run"), "-o", str(folder / "t.safetensors")]) == 0


# resolutions


def test_a_teacher_sees_the_data_at_its_own_resolution(trained: Path, asked: list[Tensor]) -> None:
    """The teacher gets the same crop at its own resolution, resized from the data, not from the student's image."""
    plan = compiled(trained, IMAGES + 'objective distill(teacher: "t.safetensors")')
    made = machine(plan, trained)
    assert isinstance(made.data, Images)
    # A crop that identifies samples: it adds the sample's number to the brightness.
    made.data._augment = lambda images, _, numbers: images + torch.from_numpy(numbers).float().view(-1, 1, 1, 1) / 64
    made.take(plan.stages[0])
    made.look(plan.stages[0].reading)
    images, classes = made.data.batch(plan.seed, 0, 0, 16, None, slice(0, 16))
    assert images.shape[-1] == 8
    with torch.no_grad():
        said = made.body.net(resized(images, 4))
    told = made.step(plan.stages[0], 0, 0.0)
    (seen,) = asked
    assert torch.equal(seen, images)
    objective = made._objectives["distill"]
    assert isinstance(objective, Distill)
    wanted = 4 * divergence(said, objective.teacher.net(images), classes, 2.0)
    assert told == pytest.approx(float(wanted), rel=1e-5)


def test_a_teacher_of_a_lower_resolution_gets_its_own(trained: Path, tmp_path: Path, asked: list[Tensor]) -> None:
    small = IMAGES.replace("stage (resolution: 8 px) until end", "").replace("until 50%", "until end")
    run(compiled(tmp_path, small + "objective cross_entropy"), tmp_path / "run", device="cpu")
    answer(["export", str(tmp_path / "run"), "-o", str(tmp_path / "t.safetensors")])
    plan = compiled(tmp_path, IMAGES + 'objective distill(teacher: "t.safetensors")')
    made = machine(plan, tmp_path)
    assert list(execute(plan, made)) == list(execute(plan, Simulator(plan)))
    assert [one.shape[-1] for one in asked] == [8] * 4
    objective = made._objectives["distill"]
    assert isinstance(objective, Distill)
    assert torch.equal(objective.teacher.answer(asked[0]), objective.teacher.net(resized(asked[0], 4)))


# once


def test_a_teacher_is_read_asked_and_charged_once(
    trained: Path, asked: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    reading = weight_files.read_tensors
    monkeypatch.setattr(weight_files, "read_tensors", lambda data: read.append(len(data)) or reading(data))
    plan = compiled(trained, TWICE)
    made = machine(plan, trained)
    assert len(read) == 1, "in the whole plan"
    per_step = []
    for event in execute(plan, made):
        if isinstance(event, StepDone):
            per_step.append(len(asked))
            asked.clear()
    assert per_step == [0, 0, 0, 1, 1, 1, 1, 1], "and never in a stage of another loss"
    plain, one, two = (stage.cost for stage in plan.stages)
    assert plain < one == two


def test_what_is_shared_changes_no_number(trained: Path) -> None:
    """The loss of a mixture of two temperatures is the mean of both losses computed separately."""
    single = 'objective distill(teacher: "t.safetensors", temperature: {})'
    told = []
    for objective in (single.format("2.0"), single.format("4.0"), "objective both"):
        text = TWICE.partition("axis")[0] + "axis batch in [16] via batch_resize\nstage (batch: 16) until end\n"
        plan = compiled(trained, text + f"budget 1 steps\n{objective}")
        told += losses(list(execute(plan, machine(plan, trained))))
    assert told[2] == pytest.approx((told[0] + told[1]) / 2, rel=1e-6)


# vocabularies


def test_answers_that_a_teacher_does_not_have() -> None:
    """Student and teacher are compared over the tokens of the data only, without the ids of marks."""
    student, taught = (torch.tensor([row], dtype=torch.float64) for row in ([1.0, 2.0, 3.0], [math.log(3.0), 0.0]))
    soft = np.log(np.exp([1.0, 2.0]).sum())
    wanted = 0.75 * (math.log(0.75) - 1 + soft) + 0.25 * (math.log(0.25) - 2 + soft)
    assert float(divergence(student, taught, torch.tensor([0]), 1.0)) == pytest.approx(wanted, rel=1e-6)


def test_a_plain_teacher_of_a_student_that_denoises(tmp_path: Path) -> None:
    text_teacher(tmp_path, "objective next_token")
    assert read_weights(tmp_path / "t.safetensors").reserved == 0
    plan = compiled(tmp_path, TEXT + MARKED)
    assert [stage.sizes["vocabulary"] for stage in plan.stages] == [271, 271, 271]
    assert list(execute(plan, machine(plan, tmp_path))) == list(execute(plan, Simulator(plan)))


@pytest.mark.parametrize("student", [LEGS + 'objective distill(teacher: "t.safetensors")', MARKED])
def test_a_teacher_that_denoised(student: str, tmp_path: Path) -> None:
    """The student has no marks, or fewer than the teacher; the teacher's logits for its own marks are ignored."""
    text_teacher(tmp_path, "let spans = denoising(sentinels: 20)\nobjective spans\n")
    weights = read_weights(tmp_path / "t.safetensors")
    assert (weights.reserved, weights.sizes["vocabulary"]) == (23, 279)
    plan = compiled(tmp_path, TEXT + student)
    made = machine(plan, tmp_path)
    assert list(execute(plan, made)) == list(execute(plan, Simulator(plan)))
    objective = made._objectives["kd" if student is MARKED else "distill"]
    assert isinstance(objective, Distill)
    tokens = torch.arange(32).view(2, 16)
    said = objective.teacher.answer(tokens)
    assert said.shape == (2, 16, 256)
    assert relative(said, objective.teacher.net(tokens)[..., :256]) < 1e-6


# contexts


def warned(folder: Path, text: str) -> list[Any]:
    report = Report()
    compiled(folder, text, report=report)
    return [one for one in report.diagnostics if one.code == "teacher-stretched"]


def test_a_teacher_beyond_its_context(tmp_path: Path) -> None:
    text_teacher(tmp_path, "objective next_token")
    student = TEXT.replace("[16, 64]", "[16, 64, 128]") + LEGS
    (wrong,) = warned(tmp_path, student + 'objective distill(teacher: "t.safetensors")')
    assert wrong.message.endswith("at a context of 64 tokens, and is used at 128")
    assert wrong.severity == "warning"
    assert not warned(tmp_path, TEXT + LEGS + 'objective distill(teacher: "t.safetensors")')
    taught = 'let kd = distill(teacher: "t.safetensors")\naxis loss in [next_token, kd] via loss_switch\n'
    only = "candidates context * loss where loss is next_token or context <= 64 tokens\n"
    legs = LEGS.replace("tokens)", "tokens, loss: kd)")
    text = TEXT.replace("[16, 64]", "[16, 64, 128]") + taught + only + legs
    assert not warned(tmp_path, text), "where it is never used at a longer one"
