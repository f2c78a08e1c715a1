"""Runs that need more memory than there is, and micro-batches chosen so that they do not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from plans import toy_image_plan
from safetensors.torch import load_file
from test_torch_run import go, refused, told
from torch import Tensor
from torch_tools import machine

from shapeflow.ir.events import CheckpointSaved, RunStarted
from shapeflow.ir.memory import Choices, largest_micro_batch
from shapeflow.running.memory import needs
from shapeflow_torch import micro_batch
from shapeflow_torch.available import available, total
from shapeflow_torch.body import Body
from shapeflow_torch.export import export
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.team import Team

PLAN = toy_image_plan((({"width": 32}, 6), ({"width": 48}, 6)), checkpoint=4)
NEEDS = {"cpu": needs(PLAN, "cpu")}
ERRORS: Mapping[str, Exception] = {
    "torch": torch.OutOfMemoryError("CUDA out of memory."),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
    "python": MemoryError(),
}


def fail(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: int, error: Exception) -> None:
    """Let the `at`-th call of a method fail, counted from 1."""
    calls, own = [], getattr(owner, name)

    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == at:
            raise error
        return own(self, *arguments, **named)

    monkeypatch.setattr(owner, name, method)


def weights(where: Path) -> dict[str, Tensor]:
    return load_file(where / "checkpoints/step-000000012/model.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    go(PLAN, folder)
    return folder


def resumed(where: Path, whole: Path) -> None:
    """Resume a run, and compare its end and its log with those of the undisturbed one."""
    go(PLAN, where, resume=True)
    mine, other = weights(where), weights(whole)
    assert all(torch.equal(mine[name], tensor) for name, tensor in other.items())
    kept = [
        [event for event in told(run) if not isinstance(event, RunStarted | CheckpointSaved)] for run in (where, whole)
    ]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("step", [1, 3, 7, 10])
def test_a_failed_step_leaves_the_last_one(
    kind: str, step: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 7 is the first after the switch: what is saved has the sizes after it, and the switch is not made again."""
    fail(monkeypatch, TorchMachine, "gradients", step, ERRORS[kind])
    found = refused(PLAN, tmp_path / "run", needs=NEEDS)
    assert found.code == "out-of-memory"
    assert f"stage {1 + (step > 6)}, " in found.message
    again = f"shapeflow run {tmp_path / 'run'} --resume"
    assert found.help == f"go on with `{again} --micro-batch 16`, or with `--checkpoint-activations`"
    assert any(note.startswith("estimated: ") for note in found.notes)
    assert (tmp_path / f"run/checkpoints/step-{step - 1:09d}").exists() is (step > 1)
    left = f"the run goes on from step-{step - 1:09d}" if step > 1 else "there is no checkpoint yet"
    assert left in found.notes
    monkeypatch.undo()
    resumed(tmp_path / "run", whole)


