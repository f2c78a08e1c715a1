"""A law source of another distribution that fits laws: `shapeflow fit` and tables support it as they support `fit`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import steady

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import settings_of
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.laws.fit import Fit
from shapeflow.laws.laws_file import load
from shapeflow.registry import loaded

LAWS = {128: (1e5, 0.42, 1.9, 1e11), 256: (2e5, 0.42, 1.6, -1e11), 512: (3e5, 0.42, 1.4, 2e11)}
"""Width -> (a, b, c, d)."""
SOURCE = 'steady("points.csv", slope: 0.42)'
LACKING = re.compile(rf"`({'|'.join(settings_of(Fit))})\b|laws from fit|Huber")
"""Words that no message about the other source may contain."""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A `.shape` file whose laws are fitted by the other source, which is installed as a distribution."""
    about = tmp_path / "site" / "steady-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: steady\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[shapeflow.laws]\nsteady = {steady.__name__}:Steady\n")
    monkeypatch.syspath_prepend(about.parent)
    rng, rows = np.random.default_rng(3), ["width,compute,error"]
    for width, (a, b, c, d) in LAWS.items():
        for compute in np.geomspace(1e12, 1e15, 40):
            error = (a * (compute + d) ** -b + c) * np.exp(rng.normal(0, 1e-3))
            rows.append(f"{width},{compute:.9e},{error:.9f}")
    (tmp_path / "points.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "widths.shape"
    write(path, SOURCE)
    loaded.cache_clear()
    yield path
    loaded.cache_clear()


def write(path: Path, source: str) -> None:
    path.write_text(
        'plan "widths"\n\nmetric loss\n\naxis width in [128, 256, 512] via width_expand\n\n'
        f"laws      from {source}\ntraversal steepest\nstop      when error <= 1.65\n",
        encoding="utf-8",
    )


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 0) -> str:
    """The output of a command, after checking that it suggests no setting that the source does not have."""
    capsys.readouterr()
    found = answer(arguments)
    printed = capsys.readouterr()
    assert found == status, printed.err
    both = printed.out + printed.err
    assert not LACKING.search(both), both
    return both


def test_its_laws_are_fitted_and_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(["fit", str(file)], capsys)
    assert "b = 0.420 (0.420 to 0.420) in all laws" in text
    assert "b was given; the exponent is 0.42" in text
    assert "intervals: 40 resamples" in text
    assert "read 1 file\n" in text


def test_the_report_has_its_points_and_its_method(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(shown(["fit", str(file), "--json"], capsys))
    assert told["method"] == {"exponent": 0.42}
    for law, (_, _, c, _) in zip(told["laws"], LAWS.values(), strict=True):
        assert law["source"] == "fit"
        assert law["settings"] == {
            "is": "steady",
            "file": "points.csv",
            "slope": 0.42,
            "strict": False,
            "bootstraps": 40,
            "skip": [],
        }
        assert len(law["measured"]) == 40
        assert law["c"] == pytest.approx(c, abs=0.02)
        assert law["intervals"]["c"][0] < law["c"] < law["intervals"]["c"][1]


def test_its_picture_is_drawn(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    picture = file.parent / "laws.svg"
    shown(["fit", str(file), "--plot", str(picture)], capsys)
    assert "<svg" in picture.read_text(encoding="utf-8")


def test_a_plan_by_its_laws_has_an_answer(file: Path) -> None:
    report = Report()
    plan = compile_file(file, report=report)
    assert plan.uncertainty is not None
    assert plan.answer is not None
    assert plan.answer.best is not None
    assert report.diagnostics == []


def test_a_table_of_its_laws_makes_the_same_plan(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = file.parent / "laws.json"
    shown(["fit", str(file), "-o", str(output)], capsys)
    assert set(load(output)) == {Shape.of(width=width) for width in LAWS}
    first = compile_file(file)
    write(file, 'table("laws.json")')
    again = compile_file(file)
    assert [stage.shape for stage in again.stages] == [stage.shape for stage in first.stages]
    assert again.answer == first.answer
    assert again.uncertainty == first.uncertainty


def test_a_table_names_the_source_that_fits_it_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, source = file.parent / "laws.json", 'steady("points.csv", slope: 0.4, strict: true, skip: [1, 45])'
    write(file, source)
    first = shown(["fit", str(file), "-o", str(output), "--json"], capsys, 1).partition("error[")[0]
    write(file, 'table("laws.json")')
    told = shown(["fit", str(file)], capsys, 1)
    assert "error[nothing-to-fit]: `table` does not fit laws" in told
    assert f"help: fit them again: `--set 'laws from {source}'`" in told
    assert shown(["fit", str(file), "--set", f"laws from {source}", "--json"], capsys, 1).startswith(first)


def test_a_stale_table_names_it_too(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown(["fit", str(file), "-o", str(file.parent / "laws.json")], capsys)
    write(file, 'table("laws.json")')
    with (file.parent / "points.csv").open("a", encoding="utf-8") as table:
        table.write("128,1e15,2.0\n")
    report = Report()
    compile_file(file, report=report)
    (stale,) = [one for one in report.diagnostics if one.code == "stale-laws"]
    assert f"--set 'laws from {SOURCE}'" in (stale.help or "")


def test_a_table_of_a_missing_source_suggests_no_sentence(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(["fit", str(file), "-o", str(file.parent / "laws.json")], capsys)
    write(file, 'table("laws.json")')
    (file.parent / "site" / "steady-1.0.dist-info" / "entry_points.txt").unlink()
    loaded.cache_clear()
    (file.parent / "points.csv").unlink()
    report = Report()
    compile_file(file, report=report)
    (stale,) = [one for one in report.diagnostics if one.code == "stale-laws"]
    assert stale.help is None
