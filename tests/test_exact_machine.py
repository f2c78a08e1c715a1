"""The exact machine: against SGD, against single steps, and against what a plan predicts."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import numpy as np
import pytest
from sources import compiled, refused, resolved, written
from torch_tools import followed, machine

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.ir.credits import Pair, Trial
from shapeflow.ir.events import Event, Measured, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.ir.random_features import projection, random_matrix
from shapeflow.ir.rates import factors
from shapeflow.ir.tabulated import TabulatedLaw
from shapeflow.laws.random_features.theory import Theory
from shapeflow.running.execute import execute
from shapeflow_exact.machine import ExactMachine
from shapeflow_exact.moments import basis, loss, moved, start, stepped
from shapeflow_simulator import Simulator

EXAMPLES = Path(__file__).parent.parent / "examples"
SGD = "optimizer sgd(lr: 0.15, momentum: 0, warmup: 0 steps, clip: 1e9, average: 1 steps)\n"
TEXT = f"""
model random_features
data power_law(alpha: 1.0, beta: 0.7, features: 64)
objective squared_error
{SGD}
axis width in [8, 16, 32] via project
"""
STAGES = """
stage (width: 8) until 12 steps
stage (width: 16) until 30 steps
stage (width: 32) until end
budget 50 steps
"""
BATCHES = TEXT.replace("random_features", "random_features(width: 16)").replace(
    "axis width in [8, 16, 32] via project", "axis batch in [1, 4] via batch_resize(lr: keep)"
)


def carried_out(plan: Plan) -> tuple[ExactMachine, list[Event]]:
    made = ExactMachine(plan)
    return made, list(execute(plan, made))


def measured(events: list[Event]) -> list[float]:
    return [event.values["squared_error"] for event in events if isinstance(event, Measured)]


@pytest.mark.parametrize("transition", ["append", "project"])
def test_three_machines_emit_the_same_events(tmp_path: Path, transition: str) -> None:
    plan = compiled(tmp_path, TEXT.replace("project", transition) + STAGES)
    _, exact = carried_out(plan)
    assert exact == list(execute(plan, Simulator(plan)))
    assert exact == followed(plan)[1]


@pytest.mark.parametrize("transition", ["append", "project"])
def test_sgd_agrees_on_average(tmp_path: Path, transition: str) -> None:
    """Over 100 seeds, each with its own random features and samples. A small step size, since the losses of large ones
    have tails too heavy for a mean over 100."""
    stages = "stage (width: 8) until 7 steps\nstage (width: 16) until end\nbudget 21 steps\n"
    text = (TEXT + stages).replace("lr: 0.15", "lr: 0.04").replace("project", transition)
    plan = attrs.evolve(compiled(tmp_path, text), evaluate=7)
    trained, exact = [], []
    for seed in range(100):
        own = attrs.evolve(plan, seed=seed)
        trained.append(measured(followed(own)[1]))
        exact.append(measured(carried_out(own)[1]))
    gap = np.array(trained) - np.array(exact)
    assert gap.shape == (100, 3)
    z = gap.mean(0) / (gap.std(0, ddof=1) / np.sqrt(100))
    assert np.abs(z).max() < 3


def test_the_loss_of_a_step_is_that_before_it(tmp_path: Path) -> None:
    _, events = carried_out(attrs.evolve(compiled(tmp_path, TEXT + STAGES), evaluate=1))
    before = [event.loss for event in events if isinstance(event, StepDone)]
    inside = [step for step in range(49) if step + 1 not in (12, 30)]
    after = measured(events)
    np.testing.assert_allclose([after[step] for step in inside], [before[step + 1] for step in inside], rtol=1e-12)
    assert before[0] == pytest.approx(float((np.arange(1, 65) ** -3.4).sum()))


def test_many_steps_at_once_are_single_steps(tmp_path: Path) -> None:
    """A schedule of the rate gives every step a rate of its own."""
    stages = "stage (width: 8) until 60%\nstage (width: 16) until end\nbudget 40 steps\nschedule cosine\n"
    plan = compiled(tmp_path, TEXT + stages)
    made, events = carried_out(plan)
    moments = start(basis(1.0, 0.7, 64, 0, 8))
    for step in range(40):
        if step == plan.stages[1].first_step:
            moments = moved(moments, basis(1.0, 0.7, 64, 0, 16), projection(0, 64, 1.0, 8, 16))
        moments = stepped(moments, 2 * factors(plan, step).rate, 1, 1)
    assert made.loss == pytest.approx(loss(moments), rel=1e-9)
    assert measured(events)[-1] == made.loss


def test_a_batch_that_grows(tmp_path: Path) -> None:
    """The mean gradient is followed, so four times the batch has a quarter of the step size of the sum."""
    plan = compiled(tmp_path, BATCHES + "stage (batch: 1) until 50%\nstage (batch: 4) until end\nbudget 80 samples\n")
    first, second = (stage.steps or 0 for stage in plan.stages)
    moments = stepped(start(basis(1.0, 0.7, 64, 0, 16)), 0.3, 1, first)
    moments = stepped(moments, 0.3 / 4, 4, second)
    assert carried_out(plan)[0].loss == pytest.approx(loss(moments), rel=1e-9)


def test_torch_projects_as_the_exact_machine_does(tmp_path: Path) -> None:
    plan = attrs.evolve(compiled(tmp_path, TEXT + STAGES), seed=3)
    made = machine(plan)
    for step in range(12):
        made.step(plan.stages[0], step, 0.0)
    theta = made.body.net.get_parameter("theta").detach().double().numpy()[0].copy()
    transition = plan.stages[1].transition
    assert transition is not None
    made.apply(transition, plan.stages[1])
    after = made.body.net.get_parameter("theta").detach().double().numpy()[0]
    np.testing.assert_allclose(after, projection(3, 64, 1.0, 8, 16) @ theta, rtol=1e-5, atol=1e-7)
    coefficients = made.body.net.coefficients()  # type: ignore[operator]
    np.testing.assert_allclose(coefficients, random_matrix(3, 64, 16) @ after, rtol=1e-5, atol=1e-7)


def test_a_wider_matrix_begins_like_a_narrower_one() -> None:
    wide, narrow = random_matrix(5, 40, 12), random_matrix(5, 40, 3)
    np.testing.assert_allclose(wide[:, :3] * 2, narrow)
    assert wide.std() == pytest.approx(1 / np.sqrt(12), rel=0.1)
    assert not np.allclose(random_matrix(6, 40, 3), narrow)


def test_a_projection_predicts_what_was_predicted() -> None:
    """Its predictions are the projection of the old ones on the new features, in the norm of the data."""
    deviations = np.arange(1.0, 41.0) ** -0.8
    old, new = (deviations[:, None] * random_matrix(1, 40, width) for width in (6, 12))
    theta = np.random.default_rng(0).standard_normal(6)
    # Old features that lie in the span of the new ones are kept exactly: wider matrices begin like narrower ones.
    onto = projection(1, 40, 0.8, 6, 12) @ theta
    best = np.linalg.lstsq(old, new, rcond=None)[0].T @ theta
    np.testing.assert_allclose(onto, best)
    covariance = old.T @ old
    np.testing.assert_allclose(onto, new.T @ old @ np.linalg.solve(covariance, theta), rtol=1e-6)


@pytest.mark.parametrize("axis", ["width", "batch"])
def test_laws_follow_from_the_model(tmp_path: Path, axis: str) -> None:
    text = TEXT if axis == "width" else BATCHES
    plan = compiled(tmp_path, text + "laws from phases\ntraversal steepest\nbudget 2 kFLOPs\n")
    for candidate in plan.candidates:
        width = candidate.shape.number("width") if axis == "width" else 16
        batch = candidate.shape.number("batch") if axis == "batch" else 1
        curve = Theory(1.0, 0.7, features=64, step=0.3 / batch, batch=batch).curve(width)
        assert isinstance(candidate.law, TabulatedLaw)
        assert candidate.law.provenance.settings["step"] == pytest.approx(0.3 / batch)
        assert candidate.law.error(50 * width * batch) == pytest.approx(curve.error(50 * width * batch), rel=1e-3)


def test_the_law_of_one_seed_is_what_the_machine_computes(tmp_path: Path) -> None:
    text = TEXT + "stage (width: 16) until end\nlaws from phases(seed: 7)\nbudget 300 steps\n"
    plan = attrs.evolve(compiled(tmp_path, text), seed=7)
    assert carried_out(plan)[0].loss == pytest.approx(plan.totals.error, rel=1e-3)


def realised(plan: Plan, seeds: range) -> list[float]:
    """The saving of a plan against the best fixed width, of some random features each, at the plan's own end."""
    found = []
    assert plan.totals.compute is not None
    for seed in seeds:
        end = carried_out(attrs.evolve(plan, seed=seed, evaluate=None))[0].loss
        theory = Theory(1.0, 0.7, features=1024, step=0.3, seed=seed)
        need = min(theory.curve(one.shape.number("width")).compute(end) for one in plan.candidates)
        found.append(1 - plan.totals.compute / need)
    return found


