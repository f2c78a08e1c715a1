"""The torch machine on a GPU: the losses of a CPU, and checkpoints that move between both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # plans and tools of the tests above

from plans import toy_image_plan, toy_text_plan
from torch_tools import losses

from shapeflow.api import run
from shapeflow.ir.events import Event
from shapeflow.ir.plan import Plan

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]

PLANS = {
    "text": toy_text_plan((({"context": 16, "width": 32}, 6), ({"context": 64, "width": 48}, 6)), checkpoint=4),
    "images": toy_image_plan(preview=0.3, checkpoint=4),
}


def go(plan: Plan, where: Path, **choices: Any) -> list[Event]:
    heard: list[Event] = []
    run(plan, where, listen=heard.append, **choices)
    return heard


@pytest.mark.parametrize("compile", ["off", "on"])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_losses_of_a_gpu_are_those_of_a_cpu(plan: Plan, compile: str, tmp_path: Path) -> None:
    """Losses agree within the rounding of bfloat16, compiled or not, across a switch."""
    cpu = go(plan, tmp_path / "cpu", device="cpu")
    cuda = go(plan, tmp_path / "cuda", device="cuda", compile=compile)
    assert cpu == cuda
    assert losses(cuda) == pytest.approx(losses(cpu), rel=2e-2)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_checkpoint_of_a_gpu_resumes_on_a_cpu(plan: Plan, tmp_path: Path) -> None:
    whole = go(plan, tmp_path, device="cuda", compile="off")
    for path in (tmp_path / "checkpoints" / "step-000000012").iterdir():
        path.unlink()
    rest = go(plan, tmp_path, device="cpu", resume=True, warn=lambda warning: None)
    assert losses(rest) == pytest.approx(losses(whole)[8:], rel=2e-2)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices here")
def test_two_gpus_give_the_losses_of_one(tmp_path: Path) -> None:
    one = go(PLANS["text"], tmp_path / "one", device="cuda")
    two = go(PLANS["text"], tmp_path / "two", gpus=2)
    assert one == two
    assert losses(two) == pytest.approx(losses(one), rel=2e-2)
