"""What is fuzzed: `.shape` texts, plans, events, logs, and the measured files that `.shape` files name. `formats.py`
has the other files, `made_from.py` what is made from plans and runs."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from random import Random

import mutate
import shape_texts
from formats import formats
from made_from import made_from
from target import Change, Target

import shapeflow
from shapeflow.base.sealed import Seal
from shapeflow.cli import answer
from shapeflow.ir import credits as credits_file
from shapeflow.ir import plan_json, profile
from shapeflow.ir.events import event_to_json
from shapeflow.laws import laws_file

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ROWS = 160
"""Rows of the example logs that are kept: a fit to all of them takes most of a second."""

TABLE = """\
axis width in [1, 2] via width_expand
laws from table("{}")
traversal steepest
stop when error <= 0.35
"""
MEASURED = (
    ("credits", "credits/digits_width.json", "digits_width", credits_file.SEAL, '\ncredits from "{}"\n'),
    ("credits", "credits/lm_context.json", "lm_context", credits_file.SEAL, '\ncredits from "{}"\n'),
    ("profiles", "profiles/digits_seconds.json", "digits_seconds", profile.SEAL, '\nprofile from "{}"\n'),
    ("profiles", "profiles/batch_seconds.json", "batch", profile.SEAL, '\nprofile from "{}"\n'),
    ("laws-file", "mixed-laws/laws.json", "", laws_file.SEAL, TABLE),
    ("pilots", "laws/bytes_pilots.csv", "bytes", None, ""),
    ("laws", "laws/digits.csv", "digits", None, ""),
    ("laws", "laws/joint.csv", "joint", None, ""),
)
"""Kind, a measured file, the example that reads it, its seal, and a sentence that is added where it lacks."""


def targets(folder: Path) -> list[Target]:
    """All targets. `folder`: an empty folder to prepare files in."""
    return [*_shapes(), *_measured(folder), *_plans(), *_logs(), *formats(folder), *made_from()]


def _shapes() -> list[Target]:
    paths = sorted([*EXAMPLES.glob("*.shape"), *ROOT.glob("tests/mistakes/*.shape")])
    # To draw 20 matrices takes 1 s.
    texts = [path.read_bytes().replace(b"matrices: 20", b"matrices: 2") for path in paths]
    others = [text.decode() for text in texts]

    def change(source: bytes, draw: Random) -> bytes:
        return shape_texts.change(source.decode(), draw, others).encode("utf-8", "surrogatepass")

    beside = _beside()
    formats = (("fmt", "f.shape", "--check"), ("show", "f.shape"))
    found = [Target("shape", "f.shape", change, {**beside, "f.shape": text}, COMPILES, MADE) for text in texts]
    return [*found, *(Target("fmt", "f.shape", change, {"f.shape": text}, formats) for text in texts)]


COMPILES, MADE = (("compile", "f.shape", "-o", "out.json"),), ("out.json",)


@functools.cache
def _beside() -> dict[str, bytes]:
    """The files that examples read."""
    paths = [
        path for part in ("credits", "laws", "profiles", "teachers") for path in sorted((EXAMPLES / part).iterdir())
    ]
    found = {path.relative_to(EXAMPLES).as_posix(): thinned(path) for path in paths}
    return {**found, "mixed-laws/laws.json": (ROOT / "tests/mistakes/mixed-laws/laws.json").read_bytes()}


def thinned(path: Path) -> bytes:
    """A file; of a table, at most `ROWS` of its rows."""
    if path.suffix != ".csv":
        return path.read_bytes()
    head, *rows = path.read_bytes().splitlines(keepends=True)
    return head + b"".join(rows[:: 1 + (len(rows) - 1) // ROWS])


def _measured(folder: Path) -> list[Target]:
    found = []
    for kind, name, example, seal, sentence in MEASURED:
        text = (EXAMPLES / f"{example}.shape").read_text() if example else ""
        text += "" if name in text else sentence.format(name)
        # Resamples run one code on other numbers, and take most of the time of a fit.
        text = text.replace(f'fit("{name}")', f'fit("{name}", resamples: 10)')
        change: Change = mutate.of_text if seal is None else functools.partial(mutate.of_json, seal=seal)
        files, commands = {**_beside(), "f.shape": text.encode()}, COMPILES
        if seal is not None and example:
            # The laws are read from a table: a fit at every input would take most of the time.
            files["known.json"] = _laws_of(folder / f"{example}-{kind}", files)
            commands = (("compile", "f.shape", "-o", "out.json", "--set", 'laws from table("known.json")'),)
        found.append(Target(kind, name, change, files, commands, MADE))
        if kind == "credits":
            found.append(Target("laws-file", "known.json", sealed(laws_file.SEAL), files, commands, MADE))
    return found


def _laws_of(folder: Path, files: dict[str, bytes]) -> bytes:
    """The laws that are fitted for `f.shape`, as a file."""
    Target("", "f.shape", mutate.of_text, files, ()).write(folder)
    answer(["fit", str(folder / "f.shape"), "-o", str(folder / "known.json")])
    return (folder / "known.json").read_bytes()


def sealed(seal: Seal) -> Change:
    return functools.partial(mutate.of_json, seal=seal)


def _plans() -> list[Target]:
    found = []
    commands = (("show", "p.json"), ("simulate", "p.json", "--json"))
    compares = (("compare", "p.json", "--dry-run"), ("show", "p.json", "known.json"))
    for name in ("by_hand", "laws_only", "digits_width", "joint"):
        plan = shapeflow.compile(EXAMPLES / f"{name}.shape")
        text = json.dumps(plan_json.plan_to_json(plan)).encode()
        found.append(Target("plan", "p.json", sealed(plan_json.SEAL), {"p.json": text}, commands))
        if plan.model is not None:
            files = {"p.json": text, "known.json": text}
            found.append(Target("compare", "p.json", sealed(plan_json.SEAL), files, compares))
            events = [json.dumps(event_to_json(event)) for event in list(shapeflow.simulate(plan))[:60]]
            files = {"run/plan.json": text, "run/events.jsonl": ("\n".join(events) + "\n").encode()}
            shows = (("show", "run"), ("show", "run", "--json"))
            found.append(Target("events", "run/events.jsonl", mutate.of_lines, files, shows))
    return found


def _logs() -> list[Target]:
    rows = [
        {"run": f"r{width}", "width": width, "step": 10 * i, "compute": 1e15 * i * width, "lr": 1e-3, "loss": 2 + 5 / i}
        for width in (64, 128)
        for i in range(1, 20)
    ]
    table = (",".join(rows[0]) + "\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows)).encode()
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    fit = b'axis width in [64, 128] via width_expand\nlaws from fit("log.csv")\ntraversal steepest\nbudget 1e4 PFLOPs\n'
    doctor = Target("log", "log.csv", mutate.of_text, {"log.csv": table}, (("doctor", "log.csv"),))
    fitted = Target("log", "log.csv", mutate.of_text, {"log.csv": table, "f.shape": fit}, (("fit", "f.shape"),))
    of_lines = Target("log", "log.jsonl", mutate.of_lines, {"log.jsonl": lines}, (("doctor", "log.jsonl"),))
    return [doctor, doctor, of_lines, of_lines, fitted]
