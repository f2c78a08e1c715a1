"""How much held-out data an evaluation uses, what it costs, and how well it is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from torch.nn import functional
from torch_tools import CPU

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.compiler import program_of
from shapeflow.ir import plan_json
from shapeflow.ir.evaluation import evaluation_compute
from shapeflow.ir.events import Evaluation, Measured, event_from_json, event_to_json
from shapeflow.ir.plan import Plan
from shapeflow.running.execute import execute
from shapeflow_torch.data import open_data
from shapeflow_torch.machine import TorchMachine

TEXT = """
model     transformer(depth: 1, width: 16, head_width: 8, mlp_ratio: 3)
data      python_source(batch: 64 tokens)
objective next_token
axis context in [8, 32] tokens via context_grow(preview: 0%)
stage (context: 8 tokens) until 50%
stage (context: 32 tokens) until end
"""


def machine(plan: Plan) -> TorchMachine:
    made = TorchMachine(plan, open_data(plan, Path(), CPU))
    made.take(plan.stages[0])
    made.look(plan.stages[0].reading)
    made.body.restart_average()
    return made


def evaluated(plan: Plan) -> tuple[TorchMachine, Evaluation]:
    made = machine(plan)
    return made, made.measure(plan.stages[0])


@torch.no_grad()
def test_the_error_of_a_loss_is_that_of_a_mean_over_the_longest_windows() -> None:
    """At a context of 16, four rows of one window of 64 tokens count as one sample."""
    made, found = evaluated(toy_text_plan(held_out=1024))
    sums: dict[int, list[float]] = {}
    for inputs, targets, windows in made.data.held_out(16, 0, 1):
        nats = functional.cross_entropy(made.body.net(inputs).flatten(0, -2), targets.flatten(), reduction="none")
        for window, row in zip(windows.tolist(), nats.view(targets.shape).mean(-1).tolist(), strict=True):
            sums.setdefault(window, []).append(row)
    means = torch.tensor([sum(rows) / 4 for rows in sums.values()], dtype=torch.float64)
    assert len(means) == 16
    assert found.values["loss@own"] == pytest.approx(float(means.mean()), rel=1e-6)
    assert found.errors["loss@own"] == pytest.approx(float(means.std() / 4), rel=1e-5)


@torch.no_grad()
def test_the_errors_of_images() -> None:
    made, found = evaluated(toy_image_plan())
    ((images, classes),) = made.data.held_out(None, 0, 1)
    logits = made.body.net(images)
    wrong = (logits.argmax(-1) != classes).double()
    nats = functional.cross_entropy(logits, classes, reduction="none").double()
    for name, each in (("classification_error", wrong), ("cross_entropy", nats)):
        assert found.values[name] == pytest.approx(float(each.mean()), rel=1e-6)
        assert found.errors[name] == pytest.approx(float(each.std() / len(each) ** 0.5), rel=1e-5)


def test_one_window_has_no_error() -> None:
    _, found = evaluated(toy_text_plan(held_out=64))
    assert set(found.values) == {"loss@own", "loss@longest"}
    assert not found.errors


def test_a_stated_number_of_tokens_is_evaluated_in_whole_windows() -> None:
    made = machine(toy_text_plan(held_out=1000))
    assert made.data.windows == 15
    assert sum(targets.numel() for _, targets, _ in made.data.held_out(64, 0, 1)) == 15 * 64


def test_a_stated_number_of_images_is_part_of_all_of_them() -> None:
    ((every, _),) = machine(toy_image_plan()).data.held_out(None, 0, 1)
    ((some, classes),) = machine(toy_image_plan(held_out=50)).data.held_out(None, 0, 1)
    assert len(some) == len(classes) == 50
    assert {image.numpy().tobytes() for image in some} <= {image.numpy().tobytes() for image in every}


@pytest.mark.parametrize(
    "plan", [toy_text_plan(held_out=63), toy_text_plan(held_out=10**8), toy_image_plan(held_out=361)]
)
def test_more_held_out_data_than_there_is_and_less_than_a_window(plan: Plan) -> None:
    with pytest.raises(Refused) as refused:
        open_data(plan, Path(), CPU)
    (found,) = refused.value.diagnostics
    assert found.code == "too-little-held-out"
    assert found.help is not None


def test_a_run_logs_errors_and_the_time_of_evaluation() -> None:
    plan = toy_text_plan(held_out=256)
    found = [event for event in execute(plan, machine(plan)) if isinstance(event, Measured)]
    assert all(set(event.errors) == set(event.values) for event in found)
    assert 0 < found[0].evaluating < found[-1].evaluating
    for event in found:
        assert attrs.asdict(event_from_json(event_to_json(event))) == attrs.asdict(event)


def test_a_log_of_an_earlier_version_has_no_errors() -> None:
    event = {"event": "measured", "step": 1, "stage": 0, "shape": {}, "compute": 1.0, "predicted": None}
    found = event_from_json({**event, "values": {"loss": 2.0}, "seconds": 0.5})
    assert isinstance(found, Measured)
    assert found.errors == {}
    with pytest.raises(ValueError, match="errors"):
        event_from_json({**event, "values": {}, "seconds": 0.5, "errors": {"loss": "x"}})


def test_only_a_stated_number_is_part_of_a_plan() -> None:
    plan = toy_text_plan()
    assert "held_out" not in plan_json.plan_to_json(plan)
    stated = plan_json.sealed(attrs.evolve(plan, held_out=1000))
    assert plan_json.loads(plan_json.dumps(stated), "plan") == stated
    assert stated.digest != plan.digest


def compiled(folder: Path, text: str) -> tuple[Any, Plan]:
    import shapeflow

    path = folder / "a.shape"
    path.write_text(TEXT + text)
    program = program_of(path, [], Report())
    return program, shapeflow.compile(path)


def test_by_default_evaluation_adds_at_most_a_twentieth(tmp_path: Path) -> None:
    """50 evaluations of these 200,000 steps would take 8% of their compute."""
    program, plan = compiled(tmp_path, "budget 200_000 steps\n")
    assert plan.evaluate is not None
    assert plan.evaluate > 4000
    spent = sum(
        evaluation_compute(program, stage.shape) or 0.0
        for stage in plan.stages
        for step in range(stage.first_step + 1, stage.last_step + 1)
        if plan.measures_at(step)
    )
    assert 0.04 < spent / plan.totals.compute <= 0.05
    assert not any("evaluation" in note for note in plan.notes)


def test_a_short_plan_is_evaluated_twenty_times_and_a_note_says_what_that_costs(tmp_path: Path) -> None:
    _, plan = compiled(tmp_path, "budget 100 steps\n")
    assert plan.evaluate == 5
    (note,) = (note for note in plan.notes if "evaluation" in note)
    assert "evaluation adds" in note


def test_the_number_that_the_note_names_costs_less(tmp_path: Path) -> None:
    _, plan = compiled(tmp_path, "budget 2000 steps\nevaluate every 10%\n")
    (note,) = (note for note in plan.notes if "evaluation" in note)
    stated = note.split("`on ")[1].split("`")[0]
    _, fewer = compiled(tmp_path, f"budget 2000 steps\nevaluate every 10% on {stated}\n")
    assert fewer.held_out == int(stated.split()[0])
    assert not any("evaluation" in note for note in fewer.notes)
    assert fewer.evaluate == plan.evaluate


def test_the_note_names_no_number_that_a_run_refuses(tmp_path: Path) -> None:
    """The longest context has 32 tokens."""
    _, plan = compiled(tmp_path, "budget 20 steps\nevaluate every 1 steps on 64 tokens\n")
    (note,) = (note for note in plan.notes if "evaluation" in note)
    assert note.endswith("evaluate less often")


def test_the_note_names_no_number_that_leaves_a_corpus_without_a_window(tmp_path: Path) -> None:
    """The longest context has 32 tokens, so a corpus with a share of 5% needs an evaluation on 640."""
    import shapeflow

    notes = []
    for weights in ("50%, 50%", "95%, 5%"):
        mixture = f"mixture(of: [python_source(), python_source()], weights: [{weights}], batch: 64 tokens)"
        text = TEXT.replace("python_source(batch: 64 tokens)", mixture)
        (tmp_path / "m.shape").write_text(text + "budget 200 steps\nevaluate every 10% on 1_024 tokens\n")
        notes += [note for note in shapeflow.compile(tmp_path / "m.shape").notes if "evaluation" in note]
    assert ["`on " in note for note in notes] == [True, False]


def test_processes_evaluate_the_same_windows() -> None:
    made = machine(toy_text_plan(held_out=1024))
    whole = torch.cat([windows for _, _, windows in made.data.held_out(24, 0, 1)])
    parts = torch.cat([windows for rank in range(3) for _, _, windows in made.data.held_out(24, rank, 3)])
    assert torch.equal(whole.bincount(), parts.bincount())


def test_the_simulator_knows_no_errors() -> None:
    import shapeflow

    plan = toy_text_plan()
    found = [event for event in shapeflow.simulate(plan) if isinstance(event, Measured)]
    assert found
    assert all(event.errors == {} for event in found)
