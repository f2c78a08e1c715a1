"""`shapeflow profile`: what it measures on this machine, alone and in several processes, and what it shows."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest
import torch
from sources import resolved
from test_seconds import COARSE, FINE, HERE, PLANNED, profile_of, screen

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.sealed import laid_out
from shapeflow.cli import answer
from shapeflow.compiler import unprofiled
from shapeflow.ir import plan_json
from shapeflow.ir import profile as profiles
from shapeflow.ir.plan import TimedBy
from shapeflow.ir.profile import Pace, Profile, Timed
from shapeflow.preview.profile import profile_view
from shapeflow.running.profile import profiled
from shapeflow_torch import profiling
from shapeflow_torch.clock import Clock

TINY = """
model     vit(depth: 1, width: 16, head_width: 8)
data      digits(batch: 16)
objective cross_entropy
axis patch in [4, 2] px via flexi_resize(base: 4 px, preview: 0%)
law for (patch: 4 px) is power(a: 2e5, b: 0.6, c: 0.3, d: 0)
law for (patch: 2 px) is power(a: 1e6, b: 0.6, c: 0.05, d: 0)
traversal steepest
start at error 2.3
budget    10 minutes
evaluate  every 30 s
cooldown  1 minute
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "ROUNDS", 2)
    monkeypatch.setattr(profiling, "BLOCK", 1e-6)


