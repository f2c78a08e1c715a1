"""Distillation in torch: losses by hand, the teacher as a module apart from the student, runs, exports."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from plans import toy_image_plan
from sources import compiled
from teachers import vit_weights, write_zeros
from torch import Tensor
from torch_tools import CPU, losses, outputs, relative

from shapeflow.api import run
from shapeflow.base.diagnostics import Refused
from shapeflow.cli import answer
from shapeflow.ir.events import CheckpointSaved, Event, RunStarted
from shapeflow.ir.plan import Plan, Spec
from shapeflow.ir.weights import read_weights
from shapeflow.running.execute import execute
from shapeflow_simulator import Simulator
from shapeflow_torch.data import open_data
from shapeflow_torch.export import export
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.objectives import Asked, Objective, Site, objective_of
from shapeflow_torch.objectives.distill import Distill, divergence
from shapeflow_torch.objectives.parts import IGNORED, cross_entropy
from shapeflow_torch.objectives.teacher import Teacher

STUDENT, TEACHER = [[2.0, 1, 0], [0, 3, -1]], [[3.0, 0, -1], [1, 2, 0]]
LABELS = torch.tensor([0, 1])

PATCHED = """
let teacher = distill(teacher: "t.safetensors")
model vit(depth: 2, head_width: 16)
data digits(batch: 16)
optimizer adamw(warmup: 2 steps)
axis patch in [4, 2] px via flexi_resize(base: 4 px)
axis width in [32, 48] via width_expand
axis loss in [cross_entropy, teacher] via loss_switch(blend: 100%)
candidates patch * width * loss where loss is cross_entropy or width >= 48
stage (patch: 4 px, width: 32, loss: cross_entropy) until 4 steps
stage (patch: 4 px, width: 48, loss: cross_entropy) until 8 steps
stage (patch: 2 px, width: 48, loss: teacher) until end
budget 12 steps
checkpoint every 7 steps
"""


def tensors(*rows: Sequence[Sequence[float]]) -> list[Tensor]:
    return [torch.tensor(row, dtype=torch.float64) for row in rows]


def machine(plan: Plan, root: Path, dtype: torch.dtype = torch.float32) -> TorchMachine:
    return TorchMachine(plan, open_data(plan, root, CPU), dtype=dtype, root=root)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of a flexible vision transformer: final patch size 2 px, base 4 px."""
    folder = tmp_path_factory.mktemp("trained")
    run(toy_image_plan((({"patch": 4}, 5), ({"patch": 2}, 15))), folder / "run", device="cpu")
    answer(["export", str(folder / "run"), "-o", str(folder / "t.safetensors")])
    return folder


@pytest.fixture(scope="module")
def distilled(trained: Path) -> Plan:
    return compiled(trained, PATCHED)


# the numbers


def test_the_divergence_by_hand() -> None:
    student, teacher = tensors(STUDENT, TEACHER)
    student.requires_grad_()
    soft = torch.softmax(teacher / 2, -1)
    wanted = torch.tensor([[0.736125, 0.164252, 0.099624], [0.307196, 0.506480, 0.186324]], dtype=torch.float64)
    torch.testing.assert_close(soft, wanted, rtol=0, atol=5e-7)
    at_two = divergence(student, teacher, LABELS, 2.0)
    assert float(at_two.detach()) == pytest.approx(0.114822167, abs=5e-10)
    assert float(4 * at_two.detach()) == pytest.approx(0.459288667, abs=5e-10)
    assert float(divergence(student, teacher, LABELS, 1.0).detach()) == pytest.approx(0.270998596, abs=5e-10)
    (slope,) = torch.autograd.grad(4 * at_two, student)
    first = torch.tensor([-0.229644, 0.142944, 0.086700], dtype=torch.float64)
    torch.testing.assert_close(slope[0], first, rtol=0, atol=5e-7)
    # The factor T^2 times the 1 / T of the softmax gives T (p_student - p_teacher) / samples, with T = 2.
    torch.testing.assert_close(slope, 2 * (torch.softmax(student / 2, -1) - soft) / 2)


def test_cross_entropy_by_hand() -> None:
    (student,) = tensors(STUDENT)
    assert float(cross_entropy(student, LABELS)) == pytest.approx(0.236744934, abs=5e-10)
    assert float(cross_entropy(student, LABELS, 0.2)) == pytest.approx(0.570078267, abs=5e-10)


def test_tokens_are_averaged_and_ignored_ones_left_out() -> None:
    student, teacher = tensors([*STUDENT, [9, 9, 0]], [*TEACHER, [0, 5, 0]])
    targets = torch.tensor([[0, 1, IGNORED]])
    alone = divergence(*tensors(STUDENT, TEACHER), LABELS, 2.0)
    torch.testing.assert_close(divergence(student[None], teacher[None], targets, 2.0), alone)


def test_half_precision_is_computed_in_float32() -> None:
    student, teacher = (one.to(torch.bfloat16) for one in tensors(STUDENT, TEACHER))
    value = divergence(student, teacher, LABELS, 2.0)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, divergence(student.float(), teacher.float(), LABELS, 2.0), rtol=0, atol=0)


