"""`fit(points: ends)`: laws over the ends of runs that finished their own schedules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.compiler import fit_file
from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fitting.ends import budgets, laws_of_ends
from shapeflow.laws.fitting.ends_check import check_ends
from shapeflow.laws.fitting.evidence import ends_of
from shapeflow.laws.fitting.solver import FitOptions
from shapeflow.laws.logs.points import Points
from shapeflow.laws.logs.runs import Run
from shapeflow.stages.find_laws import of_one_kind

LAWS = {64: (2e4, 0.3, 2.6), 128: (3.2e4, 0.3, 2.3), 256: (5e4, 0.3, 2.05), 512: (8e4, 0.3, 1.9)}
"""Width -> (a, b, c) of the ends."""
ABOUT = Provenance(source="fit", metric="loss", convention="flops", learning_rate="annealed")


def ends(compute: Sequence[float], noise: float = 0.0, seed: int = 0) -> dict[Shape, Points]:
    rng, sets = np.random.default_rng(seed), {}
    for width, (a, b, c) in LAWS.items():
        at = np.array(compute) * width
        error = (a * at**-b + c) * np.exp(rng.normal(0, noise, len(at)))
        sets[Shape.of({"width": width})] = Points(at, error, np.arange(len(at)))
    return sets


def fitted(sets: dict[Shape, Points], options: FitOptions | None = None, resamples: int = 0) -> dict[int, Law]:
    found = laws_of_ends(sets, dict.fromkeys(sets, ABOUT), options or FitOptions(), resamples)
    return {shape.number("width"): law for shape, law in found.laws.items()}


@pytest.mark.parametrize("options", [FitOptions(), FitOptions(exponent="own"), FitOptions(fixed=0.3)])
def test_ends_without_noise_give_their_law(options: FitOptions) -> None:
    for width, law in fitted(ends([1e14, 3e14, 1e15, 3e15]), options).items():
        a, b, c = LAWS[width]
        far = 1e17 * width
        assert law.error(far) == pytest.approx(a * far**-b + c, rel=2e-3)
        assert law.d == 0
        assert law.provenance.rms is not None
        assert law.provenance.rms < 1e-3


def test_three_ends_a_shape_predict_longer_runs() -> None:
    missed = []
    for seed in range(8):
        laws = fitted(ends([1e15, 2e15, 3e15], 3e-4, seed))
        for width, (a, b, c) in LAWS.items():
            far = 1e16 * width
            missed.append(abs(laws[width].error(far) - (a * far**-b + c)))
    assert np.mean(missed) < 0.01


def test_a_bad_end_of_one_shape_does_not_move_the_others() -> None:
    sets = ends([1e15, 2e15, 3e15, 5e15])
    sets[Shape.of({"width": 64})].error[1] *= 1.03
    laws = fitted(sets)
    for width in (128, 256, 512):
        a, b, c = LAWS[width]
        assert laws[width].error(2e16 * width) == pytest.approx(a * (2e16 * width) ** -b + c, rel=3e-3)


def test_intervals_of_a_prediction_contain_the_truth() -> None:
    hits, count = 0, 0
    for seed in range(12):
        laws = fitted(ends([1e15, 2e15, 4e15, 8e15], 5e-4, seed), resamples=80)
        for width, (a, b, c) in LAWS.items():
            far = 2e16 * width
            drawn = laws[width].draws
            low, high = np.quantile(drawn[:, 0] * far ** -drawn[:, 1] + drawn[:, 2], [0.05, 0.95])
            hits, count = hits + (low <= a * far**-b + c <= high), count + 1
    assert 0.75 <= hits / count <= 0.99


def test_the_longest_runs_are_held_out() -> None:
    held = [law.provenance.holdout for law in fitted(ends([1e15, 2e15, 4e15, 8e15, 16e15, 32e15])).values()]
    assert all(one is not None and one.points == 2 and one.error < 1e-3 for one in held)
    assert all(law.provenance.holdout is None for law in fitted(ends([1e15, 2e15, 4e15])).values())
    # Ends that stop falling are not predicted by the shorter runs.
    sets = ends([1e15, 2e15, 4e15, 8e15, 16e15, 32e15])
    for points in sets.values():
        points.error[-2:] = points.error[3]
    worse = fitted(sets)[512].provenance.holdout
    assert worse is not None
    assert worse.error > 0.003


def test_budgets_closer_than_a_twentieth_count_as_one() -> None:
    at = np.array([1e15, 1.01e15, 2e15, 4e15])
    assert budgets(Points(at, np.ones(4))) == 3


HEAD = "metric loss\naxis width in [64, 128, 256, 512] via width_expand\n"
TAIL = "traversal steepest\nbudget 1 EFLOPs\n"


def file(folder: Path, laws: str, *, rate: str = "", compute: Sequence[float] = (1e15, 2e15, 4e15)) -> Path:
    """A `.shape` file, and runs of four widths with points before their ends that are on no curve of ends. `rate`: what
    the learning rate does, if the log has one: `falls` or `stays`."""
    rows = ["width,run,step,flops,loss" + ",lr" * bool(rate)]
    for width, (a, b, c) in LAWS.items():
        for run, end in enumerate(compute):
            for step in range(1, 11):
                at = end * width * step / 10
                loss = a * at**-b + c + (0.0 if step == 10 else 0.1)
                lr = {"falls": f",{1e-3 * (1.05 - step / 10):.3g}", "stays": ",0.001", "": ""}[rate]
                rows.append(f"{width},{run},{step},{at:.6g},{loss:.6f}{lr}")
    (folder / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = folder / "ends.shape"
    path.write_text(f"{HEAD}laws from {laws}\n{TAIL}", encoding="utf-8")
    return path


def test_only_the_end_of_each_run_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, 'fit("runs.csv", points: ends, resamples: 20)', rate="falls")
    assert answer(["fit", str(path), "--json"]) == 0
    laws = json.loads(capsys.readouterr().out)["laws"]
    for law in laws:
        assert (law["points"], law["runs"], law["learning_rate"]) == (3, 3, "annealed")
        assert law["dropped"] == {"before the end": 27}
        assert law["resampling"]["by"] == "ends"
        assert law["b"] == pytest.approx(0.3, abs=0.03)
    assert answer(["fit", str(path)]) == 0
    assert "learning rate: annealed" in capsys.readouterr().out


def test_the_screen_says_what_was_held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, 'fit("runs.csv", points: ends, resamples: 0)', compute=(1e13, 3e13, 1e14, 3e14, 1e15, 1e16))
    assert answer(["fit", str(path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "held out: the longest third of the runs of each shape" in said
    assert "later half" not in said


def test_a_plan_from_ends_says_what_it_does_not_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, 'fit("runs.csv", points: ends)', compute=(1e13, 1e14, 1e15, 1e16))
    assert answer(["compile", str(path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("unknown: the laws are of the ends of runs")
    assert "the error at a switch before the end is not predicted by them" in said


def test_ends_at_a_constant_rate_stay_constant(tmp_path: Path) -> None:
    _, found = fit_file(file(tmp_path, 'fit("runs.csv", points: ends)', rate="stays"), (), Report())
    assert {law.provenance.learning_rate for law in found.laws.values()} == {"constant"}


def test_laws_of_ends_do_not_mix_with_laws_at_a_constant_rate(tmp_path: Path) -> None:
    program, found = fit_file(file(tmp_path, 'fit("runs.csv", points: ends)'), (), Report())
    laws = dict(found.laws)
    report = Report()
    of_one_kind(laws, program, report)
    assert not report.failed
    shape = Shape.of({"width": 64})
    laws[shape] = attrs.evolve(laws[shape], provenance=attrs.evolve(ABOUT, learning_rate="constant", metric="loss@own"))
    of_one_kind(laws, program, report)
    assert [one.code for one in report.errors] == ["mixed-laws"]
    assert "annealed" in report.errors[0].message


def test_each_row_as_a_run_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["width,tokens,flops,loss"]
    for width, (a, b, c) in LAWS.items():
        rows += [f"{width},{at:.3g},{at * width:.6g},{a * (at * width) ** -b + c:.6f}" for at in (1e15, 2e15, 4e15)]
    (tmp_path / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "ends.shape"
    path.write_text(f'{HEAD}laws from fit("runs.csv", points: ends)\n{TAIL}', encoding="utf-8")
    assert answer(["fit", str(path)]) == 1
    assert "name a column that differs between them with `run`" in capsys.readouterr().err
    assert answer(["fit", str(path), "--set", 'laws from fit("runs.csv", points: ends, run: "tokens")']) == 0


def test_a_joint_law_over_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["N,D,loss"]
    for size in (1e8, 4e8, 1.6e9, 6.4e9):
        rows += [f"{size:.0f},{d:.3g},{1.8 + 480 * size**-0.35 + 2085 * d**-0.37:.6f}" for d in (1e9, 4e9, 16e9, 64e9)]
    (tmp_path / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "ends.shape"
    fit = 'fit("runs.csv", points: ends, form: chinchilla, run: "D", axes: (width: "N"), compute: "6 * N * D")'
    path.write_text(
        f"metric loss\naxis width in [1e8, 4e8, 1.6e9, 6.4e9] via width_expand\nlaws from {fit}\n{TAIL}",
        encoding="utf-8",
    )
    assert answer(["fit", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["joint"]["alpha"] == pytest.approx(0.35, abs=0.01)
    assert {law["learning_rate"] for law in found["laws"]} == {"annealed"}


def test_settings_of_curves_have_no_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, 'fit("runs.csv", points: ends, drop_warmup: 3)')
    assert answer(["fit", str(path)]) == 1
    assert "error[idle-setting]" in capsys.readouterr().err


def test_a_table_of_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run name in every row: refused as curves, and what laws over ends are for."""
    rows = [
        f"{name}{at},{width},{at * 1e15:g},{1.5 + factor * (at * 1e15) ** -0.16}"
        for name, width, factor in (("a", 64, 300), ("b", 128, 420))
        for at in (1, 2, 4, 8)
    ]
    (tmp_path / "ends.csv").write_text("\n".join(["run,width,compute,loss", *rows]) + "\n")
    path = tmp_path / "ends.shape"
    path.write_text(
        'axis width in [64, 128] via width_expand\nlaws from fit("ends.csv", points: ends)\n'
        "traversal steepest\nbudget 10 PFLOPs\n"
    )
    assert answer(["fit", str(path), "--json"]) == 0
    laws = json.loads(capsys.readouterr().out)["laws"]
    assert [law["learning_rate"] for law in laws] == ["annealed", "annealed"]
    assert answer(["fit", str(path), "--set", 'laws from fit("ends.csv")']) == 1
    said = capsys.readouterr().err
    assert "run-ends" in said
    assert "points: ends" in said


