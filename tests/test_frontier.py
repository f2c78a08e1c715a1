"""`shapeflow frontier`: the best size for a budget, from tables and `.shape` files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shapeflow.base.diagnostics import Refused
from shapeflow.cli import answer
from shapeflow.ir.joint import PerToken
from shapeflow.laws.joint.fit import joint_of
from shapeflow.laws.joint.slices import growth_of, slices_of
from shapeflow.laws.joint.solver import JointPoints, predicted
from shapeflow.laws.joint.table import Named, read_tables
from shapeflow.preview.picture import tick

TRUTH = np.array([1.82, 482.0, 2085.0, 0.348, 0.366])
A = TRUTH[4] / (TRUTH[3] + TRUTH[4])
"""The power of compute with which the best size grows."""


def best_size(compute: float) -> float:
    _, a, b, alpha, beta = TRUTH
    return float((alpha * a / (beta * b)) ** (1 / (alpha + beta)) * (compute / 6) ** A)


def budgets(noise: float, seed: int = 0) -> JointPoints:
    """Runs of nine sizes around the best one at each of six budgets: isoFLOP profiles."""
    rng = np.random.default_rng(seed)
    compute = np.repeat(10.0 ** np.arange(18, 24), 9)
    size = np.array([best_size(each) for each in compute]) * np.tile(np.geomspace(0.2, 5, 9), 6)
    tokens = compute / 6 / size
    error = predicted(TRUTH, size, tokens) * np.exp(rng.normal(0, noise, len(size)))
    return JointPoints(size, tokens, error, np.arange(len(size)))


def write(path: Path, points: JointPoints, head: str = "N,C,loss") -> Path:
    rows = [
        f"{n:.8g},{6 * n * d:.8g},{e:.8g}" for n, d, e in zip(points.size, points.tokens, points.error, strict=True)
    ]
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    status = answer(arguments)
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out


def test_the_answer_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "runs.csv", budgets(2e-3))
    lines = shown(["frontier", str(table), "--budget", "1e22"], capsys).splitlines()
    assert lines[0].startswith("for 10 ZFLOPs: ")
    assert "parameters on" in lines[0]
    assert lines[1].startswith("the best size grows as compute^0.5")
    assert lines[2].startswith("tested on size: ")


def test_a_size_beyond_the_measurements_is_marked_in_the_first_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path / "runs.csv", budgets(2e-3))
    far = shown(["frontier", str(table), "--budget", "1e25"], capsys).splitlines()[0]
    assert ", extrapolated to 100 times the largest compute measured: " in far
    # By default the first line is of the largest budget that was measured, not of the decade above.
    assert "extrapolated" not in shown(["frontier", str(table)], capsys).splitlines()[0]
    (tmp_path / "three.csv").write_text(
        "N,D,loss\n"
        + "".join(
            f"{n:g},{d:g},{predicted(TRUTH, np.array([n]), np.array([d]))[0]:.6f}\n"
            for n in (1e8, 1e9, 1e10)
            for d in (1e9, 1e10, 1e11)
        ),
        encoding="utf-8",
    )
    lines = shown(["frontier", str(tmp_path / "three.csv")], capsys).splitlines()
    assert lines[2] == "not tested on larger sizes: a test needs four sizes or more"


def test_the_intervals_contain_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "runs.csv", budgets(2e-3))
    found = json.loads(shown(["frontier", str(table), "--budget", "1e22", "--budget", "1e25", "--json"], capsys))
    for one in found["budgets"]:
        low, high = one["size_range"]
        assert low < best_size(one["compute"]) < high
        assert one["size"] * one["tokens"] * 6 == pytest.approx(one["compute"])
    assert [one["beyond"] > 1 for one in found["budgets"]] == [False, True]
    assert any("extrapolated" in note for note in found["notes"])


def test_slices_have_their_minimum_at_the_best_size() -> None:
    slices = slices_of(joint_of(budgets(1e-3), PerToken(), 1e-3, 50))
    assert len(slices) == 6
    for one in slices:
        assert one.best is not None
        # A parabola through sizes of 0.2 to 5 times the best is off by up to a fifth: the loss is not a parabola.
        assert abs(np.log(one.best / best_size(one.compute))) < 0.3
    growth = growth_of(slices)
    assert growth is not None
    assert growth.exponent == pytest.approx(A, abs=0.02)
    assert growth.interval[0] < growth.exponent < growth.interval[1]


def test_a_slice_without_an_interior_minimum_has_no_best_size() -> None:
    points = budgets(0.0)
    small = points.size < 0.9 * np.array([best_size(each) for each in 6 * points.size * points.tokens])
    slices = slices_of(joint_of(points.chosen(small), PerToken(), 1e-3, 0))
    assert slices
    assert all(one.best is None for one in slices)
    assert all("towards larger sizes" in one.why for one in slices)
    assert growth_of(slices) is None


def test_slices_through_curves() -> None:
    size = np.repeat(np.geomspace(1e8, 3e9, 8), 30)
    tokens = np.tile(np.geomspace(1e9, 1e11, 30), 8)
    curves = JointPoints(size, tokens, predicted(TRUTH, size, tokens), np.repeat(np.arange(8), 30))
    slices = slices_of(joint_of(curves, PerToken(), 1e-3, 0))
    good = [one for one in slices if one.best is not None]
    assert len(good) >= 3
    assert all(abs(np.log((one.best or 0) / best_size(one.compute))) < 0.3 for one in good)


@pytest.mark.parametrize(
    "head", ["N,C,loss", "Model Size,Training FLOP,loss", "params,compute,eval/loss", "n_params,flops,final_loss"]
)
def test_columns_are_found_by_their_usual_names(tmp_path: Path, head: str) -> None:
    found = read_tables([write(tmp_path / "runs.csv", budgets(1e-3), head)], Named())
    assert list(found.columns.values()) == head.split(",")
    np.testing.assert_allclose(np.sort(found.points.size), np.sort(budgets(1e-3).size), rtol=1e-6)
    assert found.single


def test_units_are_stated_by_a_product(tmp_path: Path) -> None:
    points = budgets(1e-3)
    small = JointPoints(points.size / 1e6, points.tokens * 1e6, points.error, points.run)
    path = write(tmp_path / "runs.csv", small, "size_in_m,C,loss")
    with pytest.raises(Refused, match="missing-column"):
        read_tables([path], Named())
    found = read_tables([path], Named(parameters="1e6 * size_in_m"))
    np.testing.assert_allclose(np.sort(found.points.size), np.sort(points.size), rtol=1e-6)


def test_a_table_is_refused_as_a_fit_refuses_it(tmp_path: Path) -> None:
    lines = write(tmp_path / "runs.csv", budgets(1e-3)).read_text().splitlines()
    path, ends = tmp_path / "kinds.csv", [",split", *([",train", ",val"] * len(lines))]
    path.write_text("\n".join(line + end for line, end in zip(lines, ends, strict=False)) + "\n", encoding="utf-8")
    with pytest.raises(Refused, match="mixed-laws"):
        read_tables([path], Named())
    assert len(read_tables([path], Named(where=(("split", "val"),))).points.size) == len(lines) // 2
    path.write_text("\n".join(["N,C,perplexity", *lines[1:]]) + "\n", encoding="utf-8")
    with pytest.raises(Refused, match="is a perplexity"):
        read_tables([path], Named())
    assert read_tables([path], Named(loss="perplexity")).columns["loss"] == "perplexity"


def test_rows_of_one_run_are_not_taken_for_runs(tmp_path: Path) -> None:
    rows = ["run_name,N,D,loss"]
    for number, size in enumerate(np.geomspace(1e8, 1e10, 5)):
        for tokens in np.geomspace(1e9, 1e11, 20):
            loss = predicted(TRUTH, np.array([size]), np.array([tokens]))[0]
            rows.append(f"r{number},{size:.6g},{tokens:.6g},{loss:.6f}")
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = read_tables([path], Named())
    assert not found.single
    assert len(np.unique(found.points.run)) == 5
    assert joint_of(found.points, found.per_token, 1e-3, 20).by == "noise"


def test_rows_of_a_cosine_are_not_taken_for_ends(tmp_path: Path) -> None:
    """One file a size, without a column that tells runs apart."""
    paths = []
    for number, size in enumerate(np.geomspace(1e8, 1e10, 4)):
        rows = ["step,params,tokens,loss,lr"]
        for step in range(1, 21):
            loss = predicted(TRUTH, np.array([size]), np.array([1e9 * step]))[0]
            rows.append(f"{step},{size:.0f},{1e9 * step:.0f},{loss:.6f},{1e-3 * (1.02 - step / 20):.6g}")
        paths.append(tmp_path / f"{number}.csv")
        paths[-1].write_text("\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(Refused) as caught:
        read_tables(paths, Named())
    assert caught.value.diagnostics[0].code == "mixed-laws"
    assert "`--run 'params'` takes its end" in str(caught.value.diagnostics[0].help)
    found = read_tables(paths, Named(run="params"))
    assert found.points.tokens.tolist() == [2e10] * 4
    # Runs of one name in two files are two runs.
    twin = tmp_path / "twin.csv"
    twin.write_bytes(paths[-1].read_bytes())
    assert len(read_tables([*paths, twin], Named(run="params")).points.tokens) == 5


@pytest.mark.parametrize(
    ("files", "named", "runs"),
    [(4, (0, 1), 8), (4, (0,), 4), (4, (), 4), (1, (0, 1), 8), (1, (), 4)],
)
def test_runs_of_several_files_or_sizes_are_not_one(
    tmp_path: Path, files: int, named: tuple[int, ...], runs: int
) -> None:
    """Runs in several files, or of several sizes, that have one name, or none."""
    paths = [tmp_path / f"{number}.csv" for number in range(files)]
    rows: list[list[str]] = [["run,step,params,tokens,loss" if named else "step,params,tokens,loss"] for _ in paths]
    for number, size in enumerate(np.geomspace(1e8, 1e10, 4)):
        for run in named or ("",):
            for step in range(1, 9):
                (loss,) = predicted(TRUTH, np.array([size]), np.array([1e9 * step]))
                line = f"{run},{step},{size:.0f},{1e9 * step:.0f},{loss:.6f}"
                rows[number % files].append(line.lstrip(","))
    for path, lines in zip(paths, rows, strict=True):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_tables(paths, Named())
    assert (found.columns["parameters"], found.single) == ("params", False)
    assert len(np.unique(found.points.run)) == runs
    assert len(found.points.size) == 32 * max(1, len(named))


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.csv", budgets(1e-3))
    with path.open("a", encoding="utf-8") as file:
        file.write("1e9,,2.5\n1e9,1e20,\n1e9,1e20,nan\n-1,1e20,2.5\n")
    found = read_tables([path], Named(below=3.0))
    assert found.left_out["no compute"] == 1
    assert found.left_out["no loss"] == 1
    assert found.left_out["loss of no real size"] == 1
    assert found.left_out["parameters of no real size"] == 1
    assert found.left_out["at or above the limit of the loss"] > 0


def test_runs_of_a_wandb_table_that_did_not_finish_are_left_out(tmp_path: Path) -> None:
    head = "Name,State,params,tokens,_step,_runtime,train/loss"
    points, rows = budgets(1e-3), [head]
    for at, (n, d, e) in enumerate(zip(points.size, points.tokens, points.error, strict=True)):
        rows.append(f"run-{at},finished,{n:.8g},{d:.8g},{at},1.5,{e:.8g}")
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([*rows, "late,crashed,1e9,1e9,3,1.5,9.0"]) + "\n", encoding="utf-8")
    found = read_tables([path], Named())
    assert found.left_out == {"the run did not finish (crashed)": 1}
    assert found.columns == {"parameters": "params", "tokens": "tokens", "loss": "train/loss"}
    assert len(found.points.size) == len(points.size)


def test_the_compute_of_a_token_is_read_from_the_columns(tmp_path: Path) -> None:
    points = budgets(1e-3)
    rows = ["N,D,C,loss"]
    for n, d, e in zip(points.size, points.tokens, points.error, strict=True):
        rows.append(f"{n:.8g},{d:.8g},{9 * n**0.98 * d:.8g},{e:.8g}")
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = read_tables([path], Named()).per_token
    assert (found.factor, found.power) == (pytest.approx(9, rel=0.01), pytest.approx(0.98, abs=1e-3))


def test_the_frontier_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["N,D,loss"]
    sizes = [3e8, 1e9, 3e9, 1e10]
    for size in sizes:
        tokens = np.geomspace(1e9, 1e11, 20)
        losses = predicted(TRUTH, np.full(20, size), tokens)
        rows += [f"{size:.0f},{each:.6g},{loss:.6f}" for each, loss in zip(tokens, losses, strict=True)]
    (tmp_path / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    file, plot = tmp_path / "sizes.shape", tmp_path / "frontier.png"
    laws = 'laws from fit("runs.csv", form: chinchilla, axes: (width: "N"), compute: "6 * N * D", resamples: 30)'
    file.write_text(
        f"metric loss\naxis width in [3e8, 1e9, 3e9, 1e10] via width_expand\n{laws}\ntraversal steepest\n"
        "budget 1e22 FLOPs\n",
        encoding="utf-8",
    )
    found = json.loads(shown(["frontier", str(file), "--budget", "1e21", "--json", "--plot", str(plot)], capsys))
    assert found["budgets"][0]["size"] == pytest.approx(best_size(1e21), rel=0.01)
    assert plot.stat().st_size > 1000
    assert "isoFLOP" in shown(["frontier", str(file), "-v", "--budget", "1e21"], capsys)
    assert answer(["frontier", str(file), "--loss", "loss"]) == 2
    assert answer(["frontier", str(file), str(tmp_path / "runs.csv")]) == 2
    assert answer(["frontier", str(tmp_path / "runs.csv"), "--set", "seed 1"]) == 2


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"N,D,loss\n", b"N,D,loss\na,b,c\n", b"{", b"N;D;loss\n1;2;3\n"])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    assert answer(["frontier", str(path)]) == 1
    assert "error[" in capsys.readouterr().err
    assert answer(["frontier", str(tmp_path / "none.csv")]) == 1
    assert answer(["frontier", str(tmp_path)]) == 1


CROSSING = """
plan "two laws"
axis width in [1, 2] via width_expand{credit}
law for (width: 1) is power(a: 1, b: 1, c: 0.2, d: 0)
law for (width: 2) is power(a: 4, b: 1, c: 0, d: 0)
traversal steepest
start at error 1.2
stop when error <= 0.25
"""
"""Their rates cross at an error of 0.4, after 5 FLOPs; from there the second law takes 4 (1 / E - 1 / 0.4)."""


def scheduled(folder: Path, text: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    path = folder / "file.shape"
    path.write_text(text, encoding="utf-8")
    found: dict[str, Any] = json.loads(shown(["frontier", str(path), "--json", *arguments], capsys))["scheduled"]
    return found


def test_the_scheduled_frontier_of_two_laws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = CROSSING.format(credit="")
    found = scheduled(tmp_path, text, ["--budget", "4 FLOPs", "--budget", "11 FLOPs"], capsys)
    early, late = found["budgets"]
    # Before the crossing the first law is the best schedule as well.
    assert early["scheduled"]["shapes"] == early["fixed"]["shapes"] == [{"width": 1}]
    assert early["ratio"]["middle"] == 1
    assert early["fixed"]["error"] == pytest.approx(1 / 4 + 0.2)
    assert late["scheduled"]["shapes"] == [{"width": 1}, {"width": 2}]
    assert late["scheduled"]["error"] == pytest.approx(0.25)
    assert late["fixed"]["error"] == pytest.approx(1 / 11 + 0.2)
    # Fixed, the second law needs 4 / 0.25 FLOPs, the first 1 / 0.05.
    assert late["ratio"]["middle"] == pytest.approx(16 / 11)


def test_credits_make_schedules_dearer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratios = [
        scheduled(tmp_path, CROSSING.format(credit=credit), ["--budget", "11 FLOPs"], capsys)["budgets"][0]["ratio"]
        for credit in ("", "(credit: 90%)", "(credit: 10%)")
    ]
    assert ratios[0]["middle"] > ratios[1]["middle"] > ratios[2]["middle"] == 1


def test_by_default_budgets_reach_that_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = scheduled(tmp_path, CROSSING.format(credit=""), [], capsys)["budgets"]
    assert rows[-1]["compute"] == pytest.approx(11)
    assert [row["scheduled"]["error"] for row in rows] == sorted(
        (row["scheduled"]["error"] for row in rows), reverse=True
    )
    assert all(row["scheduled"]["error"] <= row["fixed"]["error"] * (1 + 1e-9) for row in rows)


def ladder(folder: Path, sizes: Sequence[float], budget: str, settings: str = "") -> Path:
    """A `.shape` file of some sizes without a model, and a curve of the law of size and tokens for each of them."""
    rng, rows = np.random.default_rng(0), ["N,D,loss"]
    for size in sizes:
        tokens = np.geomspace(size, 200 * size, 20)
        losses = predicted(TRUTH, np.full(20, size), tokens) * np.exp(rng.normal(0, 1e-3, 20))
        rows += [f"{size:.0f},{each:.6g},{loss:.6f}" for each, loss in zip(tokens, losses, strict=True)]
    (folder / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    laws = f'laws from fit("runs.csv", form: chinchilla, axes: (width: "N"), compute: "6 * N * D"{settings})'
    listed = ", ".join(f"{size:g}" for size in sizes)
    path = folder / "sizes.shape"
    path.write_text(
        f"metric loss\naxis width in [{listed}] via width_expand\n{laws}\ntraversal steepest\nbudget {budget}\n",
        encoding="utf-8",
    )
    return path


def test_sizes_up_to_a_trillion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Candidates of 1e9 to 1e12 parameters: their best size, best fixed candidate and schedules."""
    path = ladder(tmp_path, [1e9, 1e10, 1e11, 1e12], "1e27 FLOPs", ", resamples: 30")
    found = json.loads(shown(["frontier", str(path), "--budget", "1e24", "--budget", "1e26", "--json"], capsys))
    for one in found["budgets"]:
        assert one["size"] == pytest.approx(best_size(one["compute"]), rel=0.1)
    assert found["law"]["tokens_exponent"] == pytest.approx(1 - A, abs=0.02)
    factor, _ = found["law"]["factors"]
    assert factor * 1e24 ** found["law"]["exponent"] == pytest.approx(found["budgets"][0]["size"])
    middle, large = found["scheduled"]["budgets"]
    # By the truth, 7.6e10 and 8.1e11 are the best sizes: the nearest candidates are the best ones.
    assert middle["fixed"]["shapes"] == [{"width": 100_000_000_000}]
    assert middle["fixed"]["parameters"] == 1e11
    assert large["fixed"]["shapes"] == [{"width": 1_000_000_000_000}]
    for one in (middle, large):
        assert [each["width"] for each in one["scheduled"]["shapes"]] == sorted(
            each["width"] for each in one["scheduled"]["shapes"]
        )
        assert one["ratio"]["low"] <= one["ratio"]["middle"] <= one["ratio"]["high"]
        assert one["beyond"] == 1
    said = shown(["frontier", str(path), "--budget", "1e26"], capsys)
    assert "(width: 1e12) fixed reaches loss" in said
    assert "N_opt = " in said


