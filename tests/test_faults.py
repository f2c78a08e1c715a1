"""Inputs that once broke a command, each with its right outcome."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sources import BY_HAND, TWO_LAWS, compiled

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.sealed import digest_of
from shapeflow.compiler import compile_file
from shapeflow.ir import plan_json
from shapeflow.ir.events import event_from_json
from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.route import END, Leg, Route, Until
from shapeflow.laws.power import Power
from shapeflow.traversals.evenly import Evenly

CASES = Path(__file__).parent / "faults"
LAWS_ONLY = """axis width in [1, 2] via width_expand
law for (width: 1) is power(a: 1, b: 1, c: 0.2, d: 0 FLOPs)
law for (width: 2) is power(a: 4, b: 1, c: 0, d: 0 FLOPs)
traversal evenly
start at error 1.2
budget 16 FLOPs
"""


def codes(path: Path) -> list[str]:
    try:
        compile_file(path, [], Report())
    except Refused as refused:
        return [one.code for one in refused.diagnostics if one.severity == "error"]
    return []


OUTCOMES = {
    "endless": ["out-of-range"],
    "log_ratio": ["out-of-range"],
    "law_d": ["out-of-range"],
    "blank": ["syntax"],
    "hang": ["out-of-range", "out-of-range"],
    "endless_credit": [],
    "endless_offset": [],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", OUTCOMES)
def test_a_file_that_once_broke_the_compiler(name: str) -> None:
    assert codes(CASES / f"{name}.shape") == OUTCOMES[name]


@pytest.mark.filterwarnings("error")
def test_a_quotient_of_computes_that_underflows_is_explained(tmp_path: Path) -> None:
    text = (CASES / "log_ratio.shape").read_text().replace("c: 1e-300", "c: 0")
    (tmp_path / "x.shape").write_text(text)
    (note, *_) = compile_file(tmp_path / "x.shape", [], Report()).notes
    assert "inf" not in note


@pytest.mark.parametrize("number", ["1e101", "-1e101", "1e-101"])
def test_a_number_beyond_its_range(number: str, tmp_path: Path) -> None:
    (tmp_path / "x.shape").write_text(LAWS_ONLY.replace("c: 0.2", f"c: {number}"))
    assert codes(tmp_path / "x.shape") == ["out-of-range"]


def test_a_law_of_another_source_with_impossible_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = Provenance(source="stated", metric="loss@own", convention="flops")
    monkeypatch.setattr(Power, "law", lambda self, metric, convention: Law(1e300, 1, 0, 0, about))
    (tmp_path / "x.shape").write_text(LAWS_ONLY)
    assert codes(tmp_path / "x.shape") == ["implausible-number"]


@pytest.mark.parametrize("end", [math.nan, math.inf, 0.0, -1.0])
def test_a_traversal_that_returns_no_number(end: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def route(self: Any, problem: Any, report: Any) -> Route:
        first, second = problem.candidates
        return Route((Leg(first, Until(error=end)), Leg(second, END)))

    monkeypatch.setattr(Evenly, "route", route)
    (tmp_path / "x.shape").write_text(LAWS_ONLY)
    assert codes(tmp_path / "x.shape") == ["implausible-number"]


def test_a_name_that_thousands_of_names_define(tmp_path: Path) -> None:
    names = "".join(f"let a{number} = a{number + 1}\n" for number in range(3000))
    text = LAWS_ONLY.replace("start at error 1.2", "start at error a0")
    (tmp_path / "x.shape").write_text(f"{names}let a3000 = 1.2\n{text}")
    assert codes(tmp_path / "x.shape") == []


LINKS = {
    "use": ('use "inside.shape" as other\n', "secret.shape"),
    "table": ('laws from table("inside.json")\n', "secret.json"),
    "folder": ('use "inner/secret.shape" as other\n', "."),
    "profile": ('profile from "inside.json"\n', "secret.json"),
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_that_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    """The file is not opened: a message would quote it."""
    sentence, target = LINKS[name]
    outside, folder = tmp_path / "outside", tmp_path / "files"
    outside.mkdir()
    folder.mkdir()
    for secret in ("secret.shape", "secret.json"):
        (outside / secret).write_text("password = 1234\n")
    link = folder / ("inner" if target == "." else f"inside{Path(target).suffix}")
    link.symlink_to(outside / target)
    open_ = "".join(one for one in LAWS_ONLY.splitlines(keepends=True) if "law for" not in one)
    text = {"table": open_, "profile": BY_HAND}.get(name, LAWS_ONLY)
    (folder / "x.shape").write_text(sentence + text)
    with pytest.raises(Refused) as caught:
        compile_file(folder / "x.shape", [], Report())
    assert [one.code for one in caught.value.diagnostics] == ["path-outside"]
    assert "password" not in str(caught.value)


def test_a_link_within_the_folder_and_a_folder_that_is_one(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/real.shape").write_text("let width = 1\n")
    (tmp_path / "files/inside.shape").symlink_to("real.shape")
    (tmp_path / "files/x.shape").write_text('use "inside.shape" as other\n' + LAWS_ONLY)
    (tmp_path / "link").symlink_to("files")
    assert codes(tmp_path / "link/x.shape") == codes(tmp_path / "files/x.shape") == []


WRONG: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "nan as a text": lambda plan: plan["totals"].update(compute="nan"),
    "a number as a text": lambda plan: plan["stages"][0]["leave"].update(compute="1e9"),
    "true as a number": lambda plan: plan["stages"][0].update(learning_rate=True),
    "true as a count": lambda plan: plan.update(seed=True),
    "a fraction as a count": lambda plan: plan.update(seed=0.5),
    "a number as a text of the plan": lambda plan: plan.update(name=5),
    "a whole number of 400 digits": lambda plan: plan.update(seed=10**400),
    "a float of 400 digits": lambda plan: plan["stages"][0].update(memory=10**400),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_plan_with_a_value_of_another_type(name: str, tmp_path: Path) -> None:
    body = plan_json.plan_to_json(compiled(tmp_path, BY_HAND))
    WRONG[name](body)
    with pytest.raises(Refused, match="broken-plan"):
        plan_json.loads(json.dumps({**body, "digest": digest_of(body)}), "plan")


def test_a_plan_with_a_law_that_no_model_has(tmp_path: Path) -> None:
    body = plan_json.plan_to_json(compiled(tmp_path, TWO_LAWS))
    body["candidates"][0]["law"]["b"] = 1e-300
    with pytest.raises(Refused, match="broken-plan") as caught:
        plan_json.loads(json.dumps({**body, "digest": digest_of(body)}), "plan")
    assert "no training run has" in caught.value.diagnostics[0].notes[0]


STEP = {"event": "step_done", "step": 4, "stage": 0, "shape": {"patch": 4}, "compute": 1.0, "loss": 2.0, "seconds": 0.1}


def test_an_event_may_have_a_loss_that_is_not_finite() -> None:
    event = event_from_json({**STEP, "loss": math.nan})
    assert math.isnan(event.loss)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "fields",
    [{"step": True}, {"step": -1}, {"step": 10**30}, {"compute": math.inf}, {"seconds": True}, {"loss": 10**400}],
    ids=str,
)
def test_an_event_with_a_number_that_is_none(fields: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match="not an event"):
        event_from_json({**STEP, **fields})
