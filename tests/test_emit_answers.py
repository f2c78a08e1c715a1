"""What the trainers' own code does with emitted settings, recorded by `tests/targets/ask.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_emit import TARGETS, plans

import shapeflow

ANSWERS = json.loads((Path(__file__).parent / "targets" / "answers.json").read_text())
AGAIN = "the plan or what is emitted has changed: run tests/targets/ask.py again"


@pytest.mark.parametrize("target", ANSWERS)
def test_the_readers_do_what_the_trainers_do(target: str) -> None:
    """Step by step, over all plans of text. `test_emit.py` compares the readers with the plans."""
    kind, simulate = TARGETS[target]
    recorded = ANSWERS[target]["plans"]
    assert set(recorded) == set(plans(kind)), AGAIN
    for name, plan in plans(kind).items():
        found = shapeflow.emit(plan, target, partly=True)
        clone, commit = ANSWERS[target]["source"].split()
        assert f"{clone} {commit}" in found.written_for
        assert recorded[name]["plan"] == plan.digest, AGAIN
        theirs = [row for count, row in recorded[name]["steps"] for _ in range(count)]
        ours = simulate(found, plan)
        assert len(theirs) == len(ours)
        for step, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            assert one == pytest.approx(other, rel=1e-9), f"{name}, step {step}"
