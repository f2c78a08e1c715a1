"""Runs of several processes: the losses of one process, lost processes, and refusals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from safetensors.torch import load_file
from sources import compiled
from test_torch_run import PLAN, go, refused
from torch_tools import losses

from shapeflow.api import export
from shapeflow.data.text import Text
from shapeflow.ir.events import CheckpointSaved, RunEnded
from shapeflow_torch import devices

LOST = """
    import os, signal, sys
    from pathlib import Path
    from plans import toy_image_plan
    import shapeflow_torch.machine as m
    from shapeflow.base.diagnostics import Refused
    from shapeflow.api import run

    step = m.TorchMachine.step

    def fatal(self, stage, number, compute):
        if number == 5 and self.team.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, stage, number, compute)

    m.TorchMachine.step = fatal
    if __name__ == "__main__":
        try:
            run(toy_image_plan(checkpoint=4), Path(sys.argv[1]), device="cpu", processes=2)
        except Refused as refused:
            print(refused.diagnostics[0].code, *refused.diagnostics[0].notes)
"""


def test_a_lost_process_is_reported_and_its_run_resumed(tmp_path: Path) -> None:
    script = tmp_path / "lost.py"
    script.write_text(textwrap.dedent(LOST))
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, str(script), str(tmp_path / "run")]
    done = subprocess.run(command, env=here, timeout=200, check=False, capture_output=True, text=True)
    assert done.stdout.startswith("worker-lost process 1 ended with SIGKILL"), done.stderr
    assert (tmp_path / "run/checkpoints/step-000000004").exists()
    _, heard = go(toy_image_plan(checkpoint=4), tmp_path / "run", resume=True)
    assert isinstance(heard[-1], RunEnded)


PEER = """
    import os, signal, sys
    from pathlib import Path
    from plans import toy_image_plan
    from shapeflow.base.diagnostics import Refused
    from shapeflow_torch import machine as m
    from shapeflow.api import run

    step = m.TorchMachine.step

    def fatal(self, stage, number, compute):
        if number == 5 and self.team.rank == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, stage, number, compute)

    m.TorchMachine.step = fatal
    if __name__ == "__main__":
        try:
            run(toy_image_plan(checkpoint=4), Path(sys.argv[1]), device="cpu")
        except Refused as refused:
            print(refused.diagnostics[0].code, *refused.diagnostics[0].notes)
"""


@pytest.mark.parametrize("lost", [0, 1])
def test_a_peer_of_a_launcher_that_is_lost(lost: int, tmp_path: Path) -> None:
    """Without a launcher of ours, the process that is left names the loss itself."""
    script = tmp_path / "peer.py"
    script.write_text(textwrap.dedent(PEER))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    here |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, str(script), str(tmp_path / "run"), str(lost)]
    peers = [
        subprocess.Popen(command, env={**here, "RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    said = [peer.communicate(timeout=200) for peer in peers]
    assert peers[lost].returncode == -signal.SIGKILL
    out, err = said[1 - lost]
    assert out.startswith(b"worker-lost "), err
    assert b"Traceback" not in err


ALONE = """
    import errno, os, sys
    from pathlib import Path
    from plans import toy_image_plan
    from shapeflow.base.diagnostics import Refused
    from shapeflow.ir.events import StepDone
    from shapeflow.base.files import cannot_write
    from shapeflow.running import run_log
    from shapeflow.running.lock import Lock
    from shapeflow.api import run

    write = run_log.Log.write

    def full(self, event):
        if isinstance(event, StepDone) and event.step == 3:
            raise cannot_write(self._path, OSError(errno.ENOSPC, ""))
        write(self, event)

    run_log.Log.write = full
    if __name__ == "__main__":
        where = Path(sys.argv[1])
        lock = Lock(where)
        for release in (lock.release, bool):
            try:
                run(toy_image_plan(), where, device="cpu", processes=2)
            except Refused as refused:
                print(refused.diagnostics[0].code)
            release()
