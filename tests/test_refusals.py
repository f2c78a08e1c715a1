"""Refusals that no file in `tests/mistakes` can demonstrate."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
import pytest
from plans import toy_image_plan

from shapeflow.base.diagnostics import Refused
from shapeflow.compiler import compile_file
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Spec
from shapeflow.preview.plot import draw
from shapeflow.running import pool, rivals
from shapeflow.running.backend import backend
from shapeflow.running.runs import Run

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_a_simulation_keeps_no_checkpoint(tmp_path: Path) -> None:
    simulator = backend("simulator")(toy_image_plan())
    with pytest.raises(Refused, match="no-checkpoint"):
        simulator.load(tmp_path)


def test_a_backend_that_nobody_brings() -> None:
    with pytest.raises(Refused, match="unknown-backend: no backend is called `torhc`") as caught:
        backend("torhc")
    assert caught.value.diagnostics[0].help == "did you mean `torch`?"


def test_drawing_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Refused, match="no-matplotlib"):
        draw(compile_file(EXAMPLES / "laws_only.shape"), tmp_path / "picture.png")
    assert not list(tmp_path.iterdir())


def test_what_a_backend_does_not_have() -> None:
    torch = pytest.importorskip("torch")
    from torch_tools import machine

    from shapeflow_torch.models import build
    from shapeflow_torch.objectives import Site, objective_of

    with pytest.raises(Refused, match="no-such-objective"):
        objective_of(Spec("hinge"), Site(Path(), torch.device("cpu"), torch.float32))
    plan = toy_image_plan()
    ledger = Ledger.of(plan.parameters, plan.stages[0].sizes, plan.slots, plan.stages[0].reading)
    with pytest.raises(Refused, match="no-such-model"):
        build("resnet", ledger, torch.device("cpu"), torch.float32)
    with pytest.raises(Refused, match="no-such-optimizer"):
        machine(attrs.evolve(plan, optimizer=Spec("adafactor")))


def test_a_comparison_by_what_was_not_measured(tmp_path: Path) -> None:
    plan = toy_image_plan()
    entry = rivals.Entry("plan", "the plan", (pool.Job("plan", plan, tmp_path),))
    with pytest.raises(Refused, match=r"unknown-metric: .* did not measure `loss@own`"):
        rivals.target_of(entry, {tmp_path: Run(tmp_path, plan, ())}, "loss@own")


def test_a_job_that_failed(tmp_path: Path) -> None:
    said = tempfile.TemporaryFile()  # noqa: SIM115 - `check` closes it
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit('no room left')"], stderr=said)
    process.wait()
    job = pool.Job("(patch: 4 px)", toy_image_plan(), tmp_path)
    with pytest.raises(Refused, match=r"run-failed: the run of \(patch: 4 px\) ended with exit code 1") as caught:
        pool._Running(job, process, said).check()
    assert caught.value.diagnostics[0].notes == ("no room left",)
