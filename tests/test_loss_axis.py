"""The axis `loss`, whose values are names of objectives: text, plan and runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console
from sources import compiled, refused, resolved
from torch_tools import followed, losses, machine, outputs, parameters, shake, switch

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.events import CheckpointSaved, Event, RunStarted, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.objectives.cross_entropy import CrossEntropy
from shapeflow.preview.plan import plan_view
from shapeflow.running.execute import execute
from shapeflow.running.runs import Run
from shapeflow.running.sweep import sweep_jobs, write_points
from shapeflow_simulator import Simulator

SMOOTH = """
let smooth = cross_entropy(label_smoothing: 20%)
model vit(depth: 2, head_width: 16)
data digits(batch: 16)
optimizer adamw(warmup: 2 steps)
"""
JOINT = (
    SMOOTH
    + """
axis patch in [4, 2] px via flexi_resize(base: 4 px)
axis width in [32, 48] via width_expand
axis loss in [cross_entropy, smooth] via loss_switch
candidates patch * width * loss where loss is cross_entropy or width >= 48
budget 12 steps
"""
)
WAY = """
stage (patch: 4 px, width: 32, loss: cross_entropy) until 4 steps
stage (patch: 4 px, width: 48, loss: smooth) until 8 steps
stage (patch: 2 px, width: 48, loss: cross_entropy) until end
checkpoint every 3 steps
"""
LOSSES = (
    SMOOTH.replace("(depth: 2, head_width: 16)", "(depth: 2, width: 32, heads: 2, patch: 4 px)")
    + """
