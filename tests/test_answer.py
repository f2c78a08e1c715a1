"""Whether a plan pays: the draws of curves against known truths, the rule, and what would settle it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import compile_file, compile_program, laws_of, program_of
from shapeflow.ir import plan_json
from shapeflow.ir.answer import Answer, Range
from shapeflow.ir.law import MeasuredCurve
from shapeflow.ir.mixture import Laws
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_check import faults
from shapeflow.laws.fitting.curve import measured_curve
from shapeflow.laws.fitting.posterior import DRAWS, Posterior, posterior
from shapeflow.laws.logs.points import Floats, Point
from shapeflow.preview.answer import conditions, headline
from shapeflow.preview.final_error import final_error, widened
from shapeflow.stages.assess.answer import Question, ask, credit_needed
from shapeflow.stages.assess.doubts import rises
from shapeflow.stages.assess.idle import idle
from shapeflow.stages.assess.settle import settle
from shapeflow.stages.assess.walked import Lines, Piece, needs, savings, walk

ROOT = Path(__file__).parent.parent
FIRST, SECOND = Shape.of(width=1), Shape.of(width=2)
COMPUTE = np.geomspace(2.0, 200.0, 50)
Numbers = tuple[float, float, float]
"""a, b and c of a law with d = 0."""


def error(law: Numbers, compute: Any) -> Any:
    return law[0] * compute ** -law[1] + law[2]


def compute(law: Numbers, value: Any) -> Any:
    return ((value - law[2]) / law[0]) ** (-1 / law[1])


def run(law: Numbers, rng: np.random.Generator, level: float = 0.0, noise: float = 1e-3) -> list[Point]:
    """A run whose compute is moved by a level, with independent noise in log error."""
    errors = error(law, COMPUTE * math.exp(level * rng.standard_normal())) * np.exp(noise * rng.standard_normal(50))
    return [Point(float(c), float(e)) for c, e in zip(COMPUTE, errors, strict=True)]


def curve(*runs: Sequence[Point]) -> MeasuredCurve:
    found = measured_curve(runs)
    assert found is not None
    return found


# -- measured curves ---------------------------------------------------------------------------------------------------


def test_a_curve_is_the_mean_of_its_runs_and_knows_how_much_they_differ() -> None:
    law = (2.0, 0.5, 0.1)
    exact = [Point(float(c), float(error(law, c))) for c in COMPUTE[::2]]
    moved = [Point(float(c), float(error(law, c * math.exp(0.1)))) for c in COMPUTE[::2]]
    one, two = curve(exact), curve(exact, moved)
    assert (one.runs, one.spread, two.runs) == (1, 0.0, 2)
    # Each of the two differs from their mean by 0.05 in log compute.
    assert two.spread == pytest.approx(2 * 0.05**2, rel=0.4)
    assert one.error == pytest.approx([point.error for point in exact], rel=1e-6)


def test_the_noise_of_a_curve_is_estimated() -> None:
    rng = np.random.default_rng(0)
    found = [curve(run((2.0, 0.5, 0.1), rng, noise=0.01)).noise for _ in range(20)]
    assert np.mean(found) == pytest.approx(0.01, rel=0.25)


def test_runs_without_a_common_range_have_no_curve() -> None:
    low, high = ([Point(c, 1 / c) for c in (f, 2 * f, 3 * f)] for f in (1.0, 10.0))
    assert measured_curve([low, high]) is None
    assert measured_curve([low, []]) is None


def test_a_curve_that_rises_is_found() -> None:
    falling = attrs.evolve(curve(run((2.0, 0.5, 0.1), np.random.default_rng(0))), noise=1e-3)
    assert not rises(falling)
    assert rises(attrs.evolve(falling, error=(*falling.error[:-1], falling.error[-2] * 1.02)))


# -- draws -------------------------------------------------------------------------------------------------------------


def test_draws_interpolate_inside_and_widen_beyond() -> None:
    law = (2.0, 0.5, 0.1)
    drawn = posterior({FIRST: curve(run(law, np.random.default_rng(1)))}, 0.0)
    lines = drawn.curves[FIRST]
    inside, beyond = np.interp([math.log(50.0), math.log(2000.0)], lines.grid, np.arange(len(lines.grid)))
    spread = lines.log_error.std(0)
    assert spread[int(inside)] < 3e-3
    assert spread[int(beyond)] > 5 * spread[int(inside)]
    assert np.median(lines.log_error[:, int(inside)]) == pytest.approx(
        math.log(error(law, math.exp(lines.grid[int(inside)]))), abs=2e-3
    )
    assert (np.diff(lines.log_error, axis=1) <= 0).all()


def test_draws_are_the_same_each_time() -> None:
    curves = {FIRST: curve(run((2.0, 0.5, 0.1), np.random.default_rng(1)))}
    one, two = posterior(curves, 0.04), posterior(curves, 0.04)
    assert np.array_equal(one.curves[FIRST].log_error, two.curves[FIRST].log_error)
    assert np.array_equal(one.curves[FIRST].level, two.curves[FIRST].level)


def test_seeds_update_how_much_runs_differ() -> None:
    made = curve(run((2.0, 0.5, 0.1), np.random.default_rng(1)))
    alone = posterior({FIRST: made}, 0.04)
    assert (alone.tau, alone.extra_runs) == (pytest.approx(0.04), 0)
    more = posterior({FIRST: attrs.evolve(made, runs=3, spread=2 * 0.1**2)}, 0.04)
    assert more.tau == pytest.approx(math.sqrt((4 * 0.04**2 + 2 * 0.1**2) / 6))
    assert more.extra_runs == 2
    assert posterior({FIRST: made}, 0.0).curves[FIRST].level.any() == np.False_


def test_exponents_are_shared_as_far_as_the_data_say() -> None:
    rng = np.random.default_rng(2)
    alike = {Shape.of(width=w): curve(run((2.0 + w, 0.5, 0.0), rng)) for w in range(4)}
    found = posterior(alike, 0.0)
    medians = [float(np.median(rows[:, 1])) for rows in found.rows.values()]
    assert max(medians) / min(medians) < 1.35


# -- walking a plan ----------------------------------------------------------------------------------------------------


def exact(*laws: Numbers, shapes: Sequence[Shape] = (FIRST, SECOND)) -> Posterior:
    """Draws that are all equal to known laws."""
    curves = {}
    for shape, law in zip(shapes, laws, strict=True):
        grid = np.linspace(math.log(1e-2), math.log(1e4), 4000)
        rows = np.tile(np.log(error(law, np.exp(grid))), (DRAWS, 1))
        made = posterior({shape: curve(run((2.0, 0.5, 0.1), np.random.default_rng(1)))}, 0.0).curves[shape]
        curves[shape] = attrs.evolve(
            made, grid=grid, log_error=rows, level=np.zeros_like(rows), first=math.log(2.0), last=math.log(200.0)
        )
    return Posterior(curves, 0.0, 0, {})


def question(drawn: Posterior, pieces: Sequence[tuple[Shape, float]], credit: float = 1.0, **other: Any) -> Question:
    switches = len(pieces) - 1
    return Question(
        posterior=drawn,
        pieces=tuple(Piece(*one) for one in pieces),
        budget=other.pop("budget", sum(length for _, length in pieces)),
        credit=lambda before, after: credit,
        allowed=lambda before, after: True,
        credits=(credit,) * switches,
        useful=0.02,
    )


CHEAP, DEAR = (1.0, 1.0, 0.2), (4.0, 1.0, 0.0)
"""The laws of examples/laws_only.shape: at error 0.4 the first is at compute 5, the second at 10."""


@pytest.mark.parametrize("credit", [1.0, 0.5])
def test_a_walk_is_that_of_the_laws(credit: float) -> None:
    lines = {shape: Lines.of(one) for shape, one in exact(CHEAP, DEAR).curves.items()}
    walked = walk(lines, [Piece(FIRST, 5.0), Piece(SECOND, 6.0)], [credit])
    expected = error(DEAR, credit * 10.0 + 6.0)
    assert np.exp(walked.left[0]) == pytest.approx(0.4, rel=1e-4)
    assert np.exp(walked.log_error) == pytest.approx(expected, rel=1e-4)
    assert needs(lines, walked.log_error)[SECOND] == pytest.approx(credit * 10.0 + 6.0, rel=1e-4)


def test_curves_are_interpolated_like_one_row_after_the_other() -> None:
    rng = np.random.default_rng(3)
    places = np.sort(rng.normal(0, 3, (20, 30)), axis=1)
    # A third of the steps are level.
    falls = np.abs(rng.normal(0, 0.1, (20, 30))) * (rng.random((20, 30)) > 1 / 3)
    lines = Lines(places, -np.cumsum(falls, axis=1), 1.0)
    inside = rng.uniform(places[:, :1], places[:, -1:], (20, 7))
    rows = [np.interp(at, x, y) for at, x, y in zip(inside, places, lines.log_error, strict=True)]
    assert lines.log_error_at(inside) == pytest.approx(np.array(rows), abs=1e-12)
    level = lines.log_error[:, 11]
    last = [x[y >= at][-1] for at, x, y in zip(level, places, lines.log_error, strict=True)]
    assert lines.place_at(level) == pytest.approx(np.array(last), abs=1e-6)
    assert np.isinf(lines.place_at(lines.log_error[:, -1] - 1e-3)).all()
    assert np.isnan(lines.log_error_at(np.full(20, np.nan))).all()


def test_a_curve_continues_before_its_first_point() -> None:
    """A stage may end before the first measurement of its shape. It must not have that measurement's error for free."""
    made = posterior({FIRST: curve(run((2.0, 0.5, 0.1), np.random.default_rng(1)))}, 0.04).curves[FIRST]
    lines = Lines.of(made)
    place = lines.places[:, 0] - 0.3
    assert (lines.log_error_at(place) > lines.log_error[:, 0]).all()
    assert lines.place_at(lines.log_error_at(place)) == pytest.approx(place, rel=1e-9)
    later = lines.places[:, 0] + np.linspace(0.1, 2.0, DRAWS)
    assert lines.place_at(lines.log_error_at(later)) == pytest.approx(later, rel=1e-3)


