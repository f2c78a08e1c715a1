"""What producers of logs do differently: text, other separators, marks of missing values, no final newline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from shapeflow.laws.logs.readers import Unreadable, number, open_log
from shapeflow.laws.logs.readers.numerals import notations
from shapeflow.laws.logs.readers.text_log import dialect_of

LINES: list[tuple[str, dict[str, str]]] = [
    ("s:40 trl:4.1606 lr:0.000120 norm:0.50", {"step": "40", "train_loss": "4.1606", "lr": "0.000120"}),
    ("s:40 tel:4.1194", {"step": "40", "val_loss": "4.1194"}),
    ("s:250 eval:0.2812", {"step": "250", "hellaswag_accuracy": "0.2812"}),
    ("step:125/1480 val_loss:4.6123 train_time:30000ms step_avg:240.5ms", {"step": "125", "val_loss": "4.6123"}),
    ("step 250: train loss 1.9650, val loss 2.0013", {"step": "250", "train loss": "1.9650", "val loss": "2.0013"}),
    ("step 0: train loss 5.356189 (took 1933.4 ms)", {"step": "0", "train loss": "5.356189"}),
    ("step    1/40: train loss 4.367631 (80.63 ms, 50784 tok/s)", {"step": "1", "train loss": "4.367631"}),
    (
        "step   20/20 | train loss 3.6432 | norm 6.2 | lr 1.00e-04 | (60.1 ms | 4256 tok/s)",
        {"step": "20", "train loss": "3.6432", "lr": "1.00e-04"},
    ),
    (
        "step 00010/21400 (0.05%) | loss: 9.01 | lrm: 1.00 | dt: 900.12ms | tok/sec: 582,000 | bf16_mfu: 40.1 | "
        "epoch: 1 pq: 3 rg: 12 | total time: 0.15m | eta: 321.0m",
        {"step": "00010", "loss": "9.01", "epoch": "1", "total time": "0.15"},
    ),
    ("iter 10: loss 3.2000, time 32.10ms, mfu 12.10%", {"step": "10", "loss": "3.2000", "time": "32.10"}),
    (
        " [2024-05-01 10:00:00] iteration       40/    4000 | consumed samples:  10240 | learning rate: 1.2E-04 | "
        "global batch size:   256 | lm loss: 4.119417E+00 | grad norm: 0.5 |",
        {"step": "40", "consumed samples": "10240", "learning rate": "1.2E-04", "lm loss": "4.119417E+00"},
    ),
    (" validation loss at iteration 40 | lm loss value: 2.8E+00 |", {"step": "40", "val/lm loss value": "2.8E+00"}),
    ("step   10/19560 | loss 9.2 (+nanz)| norm 15.0 (+nanz)| lr 8.57e-06 | 2000 ms", {"step": "10", "lr": "8.57e-06"}),
    ("step 00010/21400 (0.05%) | loss: 9.01 | tok/sec: 500,000 | mfu: 40.1", {"loss": "9.01", "tok/sec": "500000"}),
    ("Step 00250 | Validation bpb: 1.2345", {"step": "00250", "Validation bpb": "1.2345"}),
    (
        "[titan] 2024-05-01 10:00:00 - root - INFO - step: 10  loss:  8.1234  tps: 8,000  tflops: 300.2",
        {"step": "10", "loss": "8.1234", "tps": "8000", "tflops": "300.2"},
    ),
    ("[titan] - validate step: 10  loss:  8.1  tps: 8,000", {"step": "10", "val/loss": "8.1"}),
    ("Step 7 | loss:1.5 lr:3e-04 tokens_per_second_per_gpu:400", {"step": "7", "loss": "1.5", "lr": "3e-04"}),
    (
        '2022-11-11 14:05:27 | INFO | train_inner | {"epoch": 1, "loss": "15.8", "num_updates": "7", "lr": "2e-07"}',
        # In bits; read in nats.
        {"step": "7", "loss": repr(15.8 * math.log(2)), "lr": "2e-07"},
    ),
    ("{'loss': 3.2, 'learning_rate': 5e-05, 'epoch': 0.1}", {"loss": "3.2", "epoch": "0.1"}),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_lines_that_trainers_print(line: str, expected: dict[str, str]) -> None:
    found = dialect_of(line)
    assert found is not None
    assert expected.items() <= found[1].items()


@pytest.mark.parametrize(
    "line", ["", "step: one of many", "loss 3.2", 'print(f"step:{step}/{n} val_loss:{loss}")', "a,b,c", "10,3.2,1e-3"]
)
def test_other_lines_are_passed_over(line: str) -> None:
    assert dialect_of(line) is None


def test_a_held_out_loss_without_a_step_is_of_the_last_one(tmp_path: Path) -> None:
    """As `train_gpt2.cu` prints it: before the first step, and after others."""
    head = "batch_size B=4 * seq_len T=64 * num_processes=1 and total_batch_size=512\n"
    text = (
        "val loss 11.0\nstep    1/10 | loss 9.2 (+nanz)| norm 15.0 (+nanz)| lr 8e-06\nval loss 9.1\nval loss is low\n"
    )
    found = rows(tmp_path / "a.log", head + text)
    assert found[1:] == [{"step": "1", "val loss": "9.1", "tokens": "512"}]
    assert (found[0]["loss"], found[0]["tokens"]) == ("9.2", "512")


def rows(path: Path, text: str) -> list[dict[str, Any]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return [dict(row) for row in open_log(path).rows()]


@pytest.mark.parametrize(
    ("each", "line"),
    [
        ("tokens per iteration will be: 491,520", "iter 10: loss 3.2000, time 32.10ms, mfu 12.10%"),
        ("Total batch size 491,520 => gradient accumulation steps: 1", "step 00010/21400 (0.05%) | loss: 9.01 |"),
    ],
)
def test_tokens_by_the_number_of_a_step(tmp_path: Path, each: str, line: str) -> None:
    assert rows(tmp_path / "a.log", f"{each}\n{line}\n")[0]["tokens"] == "4915200"
    assert "tokens" not in rows(tmp_path / "a.log", f"{line}\n")[0]


def test_blocks_of_indented_pairs(tmp_path: Path) -> None:
    text = (
        "2024 INFO [olmo.train:967, rank=0] [step=10/7393,epoch=0]\n    train/CrossEntropyLoss=10.5\n"
        "    throughput/total_tokens=4,194,304\n2024 INFO saving\n[batch=20/100]:\n\t Train loss/train/total: 9.3\n"
    )
    assert rows(tmp_path / "a.log", text) == [
        {"step": "10", "train/CrossEntropyLoss": "10.5", "throughput/total_tokens": "4194304"},
        {"step": "20", "loss/train/total": "9.3"},
    ]


def test_a_script_that_prints_its_source_first(tmp_path: Path) -> None:
    source = "import torch, sys, os\n" + "x = 1 # a line of code, with a comma\n" * 5000
    assert rows(tmp_path / "a.txt", source + "step:1/9 val_loss:4.5000\n") == [{"step": "1", "val_loss": "4.5000"}]


@pytest.mark.parametrize("mark", ["NA", "N/A", "None", "null", "-", "", "<NA>", "#N/A"])
def test_marks_of_a_missing_value(mark: str) -> None:
    assert number(mark) == "blank"


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", " ", "    "])
def test_separators(tmp_path: Path, separator: str) -> None:
    text = "".join(separator.join(line) + "\n" for line in (("step", "loss"), ("1", "3.5"), ("2", "3.25")))
    assert rows(tmp_path / "a.txt", text) == [{"step": "1", "loss": "3.5"}, {"step": "2", "loss": "3.25"}]


@pytest.mark.parametrize(
    ("text", "count", "torn"),
    [
        ('"step","loss"\n"1","3.5"\n"2","3.2"', 2, False),  # it closes its quotes
        ('"step","loss"\n"1","3.5"\n"2","3.', 1, True),
        ("step,loss\n1,3.51\n2,3.42\n3,3.33\n4,3.24", 4, False),  # a fixed format
        ("step,loss\n1,3.51\n2,3.42\n3,3.33\n4,3.2", 3, True),
        ("step,loss\n1,3.5\n2,3.41111111111", 2, False),  # more digits than matter
        ("step,loss\n1,3.5e+13\n2,3.41111111111", 1, True),  # half an exponent
        ("step,loss\n1,3.5\n2", 1, True),
    ],
)
def test_a_last_line_without_its_end(tmp_path: Path, text: str, count: int, torn: bool) -> None:
    (tmp_path / "a.csv").write_text(text)
    log = open_log(tmp_path / "a.csv")
    assert (len(list(log.rows())), log.torn) == (count, torn)


def test_rows_of_a_key_and_a_value(tmp_path: Path) -> None:
    text = "run,key,value,step\na,val_loss,3.5,1\na,flops,1e15,1\n"
    (tmp_path / "a.csv").write_text(text)
    log = open_log(tmp_path / "a.csv")
    assert log.columns() == ["run", "step", "val_loss", "flops"]
    assert list(log.rows()) == [
        {"run": "a", "step": "1", "val_loss": "3.5"},
        {"run": "a", "step": "1", "flops": "1e15"},
    ]


def test_the_file_store_of_mlflow(tmp_path: Path) -> None:
    path = tmp_path / "mlruns/0/abc/metrics/eval/loss"
    assert rows(path, "1700000000000 3.5 10\n1700000000001 3.25 20\n")[1]["eval/loss"] == "3.25"
    assert open_log(path).run == tmp_path / "mlruns/0/abc"


@pytest.mark.parametrize(
    ("text", "why"),
    [("a,b,c\nx\ny\nz,1\n", "3 of its 3 lines do not fit"), ("1,2\n3,4\n", "holds numbers"), ("two words\n", "header")],
)
def test_what_is_no_table(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        rows(tmp_path / "a", text)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["3,91", "3,5"], ("decimal_comma",)),
        (["1,234,567", "12"], ("thousands_comma",)),
        (["1,234.5"], ("thousands_comma",)),
        (["1.234,5"], ("decimal_comma",)),
        (["1,234"], ("decimal_comma", "thousands_comma")),
        (["a,b"], ()),
    ],
)
def test_numbers_with_commas(cells: list[str], expected: tuple[str, ...]) -> None:
    assert notations(cells) == expected


def test_numbers_with_commas_are_read_when_the_notation_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step;loss\n1.000;3,91\n")
    assert list(open_log(tmp_path / "a.csv", "decimal_comma").rows()) == [{"step": "1000", "loss": "3.91"}]