def test_a_small_budget_leaves_out_models_that_were_not_measured_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ladder(tmp_path, [1e8, 1e9, 1e10], "1e22 FLOPs", ", resamples: 0")
    found = json.loads(shown(["frontier", str(path), "--budget", "1e19", "--json"], capsys))["scheduled"]
    (row,) = found["budgets"]
    # The run of 1e10 begins at 6e20 FLOPs, with a loss below all that 1e19 FLOPs reach.
    assert row["why"] == ""
    assert {"width": 10_000_000_000} not in row["scheduled"]["shapes"]
    assert row["scheduled"]["interval"] is not None


def test_candidates_of_several_sizes_have_isoflop_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    laws = [f"law for (width: {w}) is power(a: {4000 * w**0.6:.6g}, b: 0.4, c: {8 / w:.6g})" for w in (16, 32, 48, 64)]
    model = "model transformer(depth: 2, head_width: 16, context: 64 tokens)\ndata python_source(batch: 512 tokens)\n"
    model += "objective next_token\n"
    axis = "axis width in [16, 32, 48, 64] via width_expand\ntraversal steepest\nstart at error 20\n"
    text = f"{model}metric loss\n{axis}" + "\n".join(laws) + "\nbudget 1 TFLOPs\n"
    plot = tmp_path / "frontier.png"
    found = scheduled(tmp_path, text, ["--plot", str(plot)], capsys)
    assert plot.stat().st_size > 1000
    for row, slice_ in zip(found["budgets"], found["slices"], strict=True):
        lowest = int(np.argmin(slice_["error"]))
        assert slice_["size"][lowest] == row["fixed"]["parameters"]
    assert any(slice_["best"] is not None for slice_ in found["slices"])
    assert "isoFLOP" in shown(["frontier", str(tmp_path / "file.shape"), "--budget", "100 GFLOPs", "-v"], capsys)


