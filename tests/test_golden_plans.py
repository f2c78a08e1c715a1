"""Golden files of every example: the output of `shapeflow compile`, and the events of a simulation.

Refresh with `pytest tests/test_golden_plans.py --update-golden`, and read every difference as a user of the plan would.
"""

from __future__ import annotations

import functools
import itertools
import json
from pathlib import Path

import pytest
from conftest import Golden
from test_follow import CHECKED, check_steps

from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.ir import plan_json
from shapeflow.ir.events import OF_THE_CLOCK, StepDone, event_from_json, event_to_json
from shapeflow.ir.plan import Plan
from shapeflow.preview.plan import plan_view
from shapeflow.running.execute import execute
from shapeflow_simulator import Simulator

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.shape"))
MEASUREMENTS = 5
"""A golden file has every fifth measurement, and the last."""

examples = pytest.mark.parametrize("name", EXAMPLES)


def path_of(name: str) -> Path:
    return Path("examples", f"{name}.shape")


@functools.cache
def compiled(name: str) -> Plan:
    return compile_file(ROOT / path_of(name))


def plain(text: str) -> str:
    """The text without trailing spaces, which editors remove."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@examples
def test_a_plan_is_printed_as_before_and_has_the_same_digest_each_time(
    name: str, golden: Golden, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []

    def view(plan: Plan) -> object:
        plans.append(plan)
        return plan_view(plan)

    monkeypatch.setattr("shapeflow.preview.plan.plan_view", view)
    assert answer(["compile", str(path_of(name))]) == 0
    shown = capsys.readouterr()
    golden(GOLDEN / "plans" / f"{name}.txt", plain(shown.err + shown.out))
    assert [plan.digest for plan in plans] == [compiled(name).digest]


@examples
def test_a_simulation_emits_the_same_events_as_before(name: str, golden: Golden) -> None:
    plan = compiled(name)
    if not plan.runnable:
        assert not (GOLDEN / "events" / f"{name}.jsonl").exists()
        return
    golden(GOLDEN / "events" / f"{name}.jsonl", "".join(f"{line}\n" for line in thinned(plan)))


def thinned(plan: Plan) -> list[str]:
    """The simulated events as JSON lines, without steps and most measurements, numbers rounded to 6 digits."""
    events = [event_to_json(event) for event in execute(plan, Simulator(plan)) if not isinstance(event, StepDone)]
    measured = [event for event in events if event["event"] == "measured"]
    left_out = {id(event) for number, event in enumerate(measured[:-1], 1) if number % MEASUREMENTS}
    return [json.dumps(rounded(event), ensure_ascii=False) for event in events if id(event) not in left_out]


def rounded(event: dict[str, object]) -> dict[str, object]:
    """The event with numbers rounded to 6 digits, without measured times, `errors` and `plan`.

    Fitted laws differ in their last digits between processors, seconds are measured, and the plan's digest depends on
    all digits.
    """
    found: dict[str, object] = {}
    for key, value in event.items():
        if key in {*OF_THE_CLOCK, "errors", "plan"}:
            continue
        if isinstance(value, dict):
            found[key] = rounded(value)
        else:
            found[key] = float(f"{value:.6g}") if isinstance(value, float) else value
    return found


@examples
def test_events_survive_json(name: str) -> None:
    plan = compiled(name)
    if plan.runnable:
        told = list(itertools.islice(execute(plan, Simulator(plan)), 2000))
        assert [event_from_json(json.loads(json.dumps(event_to_json(event)))) for event in told] == told


@examples
def test_a_plan_survives_json(name: str, tmp_path: Path) -> None:
    plan = compiled(name)
    plan_json.save(plan, tmp_path / "plan.json")
    again = plan_json.load(tmp_path / "plan.json")
    assert again == plan
    assert plan_json.dumps(again) == (tmp_path / "plan.json").read_text(encoding="utf-8")


@examples
def test_an_example_is_in_canonical_layout(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = answer(["fmt", "--check", str(path_of(name))])
    assert status == 0, capsys.readouterr().err


@examples
def test_an_example_can_be_simulated(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["simulate", str(path_of(name))]) == 0
    assert compiled(name).name in capsys.readouterr().out


def test_no_golden_file_lacks_its_example() -> None:
    plans = {path.stem for path in (GOLDEN / "plans").iterdir()}
    assert plans == set(EXAMPLES)
    events = {path.stem for path in (GOLDEN / "events").iterdir()}
    assert events == {name for name in EXAMPLES if compiled(name).runnable}


@examples
def test_a_loop_of_its_own_makes_the_same_steps(name: str) -> None:
    plan = compiled(name)
    if plan.runnable:
        check_steps(plan, CHECKED)
