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
from shapeflow.ir.plan import Comparison, Plan, Uncertainty
from shapeflow.ir.plan_json import save, sealed
from shapeflow.preview.curves import curves, curves_view, savings
from shapeflow.preview.intervals import expectation, expected_between
from shapeflow.preview.plan import plan_view
from shapeflow.preview.plot import draw, keep_apart

ROOT = Path(__file__).parent.parent
LAWS_ONLY = ROOT / "examples" / "laws_only.shape"
INTERVALS = Uncertainty(
    level=0.9,
    resamples=400,
    by="noise",
    switches=((0.39, 0.42),),
    error=(0.245, 0.262),
    compute=(10.5, 11.75),
    unreached=0.01,
    best_fixed=(0.29, 0.335),
    last_shape_fixed=(0.29, 0.335),
    band=((1.0, 1.15, 1.25), (5.0, 0.39, 0.42), (11.0, 0.245, 0.262)),
    reasons=(),
)


def plan_with(**changes: Any) -> Plan:
    return sealed(attrs.evolve(compile_file(LAWS_ONLY), uncertainty=attrs.evolve(INTERVALS, **changes)))


def doubted(*reasons: str) -> Plan:
    plan = plan_with(reasons=reasons)
    without = [
        attrs.evolve(one, compute=None, saving=None, reason=f"not reliable: {reasons[0]}")
        for one in (plan.comparison.best_fixed, plan.comparison.last_shape_fixed)
    ]
    return sealed(attrs.evolve(plan, comparison=Comparison(*without)))


def screen(what: RenderableType, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, no_color=True).print(what)
    return out.getvalue()


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_intervals_are_shown_next_to_predictions() -> None:
    text = screen(plan_view(plan_with()))
    shown = lines(text)
    assert "switch to (width: 2) at 0.4 0.39 to 0.42" in shown
    assert "loss@own at the end 0.25 0.245 to 0.262" in shown
    assert "compute to reach 0.25 11 FLOPs 10.5 to 11.75 FLOPs" in shown
    assert "saving +31.3% (+29.0% to +33.5% in 90% of 400 resamples) over" in " ".join(shown)
    assert "hold for these runs only" in text
    assert max(map(len, text.splitlines())) <= 80


def test_intervals_over_runs_are_not_conditional_on_them() -> None:
    text = screen(plan_view(plan_with(by="runs", compute=(10.5, None), switches=(None,))))
    assert "conditional" not in text
    shown = lines(text)
    assert "compute to reach 0.25 11 FLOPs 10.5 FLOPs to not reached" in shown
    assert "switch to (width: 2) at 0.4 -" in shown
    assert any(line.startswith("a dash:") for line in shown)


def test_a_plan_file_alone_shows_its_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(plan_with(), tmp_path / "plan.json")
    assert answer(["show", str(tmp_path / "plan.json")]) == 0
    assert "0.245 to 0.262" in capsys.readouterr().out


def test_no_saving_is_shown_that_is_not_supported() -> None:
    plan = doubted("the law of (width: 1): only 0.6 decades", "the saving may be none")
    text = screen(plan_view(plan))
    assert "no saving is quoted:" in text
    assert "- the law of (width: 1): only 0.6 decades" in text
    on_the_way = screen(curves_view(plan))
    for shown in (text, on_the_way):
        assert "31" not in shown
        assert "saving +" not in shown
    for row in savings(plan):
        for which in ("best_fixed", "last_shape_fixed"):
            assert (row[which]["compute"], row[which]["saving"]) == (None, None)


def test_reasons_against_laws_are_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compiling prints the reasons in the warning only; showing a plan file prints them with the plan."""
    why = "a fit to the first half mispredicts"
    assert answer(["compile", str(ROOT / "examples" / "lm_context.shape"), "-o", str(tmp_path / "plan.json")]) == 0
    shown = capsys.readouterr()
    (note,) = (line for line in shown.err.splitlines() if why in line)
    assert "(context: 16 tokens)" in note
    assert why not in shown.out
    assert "not reliable beyond the measured range" in " ".join(lines(shown.out))
    for command in ("show", "simulate"):
        assert answer([command, str(tmp_path / "plan.json")]) == 0
        assert " ".join(lines(capsys.readouterr().out)).count(why) == 1


def test_json_has_all_of_it() -> None:
    told = json.loads(json.dumps(curves(plan_with())))
    assert told["uncertainty"]["error"] == [0.245, 0.262]
    assert told["uncertainty"]["band"][-1] == [11.0, 0.245, 0.262]
    assert curves(compile_file(LAWS_ONLY))["uncertainty"] is None


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
    assert "the plan is itself the best fixed shape" in (tmp_path / "plan.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("plan", [plan_with(), doubted("no"), plan_with(band=())], ids=["band", "doubted", "bare"])
def test_a_picture_is_drawn(plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(plan, tmp_path / "plan.svg")
    text = (tmp_path / "plan.svg").read_text(encoding="utf-8")
    assert ("<!-- 90% of 400 resamples -->" in text) == bool(plan.uncertainty and plan.uncertainty.band)
    assert ("no saving is quoted" in text) == bool(plan.uncertainty and plan.uncertainty.reasons)
    assert ("+29.0% to +33.5%" in text) != ("no saving is quoted" in text)
