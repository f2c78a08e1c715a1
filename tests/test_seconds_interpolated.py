"""The seconds of candidates that were not timed: a line over FLOPs, and how plans mark them."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import compiled, written
from test_seconds import CONTEXTS, FLOPS, profile_of, screen

from shapeflow.base.diagnostics import Refused, Report, Source
from shapeflow.base.shapes import Shape
from shapeflow.compiler import unprofiled
from shapeflow.ir import plan_json
from shapeflow.ir import profile as profiles
from shapeflow.ir.roofline import roofline
from shapeflow.ir.timing import Timing
from shapeflow.language.fmt import formatted
from shapeflow.language.parse import parse
from shapeflow.preview.answer import conditions
from shapeflow.preview.plan import plan_view

FOUR = CONTEXTS.replace("[64, 128, 256] tokens", "[32, 64, 128, 256] tokens").replace(
    "start at error", "law for (context: 32 tokens) is power(a: 100, b: 0.23, c: 2.2, d: 0)\nstart at error"
)
MISSING = Shape.of(context=64)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.floats(0, 10), st.floats(1e-12, 1e-6), st.lists(st.floats(1e6, 1e12), min_size=3, max_size=6, unique=True))
def test_a_line_through_all_points_is_found(overhead: float, per_flop: float, costs: list[float]) -> None:
    found = roofline([(cost, overhead + per_flop * cost) for cost in costs])
    assert found is not None
    for cost in costs:
        assert found.seconds(cost) == pytest.approx(overhead + per_flop * cost, rel=1e-6)


def test_neither_term_is_negative() -> None:
    falling = roofline([(1e9, 3.0), (2e9, 2.0), (3e9, 1.0)])
    assert falling is not None
    assert falling.per_flop == 0
    assert 1 < falling.overhead < 3
    steep = roofline([(1e9, 1.0), (2e9, 4.0), (3e9, 9.0)])
    assert steep is not None
    assert steep.overhead == 0
    assert steep.off > 0.3
    same = roofline([(1e9, 1.0)] * 3)
    assert same is not None
    assert same.seconds(2e9) == pytest.approx(2)


def test_the_error_is_that_of_predicting_each_shape_by_the_others() -> None:
    """Without (3, 6), the line through (1, 1) and (2, 2) predicts 3, which is off by half."""
    found = roofline([(1.0, 1.0), (2.0, 2.0), (3.0, 6.0)])
    assert found is not None
    assert found.off == pytest.approx(0.5)


def test_fewer_than_three_are_not_enough() -> None:
    assert roofline([(1e9, 1.0), (2e9, 2.0)]) is None
    shapes = [Shape.of(width=width) for width in (1, 2, 3)]
    timing = Timing("measured", dict(zip(shapes[:2], (1.0, 2.0), strict=True)))
    assert timing.completed(dict.fromkeys(shapes, 1000000000.0)) == timing


def without(folder: Path, *missing: Shape) -> str:
    """The text of a plan whose profile lacks some candidates."""
    program = unprofiled(written(folder, FOUR), (), Report())
    assert program is not None
    profile = profile_of(program, {})
    kept = tuple(one for one in profile.candidates if one.shape not in missing)
    profiles.save(attrs.evolve(profile, candidates=kept), folder / "p.json")
    return FOUR + '\nprofile from "p.json"\n'


def test_a_plan_marks_what_is_interpolated(tmp_path: Path) -> None:
    whole = compiled(tmp_path, without(tmp_path), "budget 1000 s")
    plan = compiled(tmp_path, without(tmp_path, MISSING), "budget 1000 s")
    marks = {one.shape: one.seconds_are for one in plan.candidates}
    assert [shape for shape, mark in marks.items() if mark == "interpolated"] == [MISSING]
    # A FLOP takes the same time in all shapes, so that the line passes through all points.
    one = next(one for one in plan.candidates if one.shape == MISSING)
    assert one.pace == pytest.approx(FLOPS)
    assert [stage.steps for stage in plan.stages] == [stage.steps for stage in whole.stages]
    assert plan_json.loads(plan_json.dumps(plan), "plan.json") == plan
    shown = " ".join(screen(plan_view(plan)).split())
    assert "the seconds of (context: 64 tokens) are interpolated over FLOPs: the others" in shown
    assert "off by up to 0%" in shown
    assert plan.answer is not None
    assert not any("interpolated" in note for note in whole.notes)


def test_the_answer_says_how_many_are_interpolated(tmp_path: Path) -> None:
    plan = compiled(tmp_path, without(tmp_path, MISSING), "budget 1000 s")
    assert plan.answer is not None
    settled = attrs.evolve(plan.answer, doubts=())
    assert dict(conditions(plan, settled))["seconds"].startswith("interpolated for 1 of 4 candidates")


def test_extrapolated_seconds_are_called_so(tmp_path: Path) -> None:
    plan = compiled(tmp_path, without(tmp_path, Shape.of(context=256)), "budget 1000 s")
    assert any("1 of them beyond what is known" in note for note in plan.notes)


def test_a_file_may_ask_for_all_candidates(tmp_path: Path) -> None:
    text = without(tmp_path, MISSING).rstrip() + " for all\n"
    with pytest.raises(Refused) as refused:
        compiled(tmp_path, text, "budget 1000 s")
    (found,) = refused.value.diagnostics
    assert found.code == "incomplete-profile"
    assert "`for all` asks for the seconds of all candidates" in found.notes[1]
    assert compiled(tmp_path, without(tmp_path).rstrip() + " for all\n").candidates
    report = Report()
    assert formatted(parse(Source("here", 'profile from   "p.json"\nfor all'), report)) == (
        'profile    from "p.json" for all\n'
    )
    assert not report.failed


def test_two_known_candidates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        compiled(tmp_path, without(tmp_path, MISSING, Shape.of(context=256)), "budget 1000 s")
    (found,) = refused.value.diagnostics
    assert found.code == "incomplete-profile"
    assert "interpolated if 3 candidates or more" in found.notes[1]


def test_one_point_may_outweigh_all_others() -> None:
    """Errors of predictions by the other points are finite and right, whatever the sizes of the points."""
    found = roofline([(1e9, 1e-9), (2e9, 2e9), (3e9, 3e9), (4e9, 4e9)])
    assert found is not None
    # The line through the other three predicts 1 s for 1e9 FLOPs.
    assert found.off == pytest.approx(1e18)
    tiny = roofline([(1.0, 1.0), (1.0, 1.0), (1e200, 5.0)])
    assert tiny is not None
    assert tiny.off == pytest.approx(0.8)
    assert tiny.seconds(1.0) == pytest.approx(1)


def test_the_line_of_many_shapes_takes_linear_time() -> None:
    """With quadratic time, these would be 10^10 sums."""
    line = [(float(number), 0.5 + 2.0 * number) for number in range(1, 100_001)]
    found = roofline(line)
    assert found is not None
    assert (found.overhead, found.per_flop) == pytest.approx((0.5, 2.0))
    assert found.off == pytest.approx(0, abs=1e-6)