def test_the_predicted_saving_of_project_holds() -> None:
    plan = compile_file(EXAMPLES / "phases.shape", (), Report())
    assert plan.answer is not None
    assert plan.answer.best is not None
    assert plan.answer.say == "yes"
    # None of these seeds was used for the law, the interval or the credits.
    savings = realised(plan, range(100, 110))
    assert all(plan.answer.best.low <= saving <= plan.answer.best.high for saving in savings)


def test_append_is_refused_by_its_measured_credit(tmp_path: Path) -> None:
    axis = "axis width in [16, 32, 64, 128, 256] via append"
    credits = 'credits from "credits/phases_append.json"'
    refused_plan = compile_file(EXAMPLES / "phases.shape", (axis, credits), Report())
    assert refused_plan.answer is not None
    assert refused_plan.answer.say == "no"
    # What it is refused for: with the credit assumed, the plan looks as good as that of `project`, and costs far more.
    text = (EXAMPLES / "phases.shape").read_text().replace('credits    from "credits/phases_project.json"\n', "")
    assumed = compile_file(written(tmp_path, text), (axis,), Report())
    assert assumed.answer is not None
    assert assumed.answer.say == "yes"
    assert max(realised(assumed, range(100, 103))) < -1


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("model random_features", "model random_features", ""),
        ("momentum: 0, ", "", "`momentum`"),
        ("clip: 1e9, ", "", "`clip`"),
        ("sgd(lr: 0.15, momentum: 0, warmup: 0 steps, clip: 1e9, average: 1 steps)", "adamw", "`adamw`"),
    ],
)
def test_plans_that_theory_does_not_describe(tmp_path: Path, old: str, new: str, why: str) -> None:
    plan = compiled(tmp_path, TEXT.replace(old, new) + STAGES)
    if not why:
        ExactMachine(plan)
        return
    with pytest.raises(Refused) as refusal:
        ExactMachine(plan)
    (found,) = refusal.value.diagnostics
    assert found.code == "not-exact"
    assert why in found.notes[0]


