"""Every loader refuses JSON that Python accepts but the standard does not, with its own error message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sources import BY_HAND, compiled, refused
from teachers import vit_weights, write_file

from shapeflow.base.diagnostics import Refused
from shapeflow.base.json_text import parse_json
from shapeflow.data.bins import read_header
from shapeflow.ir import credits, plan_json
from shapeflow.ir.edits import EditError
from shapeflow.ir.weights import metadata, read_weights

BAD = ["1e999", "-1e999", "NaN", "Infinity", r'"\ud800"', r'{"\udc00": 1}', r'["a\ud83d"]', "[" * 100_000]


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:12])
def test_json_that_only_python_accepts(text: str) -> None:
    with pytest.raises(ValueError, match=r"it contains|nested"):
        parse_json(text)


def test_standard_json_is_accepted() -> None:
    text = r'{"a": [1, 2.5, -1e308, 1e-999, true, null, "\ud83d\ude00", "\\ud800"]}'
    assert parse_json(text) == parse_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize("bad", ["1e999", r'"\ud800"'])
def test_every_loader_refuses_it(bad: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    plan = plan_json.dumps(compiled(tmp_path, BY_HAND))
    path.write_text(plan.replace("{", f'{{"x": {bad},', 1))
    with pytest.raises(Refused, match="broken-plan"):
        plan_json.load(path)
    path.write_text(f'{{"format": "{credits.SEAL.format}", "version": {credits.SEAL.version}, "x": {bad}}}')
    with pytest.raises(Refused, match="broken-credits"):
        credits.load(path)
    with pytest.raises(EditError, match="broken-tokens"):
        read_header(tmp_path / "x.bin")
    told = metadata(vit_weights())
    told["about"] = told["about"].replace("{", f'{{"x": {bad},', 1)
    with pytest.raises(Refused, match="teacher-broken"):
        read_weights(write_file(tmp_path / "t.safetensors", {"__metadata__": told}, 0))


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x7f"])
def test_control_characters_are_refused(character: str, tmp_path: Path) -> None:
    (one,) = refused(tmp_path, f'plan "a{character}b"\n')
    assert one.code == "syntax"
    assert one.at is not None
    assert one.at.span.text == character
