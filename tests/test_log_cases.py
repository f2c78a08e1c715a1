"""Logs as people have them, each of which was once read wrongly, and what is right."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trainers
from rich.console import Console

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.cli import answer
from shapeflow.compiler import compile_file, fit_file
from shapeflow.doctor import Table, examine
from shapeflow.ir.law import Law
from shapeflow.ir.plan import Plan
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.readers import Log, open_log
from shapeflow.laws.logs.runs import Logs
from shapeflow.preview.plan import plan_view

MODEL = """
model transformer(depth: 4, head_width: 32, mlp_ratio: 3, context: 256 tokens)
metric loss
data python_source(batch: 65536 tokens)
objective next_token
"""
AXIS = "axis width in [64, 128, 256] via width_expand\n"
END = "\ntraversal steepest\nbudget 24.38 PFLOPs\n"
FLOPS = {64: 4.7e11, 128: 1.6e12, 256: 6.1e12}
STEPS = range(40, 4001, 40)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(width: int, step: float) -> float:
    return 1.5 + 24 / width + 6e4 * width**0.3 * (step * FLOPS[width]) ** -0.35


def rows(width: int, steps: range = STEPS, **more: Any) -> list[dict[str, Any]]:
    return [{"step": s, "flops": s * FLOPS[width], "val_loss": loss(width, s), **more} for s in steps]


def each() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    return ((width, rows(width)) for width in FLOPS)


def together(**more: Any) -> list[dict[str, Any]]:
    return [{"run": f"r{w}", "width": w, **row, **more} for w, found in each() for row in found]


def table(name: str) -> Table:
    report = Report()
    (found,) = examine([name], report).tables
    assert not report.errors
    return found


def roles(found: Table) -> Mapping[str, str]:
    return {column.name: column.role for column in found.columns if column.role}


def fitted(text: str) -> tuple[Mapping[Any, Law], list[Diagnostic]]:
    Path("a.shape").write_text(text)
    report = Report()
    try:
        _, found = fit_file(Path("a.shape"), (), report)
    except Refused as refused:
        return {}, list(refused.diagnostics)
    return found.laws, report.diagnostics


def pasted(found: Table, model: str = "") -> Mapping[Any, Law]:
    laws, diagnostics = fitted(model + "\n".join(found.sentences))
    assert not [one for one in diagnostics if one.severity == "error"]
    for shape, law in laws.items():
        width = int(shape.number("width"))
        assert law.error(4000 * FLOPS[width]) == pytest.approx(loss(width, 4000), rel=2e-3)
    assert len(laws) == 3
    return laws


# Epochs as steps: see also test_trainers.py, and `wrong-counter` in tests/mistakes.


def by_epochs(known: dict[str, Any], name: str = "args.json") -> None:
    for width, found in each():
        for row in found:
            row["epoch"] = row.pop("step") // 40 - 1
            del row["flops"]
        trainers.table(Path(f"runs/width{width}/summary.csv"), found)
        text = json.dumps(known) if name.endswith("json") else "".join(f"{key}: {known[key]}\n" for key in known)
        Path(f"runs/width{width}/{name}").write_text(text)


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ({"steps_per_epoch": 40}, "hparams.yaml"),
        ({"num_train_epochs": 100, "max_steps": 4000}, "args.json"),
        ({"num_train_epochs": 100, "max_steps": 4000, "log_history": [{"epoch": 1}]}, "trainer_state.json"),
        ({"dataset_size": 10240, "batch_size": 256}, "config.json"),
        ({"train_samples": 10240, "per_device_train_batch_size": 64, "world_size": 4}, "args.json"),
        ({"train_samples": 10239, "batch_size": 128, "gradient_accumulation_steps": 2, "epochs": 100}, "args.json"),
    ],
)
def test_the_length_of_an_epoch_stands_beside_the_log(known: dict[str, Any], name: str) -> None:
    by_epochs(known, name)
    examined = table("runs")
    assert examined.curves is not None
    assert examined.curves.compute == (40, 4000)
    assert examined.needs_model
    assert any("`epoch` counts epochs of 40 steps, by `" in line for line in examined.advice)
    report = Report()
    logs = logs_of("epoch", report)
    assert {max(run.points) for run in logs.runs.values()} == {4000}
    assert not report.diagnostics
    assert all("`epoch` of 40 steps (by `" in said for said in logs.counted.values())


def logs_of(step: str | None, report: Report, **more: Any) -> Logs:
    shapes = tuple(Shape.of({"width": width}) for width in FLOPS)
    costs = dict.fromkeys(shapes, 1e12)
    request = LawRequest(shapes, {"width": ""}, "loss@own", "flops", ".", {}, {}, step_compute=costs)
    logs = read_logs(Query("runs/width{width}/summary.csv", step=step, **more), request, report)
    assert logs is not None
    return logs


def test_a_setting_overrides_the_length_of_an_epoch_beside_the_log() -> None:
    by_epochs({"steps_per_epoch": 40})
    logs = logs_of("epoch", Report(), step_unit=Amount(80.0, "steps"))
    assert {max(run.points) for run in logs.runs.values()} == {8000}
    text = "\n".join(table("runs").sentences).replace('csv"', 'csv", resamples: 0')
    laws, diagnostics = fitted(MODEL + text)
    assert (len(laws), [one.code for one in diagnostics]) == (3, ["computed-compute"])


@pytest.mark.parametrize(
    "known",
    [
        {"num_train_epochs": 3, "max_steps": 4000},
        {"steps_per_epoch": 40, "dataset_size": 10240, "batch_size": 64},
        {"dataset_size": 10240, "per_device_train_batch_size": 64},
        {"dataset_size": 10240, "batch_size": 64, "devices": 4},
        {"max_steps": -1, "max_epochs": 100},
    ],
)
def test_a_doubtful_length_of_an_epoch_is_not_used(known: dict[str, Any]) -> None:
    by_epochs(known)
    examined = table("runs")
    assert not examined.sentences
    assert any("say how many steps an epoch has" in line for line in examined.advice)
    laws, diagnostics = fitted(MODEL + AXIS + 'laws from fit("runs/width{width}/summary.csv", step: "epoch")' + END)
    assert (laws, [one.code for one in diagnostics]) == ({}, ["wrong-counter"])


def test_what_lies_beside_logs_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    for width, found in each():
        trainers.table(Path(f"runs/width{width}/version_0/metrics.csv"), found)
        Path(f"runs/width{width}/version_0/hparams.yaml").write_text(f"d_model: {width}\nlr: 0.0003\n")
        Path(f"runs/width{width}/version_0/all_results.json").write_text('{"train_loss": 3.0}\n')
    Path("runs/README.md").write_text("# Runs\n\nThree widths, as described, and more.\n")
    assert answer(["doctor", "runs"]) == 0
    assert "7 files are not logs, and are passed over" in capsys.readouterr().out
    pasted(table("runs"))


RATES = (
    "lr", "lr-AdamW", "lr-Adam/pg1", "lr-DecoupledAdamW/group0", "optim/learning_rate_group0", "train_lr", "lr_0",
    "x/lr0", "optim.lr", "lr/group_0", "scheduler_lr", "base_lr", "last_lr", "lr_m", "LearningRate",
)  # fmt: skip


@pytest.mark.parametrize("name", RATES)
def test_a_learning_rate_by_another_name(name: str) -> None:
    found = together()
    for row in found:
        row[name] = 3e-4 * (1 - row["step"] / 4400)
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert roles(examined)[name] == "learning rate"
    assert examined.curves is not None
    assert examined.curves.learning_rate == "falling"
    laws, diagnostics = fitted(AXIS + 'laws from fit("a.csv")' + END)
    assert {law.provenance.learning_rate for law in laws.values()} == {"falling"}
    assert "falling-rate" in [one.code for one in diagnostics]


def test_runs_with_a_decay_at_their_end(capsys: pytest.CaptureFixture[str]) -> None:
    found = together()
    for row in found:
        after = max(0.0, (row["step"] - 3200) / 800)
        row["lr"] = 3e-4 * min(1.0, row["step"] / 100) * (1 - after)
        row["val_loss"] -= 0.08 * after
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert examined.curves is not None
    assert (examined.curves.learning_rate, examined.curves.points) == ("constant", (80, 80))
    (line,) = [line for line in examined.advice if "falls at the end" in line]
    assert "(`lr`) of 3 of 3 runs is constant and falls at the end, from step 3200" in line
    assert "leaves 80 points of each" in line
    laws = pasted(examined)
    assert {law.provenance.learning_rate for law in laws.values()} == {"constant"}
    assert all(law.provenance.drop is not None for law in laws.values())
    assert answer(["doctor", "a.csv"]) == 0
    assert "learning rate: constant, after a warm-up" in capsys.readouterr().out


def test_an_unknown_learning_rate_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    trainers.table(Path("a.csv"), together(peak_lr=3e-4))
    Path("a.shape").write_text(AXIS + 'laws from fit("a.csv")' + END)
    assert answer(["fit", "a.shape"]) == 0
    assert "the learning rate is not known: no log shows it" in capsys.readouterr().out


def test_a_count_of_zero_is_no_count() -> None:
    from log_files import trainer_state

    for width in FLOPS:
        found = [{"step": step, "eval_loss": loss(width, step)} for step in STEPS]
        found.append({"step": 4000, "total_flos": 0.0, "train_loss": 3.0})
        trainer_state(Path(f"runs/width{width}/trainer_state.json"), found, global_step=4000, total_flos=0.0)
    found_ = table("runs")
    assert found_.needs_model
    laws, diagnostics = fitted(MODEL + "\n".join(found_.sentences))
    assert len(laws) == 3
    assert [one.code for one in diagnostics] == ["computed-compute"]


def test_a_counter_is_no_axis() -> None:
    trainers.table(
        Path("a.csv"),
        [
            {"run_name": f"m{w}", "width": w, "_step": s, "time/batch": s, "time/token": s * 65536, "loss": loss(w, s)}
            for w in FLOPS
            for s in STEPS
        ],
    )
    found = table("a.csv")
    assert {"time/batch": "step", "time/token": "tokens"}.items() <= roles(found).items()
    assert found.curves is not None
    assert (found.curves.runs, found.curves.shapes, found.curves.points) == (3, 3, (100, 100))


def test_the_last_row_of_a_quoted_table() -> None:
    found = together()
    lines = [",".join(f'"{cell}"' for cell in line) for line in [list(found[0]), *(row.values() for row in found)]]
    Path("a.csv").write_text("\n".join(lines))
    laws, diagnostics = fitted(AXIS + 'laws from fit("a.csv")' + END)
    assert "torn-log" not in [one.code for one in diagnostics]
    assert max(law.provenance.spent or 0 for law in laws.values()) == pytest.approx(4000 * FLOPS[256])


def test_each_row_is_the_end_of_a_run() -> None:
    found = [{"Name": f"run-{i}", **row} for i, row in enumerate(together()[::10])]
    for row in found:
        del row["run"]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert examined.curves is not None
    assert examined.curves.runs == 30
    assert any("points: ends" in sentence for sentence in examined.sentences)
    assert any("is the end of a run that finished its own schedule" in line for line in examined.advice)
    laws, diagnostics = fitted(AXIS + 'laws from fit("a.csv")' + END)
    assert (laws, [one.code for one in diagnostics]) == ({}, ["run-ends"])


@pytest.mark.parametrize("mark", ["NA", "N/A", "None", "null", "-"])
def test_marks_of_a_missing_value(mark: str) -> None:
    found = together()
    for index, row in enumerate(found):
        row["train_loss"] = row["val_loss"] * 1.01
        row["val_loss"] = row["val_loss"] if index % 5 == 4 else mark
    trainers.table(Path("a.csv"), found)
    pasted(table("a.csv"))


def test_a_held_out_error_that_is_left_aside() -> None:
    trainers.table(
        Path("a.csv"), [{**row, "train_loss": row["val_loss"], "val_loss": "see plot"} for row in together()]
    )
    assert any("`val_loss` is left aside" in line for line in table("a.csv").advice)


def test_runs_told_apart_by_several_columns() -> None:
    found = []
    for width, size in zip(FLOPS, (1_200_000, 4_100_000, 15_500_000), strict=True):
        for total in (2000, 4000):
            for peak in (0.001, 0.003):
                for step in range(40, total + 1, 40):
                    data = step * 65536
                    found.append(
                        {
                            "loss": loss(width, step) + peak, "N": size, "D": data, "C": 6 * size * data,
                            "C_no_emb": 4 * size * data, "model": f"lm{width}", "total_steps": total,
                            "current_steps": step, "peak_lr": peak,
                        }
                    )  # fmt: skip
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert examined.curves is not None
    assert (examined.curves.runs, examined.curves.repeated) == (12, 0)
    assert {name for name, role in roles(examined).items() if role == "run"} == {"model", "total_steps", "peak_lr"}
    assert roles(examined)["current_steps"] == "step"
    assert any("`N` differs" in line for line in examined.advice)
    trainers.table(Path("b.csv"), [{**row, "width": int(str(row["model"])[2:])} for row in found])
    examined = table("b.csv")
    assert any('run: "total_steps"' in one and "where: (peak_lr:" in one for one in examined.sentences)
    laws, diagnostics = fitted("\n".join(examined.sentences))
    assert {law.provenance.runs for law in laws.values()} == {2}
    assert "repeated-steps" not in [one.code for one in diagnostics]


def test_rows_in_any_order() -> None:
    found = sorted(together(), key=lambda row: (row["run"], str(row["step"])))
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert examined.curves is not None
    assert (examined.curves.runs, examined.curves.points) == (3, (100, 100))
    assert not any("run:" in one for one in examined.sentences)
    pasted(examined)


def test_not_tested_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    trainers.table(Path("a.csv"), [row for row in together() if row["step"] % 200 == 0])
    Path("a.shape").write_text(AXIS + 'laws from fit("a.csv")' + END)
    assert answer(["fit", "a.shape"]) == 0
    assert (
        "not tested on held-out points: a test needs 8 points in the first half of log compute"
        in capsys.readouterr().out
    )
    assert answer(["compile", "a.shape", "-o", "p.json"]) == 0
    assert "not tested: the hold-out of all laws (too few points to leave a part out)" in " ".join(
        capsys.readouterr().out.split()
    )


def test_no_forecast_of_a_refused_law() -> None:
    found = together()
    for row in found:
        row["optim/learning_rate_group0"] = 3e-4 * (1 - row["step"] / 4400)
    trainers.table(Path("a.csv"), found)
    Path("a.shape").write_text(AXIS + 'laws from fit("a.csv")\ntraversal steepest\nbudget 200 PFLOPs\n')
    plan: Plan = compile_file(Path("a.shape"), (), Report())
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(plan_view(plan))
    assert "- below 2.182" in console.export_text()
    report = Report()
    compile_file(Path("a.shape"), (), report)
    assert [one.code for one in report.diagnostics] == ["falling-rate"]
    assert any("its law is refused, so nothing is known below" in note for note in plan.notes)


def test_one_file_with_one_column_more() -> None:
    for width, found in each():
        trainers.table(
            Path(f"runs/width{width}.csv"), [{**row, "eval_time": 1.5} if width == 256 else row for row in found]
        )
    examined = table("runs")
    assert [one.name for one in examined.files] == [f"runs/width{width}.csv" for width in (128, 256, 64)]
    pasted(examined)


def test_columns_beside_the_logs_give_shapes() -> None:
    for number, (width, found) in enumerate(each()):
        folder = Path(f"outputs/{number}")
        trainers.table(folder / "log.csv", found)
        (folder / ".hydra").mkdir()
        (folder / ".hydra/config.yaml").write_text(f"model:\n  n_embd: {width}\n  n_head: 4\nseed: 1\n")
    examined = table("outputs")
    assert any('axes: (width: "n_embd")' in one for one in examined.sentences)
    pasted(examined)


def test_decimal_commas_are_refused_by_name() -> None:
    text = "\n".join(
        ["run;width;step;flops;val_loss"]
        + [f"{row['run']};{row['width']};{row['step']};{row['flops']:.0f};{row['val_loss']:.6f}" for row in together()]
    )
    Path("a.csv").write_text(text.replace(".", ",") + "\n")
    laws, (found,) = fitted(AXIS + 'laws from fit("a.csv")' + END)
    assert (laws, found.code, found.help) == ({}, "number-format", "`numbers: decimal_comma`")
    examined = table("a.csv")
    assert any("numbers: decimal_comma" in one for one in examined.sentences)
    pasted(examined)


def test_an_amount_per_time_is_not_compute() -> None:
    trainers.table(Path("a.csv"), together(flops_per_second=1e15))
    laws, (found, *_) = fitted(AXIS + 'laws from fit("a.csv", compute: "flops_per_second")' + END)
    assert (laws, found.code) == ({}, "wrong-counter")


def test_names_with_spaces_newlines_and_other_letters() -> None:
    for width, found in each():
        trainers.table(Path(f"läufe\n1/Größe width{width}/métriques.csv"), found)
    pasted(table("läufe\n1"))


def test_json_of_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    trainers.table(Path("a.csv"), together())
    assert answer(["doctor", "a.csv", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {column["name"]: column["sure"] for column in said["tables"][0]["columns"]}["flops"] == "likely"


def test_a_fit_reads_a_folder_as_doctor_does() -> None:
    trainers.table(Path("logs/deep/down/a.csv"), together())
    Path("logs/deep/README.md").write_text("# Notes\n\nNothing to read here, only words.\n")
    laws, diagnostics = fitted(AXIS + 'laws from fit("logs")' + END)
    assert len(laws) == 3
    (skipped,) = [one for one in diagnostics if one.code == "skipped-runs"]
    assert any("1 are not logs" in note for note in skipped.notes)


QUICK = 'laws from fit("a.csv", resamples: 0)'


@pytest.mark.parametrize("name", ["micro_step", "eval_step", "log_step", "val_iter", "microbatch_iters"])
def test_counters_of_other_things_are_no_steps(name: str) -> None:
    trainers.table(
        Path("a.csv"),
        [{"width": w, name: s * 4, "optimizer_steps": s, "val_loss": loss(w, s)} for w in FLOPS for s in STEPS],
    )
    found = table("a.csv")
    assert (roles(found)["optimizer_steps"], roles(found).get(name)) == ("step", None)
    trainers.table(Path("a.csv"), [{"width": w, name: s, "val_loss": loss(w, s)} for w in FLOPS for s in STEPS])
    assert not table("a.csv").sentences


def test_rows_of_training_and_of_held_out_data() -> None:
    trainers.table(
        Path("a.csv"),
        [
            {**row, "split": split, "val_loss": row["val_loss"] * (1 if split == "val" else 0.9)}
            for row in together()
            for split in ("train", "val")
        ],
    )
    laws, (found,) = fitted(AXIS + QUICK + END)
    assert (laws, found.code, found.help) == ({}, "mixed-laws", 'select one kind: `where: (split: "val")`')
    pasted(table("a.csv"))


def test_a_counter_that_begins_again() -> None:
    found = together()
    for row in found:
        if row["step"] > 2000:
            row["flops"] -= 2000 * FLOPS[row["width"]]
            row["step"] -= 2000
    trainers.table(Path("a.csv"), found)
    laws, (wrong,) = fitted(AXIS + QUICK + END)
    assert (laws, wrong.code) == ({}, "wrong-counter")
    assert "50 steps were logged again" in wrong.notes[0]
    examined = table("a.csv")
    assert not examined.sentences
    assert any("begin again while the run goes on" in line for line in examined.advice)


def test_a_resumed_run_repeats_steps() -> None:
    found = [row for row in together() for _ in range(1 + (1800 < row["step"] <= 2000))]
    found.sort(key=lambda row: (row["run"], row["step"] > 2000))
    trainers.table(Path("a.csv"), found)
    laws, diagnostics = fitted(AXIS + QUICK + END)
    assert (len(laws), [one.code for one in diagnostics]) == (3, ["repeated-steps"])


def test_runs_of_one_name_in_several_folders_are_not_one() -> None:
    """A seed in each of two folders, and a run that was continued in another folder."""
    for width, run in each():
        for place, share in (("a", 1.0), ("b", 1.01)):
            again = [{**row, "val_loss": row["val_loss"] * share} for row in run]
            trainers.table(Path(f"runs/{place}/w{width}-s0.csv"), again)
        trainers.table(Path(f"more/a/w{width}-s0.csv"), run[:60])
        trainers.table(
            Path(f"more/b/w{width}-s0.csv"), [{**row, "val_loss": row["val_loss"] * 1.01} for row in run[50:]]
        )
    for folder, said in (("runs", ["mixed-laws"]), ("more", ["repeated-steps"])):
        _, found = fitted(f'{AXIS}laws from fit("{folder}/*/w{{width}}-s{{run}}.csv", resamples: 0){END}')
        assert [one.code for one in found] == said


def test_a_log_that_was_copied_counts_once() -> None:
    for width, found in each():
        for name in (f"runs/width{width}.csv", f"runs/width{width} (1).csv"):
            trainers.table(Path(name), found)
    laws, (skipped,) = fitted(AXIS + 'laws from fit("runs/width{width}*.csv", resamples: 0)' + END)
    assert {law.provenance.runs for law in laws.values()} == {1}
    assert skipped.code == "skipped-runs"
    assert "it is a copy of" in skipped.notes[0]


def test_an_amount_of_compute_that_stays_is_that_of_a_step() -> None:
    trainers.table(Path("a.csv"), [{**row, "flops": FLOPS[row["width"]]} for row in together()])
    laws, diagnostics = fitted(MODEL + "\n".join(table("a.csv").sentences).replace('csv"', 'csv", resamples: 0'))
    assert (len(laws), [one.code for one in diagnostics]) == (3, ["computed-compute"])


def steps_alone(unit: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [{"width": w, "step": s * unit, "val_loss": loss(w, s), **more} for w in FLOPS for s in STEPS]


@pytest.mark.parametrize("unit", [65536, 524288, 16384, 1_000_000])
def test_steps_that_seem_to_be_tokens_are_refused(unit: int) -> None:
    trainers.table(Path("a.csv"), steps_alone(unit))
    laws, (said,) = fitted(MODEL + AXIS + QUICK + END)
    assert (laws, said.code) == ({}, "wrong-counter")
    assert '`step: "step", step_unit: 1 tokens`' in str(said.help)
    stated = QUICK.replace("resamples", 'step_unit: 1 tokens, step: "step", resamples')
    laws, _ = fitted(MODEL + AXIS + stated + END)
    assert {law.provenance.spent for law in laws.values()}
    assert len(laws) == 3


def test_steps_are_said_to_be_steps_of_the_batch() -> None:
    trainers.table(Path("a.csv"), steps_alone())
    laws, (said,) = fitted(MODEL + AXIS + QUICK + END)
    assert (len(laws), said.code) == (3, "computed-compute")
    assert said.message.endswith("`step` is taken as optimizer steps of 65536 tokens")


@pytest.mark.parametrize(
    ("more", "help"),
    [
        ({"tokens": 1}, "`step_unit: 1 tokens`"),
        ({"tokens": 131072}, "`step_unit: 131072 tokens`"),
        ({"tokens_b": 131072e-9}, "`step_unit: 131072 tokens`"),
        ({"samples": 512}, "`step_unit: 131072 tokens`"),
        ({"samples": 1}, "`step_unit: 256 tokens`"),
    ],
)
def test_steps_against_the_columns_of_data(more: dict[str, float], help: str) -> None:
    (name, each) = next(iter(more.items()))
    trainers.table(Path("a.csv"), [{**row, name: row["step"] * each} for row in steps_alone()])
    laws, (said,) = fitted(MODEL + AXIS + QUICK + END)
    assert (laws, said.code) == ({}, "wrong-counter")
    assert help in str(said.help)
    laws, _ = fitted(MODEL + AXIS + QUICK.replace("resamples", "step_unit: 1 steps, resamples") + END)
    assert len(laws) == 3


@pytest.mark.parametrize(
    "more", [{"batch_size": 512}, {"tokens_per_step": 131072}, {"batch_size": 128, "accumulation_steps": 4}]
)
def test_the_batch_of_the_log_is_not_that_of_the_file(more: dict[str, int]) -> None:
    trainers.table(Path("a.csv"), steps_alone(**more))
    laws, (said,) = fitted(MODEL + AXIS + QUICK + END)
    assert (laws, said.code) == ({}, "wrong-counter")
    assert "`step_unit: 131072 tokens`" in str(said.help)


@pytest.mark.parametrize(
    "more", [{"batch_size": 256}, {"batch_size": 65536}, {"tokens_per_step": 65536}, {"batch_size": 64, "accum": 4}]
)
def test_the_batch_of_the_log_is_that_of_the_file(more: dict[str, int]) -> None:
    trainers.table(Path("a.csv"), steps_alone(**more))
    laws, (said,) = fitted(MODEL + AXIS + QUICK + END)
    assert (len(laws), said.code) == (3, "computed-compute")


def test_compute_in_other_words() -> None:
    trainers.table(Path("a.csv"), [{"FLOPs insgesamt": row.pop("flops"), **row} for row in together()])
    assert roles(table("a.csv"))["FLOPs insgesamt"] == "compute"


def test_no_proposal_that_cannot_be_fitted() -> None:
    trainers.table(Path("a.csv"), [{"test_error": 20 * row.pop("val_loss"), **row} for row in together()])
    examined = table("a.csv")
    assert not examined.sentences
    assert any("divide percentages by 100" in line for line in examined.advice)


def test_a_run_with_another_schedule_is_named() -> None:
    found = together()
    for row in found:
        row["lr"] = 3e-4 * (1 - row["step"] / 4400 if row["width"] == 128 else 1)
    trainers.table(Path("a.csv"), found)
    assert any("(`lr`) of 1 of 3 runs falls along the run" in line for line in table("a.csv").advice)


def test_four_of_sixteen_shapes() -> None:
    sizes = {(512, 16): 1.1e8, (768, 45): 6.6e8, (1280, 36): 1.4e9, (2048, 27): 2.6e9}
    found = [
        {
            "width": w,
            "depth": d,
            "params": n,
            "tokens": 2e9 * i,
            "final_loss": 1.7 + 500 / n**0.34 + 400 / (2e9 * i) ** 0.28,
        }
        for (w, d), n in sizes.items()
        for i in range(1, 23)
    ]
    trainers.table(Path("a.csv"), found)
    where = " or ".join(f"width is {w} and depth is {d}" for w, d in sizes)
    axes = "axis width in [512, 768, 1280, 2048] via width_expand\naxis depth in [16, 27, 36, 45] via depth_expand\n"
    source = 'laws from fit("a.csv", compute: "6 * params * tokens", error: "final_loss", resamples: 0)'
    text = f"{axes}candidates width * depth where {where}\n{source}\ntraversal steepest\nbudget 1 ZFLOPs\n"
    laws, diagnostics = fitted(text)
    assert (len(laws), diagnostics) == (4, [])
    plan = compile_file(Path("a.shape"), (), Report())
    assert {stage.shape for stage in plan.stages} <= set(laws)
    examined = table("a.csv")
    assert any(line.startswith("candidates width * depth where") for line in examined.sentences)


def test_one_rate_of_a_sweep_is_proposed() -> None:
    found = [
        {**row, "peak_lr": peak, "val_loss": row["val_loss"] * (1 + 40 * abs(peak - 0.001))}
        for peak in (0.003, 0.001, 0.0003)
        for row in together()
    ]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert any('where: (peak_lr: "0.001")' in one for one in examined.sentences)
    assert any("`where` selects 0.001" in line for line in examined.advice)
    pasted(examined)
    assert not fitted("\n".join(examined.sentences))[1]


def test_the_rates_of_a_sweep_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    begin = Log._begin

    def counted(log: Log) -> None:
        opened.append(log.path)
        begin(log)

    monkeypatch.setattr(Log, "_begin", counted)
    counts = []
    for peaks in ((0.003, 0.001), (0.003, 0.002, 0.001, 0.0005, 0.0003)):
        found = [
            {
                **row,
                "peak_lr": f"{peak:e}" if row["width"] == 64 else peak,
                "val_loss": row["val_loss"] * (1 + 40 * off),
            }
            for peak in peaks
            for off in [abs(peak - 0.001)]
            for row in together()
        ]
        trainers.table(Path("a.csv"), found)
        opened.clear()
        assert any("`where` selects 0.001" in line or "selects 1.0" in line for line in table("a.csv").advice)
        counts.append(len(opened))
    assert counts[0] == counts[1]


def test_doctor_counts_a_copy_once() -> None:
    for width, found in each():
        for name in (f"runs/{width}.csv", f"runs/{width} (1).csv"):
            trainers.table(Path(name), [{"width": width, **row} for row in found])
    curves = table("runs").curves
    assert curves is not None
    assert (curves.runs, curves.shapes) == (3, 3)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("runs/w{}_seed0.csv", "runs/w{width}_seed0.csv"),
        ("runs/vit_w{}/log.csv", "runs/vit_w{width}/log.csv"),
        ("runs/d{}-L8.csv", "runs/d{width}-L8.csv"),
        ("runs/width={}-p16.csv", "runs/width={width}-p16.csv"),
    ],
)
def test_short_words_in_the_names_of_files(name: str, pattern: str) -> None:
    for width, found in each():
        trainers.table(Path(name.format(width)), found)
    examined = table("runs")
    assert any(f'"{pattern}"' in one for one in examined.sentences)
    short = "width=" not in name
    assert any("in the names of the files is read as the width" in line for line in examined.advice) == short
    pasted(examined)


def test_a_small_number_after_a_short_word_is_no_width() -> None:
    for number, (_, found) in enumerate(each()):
        trainers.table(Path(f"runs/w{number}.csv"), found)
    assert not table("runs").sentences


def test_a_perplexity_is_no_loss() -> None:
    found = [{"width": row["width"], "step": row["step"], "val_ppl": row["val_loss"] ** 2} for row in together()]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert not examined.sentences
    assert any("the natural logarithm of `val_ppl`" in line for line in examined.advice)
    laws, (wrong, *_) = fitted(MODEL + AXIS + QUICK.replace("resamples", 'error: "val_ppl", resamples') + END)
    assert (laws, wrong.code) == ({}, "wrong-counter")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("tflops", lambda at: 310 + 40 * (at % 3)),
        ("flops", lambda at: 3e14),
        ("tflops/s", lambda at: 310 + at),
        ("mfu", lambda at: 0.3 + at * 1e-4),
        ("tokens_per_sec", lambda at: 1e5 + at),
        ("throughput", lambda at: 1e5 - at),
        ("speed_of_it", lambda at: 1e5 + 1e4 * (at % 2)),
    ],
)
def test_a_rate_is_no_amount_although_a_setting_names_it(column: str, value: Callable[[int], float]) -> None:
    found = [{"width": r["width"], "step": r["step"], column: value(r["step"] // 40), "val_loss": r["val_loss"]}
             for r in together()]  # fmt: skip
    trainers.table(Path("a.csv"), found)
    for product in (column, f"1e12 * {column}"):
        laws, said = fitted("metric loss\n" + AXIS + f'laws from fit("a.csv", compute: "{product}")' + END)
        assert (laws, [one.code for one in said]) == ({}, ["wrong-counter"])
        assert "log the FLOPs since the start of the run" in (said[0].help or "")
    # Times a duration it is an amount, and so is a column that keeps its value for some rows.
    spent = [{**row, "elapsed_s": 3.0 * row["step"]} for row in found]
    trainers.table(Path("a.csv"), spent)
    laws, said = fitted("metric loss\n" + AXIS + f'laws from fit("a.csv", compute: "1e9 * {column} * elapsed_s")' + END)
    assert len(laws) == 3, said


def test_an_amount_in_coarse_numbers_is_no_rate() -> None:
    found = [{**row, "flops": round(row["flops"] / 1e15, 1)} for row in together()]
    trainers.table(Path("a.csv"), found)
    settings = 'compute: "flops", compute_unit: 1 PFLOPs, resamples: 0'
    laws, said = fitted("metric loss\n" + AXIS + f'laws from fit("a.csv", {settings})' + END)
    assert len(laws) == 3, said


def test_hours_alone_are_no_compute() -> None:
    trainers.table(Path("a.csv"), [{"width": row["width"], "hours": 1.5, "val_loss": 2.0} for row in together()])
    assert any("multiply `hours` by the FLOPs" in line for line in table("a.csv").advice)


def test_tokens_are_not_called_steps(capsys: pytest.CaptureFixture[str]) -> None:
    found = [{"width": row["width"], "tokens": 65536 * row["step"], "val_loss": row["val_loss"]} for row in together()]
    trainers.table(Path("a.csv"), found)
    assert answer(["doctor", "a.csv"]) == 0
    assert "tokens 2.62144e+06 to 2.62144e+08" in capsys.readouterr().out


def test_one_letter_for_flops_is_no_step() -> None:
    found = [
        {"C": FLOPS[width] * row["step"], "L": row["val_loss"], "width": width} for width, of in each() for row in of
    ]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert roles(examined) == {"C": "compute", "L": "error", "width": "axis"}
    assert any(one.name == "C" and one.sure == "guess" and "rise along the runs" in one.why for one in examined.columns)
    pasted(examined)


def test_a_large_counter_of_no_known_name_is_no_step() -> None:
    found = [{"T": 65536 * row["step"], "L": row["val_loss"], "width": width} for width, of in each() for row in of]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert "T" not in roles(examined)
    assert not examined.sentences
    assert any("no column counts compute" in line for line in examined.advice)


def test_a_console_log_without_other_lines_is_no_table() -> None:
    """Its laws are those of tables with the same numbers."""
    for folder in ("lines", "tables"):
        Path(folder).mkdir()
    for width, found in each():
        losses = [(row["step"], f"{row['val_loss']:.5f}") for row in found]
        lines = [f"step {step} | loss {loss} | lr 1.0e-03 | 8,123 tok/s" for step, loss in losses]
        Path(f"lines/width{width}.txt").write_text("\n".join(lines) + "\n")
        cells = [f"{step},{loss},0.001" for step, loss in losses]
        Path(f"tables/width{width}.csv").write_text("\n".join(["step,loss,lr", *cells]) + "\n")
    examined = [table(folder) for folder in ("lines", "tables")]
    assert [{one.format for one in found.files} for found in examined] == [{"text"}, {"CSV"}]
    (laws, said), (same, _) = (fitted(MODEL + "\n".join(found.sentences)) for found in examined)
    assert not [one for one in said if one.severity == "error"]
    numbers = [{shape: (law.a, law.b, law.c, law.d) for shape, law in found.items()} for found in (laws, same)]
    assert len(laws) == len(FLOPS)
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("restarted", [None, "lower", "higher"])
def test_the_state_of_a_trainer_that_was_resumed(restarted: str | None) -> None:
    def total(width: int, step: int) -> float:
        """Batches are twice as large after step 2000."""
        return FLOPS[width] * (step + max(step - 2000, 0))

    for width, found in each():
        history: list[dict[str, Any]] = [{"step": row["step"], "loss": row["val_loss"]} for row in found]
        at = 1000 if restarted == "higher" else 2000
        history.insert(at // 40, {"step": at, "total_flos": total(width, at), "train_runtime": 100.0})
        # Of the last session alone: it is above the total of a short first one.
        ends = {None: total(width, 4000), "lower": total(width, 2000) / 2, "higher": 3000 * FLOPS[width]}
        folder = Path(f"runs/width{width}")
        folder.mkdir(parents=True)
        state = {"global_step": 4000, "total_flos": ends[restarted], "log_history": history}
        (folder / "trainer_state.json").write_text(json.dumps(state))
        log = open_log(folder / "trainer_state.json")
        spent = {row["step"]: row.get("total_flos") for row in log.rows() if "loss" in row}
        if restarted:
            assert set(spent.values()) == {None}
            assert any("does not count all of its steps" in note for note in log.notes)
        else:
            assert spent == {step: pytest.approx(total(width, step)) for step in spent}


def restarting(width: int, again: int, more: float = 1) -> list[dict[str, Any]]:
    """Rows whose FLOPs count from 0 again after some steps, in batches that are larger by a factor then."""
    return [row | {"flops": row["flops"] - (row["step"] > again) * (again * FLOPS[width])} for row in rows(width)] + [
        {"step": s, "flops": more * (s - again) * FLOPS[width], "val_loss": loss(width, s)}
        for s in range(4040, 4241, 40)
    ]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("again", [600, 2000, 3600])
def test_compute_that_begins_again_is_counted_by_steps(again: int, newest_first: bool) -> None:
    found = [{"width": w, **row} for w in FLOPS for row in restarting(w, again)]
    trainers.table(Path("a.csv"), found[::-1] if newest_first else found)
    examined = table("a.csv")
    assert any("begins again while their steps go on" in line for line in examined.advice)
    laws, diagnostics = fitted("\n".join(examined.sentences))
    assert any("it is counted by steps" in one.message for one in diagnostics)
    for shape, law in laws.items():
        width = int(shape.number("width"))
        assert law.provenance.spent == pytest.approx(4240 * FLOPS[width])
        assert law.error(4000 * FLOPS[width]) == pytest.approx(loss(width, 4000), rel=2e-3)


def test_steps_below_0_of_compute_that_begins_again_are_left_out() -> None:
    found = [{"width": w, **row, "step": row["step"] - 100} for w in FLOPS for row in restarting(w, 2000)]
    trainers.table(Path("a.csv"), found)
    facts = table("a.csv").curves
    assert facts is None or facts.compute[0] > 0


def test_compute_that_begins_again_in_other_batches_is_refused() -> None:
    trainers.table(Path("a.csv"), [{"width": w, **row} for w in FLOPS for row in restarting(w, 2000, 1.5)])
    assert not table("a.csv").sentences
    laws, diagnostics = fitted(f'metric loss\n{AXIS}laws from fit("a.csv"){END}')
    assert (len(laws), [one.code for one in diagnostics if one.severity == "error"]) == (0, ["wrong-counter"])


@pytest.mark.parametrize("again", [2000, 1990])
def test_compute_without_steps_that_begins_again_is_refused(again: int) -> None:
    found = [{"width": w, **row} for w in FLOPS for row in restarting(w, again)]
    trainers.table(Path("a.csv"), [{name: row[name] for name in ("width", "flops", "val_loss")} for row in found])
    examined = table("a.csv")
    assert not examined.sentences
    assert any("again while the run goes on" in line for line in examined.advice)
    laws, diagnostics = fitted(f'metric loss\n{AXIS}laws from fit("a.csv"){END}')
    assert (len(laws), [one.code for one in diagnostics if one.severity == "error"]) == (0, ["wrong-counter"])