def test_ends_at_several_peak_rates_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["name,width,peak_lr,flops,loss"]
    for width, (a, b, c) in LAWS.items():
        for at in (1e15, 2e15, 4e15):
            rows += [f"{width}-{at}-{lr},{width},{lr},{at:g},{lr * 10 + a * at**-b + c:.6f}" for lr in (0.001, 0.003)]
    (tmp_path / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "ends.shape"
    path.write_text(f'{HEAD}laws from fit("runs.csv", points: ends, run: "name")\n{TAIL}', encoding="utf-8")
    assert answer(["fit", str(path)]) == 1
    error = capsys.readouterr().err
    assert "error[mixed-laws]" in error
    assert "`peak_lr` tells apart" in error
    assert "where: (peak_lr: ...)" in error
    text = 'laws from fit("runs.csv", points: ends, run: "name", where: (peak_lr: "0.001"), resamples: 0)'
    assert answer(["fit", str(path), "--set", text]) == 0


def test_ends_of_one_budget_have_one_peak_rate() -> None:
    shape = Shape.of({"width": 64})

    def ended(peak: float, end: float) -> Run:
        run = Run(shape, f"{peak}.csv")
        for step in range(1, 11):
            run.add(end * step / 10, 3.0, float(step), peak * (1.05 - step / 10))
        return run

    request = LawRequest((shape,), {"width": ""}, "loss@own", "flops", "", {}, {})
    for runs, wrong in (([ended(1e-3, 1e15), ended(3e-3, 1.01e15)], 1), ([ended(1e-3, 1e15), ended(3e-3, 4e15)], 0)):
        report = Report()
        check_ends({shape: ends_of(runs, None)}, FitOptions(), True, request, report)
        assert [one.code for one in report.errors] == ["mixed-laws"] * wrong
