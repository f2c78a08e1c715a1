"""Readers of log formats: the rows they return, their metadata, and the files they refuse."""

from __future__ import annotations

import hashlib
import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from log_files import events, parquet, record, trainer_state

from shapeflow.laws.logs.readers import Log, MissingExtra, Unreadable, open_log

ROWS: list[dict[str, Any]] = [{"step": 10 * i, "flops": 1e15 * i, "loss": 2.0 + 1 / i} for i in range(1, 8)]


def read(path: Path) -> tuple[Log, list[dict[str, Any]]]:
    log = open_log(path)
    return log, [dict(row) for row in log.rows()]


def numbers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: float(row[name]) for name in ("step", "flops", "loss")} for row in rows]


def write(folder: Path, format: str) -> Path:
    """Write rows to a file of the given format."""
    path = folder / "a.log"
    if format in ("CSV", "TSV"):
        sep = "," if format == "CSV" else "\t"
        lines = [sep.join(ROWS[0]), *(sep.join(map(str, row.values())) for row in ROWS)]
        path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    elif format == "JSON lines":
        path.write_text("\n\n".join(map(json.dumps, ROWS)) + "\n")
    elif format == "JSON":
        path.write_text(json.dumps(ROWS, indent=1))
    elif format == "table":
        lines = [";".join(ROWS[0]), *(";".join(map(str, row.values())) for row in ROWS)]
        path.write_text("\n".join(lines) + "\n")
    elif format == "text":
        lines = [f"step:{row['step']}/70 flops:{row['flops']!r} loss:{row['loss']!r}" for row in ROWS]
        path.write_text("\n".join(["import torch", *lines]) + "\n")
    elif format == "parquet":
        parquet(path, ROWS, row_group_size=3)
    elif format == "TensorBoard events":
        events(path, ROWS)
    else:
        trainer_state(path, ROWS)
    return path


FORMATS = [
    "CSV",
    "TSV",
    "table",
    "text",
    "JSON lines",
    "JSON",
    "parquet",
    "TensorBoard events",
    "Hugging Face trainer state",
]


@pytest.mark.parametrize("format", FORMATS)
def test_one_log_in_every_format(tmp_path: Path, format: str) -> None:
    path = write(tmp_path, format)
    log, rows = read(path)
    assert log.format == format
    assert numbers(rows) == numbers(ROWS) or format == "TensorBoard events"
    assert [row["loss"] for row in numbers(rows)] == pytest.approx([row["loss"] for row in ROWS], rel=1e-6)
    assert log.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (log.torn, log.broken, log.sampled, log.made) == (False, 0, False, {})
    assert log.notes == (
        ["lines as printed by modded-nanogpt; other lines are passed over"] if format == "text" else []
    )
    assert set(log.columns()) >= {"step", "flops", "loss"}


@pytest.mark.parametrize("format", FORMATS)
def test_a_log_is_read_again_from_its_beginning(tmp_path: Path, format: str) -> None:
    log = open_log(write(tmp_path, format))
    assert log.columns() == log.columns()
    assert list(log.rows()) == list(log.rows())


@pytest.mark.parametrize("text", [json.dumps({"step": [1, 2], "loss": [3.0, 2.0], "note": "x"}), '[{"step": 1}, 7]'])
def test_documents_of_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    log, rows = read(tmp_path / "a.json")
    assert log.format == "JSON"
    assert (rows, log.broken) in (
        ([{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}], 0),
        ([{"step": 1}], 1),
    )


def test_lists_in_lines_of_json(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text('{"step": 1, "bins": [1]}\n{"step": 2, "bins": []}\n')
    assert [row["step"] for row in read(tmp_path / "a.log")[1]] == [1, 2]


def test_columns_that_appear_late_are_found(tmp_path: Path) -> None:
    lines = [json.dumps({"step": i, "loss": 1.0}) for i in range(999)] + [json.dumps({"step": 999, "eval_loss": 1.0})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    assert open_log(tmp_path / "a.jsonl").columns() == ["step", "loss", "eval_loss"]


def test_the_flops_of_a_trainer_are_spread_over_its_steps(tmp_path: Path) -> None:
    rows = [{"step": 25, "loss": 3.0}, {"step": 25, "eval_loss": 3.1}, {"step": 100, "total_flos": 4e18}, "junk"]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"total_flos": 4e18, "global_step": 100, "log_history": rows}))
    log, found = read(path)
    assert [row["total_flos"] for row in found] == [1e18, 1e18, 4e18]
    assert (log.broken, log.made) == (1, {"total_flos": "the 4e+18 FLOPs of its 100 steps, spread evenly"})


def test_checkpoints_of_a_trainer_are_one_run(tmp_path: Path) -> None:
    logs = [open_log(trainer_state(tmp_path / "a" / f"checkpoint-{n}" / "trainer_state.json", ROWS)) for n in (5, 10)]
    assert {log.run for log in logs} == {tmp_path / "a"}


@pytest.mark.parametrize("header", ["_step,_runtime,loss", "Step,a - loss,a - loss__MIN,a - loss__MAX"])
def test_exports_of_wandb_may_be_samples(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(header + "\n" + ",".join("1" for _ in header.split(",")) + "\n")
    log, rows = read(tmp_path / "a.csv")
    assert (log.sampled, len(rows)) == (True, 1)
    assert "W&B" in log.notes[0]


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,loss,loss\n1,2,3\n")
    with pytest.raises(Unreadable, match="2 columns `loss`"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("as_tensors", [False, True])
def test_scalars_of_torch_and_of_tensorflow(tmp_path: Path, as_tensors: bool) -> None:
    _, rows = read(events(tmp_path / "events.out.tfevents.1.host", ROWS, as_tensors=as_tensors))
    assert [row["step"] for row in rows] == [row["step"] for row in ROWS]
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in ROWS])


