"""Batches of a plan for a training loop of its own."""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from torch.utils.data import DataLoader, TensorDataset
from torch_tools import CPU, machine

import shapeflow
import shapeflow.torch
from shapeflow.base.diagnostics import Refused
from shapeflow.data.python_source import PythonSource
from shapeflow.ir.events import RunStarted
from shapeflow.ir.plan import Plan
from shapeflow.running.runs import read_run
from shapeflow.torch import PlanSampler, Windows
from shapeflow_torch.data import open_data

EXAMPLE = Path(__file__).parent.parent / "examples" / "trainers" / "plain_loop.py"
TEXT = toy_text_plan(
    (({"batch": 256, "context": 16, "width": 32}, 9), ({"batch": 512, "context": 64, "width": 48}, 6)), preview=0.3
)
IMAGES = toy_image_plan((({"batch": 16, "patch": 4}, 9), ({"batch": 32, "patch": 2}, 6)), preview=0.25)
SIZES = {"text": (TEXT, 3_000), "images": (IMAGES, 100)}
plans = pytest.mark.parametrize(("plan", "size"), SIZES.values(), ids=SIZES.keys())


def steps_of(plan: Plan, size: int, world: int = 1, accumulation: int = 1, **choices: Any) -> list[list[Any]]:
    """The sorted items of each step, of all processes together."""
    shared = [
        list(PlanSampler(plan, size, rank=rank, world=world, accumulation=accumulation, **choices))
        for rank in range(world)
    ]
    count = len(shared[0]) // accumulation
    pieces = range(accumulation)
    return [sorted(i for own in shared for m in pieces for i in own[n * accumulation + m]) for n in range(count)]


@plans
@pytest.mark.parametrize(("world", "accumulation"), [(2, 1), (1, 2), (2, 2), (4, 2)])
def test_samples_do_not_depend_on_processes_or_accumulation(
    plan: Plan, size: int, world: int, accumulation: int
) -> None:
    assert steps_of(plan, size, world, accumulation) == steps_of(plan, size)


@plans
def test_a_resumed_sampler_goes_on_as_the_whole_one(plan: Plan, size: int) -> None:
    whole = list(PlanSampler(plan, size, accumulation=2))
    for done in range(plan.steps + 1):
        assert list(PlanSampler(plan, size, accumulation=2, done=done)) == whole[2 * done :]
    later = PlanSampler(plan, size, done=lambda: 4)
    assert (list(later), len(later)) == (list(PlanSampler(plan, size))[4:], plan.steps)


def test_each_image_is_read_once_an_epoch() -> None:
    seen = [item for batch in PlanSampler(IMAGES, 100) for item in batch]
    epochs = [Counter(seen[at : at + 100]) for at in range(0, 300, 100)]
    assert epochs == [Counter(range(100))] * 3


def test_each_token_is_read_once_an_epoch() -> None:
    """One context reads a whole epoch: no two windows of its steps have a target in common."""
    plan = toy_text_plan((({"context": 16}, 20), ({"context": 64}, 1)))
    tokens = 20 * 256 + 200
    windows = [item for batch in list(PlanSampler(plan, tokens))[:19] for item in batch]
    targets = Counter(place for first, length in windows for place in range(first + 1, first + 1 + length))
    assert set(targets.values()) == {1}
    assert len(targets) == 19 * 256


def test_batches_are_those_of_the_torch_machine() -> None:
    """Windows and images of each step are those that `shapeflow run` trains on."""
    data = attrs.asdict(PythonSource(batch=512, order="epochs"))
    text = attrs.evolve(TEXT, data=attrs.evolve(TEXT.data, settings=data))
    opened = open_data(text, Path("."), CPU)
    loader = DataLoader(tokens := Windows(opened._training), batch_sampler=PlanSampler(text, len(tokens), order="plan"))
    for n, batch in enumerate(loader):
        step = shapeflow.at(text, n)
        inputs, targets = opened.batch(text.seed, n, step.before, step.samples, step.context, slice(None))
        assert torch.equal(batch["input_ids"], inputs)
        assert torch.equal(batch["labels"], targets)
    made = machine(IMAGES).data
    sampler = PlanSampler(IMAGES, len(made._images))
    for n, (pixels, classes) in enumerate(
        DataLoader(TensorDataset(made._images, made._classes), batch_sampler=sampler)
    ):
        step = shapeflow.at(IMAGES, n)
        expected = made.batch(IMAGES.seed, n, step.before, step.samples, None, slice(None))
        assert torch.equal(made._prepare(pixels), expected[0])
        assert torch.equal(classes, expected[1])


def test_labels_for_models_that_shift_them() -> None:
    same = Windows(np.arange(40).reshape(4, 10), labels="same")[(7, 5)]
    assert same["input_ids"].tolist() == same["labels"].tolist() == [7, 8, 9, 10, 11]
    assert Windows(torch.arange(40))[(7, 5)]["labels"].tolist() == [8, 9, 10, 11, 12]
    with pytest.raises(Refused, match="wrong-data"):
        Windows(np.arange(40))[(38, 5)]
    with pytest.raises(Refused, match="wrong-data"):
        Windows(np.arange(40.0))


@pytest.mark.parametrize(
    ("choices", "code"),
    [
        ({"rank": 2, "world": 2}, "other-world"),
        ({"world": 3}, "batch-not-divisible"),
        ({"accumulation": 64}, "batch-not-divisible"),
        ({"accumulation": 0}, "batch-not-divisible"),
        ({"size": 64}, "context-too-long"),
    ],
)
def test_samplers_that_are_refused(choices: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as caught:
        PlanSampler(TEXT, **{"size": 3_000, "rank": 0, "world": 1, **choices})
    assert caught.value.diagnostics[0].code == code


def test_a_sampler_for_another_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = PlanSampler(TEXT, 3_000, rank=0, world=1)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    with pytest.raises(Refused) as caught:
        next(iter(sampler))
    assert caught.value.diagnostics[0].code == "other-world"
    assert PlanSampler(TEXT, 3_000).rank == 1


def test_a_step_that_is_past_the_end() -> None:
    with pytest.raises(Refused) as caught:
        PlanSampler(TEXT, 3_000, done=99)
    assert caught.value.diagnostics[0].code == "no-such-step"


def test_the_example_of_a_plain_loop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It goes on after a break with the same losses, in float32 on a CPU, and its folder is a run."""
    runpy.run_path(str(EXAMPLE))["main"](tmp_path)
    assert "the same losses: True" in capsys.readouterr().out
    whole, resumed = (read_run(tmp_path / name) for name in ("whole", "resumed"))
    assert [each for each in resumed.events if each != RunStarted(whole.plan.digest, 40)] == list(whole.events)
    values = [measured.values["loss@own"] for measured in whole.measured]
    assert values[-1] < values[0] - 0.3