def test_runs_that_differ_much_keep_curves_finite_before_their_first_point() -> None:
    """The level of a run may close up the first stretch of a curve; its slope must not become infinite."""
    made = posterior({FIRST: curve(run((2.0, 0.5, 0.1), np.random.default_rng(1)))}, 1.0).curves[FIRST]
    lines = Lines.of(made)
    assert np.isfinite(np.exp(lines.log_error_at(lines.places[:, 0] - 3.0))).all()


def test_a_shape_that_never_gets_there_needs_infinitely_more() -> None:
    lines = {shape: Lines.of(one) for shape, one in exact(CHEAP, DEAR).curves.items()}
    need = needs(lines, np.full(DRAWS, math.log(0.1)))
    assert np.isinf(need[FIRST]).all()
    assert (savings(10.0, need[FIRST]) == 1.0).all()


# -- the rule ----------------------------------------------------------------------------------------------------------


def test_yes_no_and_the_least_credit_of_known_laws() -> None:
    pays = question(exact(CHEAP, DEAR), [(FIRST, 5.0), (SECOND, 6.0)])
    found = ask(pays)
    assert (found.say, found.asked) == ("yes", ())
    assert found.best.middle == pytest.approx(1 - 11 / 16, rel=1e-3)
    assert found.fixed[0].shape == SECOND
    # Without credit the second law begins at 0: 11 FLOPs buy what 6 would.
    assert ask(question(exact(CHEAP, DEAR), [(FIRST, 5.0), (SECOND, 6.0)], credit=0.0)).say == "no"
    # At a final error above 0.2 + 1/11 the first shape, fixed, needs less than the plan's 11.
    assert credit_needed(pays) == pytest.approx((4 / (0.2 + 1 / 11) - 6) / 10, abs=2e-3)


