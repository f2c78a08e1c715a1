"""`start from` in a `.shape` file: what the plan holds, which files it refuses, and where laws are entered."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from sources import LAWS_ONLY, compiled, refused, resolved
from teachers import BYTES, text_weights, vit_weights, write_zeros

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import compile_by
from shapeflow.emitting import emit
from shapeflow.ir import plan_json
from shapeflow.ir.history import parting
from shapeflow.ir.law import Provenance
from shapeflow.ir.mixture import Laws
from shapeflow.ir.plan_check import faults
from shapeflow.ir.tabulated import TabulatedLaw
from shapeflow.ir.weights import Weights, read_weights
from shapeflow.preview.difference import Row, differences
from shapeflow.running.replica import replica
from shapeflow.running.rivals.of_file import plan_entry
from shapeflow.running.sweep import sweep_jobs

TEXT = """
model transformer(depth: 1, heads: 1, width: 8)
data python_source(batch: 256 tokens)
objective next_token
axis context in [16, 64] tokens via context_grow(preview: 0%)
stage (context: 16 tokens) until 50%
stage (context: 64 tokens) until end
budget 10 steps
"""
START = 'start from "first.safetensors"\n'
LAWS = """
model transformer(depth: 1, head_width: 8, context: 16 tokens)
data python_source(batch: 256 tokens)
objective next_token
axis width in [8, 16] via width_expand
law for (width: 8) is power(a: 300, b: 0.3, c: 0.2, d: 0)
law for (width: 16) is power(a: 600, b: 0.3, c: 0.1, d: 0)
budget 400 MFLOPs
"""


@pytest.fixture
def first(tmp_path: Path) -> Weights:
    return read_weights(write_zeros(tmp_path / "first.safetensors", text_weights()))


def test_a_plan_holds_the_digest_and_is_read_again(first: Weights, tmp_path: Path) -> None:
    new, plan = compiled(tmp_path, TEXT), compiled(tmp_path, TEXT + START)
    assert new.start is None
    assert plan.start is not None
    assert (plan.start.file, plan.start.sha256) == ("first.safetensors", first.sha256)
    assert plan_json.loads(plan_json.dumps(plan), "p.json") == plan
    assert '"start":' not in plan_json.dumps(new)
    assert any("first.safetensors" in note for note in plan.notes)
    assert replica(plan).start is None
    said = f"from first.safetensors, SHA-256 {first.sha256[:16]}..."
    assert Row("start", "none", said) in differences(new, plan)
    parted = parting(new, plan)
    assert parted is not None
    assert (parted.step, parted.what) == (0, "the file of the first weights")
    moved = attrs.evolve(plan, start=attrs.evolve(plan.start, file="elsewhere.safetensors"))
    assert parting(moved, plan) is None
    wrong = attrs.evolve(plan, start=attrs.evolve(plan.start, sha256="12"))
    assert list(faults(wrong)) == ["the digest of the weights that it starts from is not a SHA-256"]
    assert "start" in [each.what for each in emit(plan, "megatron", partly=True).left_out]


@pytest.mark.parametrize(("context", "noted"), [(16, True), (32, False), (64, False)])
def test_a_context_longer_than_that_of_the_weights_is_noted(context: int, noted: bool, tmp_path: Path) -> None:
    """Positions that the weights have not seen do not work as those that they have."""
    one = text_weights()
    write_zeros(
        tmp_path / "first.safetensors",
        attrs.evolve(one, shape=Shape.of(context=context), settings={**one.settings, "context": None}),
    )
    plan = compiled(
        tmp_path, TEXT.replace("[16, 64] tokens", "[32, 64] tokens").replace("16 tokens", "32 tokens") + START
    )
    said = [note for note in plan.notes if "positions beyond" in note]
    assert bool(said) == noted
    assert not noted or "up to 16 tokens, and the plan begins at 32" in said[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("width: 8", "width: 16"), "has a width of 8, and the plan's first stage a width of 16"),
        (("depth: 1", "depth: 2"), "has 1 blocks, and the plan's first stage 2 blocks"),
        (("heads: 1", "heads: 2"), "has 8 in the slot `head_width`, and the plan's first stage 4"),
        (("width: 8", "width: 8, tied: false"), "does not have `head.weight`, and the plan's model has it"),
        (("width: 8", "width: 8, rope_base: 5e5"), "has 10000 in the slot `rope.base` (`rope_base` of its model), "),
        (("width: 8", "width: 8, norm_eps: 1e-5"), "has 1e-06 in the slot `norm.eps` (`norm_eps` of its model), "),
        (("python_source(", 'tokens("t", vocabulary: 300, '), "has a vocabulary of 256 tokens"),
    ],
)
def test_weights_that_do_not_fit(changed: tuple[str, str], said: str, first: Weights, tmp_path: Path) -> None:
    assert first.model == "transformer"
    if "tokens(" in changed[1]:
        write_zeros(tmp_path / "first.safetensors", text_weights(attrs.evolve(BYTES, vocabulary=300)))
        changed, said = ("width: 8", "width: 8"), said.replace("256", "300")
    (wrong,) = refused(tmp_path, TEXT.replace(*changed) + START)
    assert wrong.code == "start-mismatch"
    assert said in wrong.message
    assert wrong.at is not None
    assert wrong.at.span.text == '"first.safetensors"'


def test_files_that_are_refused(tmp_path: Path) -> None:
    (wrong,) = refused(tmp_path, TEXT + START)
    assert (wrong.code, wrong.at is not None) == ("start-missing", True)
    (tmp_path / "first.safetensors").write_bytes(b"no weights")
    (wrong,) = refused(tmp_path, TEXT + START)
    assert wrong.code == "start-broken"
    write_zeros(tmp_path / "first.safetensors", vit_weights())
    (wrong,) = refused(tmp_path, TEXT + START)
    assert "holds a `vit`, and the plan trains `transformer`" in wrong.message
    assert [one.code for one in refused(tmp_path, LAWS_ONLY + START)] == ["no-model", "missing-sentence", "no-end"]
    assert [one.code for one in refused(tmp_path, TEXT + START + START)] == ["repeated-sentence"]


def test_laws_are_entered_at_the_error_of_the_weights(first: Weights, tmp_path: Path) -> None:
    """By hand: the first law reaches 2.2 at a compute of (300 / 2)^(1 / 0.3), and the plan goes on from there."""
    assert first.model == "transformer"
    ask = LAWS + START + "traversal fixed((width: 8))\n"
    (wrong,) = refused(tmp_path, ask)
    assert (wrong.code, wrong.help) == ("missing-start", "measure it, and add it: `start at error 1.2`")
    plan = compiled(tmp_path, ask + "start at error 2.2\n")
    scratch = compiled(tmp_path, ask.replace(START, "") + "start at error 2.2\n")
    (stage,) = plan.stages
    before, spent = 150 ** (1 / 0.3), stage.leave.compute
    assert stage.enter.error == pytest.approx(2.2)
    assert spent is not None
    assert stage.leave.error == pytest.approx(300 * (before + spent) ** -0.3 + 0.2)
    assert plan.predicted(1) == pytest.approx(300 * (before + stage.cost) ** -0.3 + 0.2)
    assert stage.steps == scratch.stages[0].steps
    other = plan.comparison.best_fixed
    assert other.compute is not None
    assert other.compute == pytest.approx(spent), "counted from the weights on, as the plan is"
    assert any("entered at error 2.2" in note for note in plan.notes)
    (wrong,) = refused(tmp_path, ask + "start at error 0.15\n")
    assert wrong.code == "no-way"
    steep = compiled(tmp_path, LAWS + START + "traversal steepest\nstart at error 2.2\n")
    assert steep.stages[0].shape == Shape.of(width=8)


def test_a_law_that_is_a_table_is_not_entered(first: Weights, tmp_path: Path) -> None:
    assert first.model == "transformer"
    program, report = resolved(tmp_path, TEXT + START + "start at error 2.2\n"), Report()
    about = Provenance(source="theory", metric="loss@own", convention="flops")
    table = TabulatedLaw(0.1, (1e6, 1e9), (2.0, 1.0), about)
    assert compile_by(Laws(dict.fromkeys(program.candidates, table)), program, report) is None
    assert [one.code for one in report.errors] == ["laws-from-scratch"]


def test_runs_for_laws_and_comparisons_start_from_new_weights(first: Weights, tmp_path: Path) -> None:
    assert first.model == "transformer"
    file = tmp_path / "a.shape"
    file.write_text(TEXT + START)
    report = Report()
    jobs = sweep_jobs(file, [], [0], tmp_path / "runs", report)
    assert all(job.plan.start is None for job in jobs)
    assert plan_entry(file, [], [0], tmp_path / "c", report).plan.start is None
    assert [one.code for one in report.diagnostics].count("start-left-out") == 2
