"""`shapeflow report`: one page, safe, complete, and the same every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from plans import toy_image_plan
from report_page import HOSTILE, page_of

from shapeflow import compile as compile_plan
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.ir.events import Event, Measured, RunEnded, RunStarted, StageEntered, event_to_json
from shapeflow.ir.law import MeasuredCurve
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import save, sealed
from shapeflow.laws.fitting.posterior import posterior
from shapeflow.preview.figure import Axis
from shapeflow.preview.law_bands import law_bands, prior_of
from shapeflow.running.lock import Lock

ROOT = Path(__file__).parent.parent
PLAN = toy_image_plan((({"width": 32}, 6), ({"width": 48}, 6)), checkpoint=4)


def made(folder: Path, *events: Event) -> Path:
    folder.mkdir()
    save(PLAN, folder / "plan.json")
    lines = "".join(json.dumps(event_to_json(event)) + "\n" for event in events)
    (folder / "events.jsonl").write_text(lines)
    return folder


def measured(step: int) -> Measured:
    stage = PLAN.stage_at(step)
    return Measured(step, stage, PLAN.stages[stage].shape, PLAN.compute_at(step), None, {PLAN.metric: 3 / step}, 0.5)


START: tuple[Event, ...] = (RunStarted(PLAN.digest, 0), StageEntered(0, PLAN.stages[0].shape, 0, 0.0))
END = RunEnded(12, PLAN.compute_at(12), True, None)


@pytest.mark.parametrize("name", [path.name for path in sorted((ROOT / "examples").glob("*.shape"))])
def test_every_example(name: str, tmp_path: Path) -> None:
    text, _ = page_of(ROOT / "examples" / name, to=tmp_path / "report.html")
    assert 'class="answer"' in text
    assert "Make it again" in text


def test_a_plan_with_switches_is_drawn_whole_and_twice_the_same(tmp_path: Path) -> None:
    shape = ROOT / "examples" / "laws_only.shape"
    first, _ = page_of(shape, to=tmp_path / "first.html")
    again, _ = page_of(shape, to=tmp_path / "again.html")
    assert first == again
    for part in ("The traversal", "Inverse", "Rate", "What it saves", "The laws", "What it assumes"):
        assert f">{part}</h" in first
    assert answer(["compile", str(shape), "-o", str(tmp_path / "plan.json")]) == 0
    of_plan, _ = page_of(tmp_path / "plan.json", to=tmp_path / "plan.html")
    assert json.loads((tmp_path / "plan.json").read_text())["digest"] in of_plan


def test_the_band_of_a_law_is_that_of_the_draws_of_the_answer() -> None:
    """The measured mean lies inside; where several runs lie close together, the band is narrow."""
    plan = compile_plan(ROOT / "examples" / "lm_context.shape")
    bands = law_bands(plan)
    assert len(bands) == 3
    for one in plan.candidates:
        assert one.law is not None
        curve = one.law.provenance.curve
        assert curve is not None
        at, low, high = (np.array(column) for column in zip(*bands[one.shape], strict=True))
        measured = np.interp(np.log(at), np.log(curve.compute), curve.error)
        assert (at[0], at[-1]) == pytest.approx((curve.compute[0], curve.compute[-1]))
        assert np.mean((low <= measured) & (measured <= high)) > 0.95
        assert np.all(high / low < 1.04)
    differ = posterior(_curves(plan), prior_of(plan, _curves(plan))).tau
    assert differ == pytest.approx(plan.answer and plan.answer.differ, rel=1e-3)
    assert law_bands(compile_plan(ROOT / "examples" / "laws_only.shape")) == {}


@pytest.mark.parametrize("change", [{"noise": 1e200}, {"compute": (1e-300, 1e-200), "error": (1e-300, 1e-301)}])
def test_a_curve_that_no_run_has_gets_no_band(change: dict[str, Any]) -> None:
    plan = compile_plan(ROOT / "examples" / "lm_context.shape")
    first, *others = plan.candidates
    assert first.law is not None
    curve = attrs.evolve(_curves(plan)[first.shape], **change)
    law = attrs.evolve(first.law, provenance=attrs.evolve(first.law.provenance, curve=curve))
    changed = attrs.evolve(plan, candidates=(attrs.evolve(first, law=law), *others))
    assert first.shape not in law_bands(changed)


def _curves(plan: Plan) -> dict[Shape, MeasuredCurve]:
    laws = {one.shape: one.law for one in plan.candidates if one.law is not None}
    return {shape: law.provenance.curve for shape, law in laws.items() if law.provenance.curve is not None}


def test_a_plan_by_cost_is_shown_in_flops_seconds_and_money(tmp_path: Path) -> None:
    """A second costs a tenth of a dollar. Its fixed shapes need 51.81 GFLOPs and 1.997 s."""
    shape, minimised = ROOT / "examples" / "digits_seconds.shape", "minimise dollars(price: 360)"
    text, _ = page_of(shape, "--set", minimised, to=tmp_path / "report.html")
    assert '<td class="number">51.81 GFLOPs</td><td class="number">1.997 s</td>' in text
    assert '<td class="number">0.1997 dollars</td>' in text
    assert "price, dollars" in text
    for part in ("Compute, time and cost", "Over compute", "Over price"):
        assert f">{part}</h" in text
    assert "the plan by seconds takes 39.8% fewer seconds" in text


def test_hostile_text_is_shown_as_text(tmp_path: Path) -> None:
    save(sealed(attrs.evolve(PLAN, name=HOSTILE, notes=(HOSTILE,))), tmp_path / "plan.json")
    text, _ = page_of(tmp_path / "plan.json", to=tmp_path / "report.html")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;/svg&gt;" in text
    assert not set(text) & {"\x1b", "\u202e", "\u2066"}


def test_a_run_that_ended(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", *START, measured(6), measured(12), END)
    text, _ = page_of(folder, to=tmp_path / "report.html")
    assert "The run: finished, 12 steps" in text
    assert "The run, predicted and measured" in text
    assert "measured: " in text


def test_a_run_that_failed_or_runs_says_so_first(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", *START, measured(6))
    text, _ = page_of(folder, to=tmp_path / "report.html")
    assert text.index("failed or killed after step 6") < text.index("<h2")
    lock = Lock(folder)
    text, _ = page_of(folder, to=tmp_path / "report.html")
    lock.release()
    assert text.index("running, after step 6 of 12") < text.index("<h2")


CHOICE = {
    "shape": PLAN.stages[0].shape.json(),
    "rounds": [{"compute": 1e6, "seconds": None, "values": [{"shape": {"width": 32}, "value": None}]}],
    "compute": 3e6,
    "runs": 2,
}


def comparison(folder: Path) -> Path:
    folder.mkdir()
    made(folder / "plan-seed0", *START, measured(6), measured(12), END)
    plan = {"name": "plan", "what": "the plan", "compute": [1e6], "seconds": [1.0], "final": [0.25], "same": None}
    rival = {**plan, "name": "last", "what": HOSTILE, "compute": [2e6], "runs": ["elsewhere/last-seed0"]}
    ways = [{**plan, "runs": ["elsewhere/plan-seed0"]}, rival]
    found = {"metric": PLAN.metric, "target": 0.25, "seeds": [0], "unit": "compute", "ways": ways, "choice": CHOICE}
    (folder / "comparison.json").write_text(json.dumps({**found, "predictions": [], "left_out": []}))
    return folder


def test_a_comparison_and_its_file(tmp_path: Path) -> None:
    folder = comparison(tmp_path / "compared")
    text, _ = page_of(folder, to=tmp_path / "report.html")
    assert "the plan saves 50.0% of the FLOPs" in text
    assert text.index("the plan saves 50.0%") < text.index("<h2")
    assert "The answer before training" in text
    assert "&lt;script&gt;" in text
    assert f"to find the best of 1 fixed shapes by {PLAN.metric}: 2 more runs" in text
    page_of(folder / "comparison.json", to=tmp_path / "report.html")


@pytest.mark.parametrize("unit", ["compute", "seconds"])
def test_the_curves_of_a_comparison_are_drawn_over_what_is_compared(unit: str, tmp_path: Path) -> None:
    path = comparison(tmp_path / "compared") / "comparison.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "unit": unit}))
    text, _ = page_of(path, to=tmp_path / "report.html")
    section = text.partition("<h2>The comparison</h2>")[2].partition("<h2>")[0]
    assert ("training time, " in section) == (unit == "seconds")
    assert ("A step of a shape counts the same time in all runs." in section) == (unit == "seconds")
    assert ("training compute, " in section) == (unit == "compute")


def test_a_comparison_without_a_result_shows_its_runs(tmp_path: Path) -> None:
    folder = comparison(tmp_path / "compared")
    (folder / "comparison.json").unlink()
    text, _ = page_of(folder, to=tmp_path / "report.html")
    assert text.index("There is no result yet") < text.index("<h2")


@pytest.mark.parametrize("change", [{"target": "x"}, {"ways": 3}, {"seeds": [0, 1]}, {"unit": "hours"}, {"choice": {}}])
def test_a_broken_comparison(change: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = comparison(tmp_path / "compared") / "comparison.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert answer(["report", str(path), "-o", str(tmp_path / "report.html")]) == 1
    assert "error[broken-comparison]" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_a_comparison_whose_run_took_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = comparison(tmp_path / "compared") / "comparison.json"
    path.write_text(path.read_text().replace("1000000.0", "0.0"))
    assert answer(["report", str(path), "-o", str(tmp_path / "report.html")]) == 1
    assert "not above 0" in capsys.readouterr().err


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(("low", "high"), [(1.0, 1e9), (3.0, 40.0), (40.0, 3.0), (2.1, 2.3), (1e-7, 1e-5)])
def test_axes_have_a_few_ticks_inside(low: float, high: float, log: bool) -> None:
    axis = Axis("", low, high, log=log)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 10
    assert all(-1e-6 <= axis.part(value) <= 1 + 1e-6 for value, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)
