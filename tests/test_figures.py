"""Figures: the same for the page of a report and for a picture."""

from __future__ import annotations

import html
import itertools
from pathlib import Path

import pytest

from shapeflow import compile as compile_plan
from shapeflow.cli import answer
from shapeflow.preview.curves import all_curves
from shapeflow.preview.figure import COLORS, Axis, Dots, Figure, Line
from shapeflow.preview.law_figures import SPACE, LawDrawing, laws_figure, residuals, residuals_figure
from shapeflow.preview.path_figure import path_figure

LAWS_ONLY = Path(__file__).parent.parent / "examples" / "laws_only.shape"


def axis(low: float, high: float) -> tuple[Axis, float]:
    """Compute in units of 10."""
    return Axis("compute", low / 10, high / 10, log=True), 10.0


def drawing(**changes: object) -> LawDrawing:
    """1 / C, with points 10% above it, of which those after 4 were held out. Their prediction is 2 / C."""
    points = [(at, 1.1 / at) for at in (1.0, 2.0, 4.0, 8.0)]
    whole = {"name": "law", "color": 3, "error": lambda at: 1 / at, "span": (1.0, 8.0), "points": points}
    return LawDrawing(**{**whole, "half": lambda at: 2 / at, "split": 4.0, **changes})  # type: ignore[arg-type]


def test_a_picture_and_a_page_have_the_same_figure(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plan = compile_plan(LAWS_ONLY)
    figure = path_figure(plan, all_curves(plan))
    assert answer(["simulate", str(LAWS_ONLY), "--plot", str(tmp_path / "plan.svg")]) == 0
    assert answer(["report", str(LAWS_ONLY), "-o", str(tmp_path / "report.html")]) == 0
    picture, page = ((tmp_path / name).read_text() for name in ("plan.svg", "report.html"))
    assert len(figure.key) > 3
    for label in [layer.label for layer in figure.key] + [figure.x.label, figure.y.label]:
        assert f"<!-- {label} -->" in picture
        assert html.escape(label) in page
    for _, label in figure.x.apart(100):
        assert f"<!-- {label} -->" in picture
    assert all(color in picture for color in {COLORS[one.color] for one in figure.layers if one.color >= 0})


def test_the_points_that_a_fit_held_out_are_hollow() -> None:
    figure = laws_figure([drawing()], "cross_entropy", axis)
    assert figure is not None
    used, held = (layer for layer in figure.layers if isinstance(layer, Dots))
    assert [at for at, _ in used.points] == [0.1, 0.2, 0.4]
    assert ([at for at, _ in held.points], held.hollow, used.hollow) == ([0.8], True, False)
    law, half = (layer for layer in figure.layers if isinstance(layer, Line))
    assert law.points[0] == pytest.approx((0.1, 1.0))
    assert half.points[0] == pytest.approx((0.4, 0.5))
    assert half.points[-1] == pytest.approx((0.8, 0.25))
    assert (figure.x.low, figure.x.high) == pytest.approx((0.1 / SPACE, 0.8 * SPACE))


def test_residuals_are_measured_over_law() -> None:
    assert [value for _, value in residuals(drawing())] == pytest.approx([0.1] * 4)
    figure = residuals_figure([drawing()], axis)
    assert figure is not None
    assert figure.y.high == pytest.approx(0.11)
    half = [layer for layer in figure.layers if isinstance(layer, Line)][-1]
    assert [value for _, value in half.points] == pytest.approx([1.0] * len(half.points))
    limited = residuals_figure([drawing(half=None)], axis, 0.05, joined=False)
    assert limited is not None
    assert limited.y.high == 0.05
    assert residuals_figure([drawing(points=[])], axis) is None


def test_a_law_that_begins_later_is_drawn_from_there() -> None:
    figure = laws_figure([drawing(error=lambda at: 1 / (at - 2) if at > 2 else float("inf"))], "cross_entropy", axis)
    assert figure is not None
    law = next(layer for layer in figure.layers if isinstance(layer, Line))
    assert min(at for at, _ in law.points) > 0.2
    assert laws_figure([drawing(error=lambda at: float("inf"))], "cross_entropy", axis) is None


def test_labels_of_ticks_that_would_touch_are_left_out() -> None:
    across = Axis("", 1.0, 1000.0, log=True)
    assert [label for _, label in across.apart(100)] == [label for _, label in across.ticks()]
    for letters in (3, 5, 8):
        kept = across.apart(letters)
        ends = [
            (letters * across.part(at) - len(label) / 2, letters * across.part(at) + len(label) / 2)
            for at, label in kept
        ]
        assert all(after[0] > before[1] for before, after in itertools.pairwise(ends))
        assert 0 < len(kept) < len(across.ticks())
    falling = Axis("", 2.3, 1.5)
    assert [at for at, _ in falling.apart(100)] == sorted((at for at, _ in falling.ticks()), reverse=True)


def test_a_label_is_in_the_key_once() -> None:
    first, again = Line("law", [(1.0, 1.0)], 0), Line("law", [(2.0, 1.0)], 1)
    figure = Figure("", Axis("", 1, 2), Axis("", 0, 1), [first, Line("", [], 2), again])
    assert figure.key == [first]