axis loss in [cross_entropy, smooth] via loss_switch
stage (loss: cross_entropy) until 4 steps
stage (loss: smooth) until end
budget 8 steps
checkpoint every 3 steps
"""
)
BY_LAWS = """
axis loss in [supervised, distilled] via loss_switch
law for (loss: supervised) is power(a: 1, b: 1, c: 0.2, d: 0)
law for (loss: distilled) is power(a: 4, b: 1, c: 0, d: 0)
traversal steepest
start at error 1.2
stop when error <= 0.25
"""


def codes(folder: Path, text: str, *sentences: str) -> list[str]:
    return [one.code for one in refused(folder, text, *sentences)]


# the text


def test_values_are_names_of_objectives(tmp_path: Path) -> None:
    program = resolved(tmp_path, JOINT + "traversal evenly")
    assert program.axis("loss").values == ("cross_entropy", "smooth")
    assert len(program.candidates) == 6
    assert all(shape["loss"] == "cross_entropy" or shape.number("width") >= 48 for shape in program.candidates)
    assert program.trained is not None
    smooth = Shape.of(patch=2, width=48, loss="smooth")
    assert program.trained.objective(smooth) == CrossEntropy(label_smoothing=0.2)
    assert program.trained.cost(smooth) == program.trained.cost(smooth.with_({"loss": "cross_entropy"}))


def test_a_component_with_settings_is_referred_to_by_name(tmp_path: Path) -> None:
    inline = LOSSES.replace("[cross_entropy, smooth]", "[cross_entropy(label_smoothing: 10%), smooth]")
    plan = compiled(tmp_path, inline)
    assert {name: spec.settings["label_smoothing"] for name, spec in plan.objectives.items()} == {
        "cross_entropy": 0.1,
        "smooth": 0.2,
    }


def test_a_name_may_refer_to_another_name(tmp_path: Path) -> None:
    named = LOSSES.replace("(loss: smooth)", "(loss: later)") + "let later = smooth\n"
    assert [stage.shape["loss"] for stage in compiled(tmp_path, named).stages] == ["cross_entropy", "smooth"]
    swapped = compiled(tmp_path, named, "let later = cross_entropy")
    assert [stage.shape["loss"] for stage in swapped.stages] == ["cross_entropy", "cross_entropy"]
    fixed = JOINT + "let later = smooth\ntraversal fixed((patch: 2 px, width: 48, loss: later))"
    assert compiled(tmp_path, fixed).stages[0].shape["loss"] == "smooth"


def test_a_name_of_a_used_file(tmp_path: Path) -> None:
    (tmp_path / "common.shape").write_text("let soft = cross_entropy(label_smoothing: 30%)\n")
    text = 'use "common.shape" as common\n' + LOSSES.replace("smooth]", "common.soft]").replace(
        "(loss: smooth)", "(loss: common.soft)"
    )
    plan = compiled(tmp_path, text)
    assert plan.stages[1].shape["loss"] == "common.soft"
    assert plan.objectives["common.soft"].settings["label_smoothing"] == 0.3


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("[cross_entropy, smooth]", "[cross_entropy, cross_entropy]", "repeated-value"),
        ("[cross_entropy, smooth]", "[cross_entropy, cross_entropy(label_smoothing: 10%)]", "ambiguous-value"),
        ("[cross_entropy, smooth]", "[cross_entropy, smoth]", "unknown-component"),
        ("[cross_entropy, smooth]", "[cross_entropy, 4]", "wrong-kind"),
        ("[cross_entropy, smooth]", "smooth", "wrong-kind"),
        ("[cross_entropy, smooth]", "[cross_entropy, next_token]", "wrong-data"),
        ("stage (loss: smooth)", "stage (loss: smoth)", "unknown-value"),
        ("stage (loss: smooth)", "stage (loss: 4)", "wrong-kind"),
        ("via loss_switch", "via width_expand", "wrong-transition"),
        ("budget", "objective cross_entropy\nbudget", "two-objectives"),
        ("budget", "candidates loss where loss >= smooth\nbudget", "unordered-axis"),
        ("budget", "candidates loss where loss is smoth\nbudget", "unknown-value"),
    ],
)
def test_mistakes_with_names(tmp_path: Path, old: str, new: str, code: str) -> None:
    assert codes(tmp_path, LOSSES.replace(old, new)) == [code]


def test_a_misspelt_name_is_guessed_among_lets_and_components(tmp_path: Path) -> None:
    (wrong,) = refused(tmp_path, LOSSES.replace("[cross_entropy, smooth]", "[cross_entropy, smoth]"))
    assert wrong.help == "did you mean `smooth`?"


def test_without_a_model_names_stand_for_themselves(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BY_LAWS)
    assert [stage.shape["loss"] for stage in plan.stages] == ["supervised", "distilled"]
    assert plan.stages[0].leave.error == pytest.approx(0.4)
    assert plan.comparison.best_fixed.shape == Shape.of(loss="distilled")
    thinned = BY_LAWS + "candidates loss where loss is distilled"
    assert codes(tmp_path, thinned) == ["not-a-candidate"]


# the plan


def test_a_blend_rises_and_is_charged(tmp_path: Path) -> None:
    text = LOSSES.replace("via loss_switch", "via loss_switch(blend: 50%)").replace("4 steps", "80 steps")
    stage = compiled(tmp_path, text, "budget 160 steps").stages[0]
    assert [(blend.share, blend.first, blend.last) for blend in stage.blends] == [
        (0.2, 40, 50),
        (0.4, 50, 60),
        (0.6, 60, 70),
        (0.8, 70, 80),
    ]
    taken = [stage.blend_at(0, 0, step) is not None for step in range(80)]
    assert [sum(taken[first : first + 10]) for first in range(0, 80, 10)][:4] == [0, 0, 0, 0]
    assert sum(taken) == pytest.approx(20, abs=4)


def test_a_blend_leaves_room_for_a_preview(tmp_path: Path) -> None:
    text = JOINT.replace("via loss_switch", "via loss_switch(blend: 100%)") + WAY
    shares = {(b.shape["patch"], b.shape["loss"]): b.share for b in compiled(tmp_path, text).stages[1].blends}
    assert shares[2, "smooth"] == 0.25
    assert shares[4, "cross_entropy"] == pytest.approx(0.8 * 0.75)


def test_all_state_is_dropped_if_one_transition_requires_it(tmp_path: Path) -> None:
    asked = JOINT.replace("via loss_switch", "via loss_switch(moments: reset)") + WAY
    assert [s.transition.moments for s in compiled(tmp_path, asked).stages if s.transition] == ["reset", "reset"]
    assert [s.transition.moments for s in compiled(tmp_path, JOINT + WAY).stages if s.transition] == ["fresh", "carry"]


def test_a_plan_shows_its_losses(tmp_path: Path) -> None:
    screen = Console(width=140)
    with screen.capture() as shown:
        screen.print(plan_view(compiled(tmp_path, JOINT + WAY)))
    assert "smooth" in shown.get()
    assert "width_expand + loss_switch" in shown.get()


# runs


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return compiled(tmp_path_factory.mktemp("joint"), JOINT.replace("loss_switch", "loss_switch(blend: 50%)") + WAY)


def test_the_simulator_and_torch_emit_the_same_events(joint: Plan, tmp_path: Path) -> None:
    _, trained = followed(joint, tmp_path / "torch")
    assert trained == list(execute(joint, Simulator(joint), tmp_path / "none"))
    seen = {event.shape["loss"] for event in trained if isinstance(event, StepDone) and event.stage == 1}
    assert seen == {"cross_entropy", "smooth"}


def test_a_run_resumes_across_a_switch_bit_for_bit(joint: Plan, tmp_path: Path) -> None:
    whole = followed(joint, tmp_path)[1]
    saved = [event for event in whole if isinstance(event, CheckpointSaved)]
    first = saved[-2]
    again = followed(joint, None, tmp_path / first.name)[1]
    rest: list[Event] = [e for e in whole[1 + whole.index(first) :] if not isinstance(e, CheckpointSaved)]
    assert again == [RunStarted(joint.digest, first.step), *rest]
    assert losses(again) == losses(rest)


def test_a_switch_changes_only_the_loss(tmp_path: Path) -> None:
    plan = compiled(tmp_path, LOSSES)
    made = shake(machine(plan))
    before, weights = outputs(made), {name: p.detach().clone() for name, p in parameters(made).items()}
    body, objective = made.body, made.objective
    moments = {name: dict(state) for name, state in made.body.kept().states.items()}
    switch(made)
    assert (objective, made.objective) == ("cross_entropy", "smooth")
    assert made.body is body
    assert torch.equal(outputs(made), before)
    assert all(torch.equal(p, weights[name]) for name, p in parameters(made).items())
    kept = made.body.kept().states
    assert all(torch.equal(kept[name][part], tensor) for name, of in moments.items() for part, tensor in of.items())


def test_moments_are_dropped_if_the_switch_says_so(tmp_path: Path) -> None:
    made = shake(machine(compiled(tmp_path, LOSSES.replace("via loss_switch", "via loss_switch(moments: reset)"))))
    before = outputs(made)
    switch(made)
    assert torch.equal(outputs(made), before)
    assert not made.body.kept().states


def test_a_sweep_and_its_table(tmp_path: Path) -> None:
    """A column `loss` that holds names is read as the axis, not as the error."""
    (tmp_path / "a.shape").write_text(LOSSES)
    jobs = sweep_jobs(tmp_path / "a.shape", ["budget 8 steps", "evaluate every 1 steps"], [0], tmp_path, Report())
    assert [job.folder.name for job in jobs] == ["loss-cross_entropy-seed0", "loss-smooth-seed0"]
    runs = [Run(job.folder, job.plan, tuple(followed(job.plan)[1])) for job in jobs]
    write_points(runs, tmp_path / "points.csv")
    fitted = LOSSES.partition("stage")[0] + 'laws from fit("points.csv")\ntraversal steepest\nbudget 8 steps\n'
    laws = {c.shape["loss"]: c.law for c in compiled(tmp_path, fitted).candidates}
    assert all(law is not None and law.provenance.points for law in laws.values())
    other = (tmp_path / "points.csv").read_text().replace("classification_error", "mistakes")
    (tmp_path / "points.csv").write_text(other)
    assert codes(tmp_path, fitted) == ["missing-column"]


@pytest.mark.parametrize("columns", [80, 110])
def test_a_plan_of_many_axes_does_not_truncate_names(tmp_path: Path, columns: int) -> None:
    text = """
