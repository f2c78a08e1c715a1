"""Columns called like steps that count something else: rows, micro-batches, seconds. What else is logged shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trainers

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.cli import answer
from shapeflow.compiler import fit_file
from shapeflow.doctor import Table, examine
from shapeflow.laws.logs.beside import beside
from shapeflow.laws.logs.epochs import batch_of

MODEL = """
model transformer(depth: 4, head_width: 32, mlp_ratio: 3, context: 256 tokens)
metric loss
data python_source(batch: 65536 tokens)
objective next_token
axis width in [64, 128, 256] via width_expand
"""
END = "\ntraversal steepest\nbudget 4000 steps\n"
FLOPS = {64: 141733920768.0, 128: 450971566080.0, 256: 1571958030336.0}
"""FLOPs of a step of the model."""
CLOCK = [31, 62, 94, 124, 156, 187, 219, 249]
"""Seconds at which a trainer logs, every 40 steps."""
Cell = Callable[[int], Any]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(width: int, step: float) -> float:
    return 1.5 + 24 / width + 6e4 * width**0.3 * (step * FLOPS[width]) ** -0.35


def seconds(row: int) -> int:
    """The seconds of a row, of which each takes about 31."""
    return 249 * (row // len(CLOCK)) + CLOCK[row % len(CLOCK)]


def looked(**columns: Cell) -> Table:
    """What doctor finds in a log of 100 rows for each width, 40 steps apart. `columns`: name -> the cell of a row."""
    rows = [
        {"width": width, **{name: cell(row) for name, cell in columns.items()}, "val_loss": loss(width, 40 * (row + 1))}
        for width in FLOPS
        for row in range(100)
    ]
    trainers.table(Path("a.csv"), rows)
    (found,) = examine(["a.csv"], Report()).tables
    return found


def fitted(settings: str = "") -> tuple[Mapping[Any, Any], list[Diagnostic]]:
    Path("a.shape").write_text(f'{MODEL}laws from fit("a.csv"{settings}, resamples: 0){END}')
    report = Report()
    try:
        _, found = fit_file(Path("a.shape"), (), report)
    except Refused as refused:
        return {}, list(refused.diagnostics)
    return found.laws, report.diagnostics


def spent(laws: Mapping[Any, Any]) -> list[float]:
    """The compute of the longest run of each law, in steps of the model."""
    return [law.provenance.spent / FLOPS[int(shape["width"])] for shape, law in laws.items()]


STEPS: dict[str, Cell] = {"steps": lambda row: 40 * (row + 1)}
ROW: dict[str, Cell] = {"step": lambda row: row}


@pytest.mark.parametrize("name", ["iteration", "iter_num", "it", "n_iter", "train_steps"])
def test_a_number_of_rows_beside_a_column_of_steps(name: str) -> None:
    found = looked(step=lambda row: row, **{name: lambda row: 40 * (row + 1)})
    assert not found.sentences
    said = f"`{name}` counts steps, too, and rises 40 times as fast"
    assert any(said in line and f'`step: "{name}"`' in line for line in found.advice)
    laws, (error,) = fitted()
    assert (len(laws), error.code) == (0, "wrong-counter")
    assert said in error.message
    laws, _ = fitted(f', step: "{name}"')
    assert spent(laws) == pytest.approx([4000] * 3)


@pytest.mark.parametrize("name", ["optimizer_step", "num_updates", "global_step", "trainer/global_step"])
@pytest.mark.parametrize("other", ["step", "iteration"])
def test_the_name_of_a_column_may_say_that_it_counts_updates(name: str, other: str) -> None:
    """The other one counts micro-batches."""
    found = looked(**{other: lambda row: 160 * (row + 1), name: lambda row: 40 * (row + 1)})
    said = f"`{name}` is taken as optimizer steps"
    why = f"`{other}` counts steps, too, and rises 4 times as fast"
    assert any(said in line and why in line for line in found.advice)
    assert found.curves is not None
    assert found.curves.compute == (40, 4000)
    laws, (warning,) = fitted()
    assert spent(laws) == pytest.approx([4000] * 3)
    assert said in warning.message
    assert why in warning.message
    assert "`step_unit: 1 steps` confirms" in str(warning.help)


def test_tokens_settle_which_column_counts_steps() -> None:
    looked(
        step=lambda row: 40 * (row + 1),
        iteration=lambda row: 160 * (row + 1),
        tokens=lambda row: 65536 * 40 * (row + 1),
    )
    laws, (warning,) = fitted()
    assert spent(laws) == pytest.approx([4000] * 3)
    assert "nothing confirms" not in warning.message


def test_columns_of_steps_that_rise_alike_or_are_settings_raise_no_doubt() -> None:
    step: Cell = lambda row: 40 * (row + 1)  # noqa: E731
    found = looked(step=step, iteration=lambda row: 40 * row, max_steps=lambda row: 4000, eval_step=lambda row: row)
    assert found.sentences
    assert not any("counts steps, too" in line for line in found.advice)


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("elapsed_seconds", lambda row: seconds(row) + 0.3),
        ("_timestamp", lambda row: 1.7e9 + seconds(row) - 0.4),
        ("wall_ms", lambda row: 1000 * seconds(row) + 251),
        ("elapsed_hours", lambda row: seconds(row) / 3600),
        ("date", lambda row: str(datetime(2024, 5, 1, 10) + timedelta(seconds=seconds(row)))),
    ],
)
def test_seconds_called_steps_beside_a_time(name: str, cell: Cell) -> None:
    found = looked(step=seconds, **{name: cell})
    assert not found.sentences
    assert any("`step` is a time: it rises" in line and f"`{name}`" in line for line in found.advice)
    laws, (error,) = fitted()
    assert (len(laws), error.code) == (0, "wrong-counter")
    assert len(fitted(", step_unit: 1 steps")[0]) == 3


def test_steps_beside_a_time_of_another_pace_are_steps() -> None:
    found = looked(step=lambda row: 40 * (row + 1), _runtime=lambda row: 39.2 * row + 5, time="2024-05-01 10:00".format)
    assert found.sentences


def test_what_nothing_confirms_is_said_and_how_to_override_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Seconds that nothing shows to be a time."""
    found = looked(step=seconds)
    why = "it rises by 30 to 32 from row to row, irregularly, as a clock does"
    assert any(why in line and "`step_unit: 1 tokens`" in line for line in found.advice)
    _, (warning,) = fitted()
    assert why in warning.message
    assert "`step_unit: 1 tokens`" in str(warning.help)
    joint = 'laws from fit("a.csv", form: chinchilla, resamples: 0)'
    Path("a.shape").write_text(f"{MODEL}{joint}{END}")
    assert answer(["frontier", "a.shape", "--budget", "1e16"]) == 0
    assert why in " ".join(capsys.readouterr().err.split())
    assert not any("irregularly" in line for line in looked(step=lambda row: 40 * (row + 1)).advice)
    _, diagnostics = fitted(", step_unit: 1 steps")
    assert not any("nothing confirms" in one.message for one in diagnostics)


