"""What a run says of its speed: throughput, MFU, learning rate, gradient norm and memory."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from plans import toy_image_plan
from torch_tools import machine

from shapeflow.api import run
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.ir.events import Event, RunStarted, StepDone, event_from_json, event_to_json
from shapeflow.ir.plan import Plan
from shapeflow.ir.rates import factors
from shapeflow.preview.pace import rate
from shapeflow.running.meter import Hardware, Meter
from shapeflow.running.runs import read_run
from shapeflow_torch.hardware import peak_of

PLAN = toy_image_plan((({"patch": 4}, 3), ({"patch": 2}, 3)))


class Gauge:
    gradient_norm: float | None = 0.5


def metered(plan: Plan, peak: float | None) -> list[StepDone]:
    """Three steps of 2 s at 10 GFLOPs each, read by a meter on two devices. The first is not logged."""
    meter = Meter(plan, Hardware("toy", 2, peak, "here", "memory", lambda: 7), Gauge())
    meter.read(RunStarted(plan.digest, 0), True)
    steps = [StepDone(step, 0, Shape.of(patch=4), 1e10 * step, 1.0, 2.0) for step in (1, 2, 3)]
    found = [meter.read(step, step.step > 1) for step in steps]
    return [step for step in found if isinstance(step, StepDone)]


def test_rates_are_those_of_the_steps_up_to_a_logged_one() -> None:
    first, second, last = metered(PLAN, 1e10)
    assert (first.throughput, first.learning_rate) == (None, None)
    assert second.throughput == (PLAN.stages[0].batch or 0) / 2
    assert second.mfu == pytest.approx(5e9 / 2e10)
    assert second.learning_rate == factors(PLAN, 1).rate
    assert (second.memory, last.memory, last.gradient_norm) == (None, 7, 0.5)
    assert rate(PLAN, last).endswith(" images/s, MFU 25%")


def test_multiply_adds_of_the_paper_count_twice() -> None:
    paper = metered(attrs.evolve(PLAN, convention="paper"), 1e10)[-1]
    assert paper.mfu == pytest.approx(2 * 5e9 / 2e10)


def test_without_a_peak_there_is_no_mfu() -> None:
    last = metered(PLAN, None)[-1]
    assert "mfu" not in event_to_json(last)
    assert rate(PLAN, last).endswith(" images/s")


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989.4e12),
        ("NVIDIA H100 80GB HBM3", 989.4e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("Some GPU", None),
    ],
)
def test_peaks_are_those_of_a_table(name: str, peak: float | None) -> None:
    found, why = peak_of(name, "bfloat16", True)
    assert found == peak
    assert name in why
    assert peak_of(name, "float64", True)[0] is None
    assert peak_of(name, "bfloat16", False)[0] is None


def test_a_run_logs_what_it_does_with_the_same_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[Event] = []
    for name, peak in (("stated", 1e12), ("silent", None)):
        run(PLAN, tmp_path / name, device="cpu", peak_flops=peak, listen=heard.append)
    stated, silent = (list(read_run(tmp_path / name).events) for name in ("stated", "silent"))
    assert stated == silent
    assert [event_from_json(json.loads(json.dumps(event_to_json(event)))) for event in heard] == [*stated, *silent]
    steps, others = ([e for e in events if isinstance(e, StepDone)] for events in (stated, silent))
    assert [(s.loss, s.gradient_norm) for s in steps] == [(s.loss, s.gradient_norm) for s in others]
    assert all(step.mfu and step.throughput and step.gradient_norm for step in steps)
    assert [step.learning_rate for step in steps] == [factors(PLAN, step).rate for step in range(6)]
    assert all(step.mfu is None for step in others)
    assert (steps[2].memory or 0) > 1e7

    answer(["show", str(tmp_path / "stated")])
    assert "MFU of 1 TFLOPs/s (--peak-flops)" in capsys.readouterr().out
    answer(["show", str(tmp_path / "silent")])
    out = " ".join(capsys.readouterr().out.split())
    assert "no MFU: the peak of a CPU is not known: state it with --peak-flops" in out
    assert "(resident memory of the process)" in out


def test_the_norm_is_that_of_the_gradients_before_clipping() -> None:
    made, again = machine(PLAN), machine(PLAN)
    made.step(PLAN.stages[0], 0, 0.0)
    again.gradients(PLAN.stages[0], 0)
    squares = sum(float(p.grad.double().square().sum()) for p in again.body.net.parameters() if p.grad is not None)
    assert made.gradient_norm == pytest.approx(squares**0.5, rel=1e-5)


@pytest.mark.parametrize("peak", ["fast", "-1", "0", "989", "nan", "1e999", "3 tokens"])
def test_a_peak_must_be_a_number_of_flops(tmp_path: Path, peak: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["run", str(tmp_path / "none.shape"), "--peak-flops", peak]) == 2
    assert "is not a number of FLOPs per second" in capsys.readouterr().err
