"""Learning-rate schedules: their curves, how a plan shows them, and plans without a schedule."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from plans import toy_image_plan
from sources import BY_HAND, LAWS_ONLY, compiled, refused, written

from shapeflow.base.diagnostics import Report
from shapeflow.base.sealed import digest_of
from shapeflow.ir.decay import Decay
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import dumps, loads, sealed
from shapeflow.ir.rates import factors
from shapeflow.preview.difference import Row, differences
from shapeflow.preview.rates import rate_lines
from shapeflow.registry import loaded
from shapeflow.running.replica import replica
from shapeflow.running.rivals import OfFile
from shapeflow.running.sweep import sweep_jobs

WARM = "optimizer adamw(lr: 1e-3, warmup: 100 steps)"


def rates(plan: Plan) -> list[float]:
    return [factors(plan, step).schedule for step in range(plan.steps)]


# -- the curve ---------------------------------------------------------------------------------------------------------


def test_a_schedule_falls_from_the_end_of_the_warmup(tmp_path: Path) -> None:
    """Exact values: 1 up to the first step after the warm-up, inclusive, then a function of progress over 500 steps."""
    line = rates(compiled(tmp_path, BY_HAND, WARM, "schedule linear(final: 20%)"))
    assert set(line[:101]) == {1.0}
    assert [line[step] for step in (225, 350, 475)] == [pytest.approx(value, rel=1e-15) for value in (0.8, 0.6, 0.4)]
    assert line[599] == pytest.approx(0.2 + 0.8 / 500, rel=1e-12), "`final` would be reached one step later"
    wave = rates(compiled(tmp_path, BY_HAND, WARM, "schedule cosine(final: 20%)"))
    assert set(wave[:101]) == {1.0}
    halves = [0.2 + 0.8 * left for left in ((2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4)]
    assert [wave[step] for step in (225, 350, 475)] == [pytest.approx(value, rel=1e-14) for value in halves]


def test_no_step_has_a_rate_of_zero(tmp_path: Path) -> None:
    for form in ("linear", "cosine"):
        found = rates(compiled(tmp_path, BY_HAND, WARM, f"schedule {form}(final: 0%)"))
        assert min(found) == found[-1] > 0


def test_progress_is_counted_in_steps_whatever_they_cost(tmp_path: Path) -> None:
    """Steps of the second stage cost more, but the rates equal those of a plan with one shape and as many steps."""
    plan = compiled(tmp_path, BY_HAND, WARM, "schedule linear")
    fixed = compiled(tmp_path, BY_HAND, WARM, "schedule linear", "stage (patch: 4 px) until end")
    assert plan.steps == fixed.steps
    assert len(plan.stages) == 2
    assert rates(plan) == rates(fixed)


def test_a_schedule_multiplies_the_other_factors() -> None:
    legs = (({"batch": 32, "width": 32}, 10), ({"batch": 128, "width": 64}, 20))
    plan = toy_image_plan(legs)
    falling = sealed(attrs.evolve(plan, schedule=Decay("linear", 0.0)))
    for step in range(30):
        assert factors(falling, step).rate == factors(plan, step).rate * factors(falling, step).schedule
    assert factors(falling, 17).schedule == pytest.approx(0.5), "13 of the 26 steps after a warm-up of 4 are done"


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_constant_is_the_default(tmp_path: Path) -> None:
    plain, said = compiled(tmp_path, BY_HAND), compiled(tmp_path, BY_HAND, "schedule constant")
    assert plain == said
    assert plain.schedule is None
    cooled = compiled(tmp_path, BY_HAND, "schedule constant", "cooldown 20%")
    assert (cooled.schedule, cooled.cooldown) == (None, compiled(tmp_path, BY_HAND, "cooldown 20%").cooldown)


def test_a_plan_keeps_its_schedule_as_numbers(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BY_HAND, "schedule cosine")
    assert plan.schedule == Decay("cosine", 0.1)
    assert loads(dumps(plan), "plan.json") == plan
    assert compiled(tmp_path, BY_HAND, "schedule linear").schedule == Decay("linear", 0.0)


def test_a_plan_of_an_older_file_has_no_schedule(tmp_path: Path) -> None:
    """A plan file without the field has a constant learning rate."""
    body = json.loads(dumps(compiled(tmp_path, BY_HAND)))
    del body["schedule"], body["digest"]
    body["digest"] = digest_of(body)
    assert loads(json.dumps(body), "plan.json").schedule is None


def test_a_plan_shows_its_schedule(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BY_HAND, WARM, "schedule cosine(final: 10%)")
    second = plan.stages[1].first_step
    assert list(rate_lines(plan)) == [
        "learning rate: 0.001, linear warm-up over the first 100 steps",
        f"  stage 2: x {factors(plan, second).schedule:.4g} from the schedule at its start",
        f"  schedule: cosine from x 1 at step 100 ({plan.compute_at(100) / 1e9:.4g} GFLOPs) to x 0.1 at the end",
    ]
    rows = differences(compiled(tmp_path, BY_HAND, WARM), plan)
    assert Row("schedule", "none", "cosine to 10%") in rows


def test_a_schedule_and_a_cooldown_are_refused(tmp_path: Path) -> None:
    (one,) = refused(tmp_path, BY_HAND, "schedule linear", "cooldown 10%")
    assert one.code == "two-decays"
    assert compiled(tmp_path, BY_HAND, "schedule linear", "cooldown 0%").schedule == Decay("linear", 0.0)


def test_a_schedule_needs_a_step_after_the_warmup(tmp_path: Path) -> None:
    (one,) = refused(tmp_path, BY_HAND, "schedule linear", "optimizer adamw(warmup: 600 steps)")
    assert (one.code, one.message) == ("out-of-range", "the warm-up leaves no steps for the schedule")
    last = compiled(tmp_path, BY_HAND, "schedule linear", "optimizer adamw(warmup: 599 steps)")
    assert set(rates(last)) == {1.0}


def test_a_schedule_needs_a_model(tmp_path: Path) -> None:
    (one,) = refused(tmp_path, LAWS_ONLY, "traversal evenly", "budget 10 FLOPs", "schedule linear")
    assert one.code == "no-model"


def test_a_schedule_of_another_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule is found by its entry point, and its plan loads without the distribution."""
    (tmp_path / "rates").mkdir()
    (tmp_path / "rates" / "__init__.py").write_text("")
    (tmp_path / "rates" / "tenth.py").write_text(TENTH)
    about = tmp_path / "rates-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rates\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[shapeflow.schedules]\ntenth = rates.tenth:Tenth\n")
    with monkeypatch.context() as installed:
        installed.syspath_prepend(str(tmp_path))
        loaded.cache_clear()
        text = dumps(compiled(tmp_path, BY_HAND, "schedule tenth"))
    loaded.cache_clear()
    assert loads(text, "plan.json").schedule == Decay("linear", 0.1)
    assert [one.code for one in refused(tmp_path, BY_HAND, "schedule tenth")] == ["unknown-component"]