# the teacher


def test_a_teacher_answers_as_its_run_did(trained: Path) -> None:
    """The teacher uses the reading of its own run: patches of 2 px over a base of 4 px."""
    weights = read_weights(trained / "t.safetensors")
    assert (weights.step, weights.averaged, weights.shape["patch"], weights.sizes["patch"]) == (20, True, 2, 4)
    teacher = Teacher("t.safetensors", weights.sha256, Site(trained, CPU, torch.float32))
    plan = toy_image_plan((({"patch": 4}, 5), ({"patch": 2}, 15)))
    made = machine(plan, trained)
    made.load(trained / "run" / "checkpoints" / "step-000000020")
    made.look(plan.stages[1].reading)
    with made.body.averaged():
        wanted = outputs(made)
    images = made.data.batch(0, 0, 0, 16, None, slice(0, 16))[0]
    assert torch.equal(teacher.answer(images), wanted)
    larger = torch.nn.functional.interpolate(images, size=12, mode="nearest")
    assert teacher.answer(larger).shape == wanted.shape, "images of another side are resized"


def test_a_teacher_is_not_part_of_the_student(distilled: Plan, trained: Path, tmp_path: Path) -> None:
    made = machine(distilled, trained)
    events = list(execute(distilled, made, tmp_path))
    objective = made._objectives["teacher"]
    assert isinstance(objective, Distill)
    net = objective.teacher.net
    assert not net.training
    assert not any(one.requires_grad or one.grad is not None for one in net.parameters())
    inside = {id(module) for module in made.body.net.modules()}
    assert not inside & {id(module) for module in net.modules()}
    held = {id(p) for group in made.body.optimizer.param_groups for p in group["params"]}
    assert not held & {id(p) for p in net.parameters()}
    assert set(made.body.averages) == {name for name, _ in made.body.net.named_parameters()}
    untouched = Teacher("t.safetensors", read_weights(trained / "t.safetensors").sha256, objective.teacher._site).net
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), untouched.parameters(), strict=True))
    (last,) = [event for event in events if isinstance(event, CheckpointSaved) and event.step == 12]
    student = sum(p.numel() * 4 for p in made.body.net.parameters())
    assert student < (tmp_path / last.name / "model.safetensors").stat().st_size < 1.2 * student


def test_the_student_comes_nearer_to_its_teacher(trained: Path) -> None:
    text = """
    model vit(depth: 1, width: 32, heads: 2, patch: 4 px)
    data digits(batch: 64)
    objective distill(teacher: "t.safetensors")
    optimizer adamw(lr: 3e-3, warmup: 2 steps)
    axis batch in [64] via batch_resize
    traversal fixed((batch: 64))
    budget 40 steps
    """
    plan = compiled(trained, text)
    made = machine(plan, trained)
    told = losses(list(execute(plan, made)))
    assert sum(told[-5:]) < 0.7 * sum(told[:5])


@pytest.mark.parametrize("spoilt", ["gone", "other"])
def test_a_missing_or_changed_teacher_is_reported_before_the_first_step(
    spoilt: str, distilled: Plan, trained: Path, tmp_path: Path
) -> None:
    """The run is refused at its start, even if only a later stage needs the teacher, and also on a resume."""
    shutil.copy(trained / "t.safetensors", tmp_path)
    run(distilled, tmp_path / "run", device="cpu", root=tmp_path, until=("classification_error", 2.0))
    file = tmp_path / "t.safetensors"
    if spoilt == "gone":
        file.unlink()
    else:
        write_zeros(file, vit_weights())
    code = "teacher-missing" if spoilt == "gone" else "teacher-changed"
    for choices in ({}, {"resume": True}):
        where = tmp_path / ("run" if choices else "new")
        before = sorted(where.glob("**/*")) if where.exists() else None
        with pytest.raises(Refused, match=code):
            run(distilled, where, device="cpu", root=tmp_path, **choices)  # type: ignore[arg-type]
        assert (sorted(where.glob("**/*")) if where.exists() else None) == before


# runs


def test_the_simulator_and_torch_emit_the_same_events(distilled: Plan, trained: Path, tmp_path: Path) -> None:
    """Both emit the same events, including the FLOPs of the teacher. A resumed run gives exactly the same losses."""
    whole = list(execute(distilled, machine(distilled, trained), tmp_path))
    assert whole == list(execute(distilled, Simulator(distilled), tmp_path / "none"))
    first = next(event for event in whole if isinstance(event, CheckpointSaved))
    rest: list[Event] = [e for e in whole[1 + whole.index(first) :] if not isinstance(e, CheckpointSaved)]
    resumed = list(execute(distilled, machine(distilled, trained), None, tmp_path / first.name))
    assert resumed == [RunStarted(distilled.digest, 7), *rest]
    assert losses(resumed) == losses(rest)