def test_a_fixed_shape_is_the_answer_only_if_no_switch_pays() -> None:
    alone = question(exact(CHEAP, DEAR), [(SECOND, 16.0)])
    assert (ask(alone).say, ask(alone).other) == ("unknown", 1.0)
    costly = question(exact(CHEAP, DEAR), [(SECOND, 16.0)], credit=0.3)
    assert (ask(costly).say, ask(costly).other) == ("no", 0.0)
    wrong = question(exact((1.0, 1.0, 0.0), DEAR), [(SECOND, 16.0)])
    assert ask(wrong).say == "no"


def test_no_means_that_no_other_switch_pays_either() -> None:
    """A plan that stays in the worse shape saves nothing, but a switch of the two would save a third."""
    poor = ask(question(exact(CHEAP, DEAR), [(FIRST, 16.0)]))
    assert poor.best.high < 0.02
    assert (poor.say, poor.other) == ("unknown", 1.0)
    late = ask(question(exact(CHEAP, DEAR), [(FIRST, 40.0), (SECOND, 0.1)]))
    assert late.best.high < 0.02
    assert late.say == "unknown"


@pytest.mark.parametrize(
    ("last", "waits"),
    [(6.0, False), (15.0, True)],  # the second shape becomes the cheaper one at error 0.4, its compute 10
)
def test_a_shape_waits_unless_it_would_be_used_later(last: float, waits: bool) -> None:
    third = Shape.of(width=3)
    drawn = exact(CHEAP, DEAR, (40.0, 1.0, 0.1), shapes=(FIRST, SECOND, third))
    begun = {
        shape: attrs.evolve(one, grid=one.grid[2000:], log_error=one.log_error[:, 2000:], level=one.level[:, 2000:])
        for shape, one in drawn.curves.items()
    }
    begun[SECOND] = attrs.evolve(begun[SECOND], last=math.log(last))
    asked = question(attrs.evolve(drawn, curves=begun), [(FIRST, 12.0)])
    assert idle(asked, ask(asked)) == ((SECOND, third) if waits else (third,))


