"""Pages of reports: whoever reads them, and whatever the files contain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from report_page import CONTRAST, HOSTILE, OF_LINES, SHOWN, check_page, colors_of, contrast, page_of
from test_report import END, PLAN, START, comparison, made

from shapeflow import compile as compile_plan
from shapeflow.base.shapes import Shape
from shapeflow.ir.events import Measured, RunBranched
from shapeflow.ir.plan import Plan, Spec
from shapeflow.report.page import Subject
from shapeflow.report.page import page_of as written

ROOT = Path(__file__).parent.parent


def test_contrasts_are_those_of_the_standard() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_texts_and_lines_can_be_read(scheme: str, tmp_path: Path) -> None:
    _, page = page_of(ROOT / "examples" / "laws_only.shape", to=tmp_path / "report.html")
    colors = colors_of(page)[scheme]
    for text in ("ink", "soft"):
        assert contrast(colors[text], colors["page"]) >= CONTRAST
        assert contrast(colors[text], colors["fill"]) >= CONTRAST
    shapes = [color for name, color in colors.items() if name.startswith("k")]
    assert len(shapes) == len(set(shapes)) == 8
    # Numbers of stages are written in the colour of the page on that of the shape.
    assert min(contrast(color, colors["page"]) for color in shapes) >= CONTRAST > OF_LINES


def test_a_plan_whose_every_text_is_hostile() -> None:
    """Names, notes, units, values of an axis, settings, files and citations."""
    plan = compile_plan(ROOT / "examples" / "joint.shape")
    files = {name for one in plan.candidates if one.law is not None for name, _ in one.law.provenance.files}
    assert len(files) == 1
    spoiled = attrs.evolve(plan, name=HOSTILE, notes=(HOSTILE,), metric=HOSTILE, convention=HOSTILE, source=HOSTILE)
    spoiled = _spoiled(spoiled, {"teacher", "px", "teachers/fashion.safetensors", *files})
    page = check_page(text := written(Subject(spoiled, Path(f"{HOSTILE}.shape"), ("--set", HOSTILE))))
    for tag in ("title", "h1", "td", "th", "text", "span", "p", "pre"):
        assert any("<script>alert(1)</script></svg>" in one for one in page.texts[tag]), tag
    assert text.count(SHOWN) > 100
    assert {f"{name}{HOSTILE}" for name in files} <= set(_files(spoiled))


def test_a_run_whose_metrics_and_folder_are_hostile(tmp_path: Path) -> None:
    values = {PLAN.metric: 0.5, HOSTILE: 0.3}
    seen = Measured(6, 0, PLAN.stages[0].shape, PLAN.compute_at(6), None, values, 0.5)
    branched = RunBranched(3, PLAN.digest, HOSTILE, "step3", HOSTILE)
    folder = made(tmp_path / HOSTILE.replace("/", "").replace("\x1b", ""), START[0], branched, START[1], seen, END)
    text, page = page_of(folder, to=tmp_path / "report.html")
    assert any("<script>" in one for one in page.texts["th"])
    assert any("the first 3 steps are those of" in one for one in page.texts["p"])
    assert text.count("&lt;script&gt;alert(1)") >= 4


def test_a_comparison_whose_every_text_is_hostile(tmp_path: Path) -> None:
    folder = comparison(tmp_path / "compared")
    path = folder / "comparison.json"
    found: dict[str, Any] = json.loads(path.read_text())
    found |= {"metric": HOSTILE, "left_out": [{"name": HOSTILE, "reason": HOSTILE}]}
    for way in found["ways"][1:]:
        way |= {"name": HOSTILE, "what": HOSTILE}
    found["ways"].append({**found["ways"][1], "name": "again", "same": HOSTILE})
    found["choice"]["rounds"][0]["values"] = [{"shape": {HOSTILE: HOSTILE}, "value": 0.5}]
    path.write_text(json.dumps(found))
    text, _ = page_of(folder, to=tmp_path / "report.html")
    assert f"the rival `&lt;/title&gt;{SHOWN}" in text
    assert "the same runs as" in text
    assert text.count(SHOWN) >= 8


def _spoiled(value: Any, words: set[str]) -> Any:
    """The same value with `HOSTILE` after each of some texts, wherever they stand."""
    if isinstance(value, str):
        return f"{value}{HOSTILE}" if value in words else value
    if isinstance(value, Shape):
        return Shape.of({axis: _spoiled(one, words) for axis, one in value.json().items()})
    if isinstance(value, Spec):
        # The names of settings are those of the component.
        return attrs.evolve(value, settings={key: _spoiled(one, words) for key, one in value.settings.items()})
    if isinstance(value, dict):
        return {_spoiled(key, words): _spoiled(one, words) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_spoiled(one, words) for one in value)
    if attrs.has(type(value)):
        fields = [one for one in attrs.fields(type(value)) if one.init]
        return attrs.evolve(value, **{one.alias: _spoiled(getattr(value, one.name), words) for one in fields})
    return value


def _files(plan: Plan) -> list[str]:
    return [name for one in plan.candidates if one.law is not None for name, _ in one.law.provenance.files]
