"""Checkpoints: exact resumes, atomic writes, and refusal of checkpoints of other plans."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from safetensors.torch import load_file
from safetensors.torch import save as write_tensors
from torch import Tensor
from torch_tools import followed, losses, machine, parameters

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.sealed import digest_of
from shapeflow.ir import retention
from shapeflow.ir.plan import Plan
from shapeflow.optimizers.adamw import Adamw
from shapeflow.transitions.batch_resize import BatchResize
from shapeflow.transitions.context_grow import ContextGrow
from shapeflow.transitions.depth_expand import DepthExpand
from shapeflow_torch import checkpoint, tensor_file
from shapeflow_torch.machine import TorchMachine

SLOW = Adamw(lr=2e-3, warmup=4, beta2=0.999, average=20)
PLANS = {
    "patch, blended": toy_image_plan(preview=0.3, checkpoint=3),
    "width, ages": toy_image_plan((({"width": 32}, 6), ({"width": 48}, 6)), checkpoint=3),
    "context and width, ages": toy_text_plan(
        (({"context": 16, "width": 32}, 6), ({"context": 64, "width": 48}, 6)), optimizer=SLOW, checkpoint=3
    ),
    "batch": toy_image_plan((({"batch": 8}, 6), ({"batch": 32}, 6)), checkpoint=3),
    "batch, memory": toy_image_plan(
        (({"batch": 8}, 6), ({"batch": 32}, 6)), batch=BatchResize(beta2="samples"), checkpoint=3
    ),
    "batch and width, memory and ages": toy_image_plan(
        (({"batch": 32, "width": 32}, 4), ({"batch": 16, "width": 48}, 4), ({"batch": 64, "width": 48}, 4)),
        batch=BatchResize(beta2="samples"),
        checkpoint=3,
    ),
    "depth, copies": toy_image_plan((({"depth": 2}, 6), ({"depth": 4}, 6)), checkpoint=3),
    "resolution, blended, tokens of its own": toy_image_plan(
        (({"resolution": 4, "patch": 2}, 6), ({"resolution": 8, "patch": 2}, 6)),
        preview=0.3,
        model={"pool": "cls", "registers": 2},
        checkpoint=3,
    ),
    "yarn, documents, blended": toy_text_plan(
        preview=0.3,
        context=ContextGrow(rope="yarn", trained=16, allow_lossy=True),
        model={"attend": "document", "kv_ratio": 2},
        checkpoint=3,
    ),
    "denoising, blended": toy_text_plan(
        (({"context": 16, "loss": "next_token"}, 6), ({"context": 64, "loss": "denoising"}, 6)),
        preview=0.3,
        checkpoint=3,
    ),
    "reset over growth": toy_text_plan(
        (({"depth": 2, "width": 32}, 6), ({"depth": 3, "width": 48}, 6)), moments="reset", optimizer=SLOW, checkpoint=3
    ),
    "depth and width, new blocks, ages": toy_text_plan(
        (({"depth": 2, "width": 32}, 6), ({"depth": 3, "width": 48}, 6)),
        depth=DepthExpand(init="zero"),
        optimizer=SLOW,
        checkpoint=3,
    ),
}


def same(one: TorchMachine, two: TorchMachine) -> bool:
    a, b = one.body.kept(), two.body.kept()
    alike = a.values.keys() == b.values.keys() and a.states.keys() == b.states.keys()
    alike = alike and all(torch.equal(a.values[n], b.values[n]) for n in a.values)
    alike = alike and all(torch.equal(a.averages[n], b.averages[n]) for n in a.averages)
    return alike and all(torch.equal(a.states[n][k], b.states[n][k]) for n in a.states for k in a.states[n])


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_resumed_run_is_the_uninterrupted_run(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumes before, at and after a switch give the bits of the uninterrupted run."""
    monkeypatch.setattr(retention, "NEWEST", 9)
    whole, events = followed(plan, tmp_path)
    for step in (3, 6, 9):
        resumed, rest = followed(plan, None, tmp_path / f"step-{step:09d}")
        assert losses(rest) == losses(events)[step:]
        assert same(whole, resumed)
        assert whole.average_age == resumed.average_age


