"""Models of one's own, known by a table of their parameters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shapeflow
from shapeflow.base.shapes import Shape
from shapeflow.ir import plan_json
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts
from shapeflow.models.external import External
from shapeflow.models.parameter_table import parse_table
from shapeflow.models.transformer import Transformer

ROOT = Path(__file__).parent.parent
OWN = ROOT / "examples" / "trainers" / "own_gpt.shape"
FACTS = DataFacts(kind="text", vocabulary=300, batch=256)
LLAMA = """
norm = "rms"
[sizes]
residual = "width"
heads = "width"
kv_heads = "1/2 width"
hidden = "3 width"
vocabulary = "vocabulary"
[parameters]
"embed.weight" = { dims = ["vocabulary", "residual"], writes = "residual" }
"blocks.{depth}.norm1.weight" = { dims = ["residual"], role = "scale" }
"blocks.{depth}.attn.q.weight" = { dims = ["heads", "residual"] }
"blocks.{depth}.attn.k.weight" = { dims = ["kv_heads", "residual"] }
"blocks.{depth}.attn.v.weight" = { dims = ["kv_heads", "residual"] }
"blocks.{depth}.attn.o.weight" = { dims = ["residual", "heads"] }
"blocks.{depth}.norm2.weight" = { dims = ["residual"], role = "scale" }
"blocks.{depth}.mlp.gate.weight" = { dims = ["hidden", "residual"] }
"blocks.{depth}.mlp.up.weight" = { dims = ["hidden", "residual"] }
"blocks.{depth}.mlp.down.weight" = { dims = ["residual", "hidden"] }
"norm.weight" = { dims = ["residual"], role = "scale" }
"""


@pytest.mark.parametrize("convention", ["flops", "paper"])
def test_a_table_of_the_transformer_is_the_transformer(convention: Any) -> None:
    """The same parameters, sizes, compute and samples, so all plans are the same."""
    known = Transformer(head_width=8, kv_ratio=2, convention=convention)
    own = External("llama.toml", head_width=8, norm_eps=1e-6, convention=convention, text=LLAMA)
    first, second = (model.declare(FACTS, {}) for model in (known, own))
    assert second.parameters == first.parameters
    assert second.grains == first.grains
    assert second.norm == first.norm
    for width, depth, context in ((16, 1, 8), (64, 3, 32), (32, 12, 256)):
        shape = Shape.of(width=width, depth=depth, context=context)
        assert second.sizes(shape) == first.sizes(shape)
        assert second.compute(shape, convention) == first.compute(shape, convention)
        assert second.samples(shape) == first.samples(shape)


def test_a_plan_holds_the_table(tmp_path: Path) -> None:
    """It is followed on another computer, without the file."""
    plan = shapeflow.compile(OWN)
    plan_json.save(plan, tmp_path / "plan.json")
    again = plan_json.load(tmp_path / "plan.json")
    assert again == plan
    assert again.model is not None
    assert parse_table(again.model.settings["text"]).sizes["part"].size("part", {}) == 3
    assert [stage.sizes["hidden"] for stage in again.stages] == [128, 256, 256]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("norm =", "norms ="), "it has `norms`"),
        (('"rms"', '"group"'), "its `norm` is 'group'"),
        (("[sizes]", "[size]"), "it has `size`"),
        (('"3 width"', '"3 * width"'), "its size `hidden` is '3 * width'"),
        (('"3 width"', '"1/0 width"'), "its size `hidden` is '1/0 width'"),
        (('"3 width"', "true"), "its size `hidden` is True"),
        (('"3 width"', "0"), "its size `hidden` is 0, and a size is a positive whole number"),
        (('"1/2 width"', '"1/3 width"'), "its size `kv_heads` is 10.6667 at a width of 32"),
        (('hidden = "3 width"', ""), "`hidden` is a dim of a parameter, and has no size"),
        (("[parameters]", "other = 3\n[parameters]"), "its size `other` is no dim of a parameter"),
        (('role = "scale"', 'role = "scales"'), "must be one of `bias`, `scale`, `shift`"),
        ((', role = "scale"', ""), "must be one of `bias`, `scale`, `shift`"),
        (('writes = "residual"', 'writes = "hidden"'), "writes 'hidden', which is not one of its dims"),
        (('writes = "residual"', "products = -1"), "must be a whole number from 0"),
        (('writes = "residual"', "product = 1"), "must have `dims`"),
        (('"norm.weight" =', '"norm..weight" ='), "is not the name of a parameter"),
        (('["hidden", "residual"]', '["Hidden", "residual"]'), "must be a list of names"),
        (("{depth}", "0"), "no parameter is in a block"),
        (("[sizes]", "[sizes"), "it is not TOML"),
        (("norm =", f"x = {'[' * 5000}\nnorm ="), "it is not TOML"),
        (('vocabulary = "vocabulary"', "vocabulary = 100"), "its `vocabulary` is 100, and the data has 300 ids"),
        (("norm =", f"#{'x' * 300_000}\nnorm ="), "a table has up to"),
    ],
)
def test_tables_that_are_refused(change: tuple[str, str], reason: str) -> None:
    text = LLAMA.replace(*change)
    assert text != LLAMA
    with pytest.raises(EditError) as caught:
        External("llama.toml", head_width=8, text=text).declare(FACTS, {}).sizes(
            Shape.of(width=32, depth=1, context=16)
        )
    assert caught.value.code == "broken-model-table"
    assert reason in caught.value.notes[0]


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, len(LLAMA)),
    st.integers(0, 12),
    st.text('[]{}"=., \n0123456789/widthe\\\x00\u202e', max_size=8),
)
def test_no_text_breaks_the_reader(at: int, length: int, new: str) -> None:
    try:
        table = parse_table(LLAMA[:at] + new + LLAMA[at + length :])
    except EditError as error:
        table = None
        code = error.code
    assert table.entries if table is not None else code == "broken-model-table"


def compiled(folder: Path, *changes: tuple[str, str]) -> str:
    """What compiling the example prints, after changes to its text."""
    text = OWN.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "own_gpt.toml").write_text(OWN.with_suffix(".toml").read_text())
    (folder / "own.shape").write_text(text)
    command = [sys.executable, "-m", "shapeflow", "compile", "own.shape", "-o", "own.json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("own_gpt.toml", "none.toml"), ("no-such-file", "there is no file `none.toml`")),
        (("own_gpt.toml", "../own_gpt.toml"), ("path-outside",)),
        ((", head_width: 16", ""), ("missing-setting", "the width of the heads")),
        (("head_width: 16", "head_width: 24"), ("head-width-mismatch",)),
        (("64 tokens]", "128 tokens]"), ("context-too-long", "64 learned positions")),
        (("python_source(batch: 512 tokens)", "digits"), ("wrong-data", "for text")),
    ],
)
def test_files_that_are_refused(tmp_path: Path, change: tuple[str, str], words: tuple[str, ...]) -> None:
    said = compiled(tmp_path, change)
    for word in words:
        assert word in said
    assert "own.shape:" in said


def test_a_run_says_that_the_loop_is_the_users(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shapeflow", "run", str(OWN), "-o", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no-such-model" in done.stderr
    assert "shapeflow.follow" in done.stderr
