"""A plan that a training loop of its own follows: its steps, and the folder of its run. No torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from plans import toy_image_plan, toy_text_plan

import shapeflow
from shapeflow.base.diagnostics import Refused
from shapeflow.compiler import compile_file
from shapeflow.ir.edits import Edit
from shapeflow.ir.events import Evaluation, Measured, RunEnded, RunStarted, StepDone
from shapeflow.ir.plan import Plan, Stage, Transition
from shapeflow.ir.plan_json import save, sealed
from shapeflow.ir.rates import factors
from shapeflow.ir.steps import Steps
from shapeflow.ir.workload import Cursor, batch_of
from shapeflow.running.execute import execute
from shapeflow.running.run_log import EVENTS
from shapeflow.running.runs import read_run

TEXT = toy_text_plan(
    (({"batch": 128, "context": 16, "width": 32}, 7), ({"batch": 256, "context": 64, "width": 48}, 5)),
    preview=0.3,
    evaluate=4,
    checkpoint=3,
    cooldown=4,
)
IMAGES = toy_image_plan((({"patch": 4, "depth": 2}, 6), ({"patch": 2, "depth": 3}, 5)), preview=0.25, evaluate=3)
RECIPES = {"text": TEXT, "images": IMAGES}
CHECKED = 200
"""Steps of an example that are compared, in addition to those next to a switch."""
BY_HAND = Path(__file__).parent.parent / "examples" / "by_hand.shape"
SHORT = compile_file(BY_HAND, ("budget 30 steps", "evaluate every 4 steps", "checkpoint every 3 steps"))
"""Three stages, which switch after 12 and 21 steps. Two blend. Unlike the other plans it can be read from a file."""
plans = pytest.mark.parametrize("plan", RECIPES.values(), ids=RECIPES.keys())


class Recorder:
    """A machine that records what `execute` asks of it at each step."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.asked, self._cursor = plan, list[dict[str, Any]](), Cursor(plan)
        self._looking: Sequence[Edit] = ()
        self._switch: Transition | None = None

    def take(self, stage: Stage) -> None:
        self._switch = None

    def apply(self, transition: Transition, stage: Stage) -> None:
        self._switch = transition

    def look(self, edits: Sequence[Edit]) -> None:
        self._looking = tuple(edits)

    def step(self, stage: Stage, step: int, compute: float) -> float:
        self.asked.append(
            {
                "index": step,
                "stage": self.plan.stages.index(stage),
                "reading": self._looking,
                "batch": batch_of(stage, self._looking),
                "cost": compute,
                "transition": self._switch,
                "before": self._cursor.before(step),
                "measure": False,
                "save": False,
            }
        )
        self._switch = None
        return 0.0

    def measure(self, stage: Stage) -> Evaluation:
        self.asked[-1]["measure"] = True
        return Evaluation({})

    def asked_to_stop(self) -> None:
        return None

    def save(self, path: Path, step: int) -> None:
        self.asked[-1]["save"] = True

    def load(self, path: Path) -> int:
        return 0