def test_element_wise_ages_are_restored(tmp_path: Path) -> None:
    plan = PLANS["width, ages"]
    made, _ = followed(plan)
    made.save(tmp_path / "step-000000012", 12)
    back = machine(plan, taken=False)
    assert back.load(tmp_path / "step-000000012") == 12
    step = back.body.kept().states["blocks.0.mlp.fc1.weight"]["step"]
    assert step[0, 0] == 12
    assert step[-1, -1] == 6
    assert same(made, back)


def test_the_optimizers_state_is_that_of_all_parameters_or_of_none(saved: Path) -> None:
    states = load_file(saved / "optimizer.safetensors")
    write_optimizer(saved, {key: tensor for key, tensor in states.items() if not key.startswith("norm.weight.")})
    assert refused(saved).notes == ("the optimizer's state of `norm.weight` is missing",)
    write_optimizer(saved, {})
    back = machine(PLANS["width, ages"], taken=False)
    assert back.load(saved) == 12
    assert back.body.kept().states == {}


def write_optimizer(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Replace the optimizer state of a checkpoint, and its digest."""
    data = write_tensors(dict(tensors))
    (path / "optimizer.safetensors").write_bytes(data)
    files = json.loads((path / "state.json").read_text())["files"]
    own = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_state(path, files={**files, "optimizer.safetensors": own})


def test_a_parameter_without_gradients_is_restored(tmp_path: Path) -> None:
    """A parameter without gradients is restored with the state before its first update."""
    made, _ = followed(toy_image_plan())
    del made.body.optimizer.state[parameters(made)["norm.weight"]]
    made.save(tmp_path / "step-000000012", 12)
    back = machine(made.plan, taken=False)
    assert back.load(tmp_path / "step-000000012") == 12
    empty = back.body.kept().states["norm.weight"]
    assert not any(empty[part].any() for part in ("step", "exp_avg", "exp_avg_sq"))


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    followed(PLANS["width, ages"], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000009", "step-000000012"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    followed(PLANS["width, ages"], tmp_path)
    return tmp_path / "step-000000012"


def edit_state(path: Path, **fields: Any) -> None:
    """Replace fields of a checkpoint's state, and its digest."""
    state = {**json.loads((path / "state.json").read_text()), **fields}
    (path / "state.json").write_text(json.dumps({**state, "digest": digest_of(state)}))


def refused(path: Path, plan: Plan = PLANS["width, ages"]) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        machine(plan, taken=False).load(path)
    return caught.value.diagnostics[0]


def test_truncated(saved: Path) -> None:
    data = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(data[:-1])
    assert refused(saved).code == "broken-checkpoint"


def test_flipped_bit(saved: Path) -> None:
    data = bytearray((saved / "optimizer.safetensors").read_bytes())
    data[-1] ^= 1
    (saved / "optimizer.safetensors").write_bytes(data)
    assert refused(saved).code == "broken-checkpoint"


def test_missing_file(saved: Path) -> None:
    (saved / "average.safetensors").unlink()
    assert refused(saved).code == "broken-checkpoint"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "shapeflow-checkpoint", "version": 2}', "\0"])
def test_broken_state(saved: Path, text: str) -> None:
    (saved / "state.json").write_text(text)
    assert refused(saved).code == "broken-checkpoint"


def test_a_state_that_was_changed(saved: Path) -> None:
    state = json.loads((saved / "state.json").read_text())
    (saved / "state.json").write_text(json.dumps({**state, "average_age": 3}))
    assert refused(saved).code == "broken-checkpoint"


@pytest.mark.parametrize("age", [-1, True, 0.5, "5"])
def test_an_age_that_is_none(saved: Path, age: Any) -> None:
    edit_state(saved, average_age=age)
    assert refused(saved).code == "broken-checkpoint"


def test_another_version(saved: Path) -> None:
    edit_state(saved, version=1)
    assert refused(saved).code == "foreign-checkpoint"


def test_another_plan(saved: Path) -> None:
    diagnostic = refused(saved, PLANS["patch, blended"])
    assert diagnostic.code == "foreign-checkpoint"
    assert PLANS["patch, blended"].digest in diagnostic.notes[0]


def test_sizes_of_another_step(saved: Path) -> None:
    edit_state(saved, step=3)
    diagnostic = refused(saved)
    assert diagnostic.code == "broken-checkpoint"
    assert "has sizes" in diagnostic.notes[0]