"""


def test_the_leader_alone_is_refused(tmp_path: Path) -> None:
    """The leader fails on a folder in use, then on a full disk; the other process must not wait for it."""
    script = tmp_path / "alone.py"
    script.write_text(textwrap.dedent(ALONE))
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, str(script), str(tmp_path / "run")]
    done = subprocess.run(command, env=here, timeout=200, check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["run-busy", "disk-full"], done.stderr


def test_errors_of_workers_are_reported(tmp_path: Path) -> None:
    plan = toy_text_plan(data=Text(path="nowhere.txt", batch=256))
    assert refused(plan, tmp_path / "run", processes=2, root=tmp_path).code == "data-missing"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("choices", [{"device": "cpu", "gpus": 2}, {"device": "auto", "gpus": 2, "processes": 2}])
def test_contradicting_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choices: dict[str, str | int]) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: ("H200", "H200"))
    assert refused(PLAN, tmp_path / "run", **choices).code == "contradicting-devices"
    assert devices.place("cuda", gpus_wanted=2) == devices.Place("cuda", 2)


@pytest.mark.parametrize(
    ("stated", "note"),
    [
        ({"WORLD_SIZE": "x"}, "WORLD_SIZE is `x`"),
        ({"RANK": "1"}, "RANK is 1, and WORLD_SIZE 1"),
        ({}, "MASTER_ADDR is not set"),
        ({"MASTER_ADDR": "localhost"}, "MASTER_PORT is not set"),
        ({"MASTER_ADDR": "localhost", "MASTER_PORT": "http"}, "MASTER_PORT is `http`"),
        ({"LOCAL_WORLD_SIZE": "0"}, "LOCAL_WORLD_SIZE is `0`"),
    ],
)
def test_a_launch_that_says_too_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: dict[str, str], note: str
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", **stated}.items():
        monkeypatch.setenv(name, value)
    found = refused(PLAN, tmp_path / "run")
    assert (found.code, found.notes) == ("bad-launch", (note,))
    assert not (tmp_path / "run").exists()


DENOISED = """
let ul = denoising(sentinels: 12, prefix: full)
model transformer(depth: 1, head_width: 8, attend: document)
data python_source(batch: 256 tokens)
optimizer muon(lr: 2e-3, warmup: 4 steps, average: 20 steps)
axis loss in [next_token, ul] via loss_switch(moments: reset)
axis context in [32, 64] tokens via context_grow(preview: 25%)
axis width in [32, 48] via width_expand(lr: mup, tuned_at: 32)
stage (loss: next_token, context: 32 tokens, width: 32) until 3 steps
stage (loss: ul, context: 64 tokens, width: 48) until end
budget 7 steps
checkpoint every 4 steps
"""


def test_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    """Losses and final weights equal those of one process, with: a switch of context, width and loss; a preview; a
    reset; document masks; denoising; and `muon`, whose update of a matrix needs the whole gradient."""
    plan = compiled(tmp_path, DENOISED)
    _, one = go(plan, tmp_path / "one")
    outcome, two = go(plan, tmp_path / "two", processes=2)
    assert outcome.finished
    assert one == two
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert two[-2] == CheckpointSaved(7, "step-000000007")
    ends = [load_file(tmp_path / n / "checkpoints/step-000000007/model.safetensors") for n in ("one", "two")]
    assert all(torch.allclose(ends[0][key], ends[1][key], rtol=1e-3, atol=1e-5) for key in ends[0])


TAUGHT = """
model vit(depth: 1, head_width: 8)
data digits(batch: 16)
optimizer adamw(beta2: 0.999)
axis patch in [4, 2] px via flexi_resize(base: 4 px)
axis width in [16, 24] via width_expand
stage (patch: 4 px, width: 16) until 3 steps
stage (patch: 2 px, width: 24) until end
budget 6 steps
"""


def test_two_processes_have_the_teacher_of_one(tmp_path: Path) -> None:
    """Final weights equal those of one process, across a growth after which new entries have their own age in AdamW."""
    go(compiled(tmp_path, TAUGHT + "objective cross_entropy"), tmp_path / "teacher")
    export(tmp_path / "teacher", tmp_path / "t.safetensors")
    kinds = 'mixture(of: [cross_entropy, distill(teacher: "t.safetensors")], weights: [0.5, 0.5])'
    plan = compiled(tmp_path, TAUGHT + f"objective {kinds}")
    one, two = (go(plan, tmp_path / str(count), processes=count, root=tmp_path)[1] for count in (1, 2))
    assert one == two
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    ends = [load_file(tmp_path / n / "checkpoints/step-000000006/model.safetensors") for n in ("1", "2")]
    assert all(torch.allclose(ends[0][key], ends[1][key], rtol=1e-3, atol=1e-5) for key in ends[0])
    ages = load_file(tmp_path / "2/checkpoints/step-000000006/optimizer.safetensors")
    assert any(part.dim() for name, part in ages.items() if name.endswith(".step"))
