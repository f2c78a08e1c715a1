"""`shapeflow fit`: its screen, files and pictures, for laws fitted to synthetic logs."""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest
from conftest import Golden

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.compiler import fit_file
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fit import Fit
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.laws_file import load
from shapeflow.preview.fit_plot import spread

GOLDEN = Path(__file__).parent / "golden" / "fit"
LAWS = {128: (1e5, 0.42, 1.9, 1e11), 256: (2e5, 0.42, 1.6, -1e11), 512: (3e5, 0.42, 1.4, 2e11)}
"""Width -> (a, b, c, d)."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A `.shape` file whose laws are fitted to two runs of each of three widths."""
    rng, rows = np.random.default_rng(3), ["width,run,flops,loss"]
    for width, (a, b, c, d) in LAWS.items():
        for run in range(2):
            for compute in np.geomspace(1e12, 1e15, 40):
                loss = (a * (compute + d) ** -b + c) * np.exp(rng.normal(0, 1e-3))
                rows.append(f"{width},{run},{compute:.9e},{loss:.9f}")
    (tmp_path / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "widths.shape"
    path.write_text(
        'plan "widths"\n\nmetric loss\n\naxis width in [128, 256, 512] via width_expand\n\n'
        'laws      from fit("runs.csv", resamples: 60)\ntraversal steepest\nstop      when error <= 1.8\n',
        encoding="utf-8",
    )
    return path


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 0) -> str:
    capsys.readouterr()
    found = answer(arguments)
    captured = capsys.readouterr()
    assert found == status, captured.err
    return captured.out