model transformer(head_width: 16)
data python_source(batch: 512 tokens)
axis context in [32, 64] tokens via context_grow
axis width in [32, 64] via width_expand
axis depth in [2, 4] via depth_expand
axis batch in [512, 1024] tokens via batch_resize
axis loss in [next_token, denoising] via loss_switch
stage (context: 32 tokens, width: 32, depth: 2, batch: 512 tokens, loss: next_token) until 50%
stage (context: 64 tokens, width: 64, depth: 4, batch: 1024 tokens, loss: denoising) until end
budget 600 steps
"""
    screen = Console(width=columns)
    with screen.capture() as shown:
        screen.print(plan_view(compiled(tmp_path, text)))
    names = ("depth_expand", "width_expand", "batch_resize", "context_grow", "loss_switch", "next_token", "denoising")
    assert "…" not in shown.get()
    assert all(name in shown.get() for name in names)


def test_a_value_that_no_stage_uses_is_warned_of_once(tmp_path: Path) -> None:
    text = "axis loss in [supervised, distilled] via loss_switch\naxis width in [1, 2] via width_expand\n" + "".join(
        f"law for (loss: {loss}, width: {width}) is power(a: {a}, b: 1, c: {c}, d: 0)\n"
        for loss, width, a, c in (
            ("supervised", 1, 1, 0.2),
            ("supervised", 2, 4, 0),
            ("distilled", 1, 50, 0.5),
            ("distilled", 2, 60, 0.5),
        )
    )
    report = Report()
    compiled(tmp_path, text + "traversal steepest\nstart at error 1.2\nstop when error <= 0.25\n", report=report)
    (one,) = [one for one in report.diagnostics if one.code == "unreached-candidate"]
    assert one.message == "the plan never uses 2 candidates"
    assert one.at is not None
    assert one.at.span.text == "distilled"
    assert one.notes == ("not used: (loss: distilled, width: 1), (loss: distilled, width: 2)",)
