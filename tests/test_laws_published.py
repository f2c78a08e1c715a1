"""Published laws: the formulas of the papers, and warnings outside the range of their data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from sources import compiled, refused

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.law_json import law_from_json, law_to_json
from shapeflow.ir.plan import Plan
from shapeflow.ir.route import LawRequest
from shapeflow.laws import Published
from shapeflow.laws.published.records import Optimum, record

SMALL, LARGE = Shape.of(width=512), Shape.of(width=2048)
NAMES = ("chinchilla", "kaplan", "sovit")
TEXT = """
model transformer(depth: 12, context: 1024 tokens, head_width: 64)
data tokens("corpus.bin", batch: 524288 tokens, vocabulary: 32000)
objective next_token
axis width in [512, 2048] via width_expand
traversal steepest
budget 10 EFLOPs
"""


def chinchilla(n: float, d: float) -> float:
    """Besiroglu et al. 2024."""
    return 1.8172 + 482.01 / n**0.3478 + 2085.43 / d**0.3658


def kaplan(n: float, s: float) -> float:
    """Kaplan et al. 2020, eq. 1.6 with table 3."""
    return (6.5e13 / n) ** 0.077 + (2.1e3 / s) ** 0.76


def asked(component: Published, metric: str = "loss@own", **known: object) -> tuple[dict[Shape, Law], Report]:
    report = Report()
    request = LawRequest((SMALL, LARGE), {"width": ""}, metric, "flops", ".", {"": None}, {}, **known)  # type: ignore
    return component.laws(request, report), report


def codes(report: Report) -> list[str]:
    return [one.code for one in report.diagnostics]


def of_a_model(folder: Path, law: str, text: str = TEXT) -> tuple[Plan, Report]:
    report = Report()
    plan = compiled(folder, f'plan "a"\n{text}\nlaws from published({law})\n', report=report)
    return plan, report


@pytest.mark.parametrize("tokens", [1e9, 2e10, 3e11])
def test_without_a_model_a_token_takes_6_n(tokens: float) -> None:
    laws, _ = asked(Published("chinchilla", parameters=(70e6, 1.2e9)))
    for law, n in zip(laws.values(), (70e6, 1.2e9), strict=True):
        assert law.error(6 * n * tokens) == pytest.approx(chinchilla(n, tokens), rel=1e-12)


@pytest.mark.parametrize("steps", [3e3, 1e5])
def test_a_step_of_kaplan_takes_6_n_batch(steps: float) -> None:
    laws, _ = asked(Published("kaplan", parameters=(70e6, 1.2e9), batch=2**25))
    for law, n in zip(laws.values(), (70e6, 1.2e9), strict=True):
        assert law.error(6 * n * 2**25 * steps) == pytest.approx(kaplan(n, steps), rel=1e-12)


@pytest.mark.parametrize(("name", "embedded"), [("chinchilla", True), ("kaplan", False)])
def test_a_plan_predicts_the_errors_of_the_paper(tmp_path: Path, name: str, embedded: bool) -> None:
    """The plan's errors equal the paper's formula for the same parameters and tokens."""
    plan, _ = of_a_model(tmp_path, name)
    for candidate in plan.candidates:
        width, law = candidate.shape.number("width"), candidate.law
        assert law is not None
        n = 12 * (4 * width**2 + 3 * width * 3 * width + 2 * width) + width + (32000 * width if embedded else 0)
        flops = 6 * (12 * (1024 * (4 + 9) * width**2 + 2 * 1024**2 * width) + 1024 * width * 32000) / 1024
        for steps in (4_000, 100_000):
            told = chinchilla(n, steps * 524288) if embedded else kaplan(n, steps)
            assert law.error(steps * 524288 * flops) == pytest.approx(told, rel=1e-9)


def test_a_law_states_its_provenance() -> None:
    laws, report = asked(Published("chinchilla", parameters=(70e6, 1.2e9)))
    law = laws[SMALL]
    assert codes(report) == ["published-law"]
    assert law.provenance.source == "published"
    assert "2404.10102" in (law.provenance.citation or "")
    assert (law.provenance.unit, law.provenance.learning_rate, law.provenance.verdict) == ("nats", "falling", ())
    assert law.provenance.compute == pytest.approx((6 * 70e6 * 0.8e9, 6 * 70e6 * 318e9))
    assert law.measured == pytest.approx((chinchilla(70e6, 0.8e9), chinchilla(70e6, 318e9)))
    assert law_from_json(law_to_json(law)) == law


@pytest.mark.parametrize("n", [1e5, 1e11])
def test_parameters_outside_the_range_are_reported(n: float) -> None:
    laws, report = asked(Published("chinchilla", parameters=(n, 1.2e9)))
    assert codes(report) == ["published-law", "beyond-published"]
    (reason,) = laws[SMALL].provenance.verdict
    assert "57 million to 16.2 billion" in reason
    assert ("100,000" if n < 1e6 else "100 billion") in reason
    assert laws[LARGE].provenance.verdict == ()


def test_a_batch_not_well_above_the_critical_one_is_reported() -> None:
    lowest = kaplan(70e6, 2.5e5)
    critical = 2e8 / lowest ** (1 / 0.21)
    laws, _ = asked(Published("kaplan", parameters=(70e6, 1.2e9), batch=2**19))
    (reason,) = laws[SMALL].provenance.verdict
    assert f"{1 + critical / 2**19:.3g} times the predicted steps" in reason
    wide, report = asked(Published("kaplan", parameters=(70e6, 1.2e9), batch=10**8))
    assert wide[SMALL].provenance.verdict == ()
    assert codes(report) == ["published-law"]


def test_toy_models_and_axes_that_the_formula_ignores(tmp_path: Path) -> None:
    text = """
