"""What a plan minimises: FLOPs, seconds, energy, emissions or money."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import attrs
import pytest
from sources import compiled, written
from test_seconds import COARSE, FINE, PLANNED, screen, timed
from test_traversals import PATCH, two

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.units import Amount, cost
from shapeflow.cli import answer
from shapeflow.compiler import compile_fixed, unprofiled
from shapeflow.costs.carbon import Carbon
from shapeflow.costs.dollars import Dollars
from shapeflow.costs.joules import Joules
from shapeflow.ir import plan_json
from shapeflow.preview.answer import conditions
from shapeflow.preview.plan import plan_view
from shapeflow.traversals.steepest import Steepest

HOURS = 3600
UNTIL = PLANNED.replace("budget 1 TFLOPs", "stop when error <= 0.35")


@pytest.mark.parametrize(("gpu_hours", "mwh", "tonnes"), [(120, 0.036, 0.014), (48, 0.014, 0.006)])
def test_the_emissions_of_paper_a(gpu_hours: int, mwh: float, tonnes: float) -> None:
    """Anagnostidis et al. 2024, appendix E: one V100 of 280 W. The paper cuts its numbers off after three digits."""
    energy = Joules(watts=280).per_second(1) * gpu_hours * HOURS
    carbon = Carbon(watts=280).per_second(1) * gpu_hours * HOURS
    assert math.floor(energy / 3.6e9 * 1000) / 1000 == mwh
    assert round(carbon / 1000, 3) == tonnes


def test_several_devices_cost_more() -> None:
    assert Dollars(price=2.5).per_second(8) * HOURS == pytest.approx(20)
    assert cost(20, "money") == "20 dollars"
    assert [cost(one, "energy") for one in (5, 3600, 3.6e6, 3.6e9)] == ["5 J", "1 Wh", "1 kWh", "1 MWh"]
    assert [cost(one, "carbon") for one in (0.5, 2, 3e3)] == ["500 g CO2e", "2 kg CO2e", "3 t CO2e"]


@pytest.mark.parametrize(
    ("minimise", "budget"),
    [
        ("dollars(price: 36)", "budget 4 dollars"),
        ("joules(watts: 100, pue: 1)", "budget 40 kJ"),
        ("carbon(watts: 1000, pue: 1, grid: 0.9)", "budget 100 g"),
        ("seconds", "budget 400 s"),
        ("carbon(watts: 5)", "budget 400 s"),
    ],
)
def test_a_budget_is_the_time_that_it_pays_for(minimise: str, budget: str, tmp_path: Path) -> None:
    """Every cost of one machine is proportional to time, so these plans are that of 400 seconds."""
    text = timed(tmp_path, PLANNED, {FINE: 3.0})
    plain = compiled(tmp_path, text, "budget 400 s")
    plan = compiled(tmp_path, text, f"minimise {minimise}", budget)
    assert [stage.steps for stage in plan.stages] == [stage.steps for stage in plain.stages]
    assert plan.totals == plain.totals
    assert plan.in_seconds
    assert plan_json.loads(plan_json.dumps(plan), "plan.json") == plan


def test_the_cost_stands_on_the_screen(tmp_path: Path) -> None:
    text = timed(tmp_path, PLANNED)
    plan = compiled(tmp_path, text, "minimise dollars(price: 36)", "budget 4 dollars")
    assert plan.charge is not None
    assert plan.charge.of(400) == pytest.approx(4)
    assert "dollars, 6.6" in screen(plan_view(plan))
    assert "of 1 device at 36 dollars an hour each" in screen(plan_view(plan))


def test_the_answer_compares_costs(tmp_path: Path) -> None:
    text = timed(tmp_path, PLANNED)
    plan = compiled(tmp_path, text, "minimise dollars(price: 36)", "budget 20 dollars")
    assert plan.answer is not None
    taken = dict(conditions(plan, plan.answer))["takes"]
    best = plan.comparison.best_fixed.seconds or 0.0
    assert taken.startswith("20 dollars; (patch: 2 px) fixed would take 2")
    assert f"{best / 100:.4g} dollars to the same error" in taken
    by_time = compiled(tmp_path, text, "budget 2000 s")
    assert by_time.answer is not None
    assert dict(conditions(by_time, by_time.answer))["takes"].startswith("33.3 minutes; (patch: 2 px) fixed")
    by_flops = compiled(tmp_path, text)
    assert by_flops.answer is not None
    assert "takes" not in dict(conditions(by_flops, by_flops.answer))


def test_a_frontier_has_times_and_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, timed(tmp_path, PLANNED, {FINE: 2.0}))
    budget = ["--budget", "2 TFLOPs"]
    assert answer(["frontier", str(file), *budget, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["scheduled"]["budgets"]
    assert row["fixed"]["seconds"] == pytest.approx(4000, rel=1e-2)
    assert row["scheduled"]["seconds"] < row["fixed"]["seconds"]
    dollars = ["--set", "minimise dollars(price: 36)", "--set", "budget 4 dollars"]
    assert answer(["frontier", str(file), "--budget", "40 dollars", *dollars]) == 0
    assert capsys.readouterr().out.startswith("for 66.67 minutes (40 dollars): ")


def test_a_target_without_a_budget_is_reached_in_the_least_time(tmp_path: Path) -> None:
    text = timed(tmp_path, UNTIL, {FINE: 20.0})
    by = {name: compiled(tmp_path, text, f"minimise {name}") for name in ("flops", "seconds")}
    assert by["flops"].stages[-1].shape == FINE
    assert by["seconds"].stages[-1].shape == COARSE
    assert (by["seconds"].totals.seconds or 0) < 0.5 * (by["flops"].totals.seconds or 0)
    assert (by["flops"].totals.compute or 0) < (by["seconds"].totals.compute or 0)
    assert compiled(tmp_path, text).stages == by["flops"].stages


def test_a_simulation_shows_the_plans_by_seconds_and_by_flops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the same error: the one takes the fewest seconds, the other the least compute."""
    path = written(tmp_path, timed(tmp_path, UNTIL, {FINE: 20.0}))
    assert answer(["simulate", str(path)]) == 0
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines() if line.strip().startswith("the ") and "(patch" in line]
    assert [row[:3] for row in rows[:2]] == [["the", "fewest", "seconds"], ["the", "least", "compute"]]
    assert "a FLOP of (patch: 2 px) takes 20 times as long as one of (patch: 4 px)" in shown
    equal = written(tmp_path, timed(tmp_path, PLANNED))
    assert answer(["simulate", str(equal)]) == 0
    assert "by FLOPs and by seconds the same shapes are the best" in capsys.readouterr().out