@pytest.mark.usefixtures("quick")
def test_a_measured_profile_makes_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.shape"
    file.write_text(TINY)
    assert answer(["compile", str(file)]) == 1
    command = re.search(r"run `shapeflow (profile [^`]*)`, then add `([^`]*)`", capsys.readouterr().err)
    assert command is not None
    assert answer(command[1].split()) == 0
    shown = capsys.readouterr().out
    assert command[2] in shown
    found = profiles.load(tmp_path / "tiny.profile.json")
    assert [one.shape for one in found.candidates] == [COARSE, FINE]
    assert (found.machine.kind, found.machine.processes) == ("cpu", 1)
    assert {one.pace.steps for one in found.candidates} == {8}
    assert [(one.before, one.after) for one in found.switches] == [(COARSE, FINE), (FINE, COARSE)]
    assert all(0 <= one.seconds < 60 for one in found.switches)
    assert found.checkpoint is not None
    assert 0 < found.checkpoint < 60
    assert "2 switches take" in shown
    assert "a checkpoint takes" in shown
    file.write_text(TINY + command[2])
    assert answer(["simulate", str(file)]) == 0
    assert answer(["profile", str(file), "-o", str(tmp_path / "again.json"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    assert told["file"] == str(tmp_path / "again.json")


@pytest.mark.usefixtures("quick")
def test_several_processes_share_the_steps_of_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.shape"
    file.write_text(TINY)
    assert answer(["profile", str(file), "--processes", "2", "--threads", "1"]) == 0
    assert "  on 2 x " in (shown := capsys.readouterr().out)
    assert "1 thread each" in shown
    found = profiles.load(tmp_path / "tiny.profile.json")
    assert found.machine.processes == 2
    assert found.timing.devices == 2
    assert len(found.candidates) == len(found.switches) == 2


def test_a_batch_that_processes_cannot_share_is_not_profiled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tiny.shape"
    file.write_text(TINY.replace("batch: 16", "batch: 15"))
    assert answer(["profile", str(file), "--processes", "2", "--threads", "1"]) == 1
    assert "error[batch-not-divisible]" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_a_run_in_other_processes_than_its_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its time is another, and so is what it costs. The plan knows where its seconds come from."""
    (file := tmp_path / "tiny.shape").write_text(TINY.replace("10 minutes", "400 steps").partition("evaluate")[0])
    assert answer(["profile", str(file)]) == 0
    profile = profiles.load(tmp_path / "tiny.profile.json")
    with_profile = ["--set", 'profile from "tiny.profile.json"']
    for devices in (1, 8):
        machine = attrs.evolve(profile.machine, processes=devices)
        profiles.save(attrs.evolve(profile, machine=machine), tmp_path / "tiny.profile.json")
        capsys.readouterr()
        assert answer(["compile", str(file), *with_profile, "-o", str(tmp_path / "plan.json")]) == 0
        plan = plan_json.load(tmp_path / "plan.json")
        digest = hashlib.sha256((tmp_path / "tiny.profile.json").read_bytes()).hexdigest()
        assert plan.timed_by == TimedBy("tiny.profile.json", digest, devices, str(machine))
        capsys.readouterr()
        assert answer(["run", str(tmp_path / "plan.json"), "-o", str(tmp_path / f"run{devices}")]) == 0
        said = capsys.readouterr().err
        assert ("warning[other-devices]" in said) == (devices == 8)
    assert "those of 8 processes, and the run has 1" in said
    off = attrs.evolve(plan.timed_by, devices=0)
    with pytest.raises(Refused, match="0 devices share a step"):
        plan_json.loads(plan_json.dumps(plan_json.sealed(attrs.evolve(plan, timed_by=off))), "plan.json")


@pytest.mark.usefixtures("quick")
def test_a_launcher_may_start_a_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tiny.shape"
    file.write_text(TINY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, str(value))
    assert answer(["profile", str(file), "--processes", "2"]) == 1
    assert "error[contradicting-devices]" in capsys.readouterr().err
    assert answer(["profile", str(file)]) == 0
    assert profiles.load(tmp_path / "tiny.profile.json").machine.processes == 1


LOST = """
    import os, sys
    from pathlib import Path
    from shapeflow.base.diagnostics import Refused, Report
    from shapeflow.compiler import unprofiled
    from shapeflow.running.profile import profiled
    from shapeflow_torch import machine as m

    step = m.TorchMachine.step

    def fatal(self, stage, number, compute):
        if self.team.rank == 1 and sys.argv[2] == "killed":
            os.kill(os.getpid(), 9)
        if self.team.rank == 1:
            raise MemoryError("there is no more")
        return step(self, stage, number, compute)

    m.TorchMachine.step = fatal
    if __name__ == "__main__":
        try:
            profiled(unprofiled(Path(sys.argv[1]), [], Report()), Path("."), device="cpu", processes=2, threads=1)
        except Refused as refused:
            print(refused.diagnostics[0].code, *refused.diagnostics[0].notes)
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("killed", "worker-lost process 1 ended with SIGKILL\n"),
        ("memory", "out-of-memory torch says: there is no more\n"),
    ],
)
def test_a_process_that_fails_ends_a_profile(how: str, said: str, tmp_path: Path) -> None:
    (file := tmp_path / "tiny.shape").write_text(TINY)
    (script := tmp_path / "lost.py").write_text(textwrap.dedent(LOST))
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(file), how]
    done = subprocess.run(command, env=here, timeout=200, check=False, capture_output=True, text=True)
    assert done.stdout == said, done.stderr


def _room(monkeypatch: pytest.MonkeyPatch, models: int) -> None:
    """Let the machine have memory for the steps of this many models at a time."""
    steps = Clock.steps

    def limited(self: Clock, count: int) -> list[float]:
        if sum(type(one) is Clock for one in gc.get_objects()) > models:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return steps(self, count)

    monkeypatch.setattr(Clock, "steps", limited)


@pytest.mark.usefixtures("quick")
def test_models_that_do_not_fit_in_memory_together_are_timed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _room(monkeypatch, 1)
    file = tmp_path / "tiny.shape"
    file.write_text(TINY)
    program = unprofiled(file, [], Report())
    assert program is not None
    found = profiled(program, tmp_path)
    assert found is not None
    assert [one.shape for one in found.candidates] == [COARSE, FINE]