TENTH = """
import attrs

from shapeflow.ir.decay import Decay


@attrs.frozen
class Tenth:
    \"\"\"Down to a tenth.\"\"\"

    def decay(self) -> Decay:
        return Decay("linear", 0.1)
"""


# -- laws --------------------------------------------------------------------------------------------------------------

LAWS = (
    "law for (patch: 4 px) is power(a: 4, b: 0.1, c: 0, d: 0)\nlaw for (patch: 2 px) is power(a: 4.4, b: 0.11, c: 0, "
    "d: 0)\nstart at error 90%\n"
)


def test_predictions_do_not_include_a_schedule_and_say_so(tmp_path: Path) -> None:
    report = Report()
    plain = compiled(tmp_path, BY_HAND + LAWS)
    falling = compiled(tmp_path, BY_HAND + LAWS, "schedule cosine", report=report)
    assert (falling.totals, falling.comparison) == (plain.totals, plain.comparison)
    assert [one.code for one in report.diagnostics] == ["decay-not-predicted"]
    note = "the laws describe runs at a constant learning rate: the expected errors do not include the schedule"
    assert (note in falling.notes, note in plain.notes) == (True, False)


def test_published_laws_of_falling_rates_are_warned_of_too(tmp_path: Path) -> None:
    """Published laws describe final losses of runs in one shape, each with a schedule over its own length."""
    report = Report()
    text = "axis width in [64, 128] via width_expand\nmodel transformer(depth: 2, head_width: 16, context: 64 tokens)\n"
    text += "data python_source(batch: 512 tokens)\nobjective next_token\nlaws from published(chinchilla)\n"
    plan = compiled(tmp_path, text, "traversal evenly", "budget 1 PFLOPs", "schedule cosine", report=report)
    note = "laws of runs with a falling learning rate predict only the ends of such runs"
    assert f"{note}: the expected errors do not include the schedule" in plan.notes
    (one,) = (one for one in report.diagnostics if one.code == "decay-not-predicted")
    assert one.at is not None
    assert one.at.text == note


def test_without_laws_there_is_no_warning(tmp_path: Path) -> None:
    report = Report()
    compiled(tmp_path, BY_HAND, "schedule cosine", report=report)
    assert report.diagnostics == []


def test_no_run_of_a_sweep_has_a_schedule(tmp_path: Path) -> None:
    report = Report()
    jobs = sweep_jobs(written(tmp_path, BY_HAND + "schedule cosine\n"), ["budget 400 steps"], [0, 1], tmp_path, report)
    assert [job.plan.schedule for job in jobs] == [None] * 4
    assert [one.code for one in report.diagnostics] == ["schedule-left-out"]


def test_no_rival_of_a_comparison_has_a_schedule(tmp_path: Path) -> None:
    report = Report()
    path = written(tmp_path, BY_HAND + "schedule cosine\n")
    cases = OfFile.of(path, [], [0], tmp_path, report)
    rival = cases.traversal("random", "uniform random")
    assert [job.plan.schedule for job in (*cases.plan.jobs, *rival.jobs)] == [None, None]
    assert [one.code for one in report.diagnostics] == ["schedule-left-out"]


def test_a_replica_has_a_constant_learning_rate(tmp_path: Path) -> None:
    """A replica trains for two steps after a switch, independent of the switch's place in the schedule."""
    assert replica(compiled(tmp_path, BY_HAND, "schedule linear")).schedule is None