def test_the_tokens_of_a_step_are_said() -> None:
    """Rows are numbered: a step of the file is another."""
    found = looked(step=lambda row: row, tokens=lambda row: 65536 * 40 * (row + 1))
    assert any('step: "tokens", step_unit: 1 tokens' in line for line in found.sentences)
    assert fitted()[1][0].code == "wrong-counter"
    assert spent(fitted(', step: "tokens", step_unit: 1 tokens')[0]) == pytest.approx([4000] * 3)


@pytest.mark.parametrize(
    ("name", "cell", "why"),
    [
        ("step", lambda row: row, "it rises by 1 from row to row, as the number of a row does"),
        ("_step", lambda row: 40 * row, "W&B counts the calls of its logger by it"),
    ],
)
def test_what_may_be_no_step_is_said_of_it(name: str, cell: Cell, why: str) -> None:
    found = looked(**{name: cell})
    assert any(why in line for line in found.advice)
    assert any(why in one.message for one in fitted()[1])


@pytest.mark.parametrize("first", ["step", "tokens"])
def test_a_counter_that_begins_again_while_the_run_goes_on_is_refused(first: str) -> None:
    """Once, at steps that were not logged before."""
    each = 65536 if first == "tokens" else 1
    looked(**{first: lambda row: each * (40 * (row + 1) - (1990 if row >= 50 else 0))})
    laws, diagnostics = fitted()
    assert (len(laws), [one.code for one in diagnostics if one.severity == "error"]) == (0, ["wrong-counter"])


@pytest.mark.parametrize(
    ("known", "batch"),
    [
        ({"devices": "4", "num_nodes": "2"}, 64),
        ({"world_size": "8", "num_nodes": "2"}, 64),
        ({"gpus": "4"}, 32),
        ({"gpus": "4", "num_nodes": "1"}, 32),
        ({"gpus": "4", "num_nodes": "2"}, None),
        ({"num_nodes": "2"}, None),
        ({"devices": "auto"}, None),
        ({}, None),
    ],
)
def test_the_batch_of_all_processes(known: dict[str, str], batch: float | None) -> None:
    found = batch_of({"micro_batch_size": "8", **known})
    assert (found and found[1]) == batch
    # What may be the batch of a process or of all is known where there is one process.
    assert (batch_of({"batch_size": "8", **known}) is None) == bool(known)


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("batch_size: 8\nstrategy: ddp\ndevices: 4\nnum_nodes: 2", 64),
        ("trainer:\n  strategy: ddp_find_unused_parameters_true\n  devices: [0, 1, 2, 3]\ndata:\n  batch_size: 8", 32),
        ('{"batch_size": 8, "strategy": "fsdp", "devices": [0, 1]}', 16),
        ('{"batch_size": 8, "num_processes": 4}', 32),
        ('{"batch_size": 8, "num_processes": 4, "split_batches": true}', 8),
        ('{"batch_size": 8, "distributed": true, "world_size": 4, "accum_iter": 2}', 64),
        ("batch_size: 8\nstrategy: ddp", None),
        ("batch_size: 8\nstrategy: ddp\ndevices: auto", None),
        ("batch_size: 8\nstrategy: dp\ndevices: 4", None),
        ("batch_size: 8\nstrategy: auto\ndevices: 1", 8),
        ("train_batch_size: 8\nworld_size: 4", None),
    ],
)
def test_a_batch_for_each_process(text: str, batch: float | None) -> None:
    Path("config.json" if text.startswith("{") else "hparams.yaml").write_text(text)
    Path("a.csv").touch()
    found = batch_of(beside(Path("a.csv")))
    assert (found and found[1]) == batch
