"""What is made from plans and runs: pages, settings of other trainers, comparisons; and what an editor asks."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import mutate
import shape_texts
from target import Target

import shapeflow
from shapeflow.editing.complete import complete
from shapeflow.editing.define import definition
from shapeflow.editing.fixes import fix
from shapeflow.editing.hover import hover
from shapeflow.editing.mistakes import mistakes
from shapeflow.editing.outline import layout, outline
from shapeflow.ir import plan_json
from shapeflow.ir.events import event_to_json
from shapeflow.ir.plan import Plan

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGE = "report.html"
EMITTED = (
    ("by_hand", "timm"),
    *(("lm_context", name) for name in ("megatron", "olmo-core", "deepspeed", "torchtitan")),
)
SEALED = functools.partial(mutate.of_json, seal=plan_json.SEAL)
UNSEALED = functools.partial(mutate.of_json, seal=None)
PLACES = 7
"""Places of a text that an editor asks about, apart from its mistakes."""


def made_from() -> list[Target]:
    """All targets of this file."""
    return [*_reports(), *_emitted(), *_editing()]


@functools.cache
def _plan(name: str) -> Plan:
    return shapeflow.compile(EXAMPLES / f"{name}.shape")


def _json(plan: Plan) -> bytes:
    return json.dumps(plan_json.plan_to_json(plan)).encode()


def _reports() -> list[Target]:
    plans = [{"p.json": _json(_plan(name))} for name in ("by_hand", "laws_only")]
    of_plans = [
        Target("report", "p.json", SEALED, files, (("report", "p.json", "-o", PAGE),), (PAGE,)) for files in plans
    ]
    run = _run(_plan("by_hand"))
    folder = {
        **{f"both/plan-seed0/{name}": content for name, content in run.items()},
        "both/comparison.json": _comparison(),
    }
    looks = (("report", "both", "-o", PAGE), ("show", "both"))
    names = (("comparison.json", UNSEALED), ("plan-seed0/events.jsonl", mutate.of_lines))
    return [
        *of_plans,
        Target("report", "events.jsonl", mutate.of_lines, run, (("report", ".", "-o", PAGE),), (PAGE,)),
        *[Target("comparison", f"both/{name}", change, folder, looks, (PAGE,)) for name, change in names],
    ]


def _run(plan: Plan) -> dict[str, bytes]:
    """The files of a finished run."""
    events = list(shapeflow.simulate(plan))
    few = [event for number, event in enumerate(events) if number < 40 or number > len(events) - 20]
    lines = "".join(json.dumps(event_to_json(event)) + "\n" for event in few)
    return {"plan.json": _json(plan), "events.jsonl": lines.encode()}


def _comparison() -> bytes:
    plan = {"name": "plan", "what": "the plan", "compute": [1e6], "seconds": [1.0], "final": [0.25], "same": None}
    rival = {**plan, "name": "last", "what": "the last shape", "compute": [2e6], "runs": ["elsewhere/last-seed0"]}
    says = {"what": "rival", "says": "inside", "why": None, "rival": "last"}
    prediction = {**says, "predicted": 0.5, "low": 0.4, "high": 0.6, "measured": 0.5}
    found = {
        "metric": "cross_entropy",
        "target": 0.25,
        "seeds": [0],
        "unit": "compute",
        "choice": {
            "shape": {"patch": 2},
            "rounds": [
                {
                    "compute": 1e6,
                    "seconds": None,
                    "values": [{"shape": {"patch": 2}, "value": 0.3}, {"shape": {"patch": 4}, "value": None}],
                }
            ],
            "compute": 2e6,
            "runs": 1,
        },
        "ways": [{**plan, "runs": ["elsewhere/plan-seed0"]}, rival],
        "predictions": [prediction],
        "left_out": [{"name": "random", "reason": "there is one shape"}],
        "verdict": "measured: the plan saves 50%",
    }
    return json.dumps(found).encode()


def _emitted() -> list[Target]:
    found = []
    for name, to in EMITTED:
        options = ("--model", "vit_tiny", "--images", "1000", "--image-side", "8") if to == "timm" else ()
        command = ("emit", "p.json", "--to", to, "-o", "out", "--partly", *options)
        found.append(Target("emit", "p.json", SEALED, {"p.json": _json(_plan(name))}, (command,), ("out",)))
    return found


def _editing() -> list[Target]:
    texts = [path.read_bytes() for path in sorted([*EXAMPLES.glob("*.shape"), *ROOT.glob("tests/mistakes/*.shape")])]
    others = [text.decode() for text in texts]

    def change(source: bytes, draw: Random) -> bytes:
        return shape_texts.change(source.decode(), draw, others).encode("utf-8", "surrogatepass")

    return [Target("editing", "f.shape", change, {"f.shape": text}, (("editing", "f.shape"),)) for text in texts]


def edited(command: Sequence[str]) -> int:
    """Ask all that an editor asks about a text, at some of its places. Returns an exit code, as a command does."""
    _, name = command
    path, text = Path(name).resolve(), Path(name).read_bytes().decode("utf-8", "surrogatepass")
    told = mistakes(path, text)
    places = {round(part * len(text) / (PLACES - 1)) for part in range(PLACES)} | {one.span.end for one in told[:5]}
    for one in told:
        fix(one)
    for offset in sorted(places):
        hover(path, text, offset)
        complete(path, text, offset)
        definition(path, text, offset)
    outline(path, text)
    layout(text)
    return 0
