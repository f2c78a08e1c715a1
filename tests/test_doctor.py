"""`shapeflow doctor`: its report on logs, and that the sentences it suggests compile unchanged."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from log_files import events
from rich.console import Console
from sources import compiled

from shapeflow.base.diagnostics import Report
from shapeflow.cli import answer
from shapeflow.doctor import Table, examine
from shapeflow.doctor.places import places_of
from shapeflow.preview.doctor import doctor_view

EXAMPLES = Path(__file__).parent.parent / "examples/laws"
Row = Mapping[str, Any]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, rows: Iterable[Row]) -> str:
    listed = list(rows)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in listed))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, listed[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(listed)
    return name


def run(width: int, points: int = 40, seed: int = 0, **more: Any) -> list[dict[str, Any]]:
    """The rows of a run of one width that follows a law with a little noise."""
    noise = np.random.default_rng((width, seed)).normal(0, 0.002, points)
    rows = []
    for index, step in enumerate(np.unique(np.geomspace(10, 10_000, points).astype(int)).tolist()):
        compute = 6e3 * width**2 * step
        loss = (2.0 + 20 / width) + 5e3 * width**-0.2 * compute**-0.45
        rows.append(
            {"width": width, "step": step, "compute": compute, "loss": loss * float(np.exp(noise[index])), **more}
        )
    return rows


def table(*names: str) -> Table:
    report = Report()
    (found,) = examine(names, report).tables
    assert not report.diagnostics
    return found


def roles(found: Table) -> dict[str, str]:
    return {column.name: column.role for column in found.columns if column.role}


def law(found: Table) -> str:
    (sentence,) = [one for one in found.sentences if one.startswith("laws from")]
    return sentence


def compiles(found: Table, folder: Path) -> None:
    report = Report()
    text = "\n".join(['plan "a"', *found.sentences])
    plan = compiled(folder, text, report=report)
    assert all(candidate.law is not None for candidate in plan.candidates)
    assert "missing-column" not in {one.code for one in report.diagnostics}


# A table of pilots has a column of data for each shape, and is read by `laws from mixture`.
@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.csv") if "_pilots" not in path.stem))
def test_the_suggested_sentences_compile_for_the_example_logs(tmp_path: Path, name: str) -> None:
    (tmp_path / "laws").mkdir()
    shutil.copy(EXAMPLES / name, tmp_path / "laws")
    found = table(f"laws/{name}")
    assert f'laws from fit("laws/{name}"' in law(found)
    assert found.curves is not None
    assert not found.curves.steepens
    compiles(found, tmp_path)


def test_a_plain_log_needs_no_setting(tmp_path: Path) -> None:
    found = table(write("a.csv", [*run(64), *run(128)]))
    assert roles(found) == {"width": "axis", "step": "step", "compute": "compute", "loss": "error"}
    assert found.sentences == (
        "axis width in [64, 128] via width_expand",
        'laws from fit("a.csv")',
        "traversal steepest",
        "budget 983 GFLOPs",
    )
    curves = found.curves
    assert curves is not None
    assert (curves.runs, curves.shapes, curves.repeated, curves.falls, curves.diverged) == (2, 2, 0, 0, 0)
    assert curves.points[0] > 30
    assert curves.decades == pytest.approx((3, 3))
    assert found.advice == ()
    compiles(found, tmp_path)


def test_compute_as_a_product_and_other_names(tmp_path: Path) -> None:
    """Columns as in the Gemstones data: parameters and tokens instead of FLOPs, and runs for only some shapes."""
    rows = []
    for width, depth in ((32, 4), (64, 8), (128, 8)):
        size = 12 * depth * width**2
        for index, row in enumerate(run(width)):
            tokens = row["compute"] / 6 / size * 1e6
            row = {"run_name": f"w{width}", "params": size, "width": width, "depth": depth, "tokens": tokens}
            rows.append({**row, "it": index, "final_loss": run(width)[index]["loss"]})
    found = table(write("logs/gems.jsonl", rows))
    assert roles(found)["params"] == "parameters"
    assert roles(found)["tokens"] == "tokens"
    wanted = 'laws from fit("logs/gems.jsonl", compute: "6 * params * tokens", error: "final_loss", step: "it")'
    assert law(found) == wanted
    assert found.sentences[2].startswith("candidates width * depth where (width is 32 and depth is 4) or")
    compiles(found, tmp_path)


def test_macs_renamed_axes_and_runs_that_change_shape(tmp_path: Path) -> None:
    rows = []
    for context in (16, 64, 256):
        for seed in (0, 1):
            for row in run(context, seed=seed):
                shared = {"name": f"static c{context}", "tag": "static", "seed": seed, "step": row["step"]}
                rows.append({**shared, "macs": row["compute"] / 2, "ctx": context, "val_raw": row["loss"]})
    for index, row in enumerate(run(64, seed=2)):
        grown = {"name": "grow", "tag": "law", "seed": 0, "step": row["step"]}
        rows.append({**grown, "macs": row["compute"] / 2, "ctx": 16 if index < 20 else 64, "val_raw": row["loss"]})
    found = table(write("a.csv", rows))
    wanted = (
        'laws from fit("a.csv", compute: "macs", compute_unit: 2 FLOPs, error: "val_raw", axes: (context: "ctx"), '
        'where: (tag: "static"))'
    )
    assert law(found) == wanted
    assert found.sentences[0] == "axis context in [16, 64, 256] tokens via context_grow"
    assert found.curves is not None
    assert (found.curves.runs, found.curves.shapes) == (6, 3)
    assert any("change their context" in line for line in found.advice)
    compiles(found, tmp_path)


def test_a_column_of_names_distinguishes_runs(tmp_path: Path) -> None:
    rows = [*run(64, uuid="aa"), *run(64, seed=1, uuid="bb"), *run(128, uuid="cc"), *run(128, seed=1, uuid="dd")]
    found = table(write("a.csv", rows))
    assert law(found) == 'laws from fit("a.csv", run: "uuid")'
    assert found.curves is not None
    assert (found.curves.runs, found.curves.repeated) == (4, 0)
    compiles(found, tmp_path)


def test_the_learning_rate_by_its_column() -> None:
    def scheduled(width: int, falls: bool) -> list[dict[str, Any]]:
        rows = run(width)
        for row in rows:
            fall = 1 - row["step"] / 10_000 if falls else 1.0
            row["lr"] = 1e-3 * min(row["step"] / 200, 1) * fall
        return rows

    constant = table(write("a.csv", [*scheduled(64, False), *scheduled(128, False)]))
    falling = table(write("b.csv", [*scheduled(64, True), *scheduled(128, True)]))
    assert constant.curves is not None
    assert falling.curves is not None
    assert constant.curves.learning_rate == "constant"
    assert constant.curves.warmup == pytest.approx(200, rel=0.3)
    assert "drop_warmup: " in law(constant)
    assert "steps" in law(constant)
    assert falling.curves.learning_rate == "falling"
    assert any("falls along the runs" in line for line in falling.advice)


def test_a_falling_learning_rate_shows_in_the_curve() -> None:
    rows = [*run(64), *run(128)]
    for row in rows:
        done = row["step"] / 10_000
        row["loss"] -= 0.6 * max(done - 0.3, 0.0)
    found = table(write("a.csv", rows))
    assert found.curves is not None
    assert found.curves.steepens
    assert any("which a power law does not" in line for line in found.advice)
    assert any("the learning rate seems to fall there" in line for line in found.advice)
    known = table(write("c.csv", [{**row, "lr": 0.001} for row in rows]))
    assert any(line.endswith("which a power law does not") for line in known.advice)
    honest = table(write("b.csv", [*run(64), *run(128)])).curves
    assert honest is not None
    assert not honest.steepens


def test_missing_compute_is_reported_with_advice(tmp_path: Path) -> None:
    rows = [{**row, "train_time_ms": 3.0 * row["step"]} for row in [*run(64), *run(128)]]
    for row in rows:
        del row["compute"]
    found = table(write("a.csv", rows))
    assert found.needs_model
    assert law(found) == 'laws from fit("a.csv")'
    assert roles(found)["train_time_ms"] == "time"
    model = "transformer(depth: 2, context: 64 tokens, head_width: 16)"
    text = f"model {model}\ndata python_source(batch: 512 tokens)\nobjective next_token\n"
    plan = compiled(tmp_path, text + "\n".join(found.sentences))
    assert all(candidate.law is not None for candidate in plan.candidates)
    (told,) = [line for line in found.advice if "no column counts compute" in line]
    assert "`train_time_ms` is a time" in told
    assert "a file with a model" in told


@pytest.mark.parametrize("ordered", [True, False])
def test_final_errors_alone_are_not_curves(ordered: bool) -> None:
    rng = np.random.default_rng(0)
    sizes, tokens = 10 ** rng.uniform(7, 10, 80), 10 ** rng.uniform(9, 11, 80)
    pairs = zip(sizes, tokens, strict=True)
    rows = [{"C": 6 * n * d, "N": n, "D": d, "loss": 2 + 400 / n**0.34 + 400 / d**0.28} for n, d in pairs]
    found = table(write("a.csv", sorted(rows, key=lambda row: row["C"]) if ordered else rows))
    assert roles(found) == {"C": "compute", "N": "parameters", "D": "tokens", "loss": "error"}
    assert found.sentences == ()
    assert any("the end of a separate run" in line for line in found.advice)


def test_accuracy_is_not_read_as_an_error() -> None:
    rows = [*run(64), *run(128)]
    for row in rows:
        row["accuracy"] = 1 / row.pop("loss")
    found = table(write("a.csv", rows))
    assert any("1 - `accuracy`" in line for line in found.advice)


def test_invalid_rows_are_counted() -> None:
    rows = [*run(64), *run(128)]
    rows[5]["loss"], rows[6]["loss"], rows[7]["loss"] = "nan", "inf", -1
    rows += [{**row} for row in run(128)[-3:]]
    found = table(write("a.csv", rows))
    assert found.curves is not None
    assert found.curves.excluded == {"not finite": 2, "an error of 0 or less": 1}
    assert found.curves.repeated == 3
    (loss,) = [column for column in found.columns if column.name == "loss"]
    assert loss.not_finite == 2
    assert any("logged more than once" in line for line in found.advice)


def test_a_run_that_diverged_and_a_short_one() -> None:
    rows = run(64)
    for row in rows[-6:]:
        row["loss"] = 11.0
    rows += [row for row in run(128) if 100 <= row["step"] <= 400]
    found = table(write("a.csv", rows))
    assert found.curves is not None
    assert found.curves.diverged == 1
    assert any("decades of compute" in line for line in found.advice)


def test_several_files_are_one_table(tmp_path: Path) -> None:
    for width in (64, 128):
        write(f"runs/w{width}.csv", run(width))
    found = table("runs/*.csv")
    assert [one.name for one in found.files] == ["runs/w64.csv", "runs/w128.csv"]
    assert law(found) == 'laws from fit("runs/*.csv")'
    assert table("runs").sentences == found.sentences
    compiles(found, tmp_path)


def test_files_that_no_pattern_separates_from_others() -> None:
    for width in (64, 128, 256):
        write(f"runs/w{width}.csv", run(width))
    found = table("runs/w64.csv", "runs/w128.csv")
    assert found.sentences == ()
    assert any("a folder of their own" in line for line in found.advice)


def test_logs_outside_of_this_folder_name_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("logs/a.csv", [*run(64), *run(128)])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = table("../logs/a.csv")
    assert found.folder == "../logs"
    assert law(found) == 'laws from fit("a.csv")'
    compiles(found, tmp_path / "logs")


def test_run_folders(tmp_path: Path) -> None:
    for width in (64, 128):
        folder = tmp_path / f"runs/width{width}"
        folder.mkdir(parents=True)
        plan = {"convention": "flops", "stages": [{"shape": {"width": width}, "blends": []}]}
        (folder / "plan.json").write_text(json.dumps(plan))
        events = [{"event": "run_started", "step": 0}]
        events += [
            {"event": "measured", "step": row["step"], "compute": row["compute"], "values": {"loss@own": row["loss"]}}
            for row in run(width)
        ]
        (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    found = table("runs")
    assert {one.format for one in found.files} == {"shapeflow run"}
    assert found.sentences[:2] == ("axis width in [64, 128] via width_expand", 'laws from fit("runs/*")')
    compiles(found, tmp_path)
    plan["schedule"] = {"form": "cosine", "final": 0.1}
    (tmp_path / "runs/width128/plan.json").write_text(json.dumps(plan))
    tables = examine(["runs"], Report()).tables
    formats = {one.format for found in tables for one in found.files}
    assert (len(tables), formats) == (2, {"shapeflow run", "shapeflow run, falling learning rate"}), "never mixed"


def test_shapes_and_runs_in_file_names(tmp_path: Path) -> None:
    for width in (64, 128):
        for seed in (0, 1):
            rows = run(width, seed=seed)
            for row in rows:
                del row["width"]
            write(f"runs/width-{width}-seed{seed}.csv", rows)
    found = table("runs/*.csv")
    assert found.sentences[:2] == (
        "axis width in [64, 128] via width_expand",
        'laws from fit("runs/width-{width}-seed{run}.csv")',
    )
    assert found.curves is not None
    assert (found.curves.runs, found.curves.shapes) == (4, 2)
    compiles(found, tmp_path)


def test_files_of_many_folders(tmp_path: Path) -> None:
    for width in (64, 128):
        rows = run(width)
        for row in rows:
            del row["width"]
        write(f"runs/d_model{width}/log.csv", rows)
        write(f"logs/{width}/log.csv", run(width))
    found = table("runs/*/*.csv")
    assert law(found) == 'laws from fit("runs/d_model{width}/log.csv")'
    compiles(found, tmp_path)
    assert law(table("logs/*/*.csv")) == 'laws from fit("logs/*/log.csv")'


def test_a_folder_that_holds_a_folder_for_each_run(tmp_path: Path) -> None:
    """The suffixes that TensorBoard adds to file names are not part of a run's name."""
    pytest.importorskip("tensorboard")
    for width in (64, 128):
        rows = [{name: cell for name, cell in row.items() if name != "width"} for row in run(width)]
        events(Path(f"runs/width{width}/events.out.tfevents.17953905{width}.box.7.0"), rows)
    found = table("runs")
    assert law(found) == 'laws from fit("runs/width{width}/events.out.tfevents*")'
    compiles(found, tmp_path)


