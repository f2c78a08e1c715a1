"""Logs that trainers print as text, and how their numbers are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.readers.numerals import has_dots
from shapeflow.laws.logs.readers.plain_text import looks_so

WIDTHS = (64, 128)
STEPS = range(40, 4001, 40)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(width: int, step: float) -> float:
    return 1.5 + 24 / width + 60 * width**-0.3 * step**-0.35


def request() -> LawRequest:
    shapes = tuple(Shape.of({"width": width}) for width in WIDTHS)
    costs = dict.fromkeys(shapes, 1000000000000.0)
    names = {"numbers": "numbers"}
    return LawRequest(shapes, {"width": ""}, "loss", "flops", ".", {}, {}, step_compute=costs, setting_names=names)  # type: ignore[dict-item]


LINES = {
    "nanoGPT": "step {step}: train loss {loss}, val loss {loss}",
    "nanochat": "step {step}/{last} (1.0%) | loss: {loss} | lrm: {one}",
    "torchtitan": "step: {step}  loss: {loss}  grad_norm: {one}  tps: 8,000",
}


@pytest.mark.parametrize("trainer", LINES)
@pytest.mark.parametrize("numbers", ["plain", "thousands_comma", "decimal_comma"])
def test_a_text_log_is_refused_as_a_table_is(trainer: str, numbers: str) -> None:
    """By its notation of numbers, with the setting that reads it; and no line is passed over for it."""
    signs = {"plain": "", "thousands_comma": ",", "decimal_comma": "."}[numbers]

    def written(number: float) -> str:
        text = f"{number:,.4f}" if number != int(number) else f"{int(number):,}"
        return text.translate(str.maketrans({",": signs, ".": "," if numbers == "decimal_comma" else "."}))

    for width in WIDTHS:
        for step in STEPS:
            of = {"step": step, "last": 4000, "loss": loss(width, step), "one": 1}
            line = LINES[trainer].format_map({name: written(value) for name, value in of.items()})
            with Path(f"w{width}.log").open("a") as file:
                file.write(line + "\n")
    report = Report()
    read_logs(Query("w{width}.log"), request(), report)
    assert [one.code for one in report.diagnostics] == ([] if numbers == "plain" else ["number-format"])
    assert numbers == "plain" or f"`numbers: {numbers}`" in str(report.diagnostics[0].help)
    logs = read_logs(Query("w{width}.log", numerals=numbers), request(), Report())  # type: ignore[arg-type]
    assert logs is not None
    assert [len(run.points) for run in logs.runs.values()] == [100] * 2
    assert logs.runs
    assert max(next(iter(logs.runs.values())).points) == 4000


@pytest.mark.parametrize(
    "line",
    [
        "2024-05-01 10:00:00,123 - trainer - INFO - step {step} loss {loss} lr 3e-4",
        "[INFO] step={step} loss={loss} lr=0.0003",
        "epoch 1 | step {step} | loss {loss} | lr 3e-4",
        "Step: {step}, Loss: {loss}, Time: 0.5s",
        "Epoch [1/10], Step [{step}/4000], Loss: {loss}",
        "[rank0]:step: {step}  loss: {loss}  tps: 1,200",
        "{{'step': {step}, 'loss': {loss}}}",
        "it {step}: loss {loss}, time 5ms, mfu 40%",
        "iteration {step} training loss {loss} tokens 1.2M",
    ],
)
def test_lines_of_no_known_trainer(line: str) -> None:
    for width in WIDTHS:
        lines = [line.format(step=step, loss=f"{loss(width, step):.6f}") for step in STEPS]
        Path(f"w{width}.log").write_text("\n".join(["loading 12 files, loss scale 1", *lines, "done in 3 s"]) + "\n")
    report = Report()
    logs = read_logs(Query("w{width}.log"), request(), report)
    assert logs is not None, report.diagnostics
    assert not report.errors
    for run in logs.runs.values():
        assert [(one.step, one.error) for one in run.points.values()] == [
            (step, round(loss(int(run.shape.number("width")), step), 6)) for step in STEPS
        ]


@pytest.mark.parametrize(
    "text", ["loss: 3.2\nstep: 100\n" * 5, "step 100 and a loss of 3\n" * 5, "# Usage\nrun with --steps 100\n" * 5]
)
def test_text_without_measurements_is_no_log(text: str) -> None:
    assert not looks_so(text.encode())


@pytest.mark.parametrize(
    ("cells", "dots"),
    [
        (["500", "1.000", "1.500"], True),
        (["1.000", "2.000"], True),
        (["1.000.000", "1.500.000"], True),
        (["1.125", "2.250"], False),
        (["0.500", "1.000"], False),
        (["1.000", "2.5"], False),
        (["65536.000", "131072.000"], False),
    ],
)
def test_dots_between_thousands(cells: list[str], dots: bool) -> None:
    assert has_dots(cells) == dots


@pytest.mark.parametrize(
    "first", ["[INFO] begins", "[rank0]:2025-01-02 03:04:05,678 - root - INFO - Building model", "[   40/4000] begins"]
)
def test_a_line_of_text_may_begin_with_a_bracket(first: str) -> None:
    for width in WIDTHS:
        lines = (LINES["nanoGPT"].format(step=step, loss=f"{loss(width, step):.4f}") for step in STEPS)
        Path(f"w{width}.log").write_text("\n".join([first, *lines]) + "\n")
    report = Report()
    logs = read_logs(Query("w{width}.log"), request(), report)
    assert logs is not None, report.diagnostics
    assert [len(run.points) for run in logs.runs.values()] == [len(STEPS)] * 2


def test_steps_that_are_not_whole_count_something_else() -> None:
    for width in WIDTHS:
        rows = (f"{step / 1000},{loss(width, step)}" for step in STEPS)
        Path(f"w{width}.csv").write_text("\n".join(["step_k,val_loss", *rows]) + "\n")
    report = Report()
    read_logs(Query("w{width}.csv", step="step_k"), request(), report)
    assert [one.code for one in report.errors] == ["wrong-counter"]
    assert "`step_unit: 1000 steps`" in str(report.errors[0].help)