def test_a_language_model_learns_from_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("once upon a time, and then again\n" * 200)
    text = """
    model transformer(depth: 1, width: 32, heads: 2)
    data text("a.txt", batch: 128 tokens)
    axis context in [16, 64] tokens via context_grow(preview: 20%)
    stage (context: 16 tokens) until 50%
    stage (context: 64 tokens) until end
    budget 6 steps
    evaluate every 6 steps
    """
    run(compiled(tmp_path, text + "objective next_token"), tmp_path / "run", device="cpu", root=tmp_path)
    assert answer(["export", str(tmp_path / "run"), "-o", str(tmp_path / "t.safetensors")]) == 0
    mixed = 'objective mixture(of: [next_token, distill(teacher: "t.safetensors")], weights: [0.25, 0.75])'
    plan = compiled(tmp_path, text + mixed)
    told = list(execute(plan, machine(plan, tmp_path)))
    assert told == list(execute(plan, Simulator(plan)))
    site = Site(tmp_path, CPU, torch.float32)
    mixture = objective_of(plan.objectives["mixture"], site)
    teacher = Teacher("t.safetensors", read_weights(tmp_path / "t.safetensors").sha256, site)
    made = machine(plan, tmp_path)
    made.take(plan.stages[0])
    made.look(plan.stages[0].reading)
    tokens, targets = made.data.batch(0, 0, 0, 8, 16, slice(0, 8))
    with torch.no_grad():
        logits = made.body.net(tokens)
        soft = divergence(logits, teacher.answer(tokens), targets, 2.0)
        wanted = 0.25 * cross_entropy(logits, targets) + 0.75 * 4 * soft
        assert relative(mixture.loss(logits, Asked(tokens, targets)), wanted) < 1e-6


def test_parts_without_weight_are_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr(Teacher, "answer", never)
    file = write_zeros(tmp_path / "t.safetensors", vit_weights())
    settings = {"teacher": file.name, "temperature": 2.0, "scale": True, "sha256": read_weights(file).sha256}
    taught = {"is": "distill", **settings, "forward": {"image": 1.0}}
    plain = {"is": "cross_entropy", "label_smoothing": 0.0}
    spec = Spec("mixture", {"of": [plain, taught], "weights": [2.0, 0.0]})
    mixed: Objective = objective_of(spec, Site(tmp_path, CPU, torch.float32))
    (logits,) = tensors(STUDENT)
    loss = mixed.loss(logits, Asked(logits, LABELS))
    torch.testing.assert_close(loss, 2 * cross_entropy(logits, LABELS))


# exports


def test_averaged_or_raw_weights(trained: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    saved = trained / "run" / "checkpoints" / "step-000000020"
    for flags, name in (([], "average"), (["--raw"], "model")):
        file = tmp_path / f"{name}.safetensors"
        assert answer(["export", str(trained / "run"), "-o", str(file), *flags]) == 0
        written, wanted = load_file(file), load_file(saved / f"{name}.safetensors")
        assert written.keys() == wanted.keys()
        assert all(torch.equal(written[key], wanted[key]) for key in wanted)
        assert read_weights(file).averaged == (name == "average")


def test_a_grown_model_is_exported_with_its_eps(tmp_path: Path) -> None:
    """Growth changes the eps of norms, and the exported file stores the changed value."""
    plan = toy_image_plan((({"width": 32, "depth": 2}, 3), ({"width": 48, "depth": 3}, 3)))
    run(plan, tmp_path / "run", device="cpu")
    exported = export(plan, tmp_path / "run", tmp_path / "t.safetensors")
    weights = read_weights(tmp_path / "t.safetensors")
    assert (weights.slots["norm.eps"], exported.step) == (pytest.approx(1e-6 * 32 / 48), 6)
    made = machine(plan, tmp_path)
    made.load(tmp_path / "run" / "checkpoints" / "step-000000006")
    with made.body.averaged():
        wanted = outputs(made)
    teacher = Teacher("t.safetensors", weights.sha256, Site(tmp_path, CPU, torch.float32))
    assert torch.equal(teacher.answer(made.data.batch(0, 0, 0, 16, None, slice(0, 16))[0]), wanted)


def test_a_run_that_has_not_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = toy_image_plan((({"patch": 2}, 4), ({"patch": 4}, 4)), evaluate=2, checkpoint=2)
    outcome = run(plan, tmp_path / "run", device="cpu", until=("classification_error", 2.0))
    assert outcome is not None
    assert not outcome.finished
    file = tmp_path / "t.safetensors"
    assert answer(["export", str(tmp_path / "run"), "-o", str(file)]) == 1
    assert "run-unfinished" in capsys.readouterr().err
    assert not file.exists()
    assert answer(["export", str(tmp_path / "run"), "-o", str(file), "--unfinished"]) == 0
    weights = read_weights(file)
    assert (weights.step, weights.shape["patch"], weights.facts().image) == (outcome.step, 2, 8)
    assert answer(["export", str(tmp_path), "-o", str(file)]) == 1
    assert "no-run" in capsys.readouterr().err