def test_event_files_of_a_folder_are_one_run(tmp_path: Path) -> None:
    logs = [open_log(events(tmp_path / f"events.out.tfevents.{n}.host", ROWS)) for n in (1, 2)]
    assert {log.run for log in logs} == {tmp_path}


def test_torch_writes_what_is_read(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        for row in ROWS:
            writer.add_scalar("eval/loss", row["loss"], row["step"])
            writer.add_scalar("flops", row["flops"], row["step"])
        writer.add_text("note", "text is no scalar", 3)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    log, rows = read(path)
    assert [row["eval/loss"] for row in rows] == pytest.approx([row["loss"] for row in ROWS])
    assert (log.torn, log.broken) == (False, 0)


def test_a_tensor_that_states_a_giant_size_is_not_a_scalar(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.util.tensor_util import make_tensor_proto

    giant = make_tensor_proto(1.0)
    giant.tensor_shape.dim.add(size=1 << 50)
    event = Event(step=3, summary=Summary(value=[Summary.Value(tag="loss", tensor=giant)]))
    path = events(tmp_path / "events.out.tfevents.1", ROWS[:1])
    path.write_bytes(path.read_bytes() + record(event.SerializeToString()))
    assert len(read(path)[1]) == 1


NESTED = [{"step": s, "optim": {"lr": 0.1}, "eval": {"loss": 9.0 / s}} for s in range(1, 13)]
FLAT = [{"step": row["step"], "optim/lr": 0.1, "eval/loss": 9.0 / row["step"]} for row in NESTED]


PARTED = [{"step/of": row["step"], "eval/of": row["eval/loss"]} for row in FLAT]


@pytest.mark.parametrize(
    "text",
    [
        "".join(json.dumps(row) + "\n" for row in NESTED),
        json.dumps(NESTED),
        json.dumps({"log": {"history": NESTED}}, indent=1),
        json.dumps({"history": NESTED}),
        json.dumps({name: [row[name] for row in FLAT] for name in FLAT[0]}),
        json.dumps({name: {"of": [row[f"{name}/of"] for row in PARTED]} for name in ("step", "eval")}),
    ],
)
def test_objects_within_objects_are_columns(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    found = [dict(row) for row in read(tmp_path / "a.json")[1]]
    assert found == (PARTED if "of" in text else FLAT)


def test_values_next_to_the_rows_of_a_document_are_cells(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"config": {"model": {"d_model": 64}}, "rows": NESTED}))
    assert {row["config/model/d_model"] for row in read(tmp_path / "a.json")[1]} == {64}
    (tmp_path / "a.json").write_text(json.dumps({str(10 * row["step"]): {"loss": 1.0} for row in NESTED}))
    assert read(tmp_path / "a.json")[1][1] == {"key": "20", "loss": 1.0}


def test_two_lists_of_rows_are_not_one_log(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"train": NESTED, "eval": NESTED}))
    with pytest.raises(Unreadable, match="neither rows nor columns"):
        read(tmp_path / "a.json")


def test_json_lines_take_no_more_memory_than_a_line(tmp_path: Path) -> None:
    line = json.dumps({"step": 1, "eval": {"loss": 3.0}, "note": "x" * 4000}) + "\n"
    (tmp_path / "a.jsonl").write_text(line * 2000)
    tracemalloc.start()
    try:
        log = open_log(tmp_path / "a.jsonl")
        assert log.columns() == ["step", "eval/loss", "note"]
        assert sum(1 for _ in log.rows()) == 2000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_texts_in_parquet(tmp_path: Path) -> None:
    rows = [{"step": i, "run": "b" if i % 2 else None, "bins": [1, 2]} for i in range(5)]
    log, found = read(parquet(tmp_path / "a.parquet", rows))
    assert found == [{"step": i, "run": "b" if i % 2 else None} for i in range(5)]
    assert log.notes == ["columns of neither numbers nor texts are left out: bins"]


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"\x1f\x8b\x08", "packed by gzip"),
        (b"PK\x03\x04", "packed by zip"),
        ("step,loss\n".encode("utf-16"), "UTF-16"),
        (b"PAR1 and then nothing", "it does not end like a parquet file"),
        (b'{"log_history": 7}', "no list `log_history`"),
        (b'{"a": 1,\n"b": 2}', "neither rows nor columns"),
        (b"[1, 2", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}\n{}", "number that is too long"),
    ],
)
def test_files_that_are_not_logs_are_refused_with_a_reason(tmp_path: Path, head: bytes, why: str) -> None:
    (tmp_path / "a").write_bytes(head)
    with pytest.raises(Unreadable, match=why):
        read(tmp_path / "a")


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(Unreadable, match="not a file"):
            open_log(path)


@pytest.mark.parametrize(
    ("format", "package", "extra"), [("parquet", "pyarrow", "data"), ("TensorBoard events", "google", "tensorboard")]
)
def test_packages_that_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, package: str, extra: str
) -> None:
    log = open_log(write(tmp_path, format))
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra) as raised:
        list(log.rows())
    assert raised.value.extra == extra