def test_the_newest_intact_one_is_found_and_broken_ones_reported(saved: Path) -> None:
    (saved / "model.safetensors").write_bytes(b"")
    stated: list[Diagnostic] = []
    assert checkpoint.newest(saved.parent, stated.append) == saved.with_name("step-000000009")
    assert [(d.code, d.severity) for d in stated] == [("broken-checkpoint", "warning")]
    assert checkpoint.newest(saved / "nowhere") is None


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(errno.ENOSPC, "disk-full", "free some space"), (errno.EFBIG, "cannot-write", "`ulimit -f unlimited`")],
)
def test_disk_full_leaves_the_old_one(
    number: int, code: str, said: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(PLANS["width, ages"])
    write = checkpoint._write

    def full(path: Path, data: Iterable[bytes | memoryview]) -> dict[str, int | str]:
        if path.name == "average.safetensors":
            write(path, [b"".join(data)[:100]])
            raise OSError(number, os.strerror(number))
        return write(path, data)

    monkeypatch.setattr(checkpoint, "_write", full)
    with pytest.raises(Refused, match=code) as refused:
        made.save(saved.with_name("step-000000013"), 13)
    (found,) = refused.value.diagnostics
    assert found.help is not None
    assert said in found.help
    assert sorted(path.name for path in saved.parent.iterdir()) == ["step-000000009", "step-000000012"]
    assert checkpoint.newest(saved.parent) == saved


KILLED = """
    import os, signal
    from pathlib import Path
    from plans import toy_image_plan
    from torch_tools import followed, machine
    from shapeflow_torch import checkpoint

    folder, at = Path({folder!r}), {at!r}
    write = checkpoint._write

    def fatal(path, data):
        if path.name == at:
            whole = b"".join(data)
            with path.open("xb") as file:
                file.write(whole[: len(whole) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(path, data)

    made = machine(toy_image_plan())
    made.save(folder / "step-000000001", 1)
    checkpoint._write = fatal
    made.save(folder / "step-000000002", 2)
"""


@pytest.mark.parametrize("at", ["optimizer.safetensors", "state.json"])
def test_killed_while_writing_leaves_the_old_one(tmp_path: Path, at: str) -> None:
    script = textwrap.dedent(KILLED.format(folder=str(tmp_path), at=at))
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", script], env=here, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000000001"]
    assert checkpoint.newest(tmp_path) == tmp_path / "step-000000001"
    plan = toy_image_plan()
    made = machine(plan, taken=False)
    assert made.load(tmp_path / "step-000000001") == 1
    made.save(tmp_path / "step-000000003", 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000001", "step-000000003"]


def test_a_file_of_tensors_is_that_of_safetensors() -> None:
    """Piece by piece, the same bytes are written as by the library, for all that a checkpoint may hold."""
    tensors = {
        "b.weight": torch.arange(12.0).reshape(3, 4).t(),
        "a.weight": torch.randn(5, generator=torch.Generator().manual_seed(0)).bfloat16(),
        "a.step": torch.tensor(7.0),
        "c.ages": torch.tensor([1, 2, 3]),
        "d": torch.zeros(0, 3),
        "naïve": torch.tensor([True, False]),
    }
    for each in (tensors, {}):
        together = b"".join(tensor_file.pieces(each))
        assert together == write_tensors({name: tensor.contiguous() for name, tensor in each.items()})


def test_saving_and_loading_copy_no_file(tmp_path: Path) -> None:
    """A checkpoint needs no memory for its files, so that it can be saved where the steps just fit."""
    made, large = machine(toy_image_plan()), 8 << 20
    name = next(iter(parameters(made)))
    made.save(tmp_path / "step-000000001", 1)
    kept = checkpoint.State("plan", 1, 0, attrs.evolve(made.body.kept(), values={name: torch.zeros(large // 4)}))
    tracemalloc.start()
    try:
        checkpoint.save(tmp_path / "step-000000002", kept)
        assert checkpoint.newest(tmp_path) == tmp_path / "step-000000002"
        assert tracemalloc.get_traced_memory()[1] < large / 2
    finally:
        tracemalloc.stop()
