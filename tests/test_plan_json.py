"""Plans as JSON: they survive writing and reading, and invalid files are refused."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import BY_HAND, IMAGES, TEXTS, TWO_LAWS, compiled

from shapeflow import simulate
from shapeflow.base.diagnostics import Refused
from shapeflow.base.sealed import digest_of
from shapeflow.ir import plan_json
from shapeflow.ir.plan import Plan

WIDER = IMAGES.replace("width: 32, heads: 2", "head_width: 16") + (
    "axis patch in [4, 2] px via flexi_resize(base: 4 px)\naxis width in [32, 48] via width_expand(init: net2net)\n"
    "stage (patch: 4 px, width: 32) with 20% (patch: 2 px) until 30%\nstage (patch: 2 px, width: 48) until end\n"
    "budget 500 steps\nseed 7\n"
)
ODD: list[Any] = [None, True, "", "x", [], {}, [1], {"is": "x"}, 10**30, 1e308, 0.5]
"""Wrong values that are put in each place of a plan."""
LONGER = TEXTS + (
    "law for (context: 64 tokens)  is power(a: 200, b: 0.25, c: 2.0, d: 1 MFLOPs)\n"
    "law for (context: 128 tokens) is power(a: 400, b: 0.27, c: 1.8)\n"
    "law for (context: 256 tokens) is power(a: 800, b: 0.29, c: 1.6)\n"
    "start at error 4.5\ntraversal steepest\nbudget 2000 steps\n"
)


@pytest.fixture(params=[TWO_LAWS, BY_HAND, WIDER, LONGER], ids=["laws only", "by hand", "wider", "longer"])
def plan(request: pytest.FixtureRequest, tmp_path: Path) -> Plan:
    return compiled(tmp_path, request.param)


def resealed(body: dict[str, Any]) -> str:
    """The text of a changed plan file, with a matching digest."""
    rest = {key: value for key, value in body.items() if key != "digest"}
    return json.dumps({**rest, "digest": digest_of(rest)})


def refusal(text: str) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        plan_json.loads(text, "plan.json")
    (one,) = caught.value.diagnostics
    assert one.place == "plan.json"
    assert one.help is not None
    return one.code, "; ".join(one.notes)


OMITTED = {"charge", "evaluation", "held_out", "keep", "start", "timed_by", "weights"}
"""Fields that a plan file has only if they are not the default."""


def test_a_plan_survives_writing_and_reading(plan: Plan, tmp_path: Path) -> None:
    plan_json.save(plan, tmp_path / "plan.json")
    back = plan_json.load(tmp_path / "plan.json")
    assert back == plan
    assert plan_json.dumps(back) == plan_json.dumps(plan)
    assert plan_json.sealed(back).digest == plan.digest


def test_the_layout_does_not_change_the_digest(plan: Plan) -> None:
    body = plan_json.plan_to_json(plan)
    shuffled = dict(reversed(body.items()))
    assert plan_json.loads(json.dumps(shuffled, indent=7), "plan.json") == plan


def test_a_plan_does_not_depend_on_when_or_where_it_was_made(plan: Plan, tmp_path: Path) -> None:
    assert str(tmp_path) not in plan_json.dumps(plan)
    assert set(plan_json.plan_to_json(plan)) == {
        *(
            field.name
            for field in attrs.fields(Plan)
            if field.name not in OMITTED or getattr(plan, field.name) not in (None, ())
        ),
        "format",
        "version",
    }


def test_settings_are_written_out_with_their_defaults(tmp_path: Path) -> None:
    body = plan_json.plan_to_json(compiled(tmp_path, BY_HAND))
    assert body["optimizer"]["is"] == "adamw"
    assert body["optimizer"]["settings"]["lr"] == 1e-3
    assert body["data"]["settings"] == {"batch": 64}


def test_a_plan_that_was_edited_is_refused(plan: Plan) -> None:
    body = plan_json.plan_to_json(plan)
    assert refusal(json.dumps({**body, "seed": body["seed"] + 1}))[0] == "plan-edited"
    assert refusal(json.dumps({**body, "digest": "0" * 64}))[0] == "plan-edited"
    assert refusal(json.dumps({key: value for key, value in body.items() if key != "digest"}))[0] == "plan-edited"


def test_a_stage_without_a_learning_rate_has_the_optimizers(plan: Plan) -> None:
    """Plan files from before batches could change have no learning rate per stage."""
    body = copy.deepcopy(plan_json.plan_to_json(plan))
    assert [stage.pop("learning_rate") for stage in body["stages"]] == [1.0] * len(plan.stages)
    assert plan_json.loads(resealed(body), "plan.json").stages == plan.stages


def put(*way: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of one place in a plan's JSON."""

    def change(body: Any) -> None:
        for key in way[:-1]:
            body = body[key]
        body[way[-1]] = value

    return change


def everywhere(axis: str, old: object, new: object) -> Callable[[dict[str, Any]], None]:
    """A change of one value of an axis, in all shapes of a plan's JSON."""

    def change(body: Any) -> None:
        for each in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
            change(each)
        if isinstance(body, dict) and body.get(axis) == old:
            body[axis] = new

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("colour", value="red"), "the file has unknown fields: `colour`"),
        (put("stages", 0, "colour", value="red"), "`stages[0]` has unknown fields: `colour`"),
        (put("seed", value=None), "`seed` is not a whole number"),
        (put("stages", value=3), "`stages` is not a list"),
        (put("model", value="vit"), "`model` is not an object"),
        (put("parameters", 0, "role", value="colour"), "`parameters[0].role` is not one of matrix, bias, scale, shift"),
    ],
)
def test_the_field_that_is_wrong_is_named(tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str) -> None:
    body = copy.deepcopy(plan_json.plan_to_json(compiled(tmp_path, BY_HAND)))
    change(body)
    assert refusal(resealed(body)) == ("broken-plan", said)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"format": "another"}', '{"a": NaN}', "[" * 100_000])
