"""Mixtures of corpora: their shares, their orders, and what is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from plans import toy_text_plan
from test_tokens import write
from torch_tools import CPU

from shapeflow.api import run
from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.compiler import compile_file, program_of
from shapeflow.data.digits import Digits
from shapeflow.data.mixture import Mixture
from shapeflow.data.text import Text
from shapeflow.data.tokens import Tokens
from shapeflow.ir.corpora import Weights
from shapeflow.ir.edits import EditError
from shapeflow.ir.evaluation import predicted
from shapeflow.ir.history import parting
from shapeflow.ir.plan import Plan, Spec
from shapeflow.ir.plan_check import faults
from shapeflow.ir.plan_json import dumps, load, loads, sealed
from shapeflow.ir.retention import Retention
from shapeflow.preview.corpora import changes, corpora_line
from shapeflow.preview.difference import Row, differences
from shapeflow.preview.run import run_view
from shapeflow.preview.screen import show
from shapeflow.running.rivals.of_file import OfFile
from shapeflow.running.runs import read_run
from shapeflow.running.sweep import sweep_jobs
from shapeflow.running.training import training
from shapeflow_torch.data import open_data
from shapeflow_torch.data.mixture import Corpora
from shapeflow_torch.data.order import Layout, Position
from shapeflow_torch.data.shares import Shares
from shapeflow_torch.folder import check_data
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.measure import metrics

WEIGHTS = (0.7, 0.3)


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """Two texts that have no byte in common."""
    (tmp_path / "low.txt").write_bytes(bytes(range(100)) * 60)
    (tmp_path / "high.txt").write_bytes(bytes(range(100, 200)) * 20)
    return tmp_path


def plan_of(
    weights: tuple[float, ...] = WEIGHTS, *, steps: int = 6, weights_later: tuple[Weights, ...] = (), **fields: Any
) -> Plan:
    parts = tuple(Text(f"{name}.txt", held_out=0.2) for name in ("low", "high"))
    legs = (({"context": 16}, steps), ({"context": 64}, steps))
    plan = toy_text_plan(legs, data=Mixture(parts, weights, batch=512), preview=0.3, **fields)
    return sealed(attrs.evolve(plan, weights=weights_later))


def opened(plan: Plan, root: Path) -> Corpora:
    data = open_data(plan, root, CPU)
    assert isinstance(data, Corpora)
    return data


@pytest.mark.parametrize("weights", [(1.0,), (0.7, 0.3), (0.5, 0.3, 0.2), (0.97, 0.01, 0.01, 0.01)])
def test_shares_are_right_up_to_one_window_after_every_step(weights: tuple[float, ...]) -> None:
    rng = random.Random(len(weights))
    whole = (Weights(0, tuple(10 * weight for weight in weights)),)
    shares = Shares.start(whole, [Position.start(Layout(9_000, 64)) for _ in weights])
    total = 0
    for _ in range(2_000):
        context, windows = rng.choice([16, 32, 64]), rng.choice([1, 2, 5, 32])
        taken = [sum(piece.last - piece.first for piece in pieces) for pieces in shares.take(context, windows)]
        total += context * windows
        assert sum(taken) == windows
        assert all(abs(own - weight * total) < 64 for own, weight in zip(shares.tokens, weights, strict=True))


@pytest.mark.parametrize("later", [(0.1, 0.9), (0.0, 1.0), (1.0, 0.0)])
def test_shares_are_right_across_a_change_of_weights(later: tuple[float, float]) -> None:
    """The tokens of each corpus are the sum of its shares before and after, up to one window after every step."""
    rng = random.Random(0)
    weights = [(0, (0.7, 0.3)), (40, later), (41, (0.5, 0.5)), (90, later)]
    shares = Shares.start([Weights(*one) for one in weights], [Position.start(Layout(9_000, 64)) for _ in "ab"])
    due = [0.0, 0.0]
    for step in range(300):
        context, windows = rng.choice([16, 32, 64]), rng.choice([1, 2, 5, 32])
        shares.take(context, windows)
        now = next(own for first, own in reversed(weights) if first <= step)
        due = [one + context * windows * share for one, share in zip(due, now, strict=True)]
        assert all(abs(own - one) < 64 + 1e-6 for own, one in zip(shares.tokens, due, strict=True))
    assert sum(shares.tokens) == round(sum(due))


def test_steps_that_are_passed_by_are_those_that_are_taken() -> None:
    weights = [Weights(0, (5, 3, 2)), Weights(17, (1, 0, 4)), Weights(42, (1, 1, 1))]
    taken = Shares.start(weights, [Position.start(Layout(3_000, 64)) for _ in range(3)])
    passed = taken.copy()
    for context, windows, steps in ((16, 7, 30), (64, 2, 11), (16, 3, 5)):
        passed.pass_by(context, windows, steps)
        for _ in range(steps):
            taken.take(context, windows)
    assert passed == taken


@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_step_reads_both_corpora(corpora: Path, world: int) -> None:
    data, again, low = opened(plan_of(), corpora), opened(plan_of(), corpora), 0
    for step in range(6):
        inputs, targets = data.batch(0, step, 0, 30, 16, slice(None))
        assert torch.equal(inputs[:, 1:], targets[:, :-1])
        low += int((inputs[:, 0] < 100).sum())
        parts = [again.batch(0, step, 0, 30, 16, slice(rank, 30, world))[0] for rank in range(world)]
        assert all(torch.equal(part, inputs[rank::world]) for rank, part in enumerate(parts))
    assert torch.equal(again.batch(0, 2, 0, 30, 16, slice(None))[0], data.batch(0, 2, 0, 30, 16, slice(None))[0])
    assert abs(low - 0.7 * 180) <= 4


CHANGED = (Weights(3, (0.1, 0.9)), Weights(9, (0.0, 1.0)))


def test_weights_change_at_a_step(corpora: Path) -> None:
    """The first corpus is read by its later shares; steps before the change are as without it."""
    plan, constant = plan_of(weights_later=CHANGED), plan_of()
    assert loads(dumps(plan), "plan.json") == plan
    assert '"weights": [\n' not in dumps(constant).partition('"data"')[0]
    data, same = opened(plan, corpora), opened(constant, corpora)
    low: list[int] = []
    for step in range(12):
        context = 16 if step < 6 else 64
        inputs = data.batch(0, step, 0, 512 // context, context, slice(None))[0]
        low.append(int((inputs[:, 0] < 100).sum()) * context)
        assert torch.equal(inputs, same.batch(0, step, 0, 512 // context, context, slice(None))[0]) == (step < 3)
    assert abs(sum(low[:3]) - 0.7 * 1_536) < 64
    assert abs(sum(low[:9]) - 0.7 * 1_536 - 0.1 * 3_072) < 64
    assert sum(low[9:]) <= 64
    again = opened(plan, corpora)
    for world in (2, 3):
        whole = data.batch(0, 10, 0, 8, 64, slice(None))[0]
        parts = [again.batch(0, 10, 0, 8, 64, slice(rank, 8, world))[0] for rank in range(world)]
        assert all(torch.equal(part, whole[rank::world]) for rank, part in enumerate(parts))


def test_a_run_is_measured_and_kept_where_weights_change(corpora: Path) -> None:
    """And resumes there to the same bits."""
    plan = plan_of(checkpoint=100, keep=Retention(1, False), weights_later=CHANGED)
    assert plan.turns == (3, 6, 9)
    assert [step for step in range(1, 13) if plan.measures_at(step)] == [3, 6, 9, 12]
    choices = {"device": "cpu", "warn": lambda warning: None, "root": corpora}
    run(plan, corpora / "whole", **choices)
    run(plan, corpora / "part", pause=4, **choices)
    run(plan, corpora / "part", resume=True, **choices)
    assert _losses(corpora / "whole") == _losses(corpora / "part")
    assert {"3", "9"} <= {path.name.lstrip("step-0") for path in (corpora / "whole" / "checkpoints").iterdir()}


def test_a_run_branches_before_its_weights_change() -> None:
    plan, changed = plan_of(), plan_of(weights_later=CHANGED)
    found = parting(plan, changed)
    assert found is not None
    assert found.step == 3
    assert found.said("that plan", "this one") == (
        "the weights of the corpora after step 3 are 70%, 30% in that plan, 10%, 90% in this one"
    )
    later = plan_of(weights_later=(CHANGED[0],))
    found = parting(changed, later)
    assert found is not None
    assert found.step == 9
    assert parting(plan, plan_of(weights_later=(Weights(3, (7, 3)),))) is None
    assert training(plan) != training(changed) != training(later)
    assert differences(plan, changed) == [Row("weights", "constant", ", ".join(changes(changed)))]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((Weights(3, (1.0,)),), "its weights after step 3 are [1.0]"),
        ((Weights(3, (-1.0, 2.0)),), "its weights after step 3 are [-1.0, 2.0]"),
        ((Weights(3, (0.0, 0.0)),), "its weights after step 3 are [0.0, 0.0]"),
        ((Weights(5, WEIGHTS), Weights(5, WEIGHTS)), "the steps at which its weights change are out of order"),
        ((Weights(12, WEIGHTS),), "the steps at which its weights change are out of order"),
    ],
)
def test_weights_that_no_plan_has(weights: tuple[Weights, ...], said: str) -> None:
    assert said in list(faults(attrs.evolve(plan_of(), weights=weights)))
    other = attrs.evolve(toy_text_plan(), weights=(Weights(1, WEIGHTS),))
    assert "it changes the weights of corpora, and has no mixture" in list(faults(other))


LATER = """
plan "two texts"
model transformer(depth: 1, width: 32, head_width: 16)
data mixture(of: [text("low.txt"), text("high.txt")], weights: [70%, 30%])
objective next_token
axis context in [16, 64] tokens via context_grow(preview: 0%)
stage (context: 16 tokens) until 80%
stage (context: 64 tokens) until end
"""


@pytest.mark.parametrize(
    ("sentences", "steps"),
    [
        (("budget 1000 steps", "weights [0, 2] from 80%"), [800]),
        (("budget 1000 steps", "weights [10%, 90%] from 300 steps", "weights [0, 1] from 90%"), [300, 900]),
        (("budget 512_000 tokens", "weights [0, 1] from 75%"), [750]),
        (("budget 512_000 tokens", "weights [0, 1] from 100_000 tokens"), [196]),
    ],
)
def test_where_a_file_changes_its_weights(tmp_path: Path, sentences: tuple[str, ...], steps: list[int]) -> None:
    (tmp_path / "later.shape").write_text(LATER)
    plan = compile_file(tmp_path / "later.shape", sentences)
    assert [one.first for one in plan.weights] == steps


def test_weights_change_where_a_cooldown_begins(tmp_path: Path) -> None:
    (tmp_path / "later.shape").write_text(LATER + "weights [0, 1] from 85%\nbudget 9 GFLOPs\ncooldown 15%\n")
    report = Report()
    plan = compile_file(tmp_path / "later.shape", (), report)
    assert [one.first for one in plan.weights] == [plan.cools_from]
    assert any("high 100%" in line for line in corpora_line(plan))
    jobs = sweep_jobs(tmp_path / "later.shape", ["budget 4 GFLOPs"], [0], tmp_path, report)
    assert [job.plan.weights for job in jobs] == [()] * 2
    compared = OfFile.of(tmp_path / "later.shape", [], [0], tmp_path, report)
    assert compared.plan.plan.weights == ()
    left_out = [one.message for one in report.diagnostics if one.code == "weights-left-out"]
    assert left_out == ["runs of a sweep keep the first weights", "runs of a comparison keep the first weights"]
    other = compile_file(tmp_path / "later.shape", ("weights [50%, 50%] from 40%",))
    assert [one.shares for one in other.weights] == [(0.5, 0.5)]


def test_a_corpus_can_be_drawn(corpora: Path) -> None:
    """In the order that each of them states."""
    parts = (Text("low.txt", held_out=0.2), Text("high.txt", held_out=0.2, order="drawn"))
    plan = toy_text_plan(data=Mixture(parts, WEIGHTS, batch=256))
    mixed, ordered = (opened(one, corpora).batch(0, 3, 0, 16, 16, slice(None))[0] for one in (plan, plan_of()))
    low = [one[one[:, 0] < 100] for one in (mixed, ordered)]
    high = [one[one[:, 0] >= 100] for one in (mixed, ordered)]
    assert len(high[0]) == len(high[1]) > 0
    assert not torch.equal(*high)
    assert len(low[0]) > 0


def test_held_out_losses_are_weighted(corpora: Path) -> None:
    plan = plan_of()
    made = TorchMachine(plan, opened(plan, corpora))
    made.take(plan.stages[0])
    held = made.measure(plan.stages[0])
    low, high = (held.values[f"loss@longest/{name}"] for name in ("low", "high"))
    assert low != high
    assert held.values["loss@longest"] == pytest.approx(0.7 * low + 0.3 * high)
    assert set(held.values) == set(metrics(made.data, plan.metric))
    errors = [held.errors[f"loss@longest/{name}"] for name in ("low", "high")]
    assert held.errors["loss@longest"] == pytest.approx(np.hypot(0.7 * errors[0], 0.3 * errors[1]))


@pytest.mark.parametrize(
    ("asked", "said", "ways"),
    [
        # The held-out texts have 1,200 and 400 bytes, of which all but the first can be predicted.
        (
            1500,
            "450 of them from the corpus `high`, and its held-out text has 399",
            "write `on N tokens` with a number from 214 to 1,330, or hold out more of `high`",
        ),
        (
            200,
            "60 of them from the corpus `high`, and one window of the longest context has 64",
            "write `on N tokens` with a number from 214 to 1,330, or give `high` a larger weight",
        ),
    ],
)
def test_too_little_held_out_text_of_a_corpus(asked: int, said: str, ways: str, corpora: Path) -> None:
    """The message has the number of the file, and the share and the text that it does not fit."""
    with pytest.raises(Refused) as refused:
        opened(plan_of(held_out=asked), corpora)
    (found,) = refused.value.diagnostics
    assert found.message == f"the plan evaluates on {asked:,} tokens, {said}"
    assert found.notes == ("`high` has a weight of 0.3 of all corpora",)
    assert found.help == ways
    for fits in (214, 1330):
        assert opened(plan_of(held_out=fits), corpora).parts["high"].windows >= 1


def test_held_out_text_that_no_number_fits(corpora: Path) -> None:
    with pytest.raises(Refused) as refused:
        opened(plan_of((0.99, 0.01), held_out=1000), corpora)
    (found,) = refused.value.diagnostics
    assert found.help == "give `high` a larger weight"


def test_a_mixture_is_trained_resumed_and_described(corpora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(checkpoint=4)
    assert loads(dumps(plan), "plan.json") == plan
    choices = {"device": "cpu", "warn": lambda warning: None, "root": corpora}
    run(plan, corpora / "whole", **choices)
    run(plan, corpora / "part", pause=8, **choices)
    run(plan, corpora / "part", resume=True, **choices)
    assert _losses(corpora / "whole") == _losses(corpora / "part")
    about = json.loads((corpora / "whole" / "data.json").read_text())
    assert set(about["of"]) == {"low", "high"}
    assert load(corpora / "whole" / "plan.json").data == plan.data
    show(run_view(read_run(corpora / "whole")))
    lines = capsys.readouterr().out.splitlines()
    said = lines[lines.index("") :]
    assert all(line.startswith("  ") for line in said if line)
    assert any("measured    loss@longest    /high     /low" in line for line in said)


def _losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["event"] == "step_done"]


def test_the_corpus_that_changed_is_named(tmp_path: Path) -> None:
    of = {name: {"path": f"{name}.txt", "sha256": name[0] * 64} for name in ("alpha", "beta")}
    (tmp_path / "data.json").write_text(json.dumps({"data": "mixture", "of": of, "sha256": "0"}))
    changed = {**of, "beta": {"path": "gamma.txt", "sha256": "c" * 64}}
    with pytest.raises(Refused) as refused:
        check_data(tmp_path, {"data": "mixture", "of": changed, "sha256": "1"})
    (found,) = refused.value.diagnostics
    assert found.notes == (f"then: beta.txt, SHA-256 {'b' * 16}...", f"now: gamma.txt, SHA-256 {'c' * 16}...")


def test_a_corpus_that_is_read_many_times_is_warned_of(corpora: Path) -> None:
    warned: list[Diagnostic] = []
    run(plan_of((0.2, 0.8), steps=12), corpora / "run", device="cpu", warn=warned.append, root=corpora)
    (one,) = [each for each in warned if each.code == "many-epochs"]
    assert one.message == "the run reads the corpus `high` 6.1 times"
    assert one.notes == ("epochs of each corpus: low 0.51, high 6.1",)
    assert opened(plan_of(), corpora).repeated(plan_of()) is None


@pytest.mark.parametrize(
    ("parts", "weights", "code", "said"),
    [
        ((Text("a"), Text("b")), (1.0,), "mixture-weights", "a mixture of 2 corpora has 1 weights"),
        ((), (), "mixture-weights", "the mixture has no corpus"),
        ((Text("a"), Digits()), WEIGHTS, "corpora-differ", "a mixture is of corpora of text, and `digits` is not one"),
        (
            (Text("a", batch=64), Text("b")),
            WEIGHTS,
            "corpora-differ",
            "a step has 512 tokens of all corpora together, and `text` states 64",
        ),
    ],
)
def test_mixtures_that_are_refused(parts: tuple[Any, ...], weights: tuple[float, ...], code: str, said: str) -> None:
    with pytest.raises(EditError) as caught:
        Mixture(parts, weights)
    assert (caught.value.code, caught.value.message) == (code, said)


def test_corpora_of_different_tokenizers_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / f"{name}.bin", np.arange(8_000) % 50, 50)
    header = json.loads((tmp_path / "two.json").read_text())
    mixture = Mixture((Tokens("one.bin"), Tokens("two.bin")), WEIGHTS)
    assert mixture.found_in(tmp_path).facts().vocabulary == 50
    header["tokenizer"] = {"name": "other.json", "sha256": "0" * 64}
    (tmp_path / "two.json").write_text(json.dumps(header))
    with pytest.raises(EditError) as caught:
        mixture.found_in(tmp_path)
    assert caught.value.code == "corpora-differ"
    assert "`one`" in caught.value.message
    assert "that of `two` is other.json" in caught.value.message


def test_a_moved_corpus_is_the_same_history() -> None:
    plan = plan_of()
    assert plan.data is not None
    moved = [{**one, "path": f"elsewhere/{one['path']}"} for one in plan.data.settings["of"]]
    other = attrs.evolve(plan, data=Spec("mixture", {**plan.data.settings, "of": moved}))
    assert parting(plan, other) is None
    heavier = attrs.evolve(plan, data=Spec("mixture", {**plan.data.settings, "weights": [0.6, 0.4]}))
    found = parting(plan, heavier)
    assert found is not None
    assert found.what == "the data's setting `weights`"


@pytest.mark.parametrize("asked", [None, 300])
def test_the_price_of_an_evaluation_is_that_of_the_tokens_that_a_run_predicts(corpora: Path, asked: int | None) -> None:
    """The held-out part of `low` has 1,200 tokens, and that of `high` 400: neither has its share of the default."""
    text = """
model     transformer(depth: 1, width: 16, head_width: 8, mlp_ratio: 3)
data      mixture(of: [text("low.txt", held_out: 20%), text("high.txt", held_out: 20%)], weights: [70%, 30%])
objective next_token
axis context in [16, 64] tokens via context_grow(preview: 0%)
stage (context: 16 tokens) until 50%
stage (context: 64 tokens) until end
budget 40 steps
"""
    (corpora / "m.shape").write_text(text + ("" if asked is None else f"evaluate every 10 steps on {asked} tokens\n"))
    program = program_of(corpora / "m.shape", [], Report())
    assert program is not None
    assert program.trained is not None
    data = opened(compile_file(corpora / "m.shape", [], Report()), corpora)
    if asked is not None:
        data.hold_out(asked)
    assert predicted(program, program.trained) == sum(one.windows * 64 for one in data.parts.values())