def test_a_budget_in_another_unit_moves_the_curves() -> None:
    drawn = exact(CHEAP, DEAR)
    # One step of the second shape costs four times one of the first: in steps its law is four times as cheap.
    curves = {FIRST: drawn.curves[FIRST], SECOND: drawn.curves[SECOND].moved(-math.log(4.0))}
    found = ask(question(attrs.evolve(drawn, curves=curves), [(FIRST, 5.0), (SECOND, 1.5)]))
    assert found.best.middle == pytest.approx(1 - 6.5 / 4, rel=1e-3)
    assert found.say == "no"


def test_the_last_shape_needs_what_the_plan_spends_on_its_own_curve() -> None:
    """A draw may be level at the plan's final error, or end there: the need is not the end of the level part."""
    drawn = exact(CHEAP, DEAR)
    level = np.maximum(drawn.curves[SECOND].log_error, math.log(0.3))
    curves = {**drawn.curves, SECOND: attrs.evolve(drawn.curves[SECOND], log_error=level)}
    found = ask(question(attrs.evolve(drawn, curves=curves), [(FIRST, 5.0), (SECOND, 6.0)]))
    assert found.last.middle == pytest.approx(1 - 11 / 16, rel=1e-3)
    alone = ask(question(attrs.evolve(drawn, curves=curves), [(SECOND, 100.0)]))
    assert (alone.last.low, alone.last.high) == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.0, abs=1e-9))


def test_what_settles_runs_that_differ_and_curves_that_end_too_early() -> None:
    rng = np.random.default_rng(5)
    laws = ((2.0, 0.45, 0.30), (2.6, 0.45, 0.2))
    curves = {shape: curve(run(law, rng)) for shape, law in zip((FIRST, SECOND), laws, strict=True)}
    at = float(compute(laws[1], error(laws[0], 20.0)))
    wide = question(posterior(curves, 0.1), [(FIRST, 20.0), (SECOND, 150.0 - at)])
    assert ask(wide).say == "unknown"
    found = settle(wide, ask(wide))
    assert found is not None
    assert found.by == "seeds"
    assert found.compute == pytest.approx((found.times - 1) * 2 * 200.0, rel=0.06)
    assert ask(wide, times=dict.fromkeys((FIRST, SECOND), found.times)).say != "unknown"
    far = question(posterior(curves, 0.04), [(FIRST, 20.0), (SECOND, 900.0)])
    longer = settle(far, ask(far))
    assert longer is not None
    assert (longer.by, longer.shapes) == ("compute", (SECOND,))
    assert longer.times == pytest.approx((900.0 + at) / 200.0, rel=0.1)
    farther = question(posterior(curves, 0.04), [(FIRST, 20.0), (SECOND, 2500.0)])
    assert settle(farther, ask(farther)) is None


