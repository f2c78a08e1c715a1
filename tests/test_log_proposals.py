"""What doctor proposes for logs, pasted, fits without a change; or doctor says why it proposes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trainers

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.units import Amount, Dimension
from shapeflow.cli import answer
from shapeflow.compiler import fit_file
from shapeflow.doctor import Table, examine
from shapeflow.ir.law import Law

MODEL = """
model transformer(depth: 4, head_width: 32, mlp_ratio: 3, context: 256 tokens)
data python_source(batch: 65536 tokens)
objective next_token
"""
FLOPS = {64: 4.7e11, 128: 1.6e12, 256: 6.1e12}
BATCHES = {64: 32, 128: 64, 256: 64}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(width: int, step: float) -> float:
    return 1.5 + 24 / width + 6e4 * width**0.3 * (step * FLOPS[width]) ** -0.35


def rows(width: int, **more: Any) -> list[dict[str, Any]]:
    return [{"step": s, "flops": s * FLOPS[width], "val_loss": loss(width, s), **more} for s in range(40, 4001, 40)]


def table(*names: str) -> Table:
    report = Report()
    (found,) = examine(names, report).tables
    assert not report.errors
    return found


def law(found: Table) -> str:
    return next(one for one in found.sentences if one.startswith("laws from"))


def fitted(found: Table, model: str = "") -> Mapping[Any, Law]:
    """The laws that the proposed sentences fit."""
    Path("a.shape").write_text(model + "\n".join(found.sentences))
    report = Report()
    _, laws = fit_file(Path("a.shape"), (), report)
    assert not report.errors
    return laws.laws


def pasted(found: Table, model: str = "") -> Mapping[Any, Law]:
    """The laws that the proposed sentences fit, which are those that the curves were made with."""
    laws = fitted(found, model)
    for shape, one in laws.items():
        width = int(shape.number("width"))
        assert one.error(4000 * FLOPS[width]) == pytest.approx(loss(width, 4000), rel=2e-3)
    return laws


@pytest.mark.parametrize("name", ["batch", "batch_size", "tokens_per_step", "seq_len"])
@pytest.mark.parametrize("path", ["w{w}.csv", "runs/width{w}/log.csv", "w{w}_bs{b}.csv"])
def test_a_column_of_batches_hides_no_width_of_the_paths(name: str, path: str) -> None:
    for width, batch in BATCHES.items():
        trainers.table(Path("logs", path.format(w=width, b=batch)), rows(width, **{name: batch}))
    found = table("logs")
    assert "axis width in [64, 128, 256] via width_expand" in found.sentences
    assert len(pasted(found)) == 3


def test_a_column_of_batches_hides_no_width_of_the_configurations() -> None:
    for width, batch in BATCHES.items():
        folder = Path("logs", "abc"[list(BATCHES).index(width)])
        trainers.table(folder / "log.csv", rows(width, batch_size=batch))
        (folder / "config.json").write_text(json.dumps({"n_embd": width, "batch_size": batch}))
    found = table("logs")
    assert 'axes: (batch: "batch_size", width: "n_embd")' in law(found)
    assert len(pasted(found)) == 3


def test_a_depth_of_the_configurations_stands_next_to_a_width_of_the_paths() -> None:
    for width, depth in {64: 2, 128: 4, 256: 4}.items():
        folder = Path("logs", f"w{width}")
        trainers.table(folder / "log.csv", rows(width))
        (folder / "config.json").write_text(json.dumps({"n_layer": depth}))
    assert {name for shape in pasted(table("logs")) for name in shape} == {"width", "depth"}


def test_a_counter_that_is_called_like_an_axis_hides_no_axis() -> None:
    for width in FLOPS:
        found = [{"batch": row.pop("step"), **row} for row in rows(width)]
        trainers.table(Path("logs", f"w{width}.csv"), found)
    assert 'fit("logs/w{width}.csv", step: "batch")' in law(table("logs"))
    assert len(pasted(table("logs"))) == 3


@pytest.mark.parametrize("name", ["step", "iteration", "it", "_step", "global_step"])
def test_rows_that_are_numbered_count_by_their_tokens(name: str) -> None:
    """A step of the log, of 40 batches, is not a step of the file, whose batch doctor does not know."""
    found = [
        {name: at, "width": width, "tokens": row["step"] * 65536, "val_loss": row["val_loss"]}
        for width in FLOPS
        for at, row in enumerate(rows(width))
    ]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert 'step: "tokens", step_unit: 1 tokens' in law(examined)
    assert len(fitted(examined, MODEL)) == 3


def test_tokens_that_only_rows_of_training_have_are_not_used() -> None:
    found = []
    for width in FLOPS:
        for at, row in enumerate(rows(width)):
            found.append({"width": width, "step": row["step"], "tokens": row["step"] * 65536, "val_loss": ""})
            found += [{**found[-1], "tokens": "", "val_loss": row["val_loss"]}] if at % 2 else []
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert "step_unit" not in law(examined)
    assert len(fitted(examined, MODEL)) == 3


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "row_id"])
def test_row_numbers_are_said_to_be_row_numbers(name: str) -> None:
    for width in FLOPS:
        found = [{name: at, "val_loss": row["val_loss"]} for at, row in enumerate(rows(width))]
        trainers.table(Path("logs", f"w{width}.csv"), found)
    examined = table("logs")
    assert not examined.sentences
    assert any(
        "seems to number the rows" in one and f'`step: "{name}", step_unit: 100 steps`' in one
        for one in examined.advice
    )


@pytest.mark.parametrize("name", ["record", "id", "entry", "index"])
def test_row_numbers_that_begin_again_are_no_runs(name: str) -> None:
    found = [
        {name: at, "width": width, "flops": row["flops"], "val_loss": row["val_loss"]}
        for width in FLOPS
        for at, row in enumerate(rows(width))
    ]
    trainers.table(Path("a.csv"), found)
    assert len(pasted(table("a.csv"))) == 3


@pytest.mark.parametrize("name", ["record", "id", "trial"])
def test_numbers_of_runs_whose_rows_alternate_are_runs(name: str) -> None:
    found = [
        {name: at, "width": width, **row}
        for each in zip(*(rows(width) for width in FLOPS), strict=True)
        for at, (width, row) in enumerate(zip(FLOPS, each, strict=True))
    ]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert examined.curves is not None
    assert examined.curves.runs == 3
    assert len(pasted(examined)) == 3


def test_a_shape_with_too_few_points_is_left_out_of_the_proposal() -> None:
    for width in FLOPS:
        trainers.table(Path("logs", f"w{width}.csv"), rows(width)[: 6 if width == 128 else None])
    examined = table("logs")
    assert any(one.startswith("width 128: 4 points remain after the start") for one in examined.advice)
    assert len(pasted(examined)) == 2


def test_no_shape_with_points_enough() -> None:
    for width in FLOPS:
        trainers.table(Path("logs", f"w{width}.csv"), rows(width)[:6])
    examined = table("logs")
    assert not examined.sentences
    assert any(one.endswith("a law needs 5: so nothing is proposed") for one in examined.advice)


def test_the_batch_of_the_log_is_that_of_the_file_or_said() -> None:
    found = [{"width": width, "batch_size": 64, **row} for width in FLOPS for row in rows(width)]
    trainers.table(Path("a.csv"), [{name: cell for name, cell in row.items() if name != "flops"} for row in found])
    said = "a step of the log is 64 samples, by `batch_size`: a file with a model needs data of this batch"
    assert any(one.startswith(said) and "`step_unit: 64 samples`" in one for one in table("a.csv").advice)


@pytest.mark.parametrize("path", ["w{w}_lr{lr}.csv", "lr={lr}/width{w}.csv", "width={w},lr={lr},seed=1/log.csv"])
def test_one_learning_rate_of_the_names_of_files_is_proposed(path: str) -> None:
    for width in FLOPS:
        for rate, worse in (("1e-3", 1.0), ("3e-4", 1.05)):
            found = [{**row, "val_loss": worse * row["val_loss"]} for row in rows(width)]
            trainers.table(Path("logs", path.format(w=width, lr=rate)), found)
    examined = table("logs")
    assert path.format(w="{width}", lr="1e-3") in law(examined)
    assert any("the pattern selects 1e-3" in one for one in examined.advice)
    assert len(pasted(examined)) == 3


def test_a_setting_in_the_names_of_files_is_said_to_differ() -> None:
    for width in FLOPS:
        for decay in ("0.1", "0.01"):
            trainers.table(Path("logs", f"w{width}_wd{decay}.csv"), rows(width))
    examined = table("logs")
    assert "w{width}_wd*.csv" in law(examined)
    assert any("differ in `wd`" in one and "in place of `*` in the pattern" in one for one in examined.advice)


@pytest.mark.parametrize("path", ["w{w}/part{k}.csv", "w{w}.chunk-{k}.csv", "seg{k}/w{w}/log.csv"])
def test_the_parts_of_a_run_are_one_run(path: str) -> None:
    for width in FLOPS:
        for part in range(12):
            trainers.table(Path("logs", path.format(w=width, k=part)), rows(width)[part * 8 : part * 8 + 8])
    examined = table("logs")
    assert path.format(w="{width}", k="{part}") in law(examined)
    assert examined.curves is not None
    assert (examined.curves.runs, examined.curves.points) == (3, (96, 96))
    found = pasted(examined)
    assert {one.provenance.runs for one in found.values()} == {1}


def test_seeds_stay_apart_where_runs_have_parts() -> None:
    for width in FLOPS:
        for seed in (0, 1):
            for part in (0, 1):
                found = rows(width)[50 * part : 50 * part + 50]
                trainers.table(
                    Path("logs", f"w{width}-seed{seed}", f"part{part}.csv"),
                    [{**row, "val_loss": row["val_loss"] * (1 + 1e-3 * seed)} for row in found],
                )
    examined = table("logs")
    assert 'fit("logs/w{width}-seed{run}/part{part}.csv"' in law(examined)
    assert {one.provenance.runs for one in pasted(examined).values()} == {2}


def test_files_that_follow_each_other_may_be_parts_of_a_run() -> None:
    for width in FLOPS:
        for number in (0, 1):
            trainers.table(Path("logs", f"w{width}_{number}.csv"), rows(width)[50 * number : 50 * number + 50])
    assert any("so do the files of other shapes" in one and "`{part}`" in one for one in table("logs").advice)


def test_ends_of_runs_without_shapes_have_no_empty_name() -> None:
    trainers.table(Path("a.csv"), [{"params": 5e7, "tokens": at * 1e9, "loss": 3 - at / 10} for at in range(1, 7)])
    advice = table("a.csv").advice
    assert any(one.startswith("all runs: 4 points remain") for one in advice), advice


def test_a_ladder_whose_rows_look_like_runs_is_fitted_as_advised() -> None:
    found = [
        {"width": width, "params": n, "tokens": d, "loss": round(1.8 + 482 / n**0.35 + 2085 / d**0.37, 5)}
        for width, n in ((64, 10**6), (128, 4 * 10**6), (256, 16 * 10**6))
        for d in (n * 5 * 2**k for k in range(6))
    ]
    trainers.table(Path("a.csv"), found)
    advice = table("a.csv").advice
    written = 'points: ends, run: "tokens"'
    assert any(f"`{written}`" in one for one in advice), advice
    assert any("`shapeflow frontier a.csv`" in one for one in advice), advice
    file = "axis width in [64, 128, 256] via width_expand\nlaws from fit({})\ntraversal steepest\nbudget 1 PFLOPs\n"
    for form in ("power", "chinchilla"):
        Path("a.shape").write_text(file.format(f'"a.csv", form: {form}, {written}, resamples: 0'))
        report = Report()
        _, laws = fit_file(Path("a.shape"), (), report)
        assert not report.errors
        assert {one.provenance.points for one in laws.laws.values()} == {6}
    Path("a.shape").write_text(file.format('"a.csv", form: chinchilla, points: ends, resamples: 0'))
    with pytest.raises(Refused) as refused:
        fit_file(Path("a.shape"), (), Report())
    (error,) = (one for one in refused.value.diagnostics if one.code == "few-sizes")
    assert "name a column that differs between them with `run`" in (error.help or "")


@pytest.mark.parametrize("size", ["params", "n"])
@pytest.mark.parametrize("times", [("world_size",), ("num_gpus", "accumulate_grad_batches"), ("n_nodes",)])
def test_a_formula_that_multiplies_tokens_by_processes_is_not_doubted(size: str, times: tuple[str, ...]) -> None:
    """A step has 65536 tokens: 16384 of each of 4, or 4096 of each of 16."""
    count = 4 ** len(times)
    found = [
        {"width": width, **row, size: FLOPS[width] / 6 / 65536, "tokens": row["step"] * 65536 / count}
        | dict.fromkeys(times, 4)
        for width in FLOPS
        for row in rows(width)
    ]
    trainers.table(Path("a.csv"), found)
    formula = " * ".join(("6", size, "tokens", *times))
    for model in ("", MODEL):
        fit = f'laws from fit("a.csv", compute: "{formula}", resamples: 0)'
        Path("a.shape").write_text(
            f"{model}axis width in [64, 128, 256] via width_expand\n{fit}\ntraversal steepest\nbudget 24 PFLOPs\n"
        )
        report = Report()
        fit_file(Path("a.shape"), (), report)
        said = " ".join(one.message for one in report.diagnostics)
        assert "process" not in said
        # The model of the file is compared with what the formula multiplies.
        assert "for `tokens` by" not in said


def short(value: float) -> str:
    """A count with the letter of a multiple, to nine digits."""
    for letter, each in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= each:
            return f"{value / each:.9g}{letter}"
    return f"{value:.9g}"


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("names", [("params", "tokens"), ("N", "D"), ("model_size", "train_tokens")])
def test_counts_with_the_letter_of_a_multiple_are_read(names: tuple[str, str], long: bool) -> None:
    size, data = names
    found = [
        {
            "width": width,
            size: short(FLOPS[width] / 6 / 65536),
            data: short(row["step"] * 65536),
            "val_loss": row["val_loss"],
        }
        for width in FLOPS
        for row in rows(width)
    ]
    # Long tables are read in blocks.
    trainers.table(Path("a.csv"), [{**row, "note": "x" * (20_000 if long else 1)} for row in found])
    assert len(pasted(table("a.csv"))) == 3


def test_the_letter_of_a_multiple_after_steps() -> None:
    for width in FLOPS:
        found = [{"step": f"{row['step'] / 1000:g}k", "val_loss": row["val_loss"]} for row in rows(width)]
        trainers.table(Path("logs", f"w{width}.csv"), found)
    examined = table("logs")
    assert {one.name: one.role for one in examined.columns}["step"] == "step"
    assert len(fitted(examined, MODEL)) == 3


def test_names_that_end_with_a_letter_stay_names() -> None:
    found = [{"run": f"{width}M", "width": width, **row} for width in FLOPS for row in rows(width)]
    trainers.table(Path("a.csv"), found)
    assert {one.name: one.kind for one in table("a.csv").columns}["run"] == "text"
    assert len(pasted(table("a.csv"))) == 3


def test_compute_in_an_unstated_unit_is_asked_for() -> None:
    for width in FLOPS:
        found = [{**row, "flops": row["flops"] / 1e12} for row in rows(width)]
        trainers.table(Path("logs", f"w{width}.csv"), [{**row, "compute": row.pop("flops")} for row in found])
    examined = table("logs")
    assert not examined.sentences
    assert any("less than any training run" in one and "`compute_unit: 1 TFLOPs`" in one for one in examined.advice)


@pytest.mark.parametrize(("unit", "counts"), [("samples", "images"), ("tokens", "tokens")])
def test_samples_are_called_what_they_are_said_to_be(unit: Dimension, counts: str) -> None:
    for width in FLOPS:
        found = [{"samples": row["step"] * 64, "val_loss": row["val_loss"]} for row in rows(width)]
        trainers.table(Path("logs", f"w{width}.csv"), found)
    (found_table,) = examine(["logs"], Report(), Amount(1.0, unit)).tables
    assert found_table.counts == counts
    assert found_table.sentences[-1] == f"budget 256000 {counts}"


def test_why_a_column_is_not_read_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        {"width": width, "index": at, "tflops": 12.5, **row} for width in FLOPS for at, row in enumerate(rows(width))
    ]
    trainers.table(Path("a.csv"), found)
    assert answer(["doctor", "a.csv"]) == 0
    lines = [one for one in capsys.readouterr().out.splitlines() if one.strip().startswith(("index", "tflops"))]
    assert len(lines) == 2
    assert not [one for one in lines if " : " in one or one.rstrip().endswith(":")]


def test_a_folder_of_hundreds_of_files() -> None:
    """Files of seeds: each is a run, and the first blocks of each decide its columns."""
    for seed in range(100):
        for width in FLOPS:
            found = [{**row, "val_loss": row["val_loss"] * (1 + 1e-4 * seed)} for row in rows(width)[::10]]
            trainers.table(Path("logs", f"w{width}-s{seed}.csv"), found)
    Path("logs", "README.md").write_text("# runs\n")
    examined = table("logs")
    assert examined.curves is not None
    assert (len(examined.files), examined.curves.runs, examined.curves.shapes) == (300, 300, 3)
    laws = fitted(examined)
    assert {one.provenance.runs for one in laws.values()} == {100}


@pytest.mark.parametrize(("name", "said"), [("batch_size", True), ("tokens_per_step", False)])
def test_the_unit_of_the_axis_batch_is_said(name: str, said: bool) -> None:
    found = [
        {"run": f"{width}-{batch}", "width": width, name: batch, **row}
        for width in FLOPS
        for batch in (4096, 8192)
        for row in rows(width)
    ]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert "axis batch in [4096, 8192] via batch_resize" in examined.sentences
    assert any("In a file of text a batch is in tokens" in one for one in examined.advice) == said


def test_parts_that_are_fitted_as_runs_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for width in FLOPS:
        every = rows(width)
        for number in range(3):
            path = Path(f"w{width}/part{number + 1}.csv")
            path.parent.mkdir(exist_ok=True)
            trainers.table(path, every[number * 33 : number * 33 + 33])
    text = "axis width in [64, 128, 256] via width_expand\ntraversal steepest\nbudget 1 EFLOPs\n"
    for paths, code in (("w{width}/part*.csv", True), ("w{width}/part{part}.csv", False)):
        Path("a.shape").write_text(text + f'laws from fit("{paths}", resamples: 0)\n')
        assert answer(["fit", "a.shape"]) == 0
        said = " ".join(capsys.readouterr().err.split())
        assert ("`w64/part2.csv` begins where `w64/part1.csv` ends" in said) is code
        assert ("runs-in-parts" in said) is code