def test_the_screen_is_as_before(file: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    golden(GOLDEN / "widths.txt", shown(["fit", str(file)], capsys))


def test_laws_are_found_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(shown(["fit", str(file), "--json"], capsys))
    assert [law["shape"]["width"] for law in told["laws"]] == list(LAWS)
    for law, (_, _, c, _) in zip(told["laws"], LAWS.values(), strict=True):
        assert law["c"] == pytest.approx(c, abs=0.02)
        assert law["intervals"]["c"][0] < law["c"] < law["intervals"]["c"][1]


CHECKLIST = {
    "form": "a (compute + d)^-b + c",
    "compute": "flops",
    "method.parameters.free": "a",
    "method.parameters.fixed": "",
    "method.parameters.shared by all laws": "b",
    "method.parameters.bounds": "b",
    "method.points.kind": "run",
    "method.points.chosen": "log compute",
    "method.points.left out at the beginning of each run": "2",
    "method.weighting": "alike",
    "method.loss.name": "huber",
    "method.loss.delta": "0.001",
    "method.loss.residual": "log(",
    "method.optimiser.name": "Levenberg",
    "method.optimiser.starts": "lowest",
    "method.optimiser.winner": "least",
    "spent": "",
    "shapeflow": ".",
    "level": "0.9",
    "laws.0.measured": ".",
    "refused": "0",
    "laws.0.unit": "nats",
    "laws.0.points": "60",
    "laws.0.runs": "2",
    "laws.0.dropped": "warm-up",
    "laws.0.learning_rate": "",
    "laws.0.rms": "",
    "laws.0.objective": "",
    "laws.0.intervals": "c",
    "laws.0.resampling": "runs",
    "laws.0.holdout": "",
    "laws.0.optima": "",
    "laws.0.settings": "runs.csv",
    "laws.0.files": "runs.csv",
    "laws.0.refused": "",
    "laws.0.curve": "noise",
    "laws.0.reasons": "",
}
"""What a report on a fit must contain, as path -> part of the text (Li, Kudugunta and Zettlemoyer 2025)."""


def test_the_report_has_all_of_the_checklist(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(shown(["fit", str(file), "--json"], capsys))
    for place, word in CHECKLIST.items():
        part = told
        for key in place.split("."):
            part = part[int(key)] if isinstance(part, list) else part[key]
        assert word in json.dumps(part), place
    assert re.fullmatch(r"[0-9a-f]{64}", told["laws"][0]["files"][0][1])


def test_the_written_laws_are_the_fitted_ones(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = file.parent / "laws" / "found.json"
    assert "written to" in shown(["fit", str(file), "-o", str(output)], capsys)
    _, found = fit_file(file, (), Report())
    kept = load(output)
    assert list(kept) == list(found.laws)
    for shape, law in kept.items():
        original = found.laws[shape]
        assert (law.a, law.b, law.c, law.d) == (original.a, original.b, original.c, original.d)
        assert law.draws == pytest.approx(np.asarray(original.draws), rel=1e-8)
        assert [name for name, _ in law.provenance.files] == ["../runs.csv"]
        assert attrs.evolve(law.provenance, files=()) == attrs.evolve(original.provenance, files=())


def test_a_sentence_of_the_command_line_replaces_the_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = 'laws from fit("runs.csv", resamples: 0, exponent: own)'
    text = shown(["fit", str(file), "--set", sentence], capsys)
    assert "each law has its own b" in text
    assert "no intervals" in text
    assert " to " not in text.partition("rms")[0]


def test_a_table_says_how_to_fit_it_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = 'laws from fit("runs.csv", exponent: own, resamples: 0)'
    first = shown(["fit", str(file), "--set", sentence, "-o", str(file.parent / "laws.json")], capsys)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('fit("runs.csv", resamples: 60)', 'table("laws.json")'), encoding="utf-8")
    assert answer(["fit", str(file)]) == 1
    told = capsys.readouterr().err
    assert "error[nothing-to-fit]: `table` does not fit laws" in told
    found = re.search(r"help: fit them again: `--set '(.*)'`", told)
    assert found is not None
    assert shown(["fit", str(file), "--set", found[1]], capsys) in first


def test_settings_supply_what_logs_do_not_state(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = 'evaluation: held_out, learning_rate: constant, data: "mine"'
    told = json.loads(shown(["fit", str(file), "--set", f'laws from fit("runs.csv", {said})', "--json"], capsys))
    law = told["laws"][0]
    assert (law["evaluation"], law["learning_rate"], law["data"]) == ("held-out", "constant", "mine")


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch fits so that they mark the law of the first shape as not reliable."""
    fitted = Fit.fitted

    def refuse(self: Fit, request: LawRequest, report: Report) -> FittedLaws:
        found = fitted(self, request, report)
        first, law = next(iter(found.laws.items()))
        law = attrs.evolve(law, provenance=attrs.evolve(law.provenance, verdict=("the learning rate falls",)))
        return attrs.evolve(found, laws={**found.laws, first: law})

    monkeypatch.setattr(Fit, "fitted", refuse)


@pytest.mark.usefixtures("refusing")
def test_a_refused_law_is_shown_with_its_reasons(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, picture = file.parent / "laws.json", file.parent / "laws.svg"
    assert answer(["fit", str(file), "-o", str(output), "--plot", str(picture)]) == 1
    told = capsys.readouterr()
    assert "error[falling-rate]: 1 of 3 laws are fitted to runs whose learning rate falls" in told.err
    assert "refused: the learning rate falls ((width: 128))\n" in told.out
    assert "3 laws, 1 refused" in told.out
    assert load(output)[Shape.of(width=128)].provenance.verdict == ("the learning rate falls",)
    assert "<svg" in picture.read_text(encoding="utf-8")
    assert json.loads(shown(["fit", str(file), "--json"], capsys, 1))["refused"] == 1


@pytest.mark.parametrize(("ending", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_pictures_are_drawn(file: Path, ending: str, begin: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    picture = file.parent / f"laws.{ending}"
    assert f"plot written to {picture}" in shown(["fit", str(file), "--plot", str(picture)], capsys)
    assert picture.read_bytes().startswith(begin)


def test_a_picture_without_matplotlib(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert answer(["fit", str(file), "--plot", str(file.parent / "laws.png")]) == 1
    assert "error[no-matplotlib]" in capsys.readouterr().err
    assert not (file.parent / "laws.png").exists()


def test_long_shapes_are_numbered(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = file.parent / "runs.csv"
    rows = table.read_text(encoding="utf-8").splitlines()
    longer = [f"{rows[0]},loss_name", *(f"{row},a_name_that_is_rather_long" for row in rows[1:])]
    table.write_text("\n".join(longer) + "\n", encoding="utf-8")
    text = file.read_text(encoding="utf-8")
    axis = "axis loss in [a_name_that_is_rather_long] via loss_switch\n"
    file.write_text(
        text.replace("\nlaws ", f"{axis}\nlaws ").replace(
            '"runs.csv"', '"runs.csv", error: "loss", axes: (loss: "loss_name")'
        ),
        encoding="utf-8",
    )
    told = shown(["fit", str(file)], capsys)
    assert re.search(r"^  2 +256 +a_name_that_is_rather_long$", told, re.MULTILINE)
    assert max(map(len, told.partition("rms")[0].splitlines()[1:])) <= 80


@pytest.mark.parametrize("heights", [[0.5, 0.5, 0.5], [0.0, 0.01, 0.9], [0.97, 0.98, 1.0, 1.0], [0.1, 0.4, 0.7]])
def test_labels_are_spread(heights: list[float]) -> None:
    found = spread(heights, 0.1)
    assert all(after - before > 0.1 - 1e-9 for before, after in itertools.pairwise(found))
    assert min(found) >= 0
    assert max(found) <= 1 + 1e-9


def test_labels_that_have_room_stay() -> None:
    assert spread([0.1, 0.4, 0.7], 0.1) == pytest.approx([0.1, 0.4, 0.7])
    assert spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