def test_what_settles_is_priced_in_compute_and_by_run() -> None:
    rng = np.random.default_rng(5)
    laws = ((2.0, 0.45, 0.30), (2.6, 0.45, 0.2))
    curves = {shape: curve(run(law, rng)) for shape, law in zip((FIRST, SECOND), laws, strict=True)}
    at = float(compute(laws[1], error(laws[0], 20.0)))
    for pieces, differ in (([20.0, 150.0 - at], 0.1), ([20.0, 900.0], 0.04)):
        drawn = posterior(curves, differ)
        flops = question(drawn, list(zip((FIRST, SECOND), pieces, strict=True)))
        # The same question with a budget in steps of 10 FLOPs.
        moved = {shape: one.moved(-math.log(10.0)) for shape, one in drawn.curves.items()}
        steps = attrs.evolve(
            question(
                attrs.evolve(drawn, curves=moved),
                [(shape, piece / 10) for shape, piece in zip((FIRST, SECOND), pieces, strict=True)],
            ),
            flops=lambda shape: 10.0,
        )
        one, two = settle(flops, ask(flops)), settle(steps, ask(steps))
        assert one is not None
        assert two is not None
        assert two.compute == pytest.approx(one.compute, rel=1e-3)
        # Twice the runs: to go on, or to repeat, each of them costs.
        doubled = {shape: attrs.evolve(line, runs=2) for shape, line in drawn.curves.items()}
        again = attrs.evolve(flops, posterior=attrs.evolve(drawn, curves=doubled))
        both = settle(again, attrs.evolve(ask(flops), say="unknown"))
        assert both is not None
        assert both.compute / (both.times - 1) == pytest.approx(2 * one.compute / (one.times - 1), rel=1e-2)


def test_a_fixed_plan_is_settled_by_runs_of_all_shapes_that_it_may_switch_to() -> None:
    plan = compile_file(ROOT / "examples/fashion.shape")
    settled = answer_of(plan).settle
    assert settled is not None
    assert len(settled.shapes) == 3


def test_answers_are_right_as_often_as_they_say() -> None:
    """Known laws, one run of each shape, runs that differ by 4%: coverage of the saving of the expected curves."""
    covered, answers = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        laws = [(2.0, 0.45, 0.30 + 0.02 * rng.random()), (2.6, 0.45, 0.2 + 0.02 * rng.random())]
        curves = {s: curve(run(law, rng, level=0.04)) for s, law in zip((FIRST, SECOND), laws, strict=True)}
        switch = float(rng.uniform(5.0, 60.0))
        at = float(compute(laws[1], error(laws[0], switch)))
        length = float(rng.uniform(40.0, 150.0))
        found = ask(question(posterior(curves, 0.04, seed=seed), [(FIRST, switch), (SECOND, length)]))
        end = error(laws[1], at + length)
        need = min(compute(law, end) if end > law[2] else math.inf for law in laws)
        true = 1 - (switch + length) / need
        covered.append(found.best.low <= true <= found.best.high)
        answers.append((found.say, true))
    assert np.mean(covered) >= 0.85
    assert all(true > 0 for say, true in answers if say == "yes")
    assert all(true < 0.02 for say, true in answers if say == "no")
    assert {say for say, _ in answers} >= {"yes"}


# -- plans -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lm_context() -> Plan:
    """Without the credits that were measured: what survives a switch is assumed."""
    program = program_of(ROOT / "examples/lm_context.shape", (), Report())
    assert program is not None
    plan = compile_program(attrs.evolve(program, credits_path=None), Report())
    assert plan is not None
    return plan


def answer_of(plan: Plan) -> Answer:
    assert plan.answer is not None
    return plan.answer


def test_an_example_that_pays(lm_context: Plan) -> None:
    found = answer_of(lm_context)
    assert (found.say, found.doubts, found.asked, found.assumed) == ("yes", (), (), True)
    assert found.best is not None
    assert 0.01 < found.best.low < found.best.middle < found.best.high < 0.08
    assert found.credit_needed is not None
    assert 0.7 < found.credit_needed < 1.0
    assert found.uses is not None
    assert found.uses > 50
    assert "if each switch keeps at least" in headline(lm_context, found)
    assert dict(conditions(lm_context, found))["data"] == "inside what was measured"


def test_measured_credits_leave_a_yes_without_a_condition() -> None:
    plan = compile_file(ROOT / "examples/lm_context.shape")
    found = answer_of(plan)
    assert (found.say, found.assumed) == ("yes", False)
    assert headline(plan, found).startswith("yes: saves ")


