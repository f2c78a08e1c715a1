"""A fit's settings written as a sentence parse back to the same settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import written
from shapeflow.compiler import program_of
from shapeflow.laws.fit import Fit
from shapeflow.laws.fitting.refit_sentence import sentence

FILE = Path(__file__).parent.parent / "examples" / "laws_only.shape"


def settings_of(text: str) -> dict[str, object]:
    report = Report()
    program = program_of(FILE, (text,), report)
    assert program is not None, report.errors
    return written(program.law_source)


@pytest.mark.parametrize(
    "text",
    [
        'laws from fit("runs/*.csv")',
        'laws from fit("runs/*.csv", points: 40, exponent: own, resamples: 0)',
        'laws from fit("a b.csv", compute: "gflops", compute_unit: 1000000000.0 FLOPs, delta: 0.01)',
        'laws from fit("a.csv", axes: (width: "w"), where: (tag: "static", seed: 3.0))',
        'laws from fit("a.csv", drop_warmup: 25.0 %)',
        'laws from fit("a.csv", drop_warmup: 3e+20 FLOPs)',
        'laws from fit("a.csv", drop_warmup: 100.0 steps, offset: nonnegative, fixed_exponent: 0.4)',
        'laws from fit("a.csv", learning_rate: constant, evaluation: held_out)',
    ],
)
def test_a_settings_sentence_parses_to_the_same_settings(text: str) -> None:
    found = settings_of(text)
    said = sentence(found, {"fit": Fit})
    assert said is not None
    assert settings_of(said) == found


def test_defaults_are_omitted() -> None:
    settings = settings_of('laws from fit("runs/*.csv", points: 60)')
    assert sentence(settings, {"fit": Fit}) == 'laws from fit("runs/*.csv")'


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"paths": 'a"b'},
        {"paths": "a", "where": {"x": [1]}},
        {"paths": 3},
        {"paths": "a", "colour": 3},
        {"paths": "a", "is": "other"},
    ],
)
def test_settings_that_no_file_can_state_have_no_sentence(settings: dict[str, object]) -> None:
    assert sentence(settings, {"fit": Fit}) is None