def test_a_step_size_that_diverges(tmp_path: Path) -> None:
    plan = compiled(tmp_path, TEXT.replace("lr: 0.15", "lr: 0.9") + STAGES)
    with pytest.raises(Refused) as refusal:
        carried_out(plan)
    (found,) = refusal.value.diagnostics
    assert found.code == "unstable-step"
    assert found.help is not None
    advised = float(found.help.removeprefix("write `lr: ").removesuffix("` or less"))
    assert 0.1 < advised < 0.9
    carried_out(compiled(tmp_path, TEXT.replace("lr: 0.15", f"lr: {advised}") + STAGES))


def test_the_learning_rate_that_the_laws_advise(tmp_path: Path) -> None:
    text = TEXT.replace("lr: 0.15", "lr: 0.9") + "laws from phases\ntraversal steepest\nbudget 2 kFLOPs\n"
    (error,) = refused(tmp_path, text)
    assert error.code == "unstable-step"
    assert error.help is not None
    advised = float(error.help.removeprefix("write `lr: ").removesuffix("` or less"))
    assert 0.1 < advised < 0.9
    compiled(tmp_path, text.replace("lr: 0.9", f"lr: {advised}"))


def test_a_run_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, folder = written(tmp_path, TEXT + STAGES), tmp_path / "run"
    command = ["run", str(file), "--machine", "exact", "-o", str(folder), "--json"]
    assert answer(command) == 0
    end = json.loads(capsys.readouterr().out)
    assert end["finished"]
    log = (folder / "events.jsonl").read_bytes()
    assert answer(command) == 1
    assert "run-exists" in capsys.readouterr().err
    assert answer([*command, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["values"] == end["values"]
    assert len((folder / "events.jsonl").read_bytes().splitlines()) == len(log.splitlines())
    assert answer([*command, "--resume", "--set", "seed 5"]) == 1
    assert "other-plan" in capsys.readouterr().err
    assert answer([*command, "--gpus", "2", "--resume"]) == 1
    assert "one-process" in capsys.readouterr().err
    assert answer(["show", str(folder)]) == 0


@pytest.mark.parametrize(("first", "second"), [("torch", "exact"), ("exact", "torch")])
def test_a_run_of_another_machine_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], first: str, second: str
) -> None:
    file, folder = written(tmp_path, TEXT + STAGES), tmp_path / "run"
    command = ["run", str(file), "-o", str(folder), "--quiet", "--machine"]
    assert answer([*command, first]) == 0
    log = (folder / "events.jsonl").read_bytes()
    assert answer([*command, second, "--resume"]) == 1
    assert f"`{first}`, not by `{second}`" in capsys.readouterr().err
    assert (folder / "events.jsonl").read_bytes() == log