def test_stated_laws_answer_without_an_interval() -> None:
    plan = compile_file(ROOT / "examples/laws_only.shape")
    found = answer_of(plan)
    assert (found.say, found.stated, plan.uncertainty) == ("yes", True, None)
    assert found.best is not None
    assert found.best.low == found.best.high == pytest.approx(0.3125)
    assert "90%" not in headline(plan, found)


def stated(folder: Path, tail: str, laws: Sequence[str]) -> Plan:
    axis = f"axis width in [{', '.join(str(at + 1) for at in range(len(laws)))}] via width_expand"
    lines = [f"law for (width: {at}) is power({law})" for at, law in enumerate(laws, 1)]
    (folder / "plan.shape").write_text("\n".join(['plan "stated"', axis, *lines, tail, ""]))
    return compile_file(folder / "plan.shape")


def test_a_fixed_shape_is_no_answer_if_a_switch_pays_by_stated_laws(tmp_path: Path) -> None:
    """It was: no switch pays. With the same laws `traversal steepest` saves 31%."""
    laws = ("a: 1, b: 1, c: 0.2, d: 0", "a: 4, b: 1, c: 0, d: 0")
    tail = "start at error 1.2\ntraversal fixed(shape: (width: 2))\nbudget 16 FLOPs"
    plan = stated(tmp_path, tail, laws)
    found = answer_of(plan)
    assert (found.say, found.other) == ("unknown", 1.0)
    assert "would probably save" in headline(plan, found)
    assert dict(conditions(plan, found))["settle"] == "`traversal steepest` plans the switch"
    alone = stated(tmp_path, tail, ("a: 1, b: 1, c: 0.5, d: 0", laws[1]))
    assert (answer_of(alone).say, answer_of(alone).other) == ("unknown", 1.0)
    dominated = stated(tmp_path, tail, ("a: 8, b: 1, c: 0.2, d: 0", laws[1]))
    assert (answer_of(dominated).say, answer_of(dominated).other) == ("no", 0.0)
    assert "no switch pays" in headline(dominated, answer_of(dominated))


def test_a_plan_that_ends_at_the_floor_of_its_law_has_an_answer(tmp_path: Path) -> None:
    """By rounding, no law reaches the final error. It was an IndexError, and with switches 100%."""
    laws = ("a: 1, b: 2, c: 0.3, d: 0", "a: 4, b: 2, c: 0.29, d: 0")
    plan = stated(tmp_path, "traversal fixed(shape: (width: 2))\nbudget 1e20 FLOPs", laws)
    assert answer_of(plan).last is not None
    assert (answer_of(plan).say, answer_of(plan).fixed[0].shape) == ("no", Shape.of(width=2))
    assert headline(plan, answer_of(plan)) == "no: no switch pays; (width: 2) is the best fixed shape"
    laws = ("a: 1, b: 1, c: 0.2, d: 0", "a: 4, b: 1, c: 0.1, d: 0")
    switches = stated(tmp_path, "traversal evenly\nstart at error 1.2\nbudget 1e20 FLOPs", laws)
    found = answer_of(switches)
    assert len(switches.stages) == 2
    assert found.best is not None
    # Half of the budget was spent in the first shape.
    assert (found.say, found.best.middle) == ("no", pytest.approx(-1.0))


def test_a_stated_law_beside_fitted_ones_is_named() -> None:
    plan = compile_file(ROOT / "examples/lm_context.shape")
    first = plan.candidates[0]
    assert first.law is not None
    bare = attrs.evolve(first, law=attrs.evolve(first.law, provenance=attrs.evolve(first.law.provenance, curve=None)))
    mixed = attrs.evolve(plan, candidates=(bare, *plan.candidates[1:]))
    data = dict(conditions(mixed, answer_of(mixed)))["data"]
    assert data == f"inside what was measured; stated, and taken as exact: {first.shape.written(plan.units)}"


def test_a_mixture_is_unknown() -> None:
    """Laws of fixed shapes do not describe steps in several."""
    own = ['laws from fit("laws/bytes.csv")', "metric loss(context: own)"]
    found = answer_of(compile_file(ROOT / "examples/bytes.shape", own))
    assert (found.say, found.doubts, found.best) == ("unknown", ("mixture",), None)