def test_files_that_are_not_plans_are_refused(text: str) -> None:
    assert refusal(text)[0] == "broken-plan"


def test_a_plan_of_another_version_is_refused(plan: Plan) -> None:
    body = plan_json.plan_to_json(plan)
    assert refusal(resealed({**body, "version": 1}))[0] == "plan-version"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("colour", value="red"), "colour"),
        (put("stages", 0, "colour", value="red"), "colour"),
        (put("model", "colour", value="red"), "colour"),
        (put("parameters", 0, "role", value="colour"), "role"),
        (
            put("stages", 1, "transition", "edits", 0, "is", value="explode"),
            "`stages[1].transition.edits[0]` is not a valid value",
        ),
        (
            put("stages", 1, "transition", "edits", 0, "colour", value="red"),
            "`stages[1].transition.edits[0]` is not a valid value",
        ),
        (put("stages", 1, "transition", "moments", value="lost"), "moments"),
        (put("seed", value="many"), "seed"),
        (put("stages", value=[]), "no stage"),
        (put("stages", 0, "shape", value={"width": 4}), "not a shape on patch"),
        (put("stages", 0, "steps", value=7), "do not add up"),
        (put("stages", 0, "steps", value=None), "only there"),
        (put("stages", 0, "step_compute", value=0), "no FLOPs"),
        (put("stages", 0, "batch", value=0), "its batch is 0"),
        (put("stages", 0, "leave", "error", value=1e300), "beyond that of any training run"),
        (put("comparison", "best_fixed", "compute", value=1e300), "its comparison with the best"),
        (put("stages", -1, "leave", "compute", value=5e-324), "it ends without compute"),
        (everywhere("patch", 4, 0), "the `patch` of a shape is 0"),
        (everywhere("patch", 4, "four"), "the `patch` of a shape is 'four'"),
        (put("stages", 0, "learning_rate", value=0), "its learning rate is multiplied by 0"),
        (put("stages", 1, "enter", "compute", value=5.0), "does not begin where"),
        (put("stages", 0, "blends", 0, "share", value=1.5), "blend"),
        (put("stages", 0, "blends", 0, "last", value=10_000), "blend"),
        (put("totals", "steps", value=5), "totals"),
        (put("totals", "steps", value=None), "only there"),
        (put("model", value=None), "only there"),
        (put("evaluate", value=0), "evaluate"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused_whatever_its_digest(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    body = copy.deepcopy(plan_json.plan_to_json(compiled(tmp_path, BY_HAND)))
    change(body)
    code, notes = refusal(resealed(body))
    assert code == "broken-plan"
    assert said in notes


def test_every_missing_key_is_refused(plan: Plan) -> None:
    body = plan_json.plan_to_json(plan)
    defaults = {field.name for field in attrs.fields(Plan) if field.default is not attrs.NOTHING}
    for key in set(body) - defaults - {"format", "version"}:
        assert refusal(resealed({name: value for name, value in body.items() if name != key}))[0] == "broken-plan", key


def places(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path to every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*way, key)
        yield from places(one, (*way, key))


@pytest.mark.parametrize("text", [WIDER, LONGER + "cooldown 10%\n"], ids=["wider", "longer"])
def test_any_one_change_is_refused_or_simulated(text: str, tmp_path: Path) -> None:
    """A matching digest does not make a plan valid: a changed plan either simulates to its end or is refused."""
    body = plan_json.plan_to_json(compiled(tmp_path, text))
    ways = sorted(places(body), key=repr)
    values = st.sampled_from(ODD) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(st.sampled_from(ways), values)
    def check(way: tuple[str | int, ...], value: Any) -> None:
        changed = copy.deepcopy(body)
        put(*way, value=value)(changed)
        try:
            plan = plan_json.loads(resealed(changed), "plan.json")
        except Refused:
            return
        list(itertools.islice(simulate(plan), 500))

    check()


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("stages", 0, "sizes", "depth"), -1),
        (("stages", 0, "sizes", "depth"), 10**12),
        (("stages", 1, "transition", "credit"), 5.0),
        (("stages", 1, "transition", "credit"), -0.5),
        (("stages", 1, "transition", "rewarm"), -5),
        (("stages", 1, "transition", "seconds"), -1.0),
        (("stages", 1, "learning_rate"), 1e300),
        (("stages", 1, "memory"), 1e300),
        (("optimizer", "settings", "lr"), "x"),
        (("optimizer", "settings", "lr"), 0),
        (("optimizer", "settings", "warmup"), -3),
        (("cooldown",), 400),
        (("schedule",), {"form": "cosine", "final": 1.0}),
        (("schedule",), {"form": "cosine", "final": -0.1}),
        (("schedule",), {"form": "steps", "final": 0.1}),
    ],
    ids=lambda part: str(part[-1]) if isinstance(part, tuple) else str(part),
)
def test_numbers_that_cannot_be(way: tuple[str | int, ...], value: Any, tmp_path: Path) -> None:
    body = plan_json.plan_to_json(compiled(tmp_path, WIDER))
    put(*way, value=value)(body)
    assert refusal(resealed(body))[0] == "broken-plan"
