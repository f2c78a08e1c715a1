"""Components written as text of a file, and the optimizer that is advised after a divergence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shapeflow.base.call import call
from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import written
from shapeflow.compiler import program_of
from shapeflow.ir.plan import Spec
from shapeflow.optimizers.muon import Muon
from shapeflow_torch.advice import slower

FILE = Path(__file__).parent.parent / "examples" / "digits.shape"


def optimizer(text: str) -> Any:
    report = Report()
    program = program_of(FILE, (f"optimizer {text}",), report)
    assert program is not None, report.errors
    assert program.trained is not None
    return program.trained.optimizer


@pytest.mark.parametrize(
    "text",
    [
        "adamw()",
        "adamw(lr: 1e-05, warmup: 7 steps)",
        "sgd(lr: 0.5, nesterov: true)",
        "muon(nesterov: false, eps: 1e-12)",
    ],
)
def test_an_optimizer_is_written_as_it_is_read(text: str) -> None:
    found = optimizer(text)
    said = call(type(found), written(found))
    assert said is not None
    assert optimizer(said) == found


@pytest.mark.parametrize("settings", [{"lr": float("inf")}, {"colour": 3}, {"lr": [1, None]}])
def test_what_the_language_cannot_express_is_not_written(settings: dict[str, Any]) -> None:
    assert call(Muon, settings) is None


def test_a_slower_optimizer_has_a_tenth_of_all_rates() -> None:
    found = optimizer("muon(lr: 6e-4, adamw_lr: 3e-3, momentum: 0.9)")
    assert slower(Spec("muon", written(found))) == "muon(lr: 6e-05, momentum: 0.9, adamw_lr: 0.0003)"
    assert slower(Spec("muon", {"momentum": 0.9})) is None