def laws_and_plan(name: str, sentences: Sequence[str] = ()) -> tuple[Any, Laws]:
    report = Report()
    program = program_of(ROOT / "examples" / name, sentences, report)
    assert program is not None
    return program, Laws(laws_of(program, report))


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        ({"curve": None}, "no-measurements"),
        ({"source": "published"}, "published"),
        ({"learning_rate": "falling"}, "falling-rate"),
    ],
)
def test_laws_that_cannot_answer(change: dict[str, Any], doubt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, laws = laws_and_plan("lm_context.shape")
    changed = {s: attrs.evolve(law, provenance=attrs.evolve(law.provenance, **change)) for s, law in laws.items()}
    monkeypatch.setattr("shapeflow.compiler.find_laws", lambda *_: Laws(changed))
    plan = compile_program(program, Report())
    assert plan is not None
    found = answer_of(plan)
    assert (found.say, found.doubts[0], found.best, found.settle) == ("unknown", doubt, None, None)


def test_a_curve_that_rises_cannot_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    program, laws = laws_and_plan("lm_context.shape")
    shape, law = next(iter(laws.items()))
    made = law.provenance.curve
    assert made is not None
    bent = attrs.evolve(made, error=(*made.error[:-1], made.error[-2] * 1.05))
    changed = {**laws, shape: attrs.evolve(law, provenance=attrs.evolve(law.provenance, curve=bent))}
    monkeypatch.setattr("shapeflow.compiler.find_laws", lambda *_: Laws(changed))
    plan = compile_program(program, Report())
    assert plan is not None
    assert answer_of(plan).doubts == ("rises",)


def test_runs_that_differ_much_are_unknown() -> None:
    found = answer_of(compile_file(ROOT / "examples/digits.shape"))
    assert (found.say, found.doubts) == ("unknown", ("runs-differ",))


def test_errors_are_predicted_inside_the_data_only() -> None:
    near = compile_file(ROOT / "examples/lm_context.shape", ["budget 1 TFLOPs"])
    far = compile_file(ROOT / "examples/lm_context.shape", ["budget 2 TFLOPs"])
    assert answer_of(near).error is not None
    assert answer_of(far).asked
    assert answer_of(far).error is None
    assert far.uncertainty is not None
    assert (far.uncertainty.error, far.uncertainty.band) == (None, ())


def test_curves_are_not_used_beyond_where_they_are_drawn() -> None:
    """The draws end at 20 times the data. A plan for a thousand times was said to lose 2,500%."""
    plan = compile_file(ROOT / "examples/lm_context.shape", ["budget 1 PFLOPs"])
    found = answer_of(plan)
    assert (found.say, found.doubts, found.best, plan.uncertainty) == ("unknown", ("too-far",), None, None)
    assert list(faults(plan)) == []


def test_a_plan_file_keeps_its_answer(lm_context: Plan, tmp_path: Path) -> None:
    plan_json.save(lm_context, tmp_path / "plan.json")
    again = plan_json.load(tmp_path / "plan.json")
    assert again.answer == lm_context.answer
    assert json.loads(json.dumps(plan_json.answer_to_json(answer_of(lm_context))))["say"] == "yes"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"best": Range(low=0.2, middle=0.1, high=0.3)}, "a range is not ordered"),
        ({"other": 1.5}, "a probability is not between 0 and 1"),
        ({"doubts": ("rises",)}, "its doubts contradict the answer yes"),
        ({"best": None}, "it answers yes without a saving"),
    ],
)
def test_answers_that_contradict_themselves_are_refused(change: dict[str, Any], said: str, lm_context: Plan) -> None:
    plan = attrs.evolve(lm_context, answer=attrs.evolve(answer_of(lm_context), **change))
    assert [fault for fault in faults(plan) if fault.startswith("its answer")] == [f"its answer: {said}"]


def test_the_final_error_has_an_interval_for_all_data_like_the_held_out_set(lm_context: Plan) -> None:
    """The standard error of the set adds in quadrature to the interval of the law, which holds for this set."""
    assert lm_context.answer is not None
    found = lm_context.answer.error
    assert found is not None
    assert "all such data" not in final_error(lm_context, found)
    low, high = widened(found, 0.01)
    middle = found.middle
    assert (middle - low) ** 2 == pytest.approx((middle - found.low) ** 2 + 0.016449**2, rel=1e-6)
    assert (high - middle) ** 2 == pytest.approx((found.high - middle) ** 2 + 0.016449**2, rel=1e-6)
    stated = []
    for one in lm_context.candidates:
        assert one.law is not None
        about = attrs.evolve(one.law.provenance, held_out_error=0.01)
        stated.append(attrs.evolve(one, law=attrs.evolve(one.law, provenance=about)))
    said = final_error(attrs.evolve(lm_context, candidates=tuple(stated)), found)
    assert said.endswith(f"on this held-out set, {low:.4g} to {high:.4g} for all such data)")


