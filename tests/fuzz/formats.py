"""Targets in formats of their own: token files, checkpoints."""

from __future__ import annotations

import functools
from pathlib import Path

import mutate
from target import Target

from shapeflow.cli import answer

TRAINED = """\
model vit(depth: 1, width: 8, head_width: 8)
data digits(batch: 8)
objective cross_entropy
axis patch in [4, 2] px via flexi_resize(base: 4 px)
stage (patch: 4 px) until 50%
stage (patch: 2 px) until end
budget 8 steps
checkpoint every 4 steps
"""


def formats(folder: Path) -> list[Target]:
    """All targets of this file. `folder`: a folder to prepare files in."""
    return [*_tokens(folder), *_checkpoints(folder)]


def _tokens(folder: Path) -> list[Target]:
    (folder / "t.txt").write_text("some text to tokenize\n" * 50)
    if answer(["tokenize", str(folder / "t.txt"), "-o", str(folder / "t.bin"), "--tokenizer", "bytes"]):
        return []
    files = {name: (folder / name).read_bytes() for name in ("t.json", "t.bin")}
    shows = (("show", "t.bin"), ("show", "t.bin", "--verify"))
    return [Target("tokens", "t.json", functools.partial(mutate.of_json, seal=None), files, shows)]


def _checkpoints(folder: Path) -> list[Target]:
    (folder / "run.shape").write_text(TRAINED)
    if answer(["run", str(folder / "run.shape"), "-o", str(folder / "run"), "--device", "cpu"]):
        return []
    paths = [path for path in (folder / "run").rglob("*") if path.is_file()]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    state = max(name for name in files if name.endswith("/state.json"))
    exports = (("export", "run", "-o", "w.safetensors"),)
    change = functools.partial(mutate.of_json, seal=None)
    return [Target("checkpoint", state, change, files, exports, ("w.safetensors",))]