def wide(*lines: str) -> list[dict[str, Any]]:
    """A chart as W&B exports it: one column per run, followed by columns of its minimum and maximum."""
    rows: list[dict[str, Any]] = [{"Step": row["step"], "compute": row["compute"]} for row in run(64)]
    for index, name in enumerate(lines):
        for row, measured in zip(rows, run(64 * 2**index), strict=True):
            row |= {name: measured["loss"], f"{name}__MIN": measured["loss"], f"{name}__MAX": measured["loss"]}
    return rows


def test_a_table_with_a_column_for_each_run(tmp_path: Path) -> None:
    found = table(write("a.csv", wide("width64 - eval/loss", "width128 - eval/loss")))
    assert law(found) == 'laws from fit("a.csv", error: "width{width} - eval/loss")'
    assert found.sentences[0] == "axis width in [64, 128] via width_expand"
    assert found.curves is not None
    assert found.curves.runs == 2
    assert any("hold only a sample" in line for line in found.advice)
    compiles(found, tmp_path)


def test_columns_of_runs_whose_names_state_no_shape() -> None:
    found = table(write("a.csv", wide("happy-lake-1 - loss", "brisk-wind-2 - loss")))
    assert found.sentences == ()
    assert found.curves is not None
    assert found.curves.runs == 2
    assert any("`{run} - loss`" in line for line in found.advice)