def test_a_band_contains_the_prediction(lm_context: Plan) -> None:
    assert lm_context.uncertainty is not None
    places: Floats = np.array(lm_context.uncertainty.band)
    assert (np.diff(places[:, 0]) >= 0).all()
    assert (places[:, 1] <= places[:, 2]).all()
    error_at_end, low, high = lm_context.totals.error, *places[-1, 1:]
    assert error_at_end is not None
    assert low < error_at_end < high


STEPS = """
plan "steps"
model vit(depth: 2, width: 32, head_width: 16)
data digits(batch: 64)
objective cross_entropy
metric cross_entropy
axis patch in [4, 2] px via flexi_resize(base: 4 px, preview: 0%)
law for (patch: 4 px) is power(a: 2e5, b: 0.6, c: 0.3, d: 0)
law for (patch: 2 px) is power(a: 1e6, b: 0.6, c: 0.05, d: 0)
traversal steepest
start at error 2.3
budget 1000 steps
"""


def test_a_plan_for_a_budget_of_steps_is_no_worse_than_a_fixed_shape_with_these_steps(tmp_path: Path) -> None:
    """Minimizing FLOPs chose a plan that the finer shape, fixed, beat after the same 1,000 steps."""
    (tmp_path / "plan.shape").write_text(STEPS)
    plan = compile_file(tmp_path / "plan.shape")
    found = answer_of(plan)
    assert (found.unit, found.say) == ("steps", "yes")
    laws = {one.shape: one.law for one in plan.candidates}
    costs = {stage.shape: stage.cost for stage in plan.stages}
    ends = [law.error(1000 * costs[shape]) for shape, law in laws.items() if law is not None and shape in costs]
    assert len(ends) == 2
    assert plan.totals.error is not None
    assert plan.totals.error < min(ends)
    fine = laws[plan.stages[-1].shape]
    assert fine is not None
    assert found.best is not None
    need = fine.compute(plan.totals.error) / costs[plan.stages[-1].shape]
    assert found.best.middle == pytest.approx(1 - 1000 / need, rel=1e-6)
    assert "of the steps" in headline(plan, found)


CONTEXTS = """
plan "contexts"
model      transformer(depth: 2, width: 32, head_width: 16)
data       python_source(batch: 512 tokens)
objective  next_token
optimizer  adamw(lr: 2e-3, warmup: 30 steps)
metric     loss(context: own)
axis context in [16, 64, 256] tokens via context_grow
laws       from fit("contexts.csv")
traversal  steepest
budget     150 GFLOPs
"""


def contexts(folder: Path, text: str = CONTEXTS) -> tuple[Plan, list[str]]:
    (folder / "contexts.csv").write_bytes((ROOT / "tests/cases/contexts.csv").read_bytes())
    (folder / "plan.shape").write_text(text)
    report = Report()
    return compile_file(folder / "plan.shape", report=report), [one.code for one in report.diagnostics]


def test_a_short_sweep_of_contexts_promises_nothing(tmp_path: Path) -> None:
    """Three contexts for 100 GFLOPs each. The plan by loss@own was 1.9 times worse at the longest context than a fixed
    shape of its own sweep."""
    plan, codes = contexts(tmp_path)
    found = answer_of(plan)
    assert found.say != "yes"
    assert found.asked
    assert "other-end" in codes
    assert "plan by `metric loss(context: longest)`" in dict(conditions(plan, found))["beware"]
    assert found.settle is not None
    assert found.settle.by == "compute"


def test_losses_at_the_longest_context_are_not_one_measure_of_progress(tmp_path: Path) -> None:
    plan, codes = contexts(tmp_path, CONTEXTS.replace("context: own", "context: longest"))
    assert "other-end" not in codes
    if len(plan.stages) > 1:
        assert "metric" in answer_of(plan).doubts
