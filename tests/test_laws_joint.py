"""Joint laws over size and tokens: fits to known laws, their intervals, hold-out over size, and the best size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.ir.joint import JointLaw, PerToken
from shapeflow.ir.law import Provenance
from shapeflow.laws.joint.fit import formula, joint_laws, joint_of
from shapeflow.laws.joint.solver import JointPoints, fit_joint, huber, predicted
from shapeflow.laws.logs.points import Floats, Points

TRUTH = np.array([1.82, 482.0, 2085.0, 0.348, 0.366])
"""E, A, B, alpha and beta of Besiroglu et al. 2024 (arXiv 2404.10102)."""
SIZES = np.geomspace(5e7, 1.6e10, 9)


def ladder(noise: float, seed: int = 0, truth: Floats = TRUTH) -> JointPoints:
    """Runs of nine sizes with seven numbers of tokens each, as a ladder of many lengths: a point is a run."""
    rng = np.random.default_rng(seed)
    size, tokens = (each.ravel() for each in np.meshgrid(SIZES, np.geomspace(1e9, 3e11, 7), indexing="ij"))
    error = predicted(truth, size, tokens) * np.exp(rng.normal(0, noise, len(size)))
    return JointPoints(size, tokens, error, np.arange(len(size)))


def fitted(points: JointPoints, resamples: int = 0) -> JointLaw:
    return joint_of(points, PerToken(), 1e-3, resamples)


def test_a_law_without_noise_is_found() -> None:
    np.testing.assert_allclose(fit_joint(ladder(0.0), 1e-3), TRUTH, rtol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_the_objective_is_as_low_as_a_simplex_search_finds(seed: int) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    points = ladder(0.01, seed)

    def objective(theta: Floats) -> float:
        law = np.array([*np.exp(theta[:3]), *theta[3:]])
        return float(huber(np.log(predicted(law, points.size, points.tokens) / points.error), 1e-3).sum())

    found = fit_joint(points, 1e-3)
    options = {"maxiter": 20000, "maxfev": 20000, "xatol": 1e-9, "fatol": 1e-15}
    begin = np.array([*np.log(TRUTH[:3]), *TRUTH[3:]])
    rival = optimize.minimize(objective, begin, method="Nelder-Mead", options=options)
    ours = objective(np.array([*np.log(found[:3]), *found[3:]]))
    assert ours <= rival.fun * (1 + 1e-4)


def test_units_do_not_matter() -> None:
    points = ladder(0.005)
    E, A, B, alpha, beta = fit_joint(points, 1e-3)
    scaled = fit_joint(JointPoints(points.size * 1e6, points.tokens / 1e3, points.error * 7, points.run), 1e-3)
    np.testing.assert_allclose(scaled, [7 * E, 7 * A * 1e6**alpha, 7 * B * 1e-3**beta, alpha, beta], rtol=1e-3)


def test_intervals_contain_the_truth_about_as_often_as_they_say() -> None:
    hits, repeats = np.zeros(5), 20
    for seed in range(repeats):
        ranges = fitted(ladder(0.005, 100 + seed), 100).intervals()
        hits += [low <= true <= high for true, (low, high) in zip(TRUTH, list(ranges.values())[:5], strict=True)]
    assert hits.min() >= 13
    assert hits.mean() <= 19.8


def test_larger_sizes_are_held_out() -> None:
    held = fitted(ladder(0.0)).holdout
    assert held is not None
    assert held.below == pytest.approx(SIZES[4])
    assert (held.sizes, held.points) == (4, 28)
    assert held.error < 1e-3
    # A law whose floor rises at large sizes is not predicted by the small ones.
    bent = ladder(0.0)
    bent.error[bent.size > SIZES[5]] *= 1.05
    worse = fitted(bent).holdout
    assert worse is not None
    assert worse.error > 0.02
    assert worse.bias < -0.02


def test_three_sizes_are_not_tested_on_size() -> None:
    points = ladder(0.001)
    assert fitted(points.chosen(points.size <= SIZES[2])).holdout is None


def test_numbers_that_the_data_do_not_determine_are_named() -> None:
    flat = ladder(0.0, truth=np.array([1.8, 1e-12, 2085.0, 0.3, 0.366]))
    assert any("A / N^alpha" in reason or "alpha" in reason for reason in fitted(flat).open())
    assert not list(fitted(ladder(0.001)).open())


def test_the_best_size_is_the_minimum_along_the_budget() -> None:
    law = fitted(ladder(0.002), 50)
    best = law.best(1e21)
    sizes = best.size * np.geomspace(0.5, 2, 401)
    errors = [law.error(size, 1e21 / 6 / size) for size in sizes]
    assert abs(np.log(sizes[int(np.argmin(errors))] / best.size)) < 0.01
    assert best.tokens == pytest.approx(1e21 / 6 / best.size)
    assert best.error == pytest.approx(min(errors), rel=1e-6)
    assert best.size_range is not None
    assert best.size_range[0] < best.size < best.size_range[1]
    assert np.log(law.best(1e22).size / best.size) / np.log(10) == pytest.approx(law.exponent)


def test_the_compute_of_a_token_follows_that_of_the_shapes() -> None:
    shapes = {Shape.of({"width": width}): size for width, size in ((64, 1e6), (128, 4e6), (256, 1.6e7))}
    exact = formula(shapes, {shape: 6 * size for shape, size in shapes.items()})
    assert exact.factor == pytest.approx(6)
    assert (exact.power, exact.off) == (1.0, 0.0)
    power = formula(shapes, {shape: 20 * size**0.9 for shape, size in shapes.items()})
    assert (power.factor, power.power) == (pytest.approx(20), pytest.approx(0.9))
    law = attrs_law(power)
    sizes = law.best(1e15).size * np.geomspace(0.5, 2, 801)
    errors = [law.error(size, 1e15 / power.of(size)) for size in sizes]
    assert abs(np.log(sizes[int(np.argmin(errors))] / law.best(1e15).size)) < 0.01


def attrs_law(per_token: PerToken) -> JointLaw:
    return joint_of(ladder(0.0), per_token, 1e-3, 0)


def test_each_shape_gets_its_law_over_compute() -> None:
    sets, sizes = {}, {}
    for width, size in ((64, 1e8), (128, 1e9), (256, 1e10)):
        shape, compute = Shape.of({"width": width}), 6 * size * np.geomspace(1e9, 1e11, 20)
        sizes[shape] = size
        sets[shape] = Points(compute, predicted(TRUTH, np.full(20, size), compute / 6 / size))
    about = Provenance(source="fit", metric="loss", convention="flops", runs=1)
    per_token = {shape: 6 * size for shape, size in sizes.items()}
    found = joint_laws(sets, dict.fromkeys(sets, about), sizes, per_token, 1e-3, 20)
    assert found.joint is not None
    for shape, law in found.laws.items():
        expected = predicted(TRUTH, np.array([sizes[shape]]), np.array([3e11]))[0]
        assert law.error(6 * sizes[shape] * 3e11) == pytest.approx(expected, rel=1e-4)
        assert len(law.draws) == 20
        assert law.provenance.intervals["c"] == (pytest.approx(law.c, rel=1e-4), pytest.approx(law.c, rel=1e-4))


HEAD = 'plan "sizes"\n\nmetric loss\n\naxis width in [{widths}] via width_expand\n\n'
LAWS = (
    'laws from fit("runs.csv", form: chinchilla, axes: (width: "N"), compute: "6 * N * D", resamples: 60{more})\n'
    "traversal steepest\nbudget 1e22 FLOPs\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A `.shape` file of sizes up to 1e12 parameters, each with a curve."""
    rng, rows = np.random.default_rng(3), ["N,D,loss"]
    sizes = [1e8, 1e9, 1e10, 1e11, 1e12]
    for size in sizes:
        for tokens in np.geomspace(1e9, 1e12, 20):
            loss = predicted(TRUTH, np.array([size]), np.array([tokens]))[0] * np.exp(rng.normal(0, 1e-3))
            rows.append(f"{size:.0f},{tokens:.6e},{loss:.6f}")
    (tmp_path / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "sizes.shape"
    text = HEAD.format(widths=", ".join(f"{size:g}" for size in sizes)) + LAWS.format(more="")
    path.write_text(text, encoding="utf-8")
    return path


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    status = answer(arguments)
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out


def test_a_file_of_sizes_is_fitted_and_compiled(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(["fit", str(file)], capsys)
    assert "the best size grows as compute^0.51" in out
    assert "predicts the 2 larger sizes" in out
    joint = json.loads(shown(["fit", str(file), "--json"], capsys))["joint"]
    assert joint["alpha"] == pytest.approx(TRUTH[3], abs=0.01)
    assert joint["sizes"] == 5
    assert "1e12" in shown(["compile", str(file), "--set", "budget 1e25 FLOPs"], capsys)


def test_the_laws_of_a_table_compile_to_the_same_route(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, plot = file.parent / "laws.json", file.parent / "laws.png"
    shown(["fit", str(file), "-o", str(table), "--plot", str(plot)], capsys)
    assert plot.stat().st_size > 1000
    direct = shown(["compile", str(file), "--json"], capsys)
    again = shown(["compile", str(file), "--json", "--set", 'laws from table("laws.json")'], capsys)
    assert [one["shape"] for one in json.loads(direct)["stages"]] == [
        one["shape"] for one in json.loads(again)["stages"]
    ]


def test_points_above_an_error_are_left_out(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("resamples: 60", "resamples: 0, error_below: 3"), encoding="utf-8")
    report = json.loads(shown(["fit", str(file), "--json"], capsys))
    assert all(point[1] < 3 for law in report["laws"] for point in law["measured"])
    assert any("above `error_below`" in law["dropped"] for law in report["laws"])
    assert report["joint"]["intervals"] == {}


def test_the_refit_sentence_of_a_joint_law(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = file.parent / "laws.json"
    shown(["fit", str(file), "-o", str(table)], capsys)
    answer(["fit", str(file), "--set", 'laws from table("laws.json")'])
    said = capsys.readouterr().err
    assert "form: chinchilla" in said


def test_settings_of_the_other_form_are_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("resamples: 60", "exponent: own"), encoding="utf-8")
    assert answer(["fit", str(file)]) == 1
    assert "error[idle-setting]" in capsys.readouterr().err