@pytest.mark.parametrize(
    ("owner", "name", "at", "last"),
    [
        (Body, "update", 6, 4),
        (TorchMachine, "_become", 2, 4),
        (TorchMachine, "measure", 1, 4),
    ],
)
def test_a_state_that_is_not_whole_is_not_saved(
    owner: Any, name: str, at: int, last: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure in an update, a switch or an evaluation, the last regular checkpoint stands."""
    fail(monkeypatch, owner, name, at, ERRORS["cpu"])
    found = refused(PLAN, tmp_path / "run", needs=NEEDS)
    assert f"the run goes on from step-{last:09d}" in found.notes
    switch = name == "_become"
    assert f"stage {1 + switch}, (width: {48 if switch else 32})" in found.message
    assert ("--micro-batch" in (found.help or "")) is not switch
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == [f"step-{last:09d}"]
    monkeypatch.undo()
    resumed(tmp_path / "run", whole)


def test_weights_after_a_switch_are_exported_in_their_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, TorchMachine, "gradients", 7, ERRORS["torch"])
    refused(PLAN, tmp_path / "run")
    export(PLAN, tmp_path / "run", tmp_path / "w.safetensors", unfinished=True)
    assert load_file(tmp_path / "w.safetensors")["patch.bias"].shape == (48,)


def test_other_errors_are_not_about_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, TorchMachine, "gradients", 2, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        go(PLAN, tmp_path / "run")
    assert not (tmp_path / "run/checkpoints").exists()


# the largest micro-batch


def test_auto_chooses_what_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """The choice is logged, and is no part of the plan: a resumed run may choose another."""
    _, last = (NEEDS["cpu"][stage.shape] for stage in PLAN.stages)
    enough = last.memory(Choices(micro_batch=5)).peak / micro_batch.USED
    monkeypatch.setattr(micro_batch, "available", lambda device: enough)
    _, heard = go(PLAN, tmp_path / "run", micro_batch="auto", needs=NEEDS, pause=4)
    logged = next(event for event in told(tmp_path / "run") if isinstance(event, RunStarted))
    assert logged == heard[0]
    assert logged.micro_batch is not None
    assert logged.micro_batch[str(PLAN.stages[1].shape)] == 5
    assert logged.micro_batch[str(PLAN.stages[0].shape)] > 5
    monkeypatch.undo()
    _, heard = go(PLAN, tmp_path / "run", micro_batch="auto", needs=NEEDS, resume=True)
    assert isinstance(heard[0], RunStarted)
    assert heard[0].micro_batch == {str(stage.shape): 32 for stage in PLAN.stages}


def test_auto_needs_an_estimate(tmp_path: Path) -> None:
    found = refused(PLAN, tmp_path / "run", micro_batch="auto", needs={})
    assert found.code == "memory-unknown"


def test_auto_refuses_what_cannot_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro_batch, "available", lambda device: 1000.0)
    found = refused(PLAN, tmp_path / "run", micro_batch="auto", needs=NEEDS)
    assert found.code == "does-not-fit"
    assert "900 bytes" in found.notes[0]
    assert not (tmp_path / "run/checkpoints").exists()


def test_a_trial_halves_until_a_step_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shape is tried with new weights in its own sizes; here more than 5 samples at width 48 fail."""
    made = machine(PLAN, taken=False)
    own, widths = TorchMachine.gradients, set()

    def gradients(self: TorchMachine, stage: Any, step: int) -> Tensor:
        width = self.ledger.sizes["patch.bias"]["residual"]
        widths.add(width)
        if width == 48 and self._saving.micro_batch > 5:  # type: ignore[operator]
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return own(self, stage, step)

    monkeypatch.setattr(TorchMachine, "gradients", gradients)
    limits = {stage.shape: 32 for stage in PLAN.stages}
    assert list(micro_batch.tried(made, limits, False, Team()).values()) == [32, 4]
    assert widths == {32, 48}


def test_the_largest_micro_batch() -> None:
    need = NEEDS["cpu"][PLAN.stages[1].shape]
    for count in (1, 2, 7, 31, 32):
        peak = need.memory(Choices(micro_batch=count)).peak
        found = largest_micro_batch(need, Choices(), peak)
        assert found is not None
        assert found >= count
        assert need.memory(Choices(micro_batch=found)).peak <= peak
    assert largest_micro_batch(need, Choices(), 0) is None
    assert largest_micro_batch(need, Choices(processes=4), 1e12) == 8


def test_free_memory_is_what_the_system_or_the_group_leaves(tmp_path: Path) -> None:
    meminfo, group = tmp_path / "meminfo", tmp_path / "group"
    meminfo.write_text("MemTotal:  4000 kB\nMemAvailable:  3000 kB\n")
    group.mkdir()
    cpu = torch.device("cpu")
    assert available(cpu, meminfo, group) == 3000 * 1024
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("900000\n")
    assert available(cpu, meminfo, group) == 3000 * 1024
    (group / "memory.max").write_text("1000000\n")
    assert available(cpu, meminfo, group) == 100_000
    assert total(cpu, meminfo, group) == 1_000_000
    assert available(cpu, tmp_path / "none", tmp_path / "none") is None


@pytest.mark.parametrize(
    ("line", "folder", "limit", "use"),
    [
        ("0::/job/step", "job", "memory.max", "memory.current"),
        ("4:memory:/job/step", "memory/job/step", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
)
def test_the_limit_of_a_job_counts(line: str, folder: str, limit: str, use: str, tmp_path: Path) -> None:
    """A job manager sets it on a group around the process, below the root."""
    (tmp_path / "meminfo").write_text("MemTotal:  4000 kB\nMemAvailable:  3000 kB\n")
    (tmp_path / "own").write_text(f"1:cpu:/other\n{line}\n")
    (group := tmp_path / "groups" / folder).mkdir(parents=True)
    (group / limit).write_text("500000\n")
    (group / use).write_text("200000\n")
    where = torch.device("cpu"), tmp_path / "meminfo", tmp_path / "groups", tmp_path / "own"
    assert available(*where) == 300_000
    assert total(*where) == 500_000
