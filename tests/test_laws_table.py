"""Tables of laws: they survive writing and reading, and invalid files are refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.sealed import digest_of
from shapeflow.base.settings import written
from shapeflow.base.shapes import Shape
from shapeflow.ir.law import HoldOut, Law, MeasuredCurve, Provenance, Resampling
from shapeflow.ir.law_json import law_to_json
from shapeflow.ir.route import LawRequest
from shapeflow.laws import laws_file
from shapeflow.laws.fit import Fit
from shapeflow.laws.laws_file import dumps, load, save
from shapeflow.laws.table import Table


def law(c: float, draws: int = 5) -> Law:
    rows = np.array([3.1e7, 0.5, c, -2e14]) * np.random.default_rng(3).lognormal(0, 0.02, (draws, 4))
    provenance = Provenance(
        source="fit",
        metric="classification_error",
        convention="flops",
        unit="share",
        files=(("runs/[\n  1 ].csv", "0" * 64),),
        points=40,
        compute=(1e15, 1e18),
        error=(0.9, 0.3),
        optima=((3e7, 0.4, 0.1, 0.0),),
        holdout=HoldOut(points=20, error=0.002, last=-0.001, factor=None),
        resampling=Resampling(by="noise", alike=4, count=draws),
        intervals={"c": (0.1, 0.2)},
        verdict=("the learning rate falls",),
        curve=MeasuredCurve(compute=(1e15, 1e18), error=(0.9, 0.3), noise=1e-3, runs=1, spread=0.0),
    )
    return Law(3.1e7, 0.5, c, -2e14, provenance, rows if draws else None)


LAWS = {Shape.of(patch=16, loss="distill"): law(0.2), Shape.of(patch=8, loss="distill"): law(0.1)}


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    save(path, LAWS)
    found = load(path)
    assert list(found) == list(LAWS)
    for shape, one in LAWS.items():
        assert law_to_json(found[shape]) == law_to_json(one)
        np.testing.assert_allclose(found[shape].draws, one.draws, rtol=1e-8)
    assert dumps(found) == path.read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["laws.json"]


def test_laws_without_draws(tmp_path: Path) -> None:
    save(tmp_path / "laws.json", {Shape.of(patch=16): law(0.2, 0)})
    assert load(tmp_path / "laws.json")[Shape.of(patch=16)].draws is None


def test_resamples_are_written_one_per_line() -> None:
    rows = [line for line in dumps(LAWS).splitlines() if line.count(",") >= 3]
    assert len(rows) == 2 * 5 + 2, "the draws and the optima"


def change(edit: Callable[[Any], None]) -> Callable[[str], str]:
    def changed(text: str) -> str:
        body = json.loads(text)
        del body["digest"]
        edit(body)
        return json.dumps({**body, "digest": digest_of(body)})

    return changed


def first(edit: Callable[[Any], None]) -> Callable[[str], str]:
    return change(lambda body: edit(body["laws"][0]))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda text: "", "it is not JSON"),
        (lambda text: text[:-20], "it is not JSON"),
        (lambda text: "[" * 100_000, "nested too deeply"),
        (lambda text: text.replace('"c": 0.2', '"c": NaN'), "NaN"),
        (lambda text: text.replace('"c": 0.2', '"c": 0.21'), "not match its digest"),
        (lambda text: text.replace(f'"{laws_file.SEAL.format}"', '"shapeflow-plan"'), 'not contain `"format"'),
        (change(lambda body: body.update(version=1)), "version 1"),
        (change(lambda body: body.update(more=1)), "nothing else"),
        (change(lambda body: body.update(laws=[])), "one or more"),
        (change(lambda body: body.update(laws={})), "a list"),
        (change(lambda body: body["laws"].append(body["laws"][0])), "two laws for (loss: distill, patch: 16)"),
        (change(lambda body: body["laws"].append(3)), "a shape, a law and draws"),
        (first(lambda entry: entry.update(law=[])), "a shape, a law and draws"),
        (first(lambda entry: entry.update(shape={"patch": 1.5})), "is not a shape"),
        (first(lambda entry: entry["law"].pop("metric")), "lacks metric"),
        (first(lambda entry: entry["law"].update(a=0)), "a must be above 0"),
        (first(lambda entry: entry["law"].update(c=10**400)), "too large"),
        (first(lambda entry: entry["law"].update(c=-1e308)), "the law of (loss: distill, patch: 16) has numbers of no"),
        (first(lambda entry: entry["law"].update(files=[["a\0b", "0"]])), "not a possible file name"),
        (first(lambda entry: entry.update(draws=[[1, 1e-320, 3, 4]])), "no real size"),
        (first(lambda entry: entry.update(draws=None)), "unequally many draws"),
        (first(lambda entry: entry.update(draws=[])), "finite rows"),
        (first(lambda entry: entry.update(draws=[[1, 2, 3]])), "rows of four numbers"),
        (first(lambda entry: entry.update(draws=[[1, True, 3, 4]])), "rows of four numbers"),
        (first(lambda entry: entry.update(draws=[[1, -1, 3, 4]])), "above 0"),
        (first(lambda entry: entry.update(draws=[[10**400, 1, 3, 4]])), "too large"),
    ],
)
def test_files_that_are_not_tables_are_refused(spoil: Callable[[str], str], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    path.write_text(spoil(dumps(LAWS)))
    with pytest.raises(Refused) as caught:
        load(path)
    (wrong,) = caught.value.diagnostics
    assert wrong.code == "broken-laws"
    assert reason in " ".join(wrong.notes)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Refused, match="broken-laws"):
        load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot-read"):
        load(tmp_path / "laws.json")


def test_resamples_that_are_not_numbers_are_not_written(tmp_path: Path) -> None:
    broken = attrs.evolve(law(0.2), draws=np.full((5, 4), np.nan))
    with pytest.raises(ValueError, match="JSON"):
        save(tmp_path / "laws.json", {Shape.of(patch=16): broken})
    assert not list(tmp_path.iterdir())


SHAPES = list(LAWS)


def ask(folder: Path, shapes: list[Shape] = SHAPES) -> LawRequest:
    units = {"loss": "", "patch": "px"}
    return LawRequest(
        shapes, units, "classification_error", "flops", str(folder), spans={}, candidate_spans={}, sources={"fit": Fit}
    )


def put(folder: Path, files: dict[str, bytes]) -> None:
    """Write log files to `runs/` and a table of laws fitted to them to a sibling folder."""
    named = tuple((f"../runs/{name}", hashlib.sha256(content).hexdigest()) for name, content in files.items())
    (folder / "runs").mkdir()
    for name, content in files.items():
        (folder / "runs" / name).write_bytes(content)
    settings = written(Fit("runs/*.csv"))
    laws = {
        shape: attrs.evolve(one, provenance=attrs.evolve(one.provenance, files=named, settings=settings, verdict=()))
        for shape, one in LAWS.items()
    }
    save(folder / "tables" / "laws.json", laws)


def test_a_table_is_a_source_of_laws(tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": b"a", "b.csv": b"b"})
    report = Report()
    found = Table("tables/laws.json").laws(ask(tmp_path, SHAPES[::-1]), report)
    assert report.diagnostics == []
    assert list(found) == SHAPES[::-1]
    np.testing.assert_allclose(found[SHAPES[0]].draws, LAWS[SHAPES[0]].draws, rtol=1e-8)


def test_a_stale_table_is_reported(tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": b"a", "b.csv": b"b", "c.csv": b"c"})
    (tmp_path / "runs" / "a.csv").write_bytes(b"A")
    (tmp_path / "runs" / "b.csv").unlink()
    report = Report()
    assert len(Table("tables/laws.json").laws(ask(tmp_path), report)) == 2
    (said,) = report.diagnostics
    assert (said.code, said.severity) == ("stale-laws", "warning")
    assert said.notes == ("`../runs/a.csv` has changed", "`../runs/b.csv` is missing")
    assert 'shapeflow fit FILE.shape --set \'laws from fit("runs/*.csv"' in (said.help or "")


def test_no_file_outside_the_folder_is_read(tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": b"a"})
    report = Report()
    inner = tmp_path / "tables"
    assert len(Table("laws.json").laws(ask(inner), report)) == 2
    assert report.diagnostics[0].notes == (
        "`../runs/a.csv` lies outside the folder of this file, and is not looked at",
    )
    assert "cannot be checked" in report.diagnostics[0].message
    assert report.diagnostics[0].help is None


def test_a_verdict_in_a_table_is_reported(tmp_path: Path) -> None:
    save(
        tmp_path / "laws.json",
        {shape: attrs.evolve(one, provenance=attrs.evolve(one.provenance, files=())) for shape, one in LAWS.items()},
    )
    report = Report()
    Table("laws.json").laws(ask(tmp_path), report)
    assert [one.code for one in report.diagnostics] == ["falling-rate"]


@pytest.mark.parametrize(
    ("path", "code"), [("../laws.json", "path-outside"), ("/laws.json", "path-outside"), ("l.json", "no-such-file")]
)
def test_tables_that_cannot_be_read(path: str, code: str, tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": b"a"})
    report = Report()
    assert not Table(path).laws(ask(tmp_path), report)
    assert [one.code for one in report.errors] == [code]


def test_candidates_that_a_table_has_no_law_for(tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": b"a"})
    report = Report()
    assert not Table("tables/laws.json").laws(ask(tmp_path, [*SHAPES, Shape.of(patch=4, loss="distill")]), report)
    (wrong,) = report.errors
    assert wrong.code == "law-without-runs"
    assert "(loss: distill, patch: 4 px)" in wrong.message