@pytest.mark.parametrize("more", [[], ["--unfinished"]])
def test_a_run_without_weights_is_not_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    folder = tmp_path / "run"
    command = ["run", str(written(tmp_path, TEXT + STAGES)), "-o", str(folder), "--quiet", "--machine", "exact"]
    assert answer(command) == 0
    assert answer(["export", str(folder), "-o", str(tmp_path / "out.safetensors"), *more]) == 1
    found = capsys.readouterr().err
    assert "no-weights" in found
    assert "--resume" not in found
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("budget", ["800 FLOPs", "1600 FLOPs"])
def test_a_sweep_does_not_take_runs_of_another_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], budget: str
) -> None:
    """Neither as its own, nor to continue them."""
    text = TEXT.replace("[8, 16, 32]", "[8]") + "traversal steepest\nbudget 2 kFLOPs\n"
    command = ["sweep", str(written(tmp_path, text)), "-o", str(tmp_path / "sweep")]
    assert answer([*command, "--budget", "800 FLOPs"]) == 0
    assert answer([*command, "--budget", budget, "--machine", "exact"]) == 1
    assert "other-machine" in capsys.readouterr().err
    (folder,) = (path for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert any((folder / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("laws", "extra", "reference"),
    [("phases", [], "run"), ("phases(seed: 0)", [], "law"), ("phases", ["--reference", "law"], "law")],
)
def test_the_law_of_an_average_is_no_reference_by_default(
    tmp_path: Path, laws: str, extra: list[str], reference: str
) -> None:
    """A run of one seed differs from it by more than a switch changes."""
    text = TEXT.replace("[8, 16, 32]", "[8, 16]") + f"laws from {laws}\ntraversal steepest\nbudget 1 kFLOPs\n"
    credits = tmp_path / "credits.json"
    command = ["probe", str(written(tmp_path, text)), "--transition", "width", "--machine", "exact"]
    assert answer([*command, "-o", str(tmp_path / "probe"), "--credits", str(credits), *extra]) == 0
    assert [one["reference"] for one in json.loads(credits.read_text())["pairs"]] == [reference]


def pair(before: int, after: int, eta: float) -> Pair:
    trial = Trial(0, eta, eta, eta, 1, 1.0, 0.5, 0.6, 0.3, 0.4, 1.0, None, None)
    return Pair("width", before, after, Shape.of({}), "law", eta, None, None, None, None, 0.0, (trial,))


def test_a_jump_goes_by_the_lowest_switch_that_it_passes_over(tmp_path: Path) -> None:
    program = resolved(tmp_path, TEXT + "laws from phases\ntraversal steepest\nbudget 2 kFLOPs\n")
    program = attrs.evolve(program, credits=(pair(8, 16, 0.2), pair(16, 32, 0.7)))
    narrow, middle, wide = (Shape.of({"width": width}) for width in (8, 16, 32))
    assert program.credit(narrow, middle) == 0.2
    assert program.credit(middle, wide) == 0.7
    assert program.credit(narrow, wide) == 0.2
    assert program.measured("width", narrow, wide) is None
    assert attrs.evolve(program, credits=(pair(8, 32, 0.4), pair(8, 16, 0.2))).credit(narrow, wide) == 0.4
    assert attrs.evolve(program, credits=(pair(8, 16, 0.2),)).credit(middle, wide) == 1
