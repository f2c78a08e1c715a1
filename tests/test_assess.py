"""Plans with resampled laws: intervals against closed forms, and which savings are not quoted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import compile_file, laws_of, program_of
from shapeflow.ir import plan_json
from shapeflow.ir.law import Law, Provenance, Resampling
from shapeflow.ir.plan import Plan, Uncertainty
from shapeflow.ir.plan_check import faults
from shapeflow.ir.plan_json import sealed
from shapeflow.ir.program import Program
from shapeflow.ir.saving_reasons import in_short
from shapeflow.stages.assess import assess
from shapeflow.stages.assess.crossing import crossings, nearest
from shapeflow.stages.assess.sample import Sample
from shapeflow.stages.lower import lower
from shapeflow.stages.traverse import traverse
from shapeflow.traversals import envelope

ROOT = Path(__file__).parent.parent
TWO = """
axis width in [1, 2] via width_expand
law for (width: 1) is power(a: 1, b: 1, c: 0.2, d: 0)
law for (width: 2) is power(a: 4, b: 1, c: 0, d: 0)
start at error 1.2
stop when error <= 0.25
"""
STEEPEST = TWO + "traversal steepest\n"
FACTORS = np.linspace(0.9, 1.1, 101)
"""Resampled factors of a law. The bounds of their 90% interval are 0.91 and 1.09."""
LOW, HIGH = 0.91, 1.09
FIRST, SECOND = Shape.of(width=1), Shape.of(width=2)
Rows = Sequence[Sequence[float]] | np.ndarray[Any, Any]


def parts(text: str, folder: Path) -> tuple[Program, dict[Shape, Law]]:
    path = folder / "plan.shape"
    path.write_text(text, encoding="utf-8")
    report = Report()
    program = program_of(path, (), report)
    assert program is not None, report.errors
    return program, dict(laws_of(program, report))


def drawn(law: Law, rows: Rows, by: Any = "noise", verdict: tuple[str, ...] = ()) -> Law:
    """The law with the given resamples, as a fit returns it."""
    how = Resampling(by=by, alike=4, count=len(rows))
    provenance = attrs.evolve(law.provenance, resampling=how, verdict=verdict)
    return attrs.evolve(law, draws=np.array(rows, dtype=float), provenance=provenance)


def scaled(law: Law, factors: Sequence[float] | np.ndarray[Any, Any], **how: Any) -> Law:
    """The law with one resample per factor, which multiplies `a`."""
    return drawn(law, [(law.a * factor, law.b, law.c, law.d) for factor in factors], **how)


def assessed(program: Program, laws: Mapping[Shape, Law], report: Report | None = None) -> Plan:
    report = Report() if report is None else report
    route = traverse(program, laws, report)
    assert route is not None
    plan = lower(program, laws, route, report)
    assert plan is not None
    plan = sealed(assess(program, laws, plan, report))
    assert not list(faults(plan))
    assert plan_json.loads(plan_json.dumps(plan), "plan.json") == plan
    return plan


def found(plan: Plan) -> Uncertainty:
    assert plan.uncertainty is not None
    return plan.uncertainty


def test_stated_laws_leave_a_plan_as_it_is(tmp_path: Path) -> None:
    plan = assessed(*parts(STEEPEST, tmp_path))
    assert plan.uncertainty is None
    assert plan.comparison.best_fixed.saving == pytest.approx(0.3125)


def test_one_law_that_moves_gives_known_intervals(tmp_path: Path) -> None:
    """The second law is 4 k / C. The plan does not depend on k: 5 FLOPs down to error 0.4, then 6 FLOPs."""
    program, laws = parts(STEEPEST, tmp_path)
    plan = assessed(program, {**laws, SECOND: scaled(laws[SECOND], FACTORS)})
    got = found(plan)
    assert (got.level, got.resamples, got.by, got.unreached, got.reasons) == (0.9, 101, "noise", 0.0, ())
    assert got.error == pytest.approx([4 * k / (10 * k + 6) for k in (LOW, HIGH)], rel=1e-5)
    assert got.compute == pytest.approx([5 + 6 * k for k in (LOW, HIGH)], rel=1e-5)
    assert got.best_fixed == pytest.approx([1 - (5 + 6 * k) / (16 * k) for k in (LOW, HIGH)], rel=1e-5)
    assert got.last_shape_fixed == got.best_fixed
    # Compute per error is 1 / (E - 0.2)^2 and 4 k / E^2; both are equal at E = 0.4 sqrt k / (2 sqrt k - 1).
    places = [0.4 * math.sqrt(k) / (2 * math.sqrt(k) - 1) for k in (HIGH, LOW)]
    assert got.switches == (pytest.approx(places, rel=1e-5),)
    assert plan.comparison.best_fixed.saving == pytest.approx(0.3125)


def test_laws_scaled_together_keep_their_crossing(tmp_path: Path) -> None:
    program, laws = parts(STEEPEST, tmp_path)
    got = found(assessed(program, {shape: scaled(law, FACTORS) for shape, law in laws.items()}))
    assert got.switches == (pytest.approx((0.4, 0.4), rel=1e-5),)
    # The first stage reaches error 0.2 + k / 5; the second goes on from there to 0.25.
    needs = [5 + 16 * k - 4 * k / (0.2 + k / 5) for k in (LOW, HIGH)]
    assert got.compute == pytest.approx(needs, rel=1e-5)


def test_identical_resamples_give_the_forecast(tmp_path: Path) -> None:
    """Identical resamples reproduce the forecast, also with whole steps, blended shapes and credits below 1."""
    report = Report()
    for name in ("joint", "lm_context", "bytes"):
        program = program_of(ROOT / "examples" / f"{name}.shape", (), report)
        assert program is not None
        laws = {
            shape: drawn(attrs.evolve(law, draws=None), [(law.a, law.b, law.c, law.d)] * 3)
            for shape, law in laws_of(program, report).items()
        }
        plan = assessed(program, laws)
        got = found(plan)
        assert got.error == pytest.approx((plan.totals.error,) * 2, rel=1e-5)
        assert got.compute == pytest.approx((plan.totals.compute,) * 2, rel=1e-5)
        for compute, low, high in got.band:
            assert low == high
            assert compute <= (plan.totals.compute or 0) * (1 + 1e-5)
        ends = {f"{stage.leave.compute:.6g}": stage.leave.error for stage in plan.stages}
        for compute, low, _ in got.band:
            if (error := ends.get(f"{compute:.6g}")) is not None:
                # At a switch the band has two entries: the error that is left and the error that is entered.
                entered = [stage.enter.error for stage in plan.stages]
                assert any(low == pytest.approx(each, rel=1e-5) for each in (error, *entered))


def test_the_band_is_where_the_laws_are(tmp_path: Path) -> None:
    program, laws = parts(STEEPEST, tmp_path)
    band = found(assessed(program, {**laws, SECOND: scaled(laws[SECOND], FACTORS)})).band
    assert 40 <= len(band) <= 60
    assert band[0][0] == pytest.approx(1)
    assert band[-1][0] == pytest.approx(11)
    for compute, low, high in band:
        if compute < 5:
            assert low == high == pytest.approx(0.2 + 1 / compute, rel=1e-5)
        if compute > 5:
            expected = [4 * k / (10 * k + compute - 5) for k in (LOW, HIGH)]
            assert (low, high) == pytest.approx(expected, rel=1e-4)


def test_a_credit_moves_the_crossing(tmp_path: Path) -> None:
    """With a credit of 81% the switch is where the first law's compute per error is 0.81 times the second's."""
    program, laws = parts(STEEPEST.replace("width_expand", "width_expand(credit: 81%)"), tmp_path)
    plan = assessed(program, {**laws, SECOND: scaled(laws[SECOND], FACTORS)})
    (pair,) = found(plan).switches
    ratio = [math.sqrt(0.81 * 4 * k) for k in (HIGH, LOW)]
    assert pair == pytest.approx([0.2 * each / (each - 1) for each in ratio], rel=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_crossings_are_those_of_the_traversal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.stack(
        [
            [rng.uniform(0.5, 8, 40), rng.uniform(0.2, 1.5, 40), rng.uniform(0, 0.3, 40), rng.uniform(-0.1, 1, 40)]
            for _ in range(2)
        ]
    )
    ease = math.log(rng.uniform(0.5, 1))
    got = crossings(Sample(*rows[0]), Sample(*rows[1]), ease, 2.0)
    for number in range(40):
        laws = [
            Law(*rows[which, :, number], Provenance(source="stated", metric="m", convention="flops"))
            for which in (0, 1)
        ]
        every = envelope.crossings(laws, 2.0, None, np.array([[0.0, ease], [0.0, 0.0]]))
        expected = sorted(one.error for one in every if one.upper == 0)
        known = sorted(value for value in got[:, number] if not math.isnan(value))
        assert known == pytest.approx(expected, rel=1e-9)
        one = nearest(got[:, number : number + 1], 0.5)[0]
        assert (math.isnan(one) and not expected) or one == pytest.approx(min(expected, key=lambda e: abs(e - 0.5)))


def test_a_switch_that_is_not_at_a_crossing_has_no_interval(tmp_path: Path) -> None:
    by_hand = TWO.replace("stop when error <= 0.25\n", "") + (
        "budget 11 FLOPs\nstage (width: 1) until 5 FLOPs\nstage (width: 2) until end\n"
    )
    # `stage_at_least` sets the length of the last stage, which moves the switch to error 0.421.
    early = STEEPEST.replace("steepest", "steepest(stage_at_least: 4.5 FLOPs)").replace("0.25", "0.2857")
    for text in (by_hand, early):
        program, laws = parts(text, tmp_path)
        plan = assessed(program, {**laws, SECOND: scaled(laws[SECOND], FACTORS)})
        assert len(plan.stages) == 2
        assert found(plan).switches == (None,)
        assert found(plan).error is not None


def test_a_switch_that_few_resamples_have_has_no_interval(tmp_path: Path) -> None:
    program, laws = parts(STEEPEST, tmp_path)
    law = laws[SECOND]
    rows = [(law.a, law.b, law.c, law.d)] * 90 + [(9.0, law.b, 0.3, law.d)] * 10
    assert found(assessed(program, {**laws, SECOND: drawn(law, rows)})).switches == (None,)


def test_candidates_in_another_order_change_nothing(tmp_path: Path) -> None:
    one, other = (parts(text, tmp_path) for text in (STEEPEST, STEEPEST.replace("[1, 2]", "[2, 1]")))
    first, second = (
        assessed(program, {**laws, SECOND: scaled(laws[SECOND], FACTORS)}) for program, laws in (one, other)
    )
    assert first.uncertainty == second.uncertainty


def test_intervals_name_runs_or_noise_as_their_source(tmp_path: Path) -> None:
    program, laws = parts(STEEPEST, tmp_path)
    for ways, expected in ((("runs", "runs"), "runs"), (("runs", "noise"), "noise")):
        moved = {shape: scaled(law, FACTORS, by=by) for (shape, law), by in zip(laws.items(), ways, strict=True)}
        assert found(assessed(program, moved)).by == expected


def withheld(plan: Plan, report: Report) -> tuple[str, ...]:
    """The reasons against the savings, after checking that no saving is quoted and that one diagnostic says so."""
    for one in (plan.comparison.best_fixed, plan.comparison.last_shape_fixed):
        assert (one.compute, one.saving) == (None, None)
        assert (one.reason or "").startswith("not reliable: ")
        assert one.shape is not None
    (said,) = (one for one in report.diagnostics if one.code == "unsupported-saving")
    assert said.notes == in_short(plan)
    return found(plan).reasons


@pytest.mark.parametrize("resampled", [True, False])
def test_an_unreliable_law_yields_no_saving(resampled: bool, tmp_path: Path) -> None:
    program, laws = parts(STEEPEST, tmp_path)
    law = scaled(laws[FIRST], FACTORS, verdict=("only 0.6 decades of compute",))
    law = law if resampled else attrs.evolve(law, draws=None)
    report = Report()
    plan = assessed(program, {**laws, FIRST: law}, report)
    assert withheld(plan, report) == ("the law of (width: 1): only 0.6 decades of compute",)
    assert found(plan).resamples == (101 if resampled else 0)


@pytest.mark.parametrize("count", [0, 1, 19])
def test_fitted_laws_with_few_resamples_yield_no_saving(count: int, tmp_path: Path) -> None:
    program, laws = parts(STEEPEST, tmp_path)
    law = scaled(laws[SECOND], FACTORS[:count])
    none = attrs.evolve(law.provenance, source="fit", resampling=law.provenance.resampling if count else None)
    law = attrs.evolve(law, provenance=none, draws=law.draws if count else None)
    report = Report()
    (reason,) = withheld(assessed(program, {**laws, SECOND: law}, report), report)
    assert reason.startswith(f"its laws have {count or 'no'} resamples; an interval of the saving needs 20")


def test_an_unreliable_law_that_no_saving_uses_is_ignored(tmp_path: Path) -> None:
    text = STEEPEST.replace("[1, 2]", "[1, 2, 3]") + "law for (width: 3) is power(a: 9, b: 1, c: 0.21, d: 0)\n"
    program, laws = parts(text, tmp_path)
    third = Shape.of(width=3)
    report = Report()
    plan = assessed(program, {**laws, third: scaled(laws[third], FACTORS, verdict=("no",))}, report)
    assert plan.comparison.best_fixed.saving == pytest.approx(0.3125)
    assert not report.diagnostics


def test_a_saving_whose_interval_includes_zero_is_not_quoted(tmp_path: Path) -> None:
    """At k = 0.4 the second law alone needs 6.4 FLOPs, less than the 7.4 of the plan."""
    program, laws = parts(STEEPEST, tmp_path)
    report = Report()
    plan = assessed(program, {**laws, SECOND: scaled(laws[SECOND], np.linspace(0.4, 1.6, 101))}, report)
    (reason,) = withheld(plan, report)
    assert "is between -5.4% and +" in reason
    assert (found(plan).best_fixed or ())[0] == pytest.approx(1 - (5 + 6 * 0.46) / (16 * 0.46), rel=1e-5)


def test_a_plan_whose_target_resamples_miss_quotes_no_saving(tmp_path: Path) -> None:
    program, laws = parts(STEEPEST, tmp_path)
    law, report = laws[SECOND], Report()
    rows = [(law.a, law.b, law.c, law.d)] * 94 + [(law.a, law.b, 0.26, law.d)] * 6
    plan = assessed(program, {**laws, SECOND: drawn(law, rows)}, report)
    assert found(plan).unreached == 0.06
    assert found(plan).compute == (11.0, None)
    assert found(plan).best_fixed is None
    assert withheld(plan, report) == ("in 6% of 100 resamples the plan does not reach error 0.25 (limit: 5%)",)


def test_a_plan_of_the_best_fixed_shape_has_a_saving_of_zero(tmp_path: Path) -> None:
    text = TWO + "traversal fixed(shape: (width: 2))\n"
    program, laws = parts(text, tmp_path)
    report = Report()
    plan = assessed(program, {**laws, SECOND: scaled(laws[SECOND], FACTORS, verdict=("no",))}, report)
    assert plan.comparison.best_fixed.saving == pytest.approx(0)
    assert not report.diagnostics
    assert found(plan).reasons == ()


@pytest.mark.parametrize(
    "change",
    [
        {"level": 1.0},
        {"resamples": -1},
        {"by": None},
        {"switches": ()},
        {"switches": ((0.5, 0.4),)},
        {"error": (0.3, 0.2)},
        {"error": (math.nan, 0.2)},
        {"compute": (-1.0, None)},
        {"compute": (2.0, 1.0)},
        {"unreached": 1.5},
        {"best_fixed": (0.1, math.inf)},
        {"band": ((2.0, 0.1, 0.2), (1.0, 0.1, 0.2))},
        {"band": ((2.0, 0.3, 0.2),)},
        {"reasons": ("but a saving is quoted",)},
    ],
)
def test_contradictory_plans_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    program, laws = parts(STEEPEST, tmp_path)
    plan = assessed(program, {**laws, SECOND: scaled(laws[SECOND], FACTORS)})
    assert list(faults(attrs.evolve(plan, uncertainty=attrs.evolve(found(plan), **change))))


def test_a_fit_carries_its_resamples_into_the_plan() -> None:
    plan = compile_file(ROOT / "examples" / "joint.shape")
    got = found(plan)
    assert got.resamples > 0
    assert got.error is not None
    assert got.error[0] <= (plan.totals.error or 0) <= got.error[1]


@pytest.mark.parametrize("way", ["traversal steepest\n", "traversal fixed(shape: (width: 2))\n"])
def test_extrapolation_is_reported_for_every_traversal(way: str, tmp_path: Path) -> None:
    program, laws = parts(TWO + way, tmp_path)
    law = laws[SECOND]
    laws[SECOND] = attrs.evolve(law, provenance=attrs.evolve(law.provenance, error=(1.2, 0.3)))
    (note,) = (note for note in assessed(program, laws).notes if "extrapolated" in note)
    assert note.startswith("the plan ends at error 0.25, but (width: 2) was only measured down to 0.3")


def test_a_reason_of_two_laws_is_reported_once(tmp_path: Path) -> None:
    program, laws = parts(STEEPEST, tmp_path)
    report = Report()
    plan = assessed(program, {shape: scaled(law, FACTORS, verdict=("no",)) for shape, law in laws.items()}, report)
    assert withheld(plan, report) == ("the laws of (width: 1), (width: 2): no",)
    assert in_short(plan) == ("the laws of (width: 1), (width: 2) are not reliable beyond the measured range",)


def test_in_short_only_what_is_against_laws_is_left_to_their_own_warning(tmp_path: Path) -> None:
    program, laws = parts(STEEPEST, tmp_path)
    laws[FIRST] = scaled(laws[FIRST], FACTORS, verdict=("no", "never"))
    laws[SECOND] = scaled(laws[SECOND], np.linspace(0.4, 1.6, 101), verdict=("no",))
    plan = assessed(program, laws, report := Report())
    both, first, own = withheld(plan, report)
    assert both == "the laws of (width: 1), (width: 2): no"
    assert first == "the law of (width: 1): never"
    assert own.startswith("the saving against the best fixed shape is between")
    assert in_short(plan) == ("the laws of (width: 1), (width: 2) are not reliable beyond the measured range", own)
    alone = assessed(program, {FIRST: attrs.evolve(laws[FIRST]), SECOND: parts(STEEPEST, tmp_path)[1][SECOND]})
    assert in_short(alone) == ("the law of (width: 1) is not reliable beyond the measured range",)
    assert in_short(assessed(*parts(STEEPEST, tmp_path))) == ()
