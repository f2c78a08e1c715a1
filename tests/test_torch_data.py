"""Data in torch: the samples of each step, and data that are refused."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from sources import refused
from torch_tools import CPU, HELD_OUT_TARGETS, machine

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.data.digits import Digits
from shapeflow.data.fashion_mnist import FashionMnist
from shapeflow.data.python_source import PythonSource
from shapeflow.data.text import Text
from shapeflow.ir.edits import Swap
from shapeflow.ir.plan import Plan, Spec
from shapeflow.ir.workload import Cursor, check_shares
from shapeflow_torch.data import open_data, windows
from shapeflow_torch.data.fashion_mnist import crop_and_mirror
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.windows import Windows
from shapeflow_torch.team import Team


def opened(plan: Plan, root: Path = Path(".")) -> Any:
    return open_data(plan, root, CPU)


def code(plan: Plan, root: Path = Path(".")) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        opened(plan, root)
    return caught.value.diagnostics[0]


@pytest.mark.parametrize("plan", [toy_text_plan(), toy_image_plan()], ids=["text", "images"])
@pytest.mark.parametrize("world", [2, 4])
def test_samples_do_not_depend_on_the_count_of_processes(plan: Plan, world: int) -> None:
    data, context = opened(plan), 16 if plan.metric == "loss@own" else None
    whole = data.batch(0, 7, 224, 16, context, slice(0, 16))
    parts = [data.batch(0, 7, 224, 16, context, slice(rank, 16, world)) for rank in range(world)]
    for tensor in (0, 1):
        for rank, part in enumerate(parts):
            assert torch.equal(part[tensor], whole[tensor][rank::world])


def test_windows_are_text_and_differ_from_step_to_step() -> None:
    data = opened(toy_text_plan())
    inputs, targets = data.batch(0, 0, 0, 8, 16, slice(0, 8))
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert not torch.equal(inputs, data.batch(0, 1, 0, 8, 16, slice(0, 8))[0])
    assert not torch.equal(inputs, data.batch(1, 0, 0, 8, 16, slice(0, 8))[0])
    assert torch.equal(inputs, data.batch(0, 0, 0, 8, 16, slice(0, 8))[0])


def test_an_epoch_takes_every_image_once() -> None:
    data = opened(toy_image_plan())
    count = data.describe()["training_images"]
    assert count == Digits().facts().samples
    first = data.batch(0, 0, 0, count, None, slice(0, count))[1]
    second = data.batch(0, 0, count, count, None, slice(0, count))[1]
    assert torch.equal(first.bincount(), second.bincount())
    assert not torch.equal(first, second)
    across = data.batch(0, 0, count - 4, 8, None, slice(0, 8))[1]
    assert torch.equal(across, torch.cat((first[-4:], second[:4])))


def test_samples_before_a_step_follow_from_the_plan() -> None:
    plan = toy_image_plan(preview=0.3)
    stages = [attrs.evolve(plan.stages[0], batch=32), attrs.evolve(plan.stages[1], batch=64)]
    plan = attrs.evolve(plan, stages=tuple(stages))
    assert [Cursor(plan).before(step) for step in (0, 5, 6, 7, 11)] == [0, 160, 192, 256, 512]
    blends = tuple(attrs.evolve(b, edits=(*b.edits, Swap("batch", 16))) for b in stages[0].blends)
    mixed = attrs.evolve(plan, stages=(attrs.evolve(stages[0], blends=blends), stages[1]))
    before = [Cursor(mixed).before(step) for step in range(8)]
    taken = [16 if mixed.stages[0].blend_at(0, 0, step) else 32 for step in range(6)]
    assert before == [0, *np.cumsum([*taken, 64])]
    assert 16 in taken


def test_epochs_go_on_across_batches() -> None:
    """After a change of batch, the epoch continues where it was: no image is repeated or skipped."""
    plan = toy_image_plan((({"batch": 8}, 3), ({"batch": 32}, 2), ({"batch": 16}, 2)))
    assert [stage.batch for stage in plan.stages] == [8, 32, 16]
    assert [Cursor(plan).before(step) for step in range(7)] == [0, 8, 16, 24, 56, 88, 104]


def test_every_batch_must_divide_among_the_processes() -> None:
    plan = toy_text_plan((({"batch": 128, "context": 16}, 3), ({"batch": 192, "context": 64}, 3)))
    check_shares(plan, 1)
    with pytest.raises(Refused) as caught:
        check_shares(plan, 2)
    assert caught.value.diagnostics[0].help == "use one of these counts: 1"
    images = toy_image_plan((({"batch": 8}, 3), ({"batch": 12}, 3)))
    check_shares(images, 4)
    with pytest.raises(Refused) as caught:
        check_shares(images, 8)
    assert caught.value.diagnostics[0].help == "use one of these counts: 1, 2, 4"


def test_steps_that_processes_cannot_share() -> None:
    plan = toy_text_plan(preview=0.3)
    check_shares(plan, 4)
    with pytest.raises(Refused) as caught:
        check_shares(plan, 3)
    assert caught.value.diagnostics[0].code == "batch-not-divisible"
    assert caught.value.diagnostics[0].help == "use one of these counts: 1, 2, 4"
    with pytest.raises(Refused, match="batch-not-divisible"):
        check_shares(plan, 8)


def test_python_source_is_described() -> None:
    about = opened(toy_text_plan()).describe()
    assert about["data"] == "python_source"
    assert about["files"] == sorted(about["files"])
    assert "ast.py" in about["files"] or "ast.py" in about["held_out"]
    assert not any(name.startswith(("test/", "encodings/")) or "site-packages" in name for name in about["files"])
    assert len(about["held_out"]) == len(about["files"]) // 20
    assert len(about["sha256"]) == 64
    assert about["held_out_bytes"] > 32_768


def test_held_out_targets_are_the_same_at_every_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "TARGETS", HELD_OUT_TARGETS)
    data = opened(toy_text_plan())
    assert data.windows * data.longest == 32_768
    kept = data._held_out[:, 1:].flatten().bincount(minlength=256)
    for context in (16, 24, 64):
        chunks = [targets for _, targets, _ in data.held_out(context, 0, 1)]
        assert torch.equal(torch.cat([t.flatten() for t in chunks]).bincount(minlength=256), kept)
        apart = [t.numel() for rank in range(3) for _, t, _ in data.held_out(context, rank, 3)]
        assert sum(apart) == 32_768


def text(path: str, **settings: Any) -> Plan:
    return toy_text_plan(data=Text(path=path, batch=256, **settings))


def test_a_single_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(bytes(range(256)) * 40)
    data = opened(text("a.txt"), tmp_path)
    assert isinstance(data, Windows)
    assert data.describe()["held_out_bytes"] == 512
    assert data.windows * data.longest == 448
    assert opened(text(str(tmp_path / "a.txt"))).describe()["sha256"] == data.describe()["sha256"]


def test_a_folder_of_texts(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "abcd":
        (tmp_path / "in" / f"{name}.txt").write_bytes(name.encode() * 100)
    (tmp_path / "b.md").write_bytes(b"-" * 100)
    about = opened(text(".", files="*.txt", held_out=0.25), tmp_path).describe()
    assert about["files"] == ["in/a.txt", "in/b.txt", "in/c.txt", "in/d.txt"]
    assert about["held_out_bytes"] == 100
    assert about["training_bytes"] == 302


def test_text_shorter_than_a_window(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 500)
    found = code(text("a.txt"), tmp_path)
    assert found.code == "context-too-long"
    assert found.help == "use contexts up to 24 tokens, or a longer text"
    (tmp_path / "a.txt").write_bytes(b"")
    assert code(text("a.txt"), tmp_path).code == "context-too-long"


@pytest.mark.parametrize("context", ["context: 25 tokens", ""], ids=["setting", "axis"])
def test_a_compiler_knows_the_length_of_a_single_file(tmp_path: Path, context: str) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 500)
    assert Text("a.txt").longest(tmp_path) == 24
    assert Text("a.txt", held_out=0.5).longest(tmp_path) == 249
    assert Text("b.txt").longest(tmp_path) is Text(".").longest(tmp_path) is None
    model = f"model transformer(width: 16, head_width: 8, {context or 'depth: 1'})\n"
    axis = "axis depth in [1, 2] via depth_expand" if context else "axis context in [5, 25] tokens via context_grow"
    rest = f"\ndata text('a.txt', batch: 25 tokens)\nobjective next_token\n{axis}\ntraversal evenly\nbudget 10 steps"
    found = refused(tmp_path, model + rest.replace("'", '"'))
    assert [(one.code, one.help) for one in found] == [
        ("context-too-long", "use contexts up to 24 tokens, or a longer text")
    ]


def test_no_text(tmp_path: Path) -> None:
    assert code(text("nowhere.txt"), tmp_path).code == "data-missing"
    assert code(text("."), tmp_path).code == "data-missing"


def test_data_that_nobody_reads() -> None:
    plan = attrs.evolve(toy_text_plan(), data=Spec("clouds", {}))
    assert code(plan).code == "no-such-data"


def test_no_fashion_mnist(tmp_path: Path) -> None:
    plan = toy_image_plan(base=4, grid=6, data=FashionMnist(folder=str(tmp_path)))
    found = code(plan)
    assert found.code == "data-missing"
    assert "apt-get install dataset-fashion-mnist" in (found.help or "")


def write_idx(path: Path, values: np.ndarray[Any, Any]) -> None:
    header = struct.pack(f">I{values.ndim}I", 0x800 + values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def test_fashion_mnist_from_idx(tmp_path: Path) -> None:
    count = 3_100
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28))
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", pixels)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.arange(count) % 10)
    data = opened(toy_image_plan(base=4, grid=6, data=FashionMnist(folder=str(tmp_path))))
    assert isinstance(data, Images)
    assert data.describe()["training_images"] == 100
    images, _ = next(iter(data.held_out(None, 0, 1)))
    expected = (torch.from_numpy(pixels[100, 2:26, 2:26]).float() / 255 - 0.286) / 0.353
    assert torch.allclose(images[0, 0], expected)
    one, two = (data.batch(0, 0, 96, 8, None, part)[0] for part in (slice(0, 8), slice(1, 8, 2)))
    assert torch.equal(one[1::2], two)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b\x08")
    assert code(toy_image_plan(base=4, grid=6, data=FashionMnist(folder=str(tmp_path)))).code == "data-missing"


def test_crops_and_mirrors() -> None:
    image = torch.arange(36.0).view(1, 1, 6, 6)
    seen = set()
    for number in range(200):
        cut = crop_and_mirror(image, 0, np.array([number]), 4)[0, 0]
        flat = cut if cut[0, 0] < cut[0, 1] else cut.flip(-1)
        top, left = divmod(int(flat[0, 0]), 6)
        assert torch.equal(flat, image[0, 0, top : top + 4, left : left + 4])
        seen.add((top, left, bool(cut[0, 0] < cut[0, 1])))
    assert len(seen) == 18


@pytest.mark.parametrize("metric", ["classification_error", "cross_entropy", "fewshot_error@5"])
def test_images_are_measured(metric: str) -> None:
    made = machine(toy_image_plan(metric=metric))
    values = made.measure(made.plan.stages[0]).values
    known = {"classification_error", "cross_entropy"}
    assert set(values) == known | {metric}
    assert values["cross_entropy"] == pytest.approx(np.log(10), abs=0.01)
    assert 0 <= values[metric] <= 3


def test_fewshot_error_is_that_of_a_ridge_regression() -> None:
    """Paper A, section 3: ridge regression with alpha 0.01 on one-hot targets; here by normal equations in float64."""
    made = machine(toy_image_plan(metric="fewshot_error@5"))
    data = made.data
    assert isinstance(data, Images)
    images, classes = data.shots(5, None)
    assert torch.equal(classes.bincount(), torch.full((10,), 5))
    with torch.no_grad():
        features, targets = made.body.net.features(images).double(), torch.eye(10, dtype=torch.float64)[classes]
        mean, level = features.mean(0), targets.mean(0)
        centred = features - mean
        weights = torch.linalg.solve(centred.T @ centred + 1e-2 * torch.eye(32), centred.T @ (targets - level))
        ((held, truth),) = data.held_out(None, 0, 1)
        found = ((made.body.net.features(held).double() - mean) @ weights + level).argmax(1)
    error = float((found != truth).double().mean())
    assert made.measure(made.plan.stages[0]).values["fewshot_error@5"] == pytest.approx(error, abs=0.01)


def test_all_processes_get_the_leaders_fewshot_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made = machine(toy_image_plan(metric="fewshot_error@5"))
    monkeypatch.setattr(Team, "sum", lambda self, numbers: numbers + 1)
    monkeypatch.setattr(Team, "share", lambda self, act: (0.25, 0.1))
    made.team = Team(rank=1, world=2)
    assert made.measure(made.plan.stages[0]).values["fewshot_error@5"] == 0.25


def test_text_is_measured_at_both_contexts() -> None:
    made = machine(toy_text_plan())
    values = made.measure(made.plan.stages[0]).values
    assert set(values) == {"loss@own", "loss@longest"}
    assert all(value == pytest.approx(np.log(256), abs=0.3) for value in values.values())
    assert PythonSource().facts().vocabulary == 256
