"""How a plan's intervals are shown: on the screen, in JSON, in a picture, next to a measurement."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from rich.console import Console, RenderableType
from sources import compiled

from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.ir.events import Measured
from shapeflow.ir.plan import Plan, Uncertainty
from shapeflow.ir.plan_json import sealed
from shapeflow.preview.curves import curves, curves_view, savings
from shapeflow.preview.intervals import expectation, expected_between
from shapeflow.preview.plan import plan_view
from shapeflow.preview.plot import draw, keep_apart

ROOT = Path(__file__).parent.parent
LAWS_ONLY = ROOT / "examples" / "laws_only.shape"
INTERVALS = Uncertainty(
    level=0.9,
    draws=400,
    error=(0.245, 0.262),
    band=((1.0, 1.15, 1.25), (5.0, 0.39, 0.42), (11.0, 0.245, 0.262)),
)


def plan_with(**changes: Any) -> Plan:
    return sealed(attrs.evolve(compile_file(LAWS_ONLY), uncertainty=attrs.evolve(INTERVALS, **changes)))


def screen(what: RenderableType, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, no_color=True).print(what)
    return out.getvalue()


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_answer_comes_first() -> None:
    text = screen(plan_view(compile_file(LAWS_ONLY)))
    assert text.startswith("yes, if each switch keeps 100% of the progress (assumed): saves 31.3%")
    assert max(map(len, text.splitlines())) <= 80


def test_a_first_stage_that_ends_where_its_laws_begin_shows_no_fall() -> None:
    plan = compile_file(LAWS_ONLY)
    first, second = plan.stages
    begun = attrs.evolve(first, enter=attrs.evolve(first.enter, error=first.leave.error))
    assert "start - 0.4 " in screen(plan_view(attrs.evolve(plan, stages=(begun, second))))
    assert "1.2 - 0.4 " in screen(plan_view(plan))


def test_a_plan_file_alone_shows_its_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["compile", str(ROOT / "examples" / "lm_context.shape"), "-o", str(tmp_path / "plan.json")]) == 0
    compiled_screen = capsys.readouterr().out
    for command in ("show", "simulate"):
        assert answer([command, str(tmp_path / "plan.json")]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("yes: saves ")
        assert shown.splitlines()[:8] == compiled_screen.splitlines()[:8]


OWN = ('laws from fit("laws/bytes.csv")', "metric loss(context: own)")


@pytest.mark.parametrize(("name", "sentences"), [("bytes.shape", OWN), ("batch.shape", ())])
def test_no_saving_at_other_targets_is_shown_for_an_unknown_answer(name: str, sentences: tuple[str, ...]) -> None:
    plan = compile_file(ROOT / "examples" / name, sentences)
    assert plan.answer is not None
    assert plan.answer.say == "unknown"
    assert "saving" not in screen(curves_view(plan))
    for row in savings(plan):
        for which in ("best_fixed", "last_shape_fixed"):
            assert (row[which]["compute"], row[which]["saving"]) == (None, None)


def test_json_has_all_of_it() -> None:
    told = json.loads(json.dumps(curves(plan_with())))
    assert told["uncertainty"]["error"] == [0.245, 0.262]
    assert told["uncertainty"]["band"][-1] == [11.0, 0.245, 0.262]
    bare = curves(compile_file(LAWS_ONLY))
    assert bare["uncertainty"] is None
    assert (bare["answer"]["say"], bare["answer"]["stated"]) == ("yes", True)


def test_what_was_expected_of_a_measurement() -> None:
    plan = plan_with()
    assert expected_between(plan, 0.5) is None
    assert expected_between(plan, 1.0) == (1.15, 1.25)
    assert expected_between(plan, 5.0) == (0.39, 0.42)
    assert expected_between(plan, 11.0000001) == (0.245, 0.262)
    assert expected_between(plan, 12.0) is None
    low, high = expected_between(plan, 5**0.5) or (0, 0)
    assert (low, high) == pytest.approx(((1.15 + 0.39) / 2, (1.25 + 0.42) / 2))
    at = Measured(1, 1, plan.stages[1].shape, 11.0, 0.25, {}, 0.0)
    assert expectation(plan, at) == "0.25 (0.245 to 0.262)"
    assert expectation(compile_file(LAWS_ONLY), at) == "0.25"


def test_names_in_a_picture_are_inside_and_do_not_overlap() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    axes.set(xscale="log", xlim=(1, 100), ylim=(0, 1))
    style = {"textcoords": "offset points", "ha": "right", "fontsize": 8}
    names = [
        axes.annotate("(context: 32 tokens)", place, (-6, -12), **style)
        for place in ((1.5, 0.9), (60, 0.2), (75, 0.19))
    ]
    keep_apart(figure, axes, names)
    figure.draw_without_rendering()
    first, second, third = (name.get_window_extent() for name in names)
    assert first.x0 >= axes.get_window_extent().x0
    assert third.y1 <= second.y0 + 1e-6
    pyplot.close(figure)


def test_the_picture_of_a_fixed_shape_quotes_no_saving(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    text = LAWS_ONLY.read_text(encoding="utf-8")
    text = text.replace("traversal  steepest", "traversal  fixed(shape: (width: 2))")
    plan = compiled(tmp_path, text)
    assert plan.is_best_fixed
    draw(plan, tmp_path / "plan.svg")
    text = (tmp_path / "plan.svg").read_text("utf-8")
    assert "<!-- unknown: the plan is the best fixed shape, (width: 2)" in text
    assert "saves 31" not in text


@pytest.mark.parametrize("plan", [plan_with(), plan_with(band=())], ids=["band", "bare"])
def test_a_picture_is_drawn(plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(plan, tmp_path / "plan.svg")
    text = (tmp_path / "plan.svg").read_text(encoding="utf-8")
    assert ("<!-- 90% of 400 draws -->" in text) == bool(plan.uncertainty and plan.uncertainty.band)
    assert "<!-- yes, if each switch keeps 100% of the progress (assumed): saves 31.3% of the FLOPs" in text
