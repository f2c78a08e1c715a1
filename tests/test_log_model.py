"""Compute of a log without parameters and tokens, compared with that of the model of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trainers

from shapeflow.base.diagnostics import Diagnostic, Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.route import LawRequest, Training
from shapeflow.laws.fit import Fit
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.query import Query

BATCH = 65536
FLOPS = {64: 1.4e11, 128: 4.5e11, 256: 1.57e12}
"""FLOPs of a step of the model."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(factor: float | Mapping[int, float], compute: str | None = None, **more: Any) -> list[Diagnostic]:
    """What a fit reports of runs whose logged FLOPs are `factor` times those of the model."""
    factors = dict.fromkeys(FLOPS, factor) if isinstance(factor, float) else factor
    rows = [
        {"width": width, "step": step, "flops": factors[width] * each * step, "val_loss": 2 + 9 * step**-0.3}
        | {name: value(step) for name, value in more.items()}
        for width, each in FLOPS.items()
        for step in range(37, 800, 37)
    ]
    trainers.table(Path("a.csv"), rows)
    shapes = {width: Shape.of({"width": width}) for width in FLOPS}
    costs = {shape: FLOPS[width] for width, shape in shapes.items()}
    batch = dict.fromkeys(shapes.values(), BATCH)
    training = Training("transformer", "text", "adamw", {}, {}, {}, batch, {}, dict.fromkeys(shapes.values(), 256))
    request = LawRequest(
        tuple(shapes.values()), {"width": ""}, "loss@own", "flops", ".", {}, {}, step_compute=costs,
        step_data=dict.fromkeys(shapes.values(), float(BATCH)), training=training, setting_names=Fit.setting_names,
    )  # fmt: skip
    report = Report()
    read_logs(Query("a.csv", compute=compute), request, report)
    return report.diagnostics


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1 / 3, "is 0.333 times what the model of this file takes for `step` with its batch, as the FLOPs of forward"),
        (1 / 2, "as multiply-accumulates are"),
        (1e-12, "as if it were counted in units of 1e+12 FLOPs"),
    ],
)
def test_compute_that_is_off_alike_in_all_shapes_is_refused(factor: float, said: str) -> None:
    (error,) = read(factor)
    assert (error.code, error.severity) == ("odd-compute", "error")
    assert said in error.message
    assert f'`compute: "{1 / factor:.4g} * flops"` to count as the model does' in str(error.help)
    assert not read(factor, f"{1 / factor:.4g} * flops")
    (warning,) = read(factor, "1 * flops")
    assert (warning.code, warning.severity) == ("odd-compute", "warning")


def test_steps_of_another_batch_are_a_warning() -> None:
    """Without tokens, the compute of one of 8 processes looks like that of an eighth of the batch."""
    (warning,) = read(1 / 8)
    assert (warning.code, warning.severity) == ("odd-compute", "warning")
    assert "as if only the compute of one of 8 processes counted" in warning.message
    assert '`compute: "8 * flops"` to count as the model does' in str(warning.help)
    (error,) = read(1 / 8, tokens=lambda step: BATCH * step)
    assert (error.code, error.severity) == ("odd-compute", "error")
    # Each shape may have had a batch of its own.
    assert not read({64: 4.0, 128: 9.0, 256: 5.0})


def test_compute_of_the_model_and_near_it_passes() -> None:
    """Attention, embeddings and other batches of the log are no other count."""
    assert not read(1.0)
    assert not read({64: 1.5, 128: 1.2, 256: 1.05})
    assert not read(4.0, tokens=lambda step: 4 * BATCH * step)


def test_tokens_of_the_log_count_before_the_batch_of_the_file() -> None:
    (error,) = read(4 / 3, tokens=lambda step: 4 * BATCH * step)
    assert "is 0.333 times what the model of this file takes for `tokens`, as the FLOPs of forward" in error.message


def test_steps_that_are_doubted_make_a_warning() -> None:
    (warning,) = read(1 / 3, batch_size=lambda step: 8)
    assert (warning.code, warning.severity) == ("odd-compute", "warning")