def test_the_plans_of_other_files_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file.shape"
    path.write_text("axis width in [1, 2] via width_expand\ntraversal steepest\nbudget 1 FLOPs\n", encoding="utf-8")
    assert answer(["frontier", str(path)]) == 1
    assert "no-frontier" in capsys.readouterr().err


def curves(folder: Path, settings: str = "", falls: bool = False) -> Path:
    """A `.shape` file of two widths that cross, and 30 points of each up to 1e15 and 4e15 FLOPs. `falls`: whether the
    learning rate falls."""
    rows = ["width,step,flops,lr,loss"]
    for width, scale, floor in ((64, 3e3, 2.4), (128, 9e3, 2.0)):
        for step in range(1, 31):
            flops = 1e15 * (width / 64) ** 2 * step / 30
            rate = 1.01 - step / 30 if falls else 1.0
            rows.append(f"{width},{step},{flops:.6g},{rate:.6g},{scale * flops**-0.25 + floor:.6f}")
    (folder / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = folder / "widths.shape"
    path.write_text(
        f'axis width in [64, 128] via width_expand\nlaws from fit("runs.csv"{settings})\ntraversal steepest\n'
        "budget 1 PFLOPs\n",
        encoding="utf-8",
    )
    return path


def test_refused_laws_give_no_answer_but_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = curves(tmp_path, falls=True)
    for settings in ([], ["--budget", "100 TFLOPs", "--json"]):
        assert answer(["frontier", str(path), *settings]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("falling-rate") == 1
        assert "error[falling-rate]: 2 of 2 laws" in said.err


def test_a_budget_beyond_the_measurements_is_marked_and_a_far_one_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = curves(tmp_path)
    within, beyond = (
        shown(["frontier", str(path), "--budget", f"{budget} PFLOPs"], capsys) for budget in ("0.9", "12")
    )
    assert within.startswith("for 900 TFLOPs: ")
    assert "extrapolated" not in within
    assert beyond.startswith("for 12 PFLOPs, extrapolated to 12 times the largest compute measured of (width: 64): ")
    asked = ["--budget", "0.9 PFLOPs", "--budget", "1 ZFLOPs"]
    both = json.loads(shown(["frontier", str(path), *asked, "--json"], capsys))
    (row,), (far,) = both["scheduled"]["budgets"], both["scheduled"]["too_far"]
    assert row["beyond"] == 1
    assert far["compute"] == 1e21
    assert far["beyond"] > 1e5
    assert answer(["frontier", str(path), "--budget", "1 ZFLOPs"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "no-frontier" in said.err
    assert "at most 20 times" in said.err


def test_what_was_not_tested_is_said_as_a_fit_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = curves(tmp_path, ', rate: "lr", points: 8')
    said = "not tested on held-out points: a test needs 8 points in the first half of log compute (all laws)"
    lines = shown(["frontier", str(path), "--budget", "0.9 PFLOPs"], capsys).splitlines()
    assert said in lines[:3]
    fitted = shown(["fit", str(path)], capsys).splitlines()
    assert fitted[0].endswith("2 laws, 2 not tested")
    assert f"  {said}" in fitted


def test_a_rate_is_no_amount_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "runs.csv", budgets(1e-3), "N,tflops_per_s,loss")
    assert answer(["frontier", str(table), "--compute", "1e12 * tflops_per_s"]) == 1
    said = capsys.readouterr().err
    assert "wrong-counter" in said
    assert "is an amount per time, not an amount of compute" in said


@pytest.mark.parametrize(
    ("interval", "ticks"),
    [
        ((2.0, 30.0), {3.0: "3", 2.5: "2.5", 20.0: "20"}),
        ((4e5, 3e6), {6e5: r"$6 \times 10^{5}$", 2.4e6: r"$2.4 \times 10^{6}$", 1e6: "$10^{6}$"}),
        ((1e-5, 0.1), {1e-4: "$10^{-4}$", 0.02: r"$2 \times 10^{-2}$"}),
    ],
)
def test_the_ticks_of_an_axis_have_one_notation(interval: tuple[float, float], ticks: dict[float, str]) -> None:
    assert {value: tick(value, interval) for value in ticks} == ticks
