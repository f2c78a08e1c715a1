"""What is fuzzed: the files of each target, which of them is mutated, and the commands that read it."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

import attrs
import mutate

import shapeflow
from shapeflow.base.sealed import Seal
from shapeflow.cli import answer
from shapeflow.ir import credits as credits_file
from shapeflow.ir import plan_json, profile
from shapeflow.ir.events import event_to_json
from shapeflow.laws import laws_file

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

TABLE = """\
axis width in [1, 2] via width_expand
laws from table("{}")
traversal steepest
stop when error <= 0.35
"""
RAW = (".bin", ".safetensors")
"""Extensions of files that are no text."""
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
MEASURED = (
    ("credits/digits_width.json", "digits_width", "json", credits_file.SEAL, '\ncredits from "{}"\n'),
    ("credits/lm_context.json", "lm_context", "json", credits_file.SEAL, '\ncredits from "{}"\n'),
    ("profiles/digits_seconds.json", "digits_seconds", "json", profile.SEAL, '\nprofile from "{}"\n'),
    ("mixed-laws/laws.json", "", "json", laws_file.SEAL, TABLE),
    ("laws/digits.csv", "digits", "text", None, ""),
    ("laws/joint.csv", "joint", "text", None, ""),
)
"""A measured file, the example that reads it, how it is mutated, its seal, and a sentence that is added to it."""


@attrs.frozen
class Target:
    """One input. `kind`: how it is mutated: `text`, `lines` of JSON, or `json`, with its seal closed again."""

    name: str
    mutated: str
    kind: str
    files: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]
    seal: Seal | None = None

    def mutation(self, draw: random.Random) -> str:
        source = self.files[self.mutated]
        if self.kind == "text" or draw.random() < 0.15:
            return mutate.text(source, draw)
        if self.kind == "lines":
            return mutate.lines(source, draw)
        changed = mutate.value(json.loads(source), draw)
        if self.seal is None or not isinstance(changed, dict) or draw.random() < 0.1:
            return json.dumps(changed)
        own = {"format", "version", "digest"}
        try:
            return json.dumps(self.seal.close({name: part for name, part in changed.items() if name not in own}))
        except ValueError:
            # A digest is of numbers that JSON has, so this one keeps the old digest.
            return json.dumps(changed)


def targets(folder: Path) -> list[Target]:
    """All targets. `folder`: an empty folder to prepare files in."""
    compiles = (("compile", "f.shape", "-o", "out.json"),)
    shapes = sorted([*EXAMPLES.glob("*.shape"), *(ROOT / "tests/mistakes").glob("*.shape")])
    beside = {
        path.relative_to(EXAMPLES).as_posix(): path.read_text()
        for part in ("credits", "laws", "profiles")
        for path in (EXAMPLES / part).iterdir()
    }
    table = "mixed-laws/laws.json"
    beside[table] = (ROOT / "tests/mistakes" / table).read_text()
    found = [Target("shape", "f.shape", "text", {**beside, "f.shape": path.read_text()}, compiles) for path in shapes]
    for name, example, kind, seal, sentence in MEASURED:
        text = ((EXAMPLES / f"{example}.shape").read_text() if example else "") + sentence.format(name)
        part = name.split("/")[0]
        found.append(Target(part, name, kind, {**beside, "f.shape": text}, compiles, seal))
    return [*found, *_plans(), *_logs(), *_tokens(folder), *_checkpoints(folder)]


def _plans() -> list[Target]:
    found = []
    commands = (("show", "p.json"), ("simulate", "p.json", "--json"))
    for name in ("by_hand", "laws_only", "digits_width", "joint"):
        plan = shapeflow.compile(EXAMPLES / f"{name}.shape")
        text = json.dumps(plan_json.plan_to_json(plan))
        found.append(Target("plan", "p.json", "json", {"p.json": text}, commands, plan_json.SEAL))
        if plan.model is not None:
            events = [json.dumps(event_to_json(event)) for event in list(shapeflow.simulate(plan))[:60]]
            files = {"run/plan.json": text, "run/events.jsonl": "\n".join(events) + "\n"}
            found.append(Target("events", "run/events.jsonl", "lines", files, (("show", "run"),)))
    return found


def _logs() -> list[Target]:
    rows = [
        {"run": f"r{width}", "width": width, "step": 10 * i, "compute": 1e15 * i * width, "lr": 1e-3, "loss": 2 + 5 / i}
        for width in (64, 128)
        for i in range(1, 20)
    ]
    table = ",".join(rows[0]) + "\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    fit = 'axis width in [64, 128] via width_expand\nlaws from fit("log.csv")\ntraversal steepest\nbudget 1e4 PFLOPs\n'
    return [
        Target(
            "log", "log.csv", "text", {"log.csv": table, "f.shape": fit}, (("doctor", "log.csv"), ("fit", "f.shape"))
        ),
        Target("log", "log.jsonl", "lines", {"log.jsonl": lines}, (("doctor", "log.jsonl"),)),
    ]


def _tokens(folder: Path) -> list[Target]:
    (folder / "t.txt").write_text("some text to tokenize\n" * 50)
    if answer(["tokenize", str(folder / "t.txt"), "-o", str(folder / "t.bin"), "--tokenizer", "bytes"]):
        return []
    files = {name: (folder / name).read_text(encoding="latin-1") for name in ("t.json", "t.bin")}
    return [Target("tokens", "t.json", "json", files, (("show", "t.bin"), ("show", "t.bin", "--verify")))]


def _checkpoints(folder: Path) -> list[Target]:
    (folder / "run.shape").write_text(TRAINED)
    if answer(["run", str(folder / "run.shape"), "-o", str(folder / "run"), "--device", "cpu"]):
        return []
    files = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="latin-1" if path.suffix in RAW else "utf-8")
        for path in (folder / "run").rglob("*")
        if path.is_file()
    }
    state = max(name for name in files if name.endswith("/state.json"))
    return [Target("checkpoint", state, "json", files, (("export", "run", "-o", "w.safetensors"),))]