@pytest.mark.usefixtures("quick")
def test_a_model_that_does_not_fit_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _room(monkeypatch, 0)
    file = tmp_path / "tiny.shape"
    file.write_text(TINY)
    assert answer(["profile", str(file)]) == 1
    said = capsys.readouterr().err
    assert "error[out-of-memory]: there is not enough memory for a step in (patch: " in said
    assert "measure with `--micro-batch N`" in said
    assert answer(["profile", str(file), "--micro-batch", "4", "--checkpoint-activations"]) == 1
    assert "use a smaller model" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.shape"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("what", ["evaluation", "saved", "switch"])
def test_memory_may_run_out_after_the_steps(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> float:
        raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")

    monkeypatch.setattr(Clock, what, full)
    (file := tmp_path / "tiny.shape").write_text(TINY)
    assert answer(["profile", str(file)]) == 1
    assert "error[out-of-memory]" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_found_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(profiling, "profile", lambda *_: pytest.fail("it measured"))
    (file := tmp_path / "tiny.shape").write_text(TINY)
    assert answer(["profile", str(file), "-o", str(file / "p.json")]) == 1
    assert "error[cannot-write]" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.shape"]


@pytest.mark.usefixtures("quick")
def test_a_profile_says_how_its_steps_were_computed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The MFU is of the peak that the user states. Steps of 16 images in parts of 4."""
    file = tmp_path / "tiny.shape"
    file.write_text(TINY)
    options = ["--micro-batch", "4", "--checkpoint-activations", "--peak-flops", "1 TFLOPs"]
    assert answer(["profile", str(file), *options]) == 0
    shown = capsys.readouterr().out
    machine = profiles.load(tmp_path / "tiny.profile.json").machine
    assert (machine.micro_batch, machine.recompute, machine.peak_flops) == (4, True, 1e12)
    assert "micro-batches of 4" in shown
    assert "MFU" in shown
    assert answer(["profile", str(file), "--micro-batch", "auto"]) == 2
    assert "state the number of samples" in capsys.readouterr().err


def test_the_rates_on_the_screen(tmp_path: Path) -> None:
    """64 images in 0.5 s; the FLOPs of a step in 0.5 s, of the peak of two devices."""
    program = resolved(tmp_path, PLANNED)
    assert program.trained is not None
    flops = program.trained.cost(FINE)
    machine = attrs.evolve(HERE, kind="cuda", processes=2, peak_flops=flops)
    timed = (Timed(FINE, Pace(0.5, 1.0, 10, 3 << 30)),)
    found = Profile(program.subject(), machine, "2026-01-01", timed)
    program = attrs.evolve(program, candidates=(FINE,))
    (row,) = [line.split() for line in screen(profile_view(program, found)).splitlines() if line.startswith("  2 px")]
    assert row[2:4] == ["0.5", "128"]
    assert row[-4:] == ["100%", "3.22", "GB", "1"]


@pytest.mark.parametrize(
    ("part", "wrong"),
    [("machine", {"peak_flops": -1.0}), ("machine", {"processes": 0}), ("machine", {"micro_batch": 0}),
     ("machine", {"peak_flops": 1e300}), ("pace", {"memory": -1}), ("pace", {"memory": 1e30})],
)  # fmt: skip
def test_measurements_that_no_machine_has(part: str, wrong: Mapping[str, object], tmp_path: Path) -> None:
    body = profiles.as_json(profile_of(resolved(tmp_path, PLANNED), {}))
    (body["candidates"][0]["pace"] if part == "pace" else body["machine"]).update(wrong)
    (tmp_path / "p.json").write_text(laid_out(profiles.SEAL.close(body)))
    with pytest.raises(Refused, match="broken-profile"):
        profiles.load(tmp_path / "p.json")


def test_a_profile_that_no_file_can_name_is_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.shape"
    file.write_text(TINY)
    assert answer(["profile", str(file), "-o", str(tmp_path / 'a"b.json')]) == 2
    assert "contains a double quote" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.shape"]


def test_laws_alone_have_no_steps_to_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "laws.shape"
    file.write_text("axis width in [1, 2] via width_expand\ntraversal evenly\nbudget 1 PFLOPs\n")
    assert answer(["profile", str(file)]) == 1
    assert "error[no-model]" in capsys.readouterr().err