BAD = {
    "binary.csv": bytes(range(256)) * 20,
    "empty.csv": b"",
    "prose.txt": b"not a table\nat all\n",
    "torn.csv": b"width,step,compute,loss\n64,1,1e9,3\n64,2,2e9,2.",
    "huge.csv": b"width,step,compute,loss\n" + b"64,1,1e308,1e308\n128,2,1e-308,1e308\n" * 20,
    "mixed.csv": b"width,step,compute,loss\n" + b"big,x,1 PFLOPs,3\n,,,\n64,2,inf,nan\n" * 10,
    "deep.json": b"[" * 100_000,
    "packed.csv": b"\x1f\x8b\x08\x00" + b"\0" * 100,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_logs_are_reported_without_a_traceback(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(name).write_bytes(BAD[name])
    status = answer(["doctor", name])
    said = capsys.readouterr()
    assert status in (0, 1)
    assert "bug in shapeflow" not in said.err
    assert (status == 1) == ("error[" in said.err)
    if name == "torn.csv":
        assert "cut off" in said.out


def test_readable_logs_are_reported_next_to_unreadable_ones(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.csv", [*run(64), *run(128)])
    Path("b.csv").write_bytes(BAD["binary.csv"])
    assert answer(["doctor", "a.csv", "b.csv", "c.csv"]) == 1
    said = capsys.readouterr()
    assert 'laws       from fit("a.csv")' in said.out
    assert "error[unreadable-log]" in said.err
    assert "error[no-such-logs]" in said.err


def test_the_answer_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.csv", [*run(64), *run(128)])
    assert answer(["doctor", "a.csv", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["tables"]
    assert found["sentences"][-3] == 'laws from fit("a.csv")'
    assert {column["name"]: column["role"] for column in found["columns"]}["compute"] == "compute"


def test_held_out_losses_come_before_those_of_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = [{"step": 10 * step, "loss": 2 + step**-0.5} for step in range(1, 61)]
    history += [{"step": 30 * step, "eval_loss": 2.1 + (3 * step) ** -0.5} for step in range(1, 21)]
    state = json.dumps({"log_history": history, "global_step": 600, "max_steps": 600, "total_flos": 6e15})
    for width in (16, 32):
        (tmp_path / f"width{width}").mkdir()
        (tmp_path / f"width{width}" / "trainer_state.json").write_text(state)
    assert answer(["doctor", *(str(path) for path in sorted(tmp_path.glob("*/*.json")))]) == 0
    shown = capsys.readouterr().out
    assert "other columns that may be the error: `loss`" in shown
    assert "error:" not in shown.partition("laws  ")[2].partition("\n\n")[0]


def test_event_files_are_found_whatever_follows_in_their_name() -> None:
    names = [f"tb/width{width}/events.out.tfevents.17{width}.host.{width}.0" for width in (16, 32)]
    places = places_of(names)
    assert places is not None
    assert places.template == "tb/width{width}/events.out.tfevents*"
    assert [places.values[name] for name in names] == [{"width": "16"}, {"width": "32"}]


def test_numbers_stay_whole_on_a_narrow_screen(tmp_path: Path) -> None:
    examined = examine(
        [write("a.csv", [{"a_long_name_of_a_run": f"w{row['width']}", **row} for row in run(64)])], Report()
    )
    screen = Console(file=io.StringIO(), width=80)
    screen.print(doctor_view(examined, [""]))
    assert isinstance(screen.file, io.StringIO)
    assert "2.4576e+08  2.4576e+11" in screen.file.getvalue()