def test_runs_that_measure_a_profile_need_none(tmp_path: Path) -> None:
    """`profile` and the runs of a sweep are compiled before there is a price of a second."""
    text = PLANNED.replace("budget 1 TFLOPs", "budget 4 dollars\nminimise dollars(price: 36)")
    program = unprofiled(written(tmp_path, text), (), Report())
    assert program is not None
    plan = compile_fixed(program, COARSE, Amount(10, "steps"), report := Report())
    assert not report.failed
    assert plan is not None
    assert plan.charge is None


def test_the_least_time_in_closed_form() -> None:
    """Design oracle: laws S = (1, 1, .2, 0) and L = (4, 1, 0, 0), from 1.2 to .25; a FLOP takes 2 s in S and 1 s in L.
    The plan switches at .2 sqrt(2) / (sqrt(2) - 1), and takes 14.28427 s."""
    small, large = PATCH[:2]
    asked = attrs.evolve(
        two(target=0.25, steps={small: 1.0, large: 1.0}), unit="seconds", step_seconds={small: 2.0, large: 1.0}
    )
    route = Steepest(extrapolate=True).route(asked, Report())
    assert route is not None
    assert [leg.shape for leg in route.legs] == [small, large]
    switch = 0.2 * math.sqrt(2) / (math.sqrt(2) - 1)
    assert route.legs[0].until.error == pytest.approx(switch, rel=1e-9)
    seconds = 2 * asked.laws[small].compute(switch)
    seconds += asked.laws[large].compute(0.25) - asked.laws[large].compute(switch)
    assert seconds == pytest.approx(14.28427125, rel=1e-9)


@pytest.mark.parametrize(
    ("sentences", "code"),
    [
        (["minimise dollars(price: 2)", "budget 1 GFLOPs"], "two-costs"),
        (["minimise flops", "budget 20 s"], "two-costs"),
        (["minimise joules(watts: 100)", "budget 2 dollars"], "wrong-unit"),
        (["minimise joules(watts: -5)", "budget 2 J"], "out-of-range"),
        (["budget 2 dollars"], "wrong-unit"),
    ],
)
def test_costs_that_are_refused(sentences: list[str], code: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        compiled(tmp_path, timed(tmp_path, PLANNED), *sentences)
    assert [one.code for one in refused.value.diagnostics][:1] == [code]


@pytest.mark.parametrize(
    ("unit", "sentence"), [("dollars", "dollars(price"), ("kWh", "joules(watts"), ("kg", "carbon")]
)
def test_a_budget_without_its_price_names_the_missing_sentence(unit: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=re.escape(f"such as `minimise {sentence}")):
        compiled(tmp_path, timed(tmp_path, PLANNED), f"budget 2 {unit}")
    with pytest.raises(Refused) as refused:
        compiled(tmp_path, timed(tmp_path, PLANNED), "minimise seconds", f"budget 2 {unit}")
    assert "such as" not in str(refused.value)


def test_a_plan_whose_price_was_changed_is_refused(tmp_path: Path) -> None:
    plan = compiled(tmp_path, timed(tmp_path, PLANNED), "minimise dollars(price: 36)", "budget 4 dollars")
    body = json.loads(plan_json.dumps(plan))
    for wrong in ({"per_second": -1.0}, {"per_second": None}, {"devices": 0}):
        text = json.dumps(plan_json.SEAL.close({**body, "charge": {**body["charge"], **wrong}}))
        with pytest.raises(Refused):
            plan_json.loads(text, "plan.json")