def check_steps(plan: Plan, checked: int | None = None) -> None:
    """Assert that `at` says of steps what `execute` asks a machine to do, and what it reports. `checked`: about this
    number of steps, and those next to a switch; None: all."""
    recorder, steps = Recorder(plan), Steps(plan)
    done = [event for event in execute(plan, recorder, Path("nowhere")) if isinstance(event, StepDone)]
    assert len(done) == len(recorder.asked) == len(steps) == plan.steps
    every = 1 if checked is None else max(1, plan.steps // checked)
    turns = {stage.first_step + near for stage in plan.stages for near in (-1, 0, 1)}
    for event, asked in zip(done, recorder.asked, strict=True):
        n = event.step - 1
        if n % every and n not in turns and n + 1 != plan.steps:
            continue
        step = steps.at(n)
        assert {name: getattr(step, name) for name in asked} == asked
        assert (step.shape, step.stage, step.rates) == (event.shape, event.stage, factors(plan, n))
        assert step.compute == pytest.approx(event.compute, rel=1e-12)
        assert step.last == (event.step == plan.steps)


@plans
def test_any_step_is_what_the_loop_does(plan: Plan) -> None:
    check_steps(plan)
    forwards = [shapeflow.at(plan, n) for n in range(plan.steps)]
    assert [shapeflow.at(plan, n) for n in reversed(range(plan.steps))] == forwards[::-1]
    assert {step.switch for step in forwards} == {None, 0}


def test_a_step_names_what_a_loop_needs() -> None:
    text, image = shapeflow.at(TEXT, 11), shapeflow.at(IMAGES, 10)
    assert (text.batch, text.samples, text.context, text.patch, text.loss) == (256, 4, 64, None, "next_token")
    assert (image.batch, image.samples, image.context, image.patch, image.loss) == (32, 32, None, 2, "cross_entropy")
    assert text.lr == factors(TEXT, 11).rate < factors(TEXT, 8).rate


@pytest.mark.parametrize("n", [-1, 12, True, 1.0, "3"])
def test_a_step_that_the_plan_does_not_have(n: Any) -> None:
    with pytest.raises(Refused) as caught:
        shapeflow.at(TEXT, n)
    assert caught.value.diagnostics[0].code == "no-such-step"


def test_a_plan_without_a_model_has_no_steps() -> None:
    plan = sealed(attrs.evolve(TEXT, model=None))
    with pytest.raises(Refused) as caught:
        shapeflow.follow(plan)
    assert caught.value.diagnostics[0].code == "no-model"


def trained(session: shapeflow.Session, until: int | None = None) -> list[int]:
    """The steps that a loop makes, each with a loss of its own; `until`: where it is killed."""
    made = []
    for step in session:
        session.log(step, 10.0 - step.index, gradient_norm=1.0)
        if step.measure:
            session.measured(step, {session.plan.metric: 1.0 / (1 + step.index)})
        made.append(step.index)
        if step.index + 1 == until:
            break
    return made


def test_a_run_folder_has_the_events_of_the_loop(tmp_path: Path) -> None:
    plan = SHORT
    save(plan, tmp_path / "plan.json")
    session = shapeflow.follow(tmp_path / "plan.json", tmp_path / "run")
    assert trained(session) == list(range(plan.steps))
    run = read_run(tmp_path / "run")
    assert list(run.events) == list(execute(plan, Recorder(plan)))
    assert [each.loss for each in run.events if isinstance(each, StepDone)] == [10.0 - n for n in range(plan.steps)]


@pytest.mark.parametrize("closed", [True, False])
def test_a_loop_that_ends_at_the_last_step_has_finished(closed: bool, tmp_path: Path) -> None:
    """It need not ask for a step after the last: `break` and `close`, or the end of `with`."""
    with shapeflow.follow(SHORT, tmp_path / "run") as session:
        assert trained(session, SHORT.steps)[-1] == SHORT.steps - 1
        if closed:
            session.close()
    run = read_run(tmp_path / "run")
    assert [event for event in run.events if isinstance(event, RunEnded)] == [
        RunEnded(SHORT.steps, SHORT.compute_at(SHORT.steps), True)
    ]


def test_a_loop_that_fails_after_the_last_step_has_not_finished(tmp_path: Path) -> None:
    def fails() -> None:
        with shapeflow.follow(SHORT, tmp_path / "run") as session:
            trained(session, SHORT.steps)
            raise RuntimeError("in the loop")

    with pytest.raises(RuntimeError, match="in the loop"):
        fails()
    assert not any(isinstance(event, RunEnded) for event in read_run(tmp_path / "run").events)


def test_a_refusal_tells_what_to_do_in_python() -> None:
    """Without the command line, the text of the exception is all that is seen."""
    with pytest.raises(Refused) as caught:
        shapeflow.follow(SHORT, done=SHORT.steps + 1)
    assert str(caught.value).splitlines() == [
        f"no-such-step: {SHORT.steps + 1} steps cannot be done of a plan of {SHORT.steps}",
        f"  help: use a whole number from 0 to {SHORT.steps}",
    ]


@pytest.mark.parametrize("saved", [1, 11, 12, 13, 21, 29])
def test_a_resumed_run_has_the_log_of_a_whole_one(saved: int, tmp_path: Path) -> None:
    """The process is killed three steps after its checkpoint, at most: also at the switches."""
    session = shapeflow.follow(SHORT, tmp_path / "run")
    for step in session:
        session.log(step, 0.0)
        if step.index + 1 == saved:
            state = json.loads(json.dumps(session.state_dict()))
        if step.index + 1 == min(saved + 3, SHORT.steps - 1):
            break
    session.close()
    with (tmp_path / "run" / EVENTS).open("a") as file:
        file.write('{"event": "step_d')
    again = shapeflow.follow(SHORT, tmp_path / "run")
    again.load_state_dict(state)
    assert trained(again) == list(range(saved, SHORT.steps))
    events = [event for event in read_run(tmp_path / "run").events if not isinstance(event, Measured)]
    expected = [event for event in execute(SHORT, Recorder(SHORT)) if not isinstance(event, Measured)]
    assert [each for each in events if each != RunStarted(SHORT.digest, saved)] == expected
    assert again.state_dict() == {"plan": SHORT.digest, "done": SHORT.steps}


def test_a_folder_of_another_run_is_not_touched(tmp_path: Path) -> None:
    trained(shapeflow.follow(SHORT, tmp_path), until=3)
    before = (tmp_path / EVENTS).read_bytes()
    with pytest.raises(Refused) as caught:
        shapeflow.follow(IMAGES, tmp_path)
    assert caught.value.diagnostics[0].code == "other-plan"
    with pytest.raises(Refused) as caught:
        trained(shapeflow.follow(SHORT, tmp_path))
    assert caught.value.diagnostics[0].code == "run-exists"
    (tmp_path / "data.json").unlink()
    with pytest.raises(Refused) as caught:
        shapeflow.follow(SHORT, tmp_path)
    assert caught.value.diagnostics[0].code == "other-machine"
    assert (tmp_path / EVENTS).read_bytes() == before


@pytest.mark.parametrize("name", ["file", "file/in", "a\0b"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(Refused) as caught:
        next(iter(shapeflow.follow(SHORT, f"{tmp_path}/{name}")))
    assert caught.value.diagnostics[0].code == "cannot-write"
    assert (tmp_path / "file").read_text() == "kept"


def test_two_sessions_in_one_folder(tmp_path: Path) -> None:
    """Of two sessions that write to a folder at once, the second is refused, until the first is closed or gone."""
    first, refused = shapeflow.follow(SHORT, tmp_path), shapeflow.follow(SHORT, tmp_path, done=2)
    steps = iter(first)
    for step in (next(steps), next(steps)):
        first.log(step, 1.0)
    before = (tmp_path / EVENTS).read_bytes()
    with pytest.raises(Refused) as caught:
        next(iter(refused))
    assert caught.value.diagnostics[0].code == "run-busy"
    assert "session.close()" in str(caught.value.diagnostics[0].help)
    assert (tmp_path / EVENTS).read_bytes() == before
    first.close()
    second = shapeflow.follow(SHORT, tmp_path, done=2)
    assert next(iter(second)).index == 2
    del second
    assert next(iter(shapeflow.follow(SHORT, tmp_path, done=2))).index == 2


def test_an_update_without_a_loss_counts_and_is_not_written(tmp_path: Path) -> None:
    with shapeflow.follow(SHORT, tmp_path) as session:
        for step in session:
            session.log(step, None if step.index % 2 else 3.0, seconds=1.0)
            if step.index == 3:
                session.measured(step, {"loss": 2.0})
                break
    events = read_run(tmp_path).events
    assert [each.step for each in events if isinstance(each, StepDone)] == [1, 3]
    assert [each.seconds for each in events if isinstance(each, Measured)] == [4.0]
    assert session.done == 4


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"plan": "another", "done": 3}, "foreign-checkpoint"),
        ({"plan": SHORT.digest, "done": 31}, "no-such-step"),
        ({"plan": SHORT.digest, "done": 2.0}, "no-such-step"),
        ({"done": 3}, "broken-checkpoint"),
        (None, "broken-checkpoint"),
    ],
)
def test_states_that_a_session_refuses(state: Any, code: str) -> None:
    session = shapeflow.follow(SHORT)
    with pytest.raises(Refused) as caught:
        session.load_state_dict(state)
    assert caught.value.diagnostics[0].code == code
    assert session.done == 0


def test_following_a_plan_imports_no_torch(tmp_path: Path) -> None:
    save(SHORT, tmp_path / "plan.json")
    code = f"import sys, shapeflow\nfor step in shapeflow.follow({str(tmp_path / 'plan.json')!r}): pass\n"
    subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], check=True, timeout=60)