model transformer(depth: 2, width: 64, head_width: 16)
data python_source(batch: 512 tokens)
objective next_token
axis context in [64, 256] tokens via context_grow
traversal evenly
budget 1 TFLOPs
"""
    plan, report = of_a_model(tmp_path, "chinchilla", text)
    assert {"published-law", "beyond-published"} <= set(codes(report))
    for candidate in plan.candidates:
        assert candidate.law is not None
        size, axes = candidate.law.provenance.verdict
        assert "57 million" in size
        assert "context" in axes
    counted = next(note for one in report.diagnostics for note in one.notes if "6 N FLOPs per token" in note)
    assert "times the paper's" in counted


def test_other_metrics_are_refused() -> None:
    laws, report = asked(Published("chinchilla", parameters=(70e6, 1.2e9)), "classification_error")
    assert laws == {}
    assert codes(report) == ["foreign-metric"]


def test_a_rule_for_shapes_is_refused_as_a_law() -> None:
    laws, report = asked(Published("sovit"))
    assert laws == {}
    assert codes(report) == ["not-a-law"]
    sovit = record("sovit")
    assert isinstance(sovit, Optimum)
    assert sovit.exponents == {"width": 0.22, "depth": 0.45, "hidden": 0.6}


@pytest.mark.parametrize("given", [None, (70e6,), (70e6, 80e6, 90e6)])
def test_parameters_are_asked_of_every_candidate(given: tuple[float, ...] | None) -> None:
    laws, report = asked(Published("chinchilla", parameters=given))
    assert laws == {}
    assert codes(report) == ["missing-parameters"]
    assert "(width: 512), (width: 2048)" in report.errors[0].notes[0]


def test_steps_ask_for_a_batch() -> None:
    assert codes(asked(Published("kaplan", parameters=(70e6, 1.2e9)))[1]) == ["missing-setting"]


@pytest.mark.parametrize("setting", ["parameters: [1e8, 2e8]", "batch: 512 tokens"])
def test_a_model_is_not_contradicted(tmp_path: Path, setting: str) -> None:
    (told,) = refused(tmp_path, f'plan "a"\n{TEXT}\nlaws from published(kaplan, {setting})\n')
    assert told.code == "idle-setting"


def test_every_record_is_read_and_explained() -> None:
    assert get_args(get_type_hints(Published)["name"]) == NAMES
    folder = Path(__file__).parent.parent / "shapeflow/laws/published"
    assert sorted(path.stem for path in folder.glob("*.json")) == sorted(NAMES)
    for name in NAMES:
        found = record(name)
        arxiv = found.citation.partition("arXiv ")[2][:10]
        assert f"`{name}`" in (Published.__doc__ or "")
        assert arxiv in (Published.__doc__ or "")


def test_the_formula_fits_its_own_units() -> None:
    """Doubling the FLOPs per token shifts the law along compute and does not change its form."""
    one, _ = asked(Published("chinchilla", parameters=(70e6, 1.2e9)))
    two, _ = asked(
        Published("chinchilla"),
        parameters={SMALL: 70e6, LARGE: 1.2e9},
        step_compute={SMALL: 12 * 70e6 * 512, LARGE: 12 * 1.2e9 * 512},
        step_data={SMALL: 512, LARGE: 512},
    )
    assert two[SMALL].a == pytest.approx(one[SMALL].a * 2**0.3658)
    assert math.isclose(two[SMALL].error(2e18), one[SMALL].error(1e18), rel_tol=1e-12)
