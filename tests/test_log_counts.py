"""Columns that may count a part, or of which there are several: tokens of a process, parameters, scaled losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trainers

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.doctor import Table, examine
from shapeflow.ir.route import LawRequest, Training
from shapeflow.laws.fit import Fit
from shapeflow.laws.joint.table import Named, read_tables
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.runs import Logs

SIZES = {64: 2e5, 128: 8e5, 256: 3.2e6}
SHAPES = tuple(Shape.of({"width": width}) for width in SIZES)
BATCH = 8192
Cell = Callable[[int, int], Any]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(**more: Cell) -> Table:
    rows = [
        {"width": width, "val_loss": 1.5 + 24 / width + 9 * step**-0.3}
        | {name: cell(width, step) for name, cell in more.items()}
        for width in SIZES
        for step in range(37, 801, 37)
    ]
    trainers.table(Path("a.csv"), [{k: v for k, v in row.items() if v is not None} for row in rows])
    (found,) = examine(["a.csv"], Report()).tables
    return found


def read(batch: int | None = None, **asked: Any) -> tuple[Logs | None, list[Diagnostic]]:
    """What a fit reads. `batch`: the tokens of a step of the model, if the file has one."""
    request = LawRequest(SHAPES, {"width": ""}, "loss@own", "flops", ".", {}, {}, setting_names=Fit.setting_names)
    if batch is not None:
        of_all = dict.fromkeys(SHAPES, batch)
        training = Training("transformer", "text", "adamw", {}, {}, {}, of_all, {}, dict.fromkeys(SHAPES, 256))
        costs = {shape: 6.0 * batch * SIZES[int(shape["width"])] for shape in SHAPES}
        data = dict.fromkeys(SHAPES, float(batch))
        request = attrs.evolve(request, step_compute=costs, step_data=data, training=training)
    report = Report()
    return read_logs(Query("a.csv", **asked), request, report), report.diagnostics


TOKENS: dict[str, Cell] = {"tokens": lambda width, step: BATCH * step}
SIZE: dict[str, Cell] = {"n_params": lambda width, step: SIZES[width]}


def test_tokens_beside_a_number_of_processes_are_asked_for() -> None:
    found = write(**TOKENS, **SIZE, world_size=lambda width, step: 8)
    assert not found.sentences
    said = '`compute: "6 * n_params * tokens"`; if those of one, `compute: "6 * n_params * tokens * world_size"`'
    assert said in found.advice[0]
    _, (error,) = read()
    assert error.code == "wrong-counter"
    assert "`tokens` in `a.csv` may count the tokens of one of 8 processes (`world_size`)" in error.message
    assert said in str(error.help)
    assert read(compute="6 * n_params * tokens")[0] is not None
    with pytest.raises(Refused, match="wrong-counter") as caught:
        read_tables([Path("a.csv")], Named(run="width"))
    assert "`--tokens '1 * tokens * world_size'`" in str(caught.value.diagnostics[0].help)
    found_all = read_tables([Path("a.csv")], Named(run="width", tokens="1 * tokens"))
    found_one = read_tables([Path("a.csv")], Named(run="width", tokens="1 * tokens * world_size"))
    assert found_one.points.tokens.sum() == 8 * found_all.points.tokens.sum()


def test_tokens_that_are_known_are_not_asked_for() -> None:
    """The name says that all are counted, there is one process, or a step of the model takes as many."""
    assert write(**SIZE, total_tokens=TOKENS["tokens"], world_size=lambda width, step: 8).sentences
    assert read()[0] is not None
    assert write(**TOKENS, **SIZE, world_size=lambda width, step: 1).sentences
    assert read()[0] is not None
    write(**TOKENS, step=lambda width, step: step, world_size=lambda width, step: 8)
    for batch in (BATCH, 8 * BATCH):
        assert not [one for one in read(batch)[1] if one.severity == "error"]
    assert [one.code for one in read(4 * BATCH)[1]] == ["wrong-counter"]


def test_tokens_in_place_of_steps_are_asked_for() -> None:
    assert not write(**TOKENS, num_gpus=lambda width, step: 4).sentences
    _, (error,) = read(BATCH)
    assert '`step: "tokens", step_unit: 1 tokens`; if those of one, `step_unit: 4 tokens`' in str(error.help)
    logs, _ = read(BATCH, step="tokens", step_unit=Amount(4.0, "tokens"))
    assert logs is not None
    assert max(run.spent for run in logs.runs.values()) == pytest.approx(6 * 3.2e6 * 4 * BATCH * 777)


def test_of_two_columns_of_parameters_the_used_one_is_named() -> None:
    found = write(**TOKENS, **SIZE, non_embedding_params=lambda width, step: 0.7 * SIZES[width])
    assert "compute is counted by `n_params`: for `non_embedding_params`, write it in `compute`" in found.advice
    logs, _ = read()
    assert logs is not None
    said = "`6 * n_params * tokens` FLOPs, by the names of the columns (`non_embedding_params` not used)"
    assert set(logs.counted.values()) == {said}
    assert "`non_embedding_params` not used" in read_tables([Path("a.csv")], Named(run="width")).doubts[0]
    found = write(**TOKENS, **SIZE, active_params=lambda width, step: 0.5 * SIZES[width])
    assert "compute is counted by `active_params`: for `n_params`, write it in `compute`" in found.advice
    # The same number twice is no choice.
    assert "compute is counted" not in str(write(**TOKENS, **SIZE, params=SIZE["n_params"]).advice)


@pytest.mark.parametrize("name", ["scaled_loss", "amp/scaled_loss", "val_loss_scaled"])
def test_a_scaled_loss_is_no_loss(name: str) -> None:
    scaled: dict[str, Cell] = {name: lambda width, step: 65536 * (2 + 9 * step**-0.3)}
    assert "scaled" not in " ".join(write(flops=lambda width, step: SIZES[width] * step, **scaled).advice)
    found = write(flops=lambda width, step: SIZES[width] * step, **scaled, val_loss=lambda width, step: None)
    assert not found.sentences
    assert f"`{name}` is the loss times the scale of mixed precision" in found.advice[0]
    _, (error,) = read()
    assert error.code == "missing-column"
    assert "mixed precision" in str(error.help)


def table_of(head: str, row: Callable[[int, int], str]) -> None:
    """Ends of runs of 70 M to 2.8 G parameters on 1 to 30 G tokens. `row`: of millions of parameters and of GTokens."""
    lines = [
        f"{row(n, d)}{';' if ';' in head else ','}{1.7 + 400 / (n * 1e6) ** 0.34 + 2000 / (d * 1e9) ** 0.36:.4f}"
        for n in (70, 160, 410, 1000, 2800)
        for d in (1, 2, 3, 5, 10, 30)
    ]
    text = "\n".join([head, *lines]) + "\n"
    Path("t.csv").write_text(text.replace(".", ",") if ";" in head else text)


def sizes(**named: Any) -> tuple[float, float]:
    """The largest size and the most tokens of the table."""
    points = read_tables([Path("t.csv")], Named(**named)).points
    return points.size.max(), points.tokens.max()


def refused(**named: Any) -> str:
    with pytest.raises(Refused) as caught:
        read_tables([Path("t.csv")], Named(**named))
    (one,) = caught.value.diagnostics
    return f"{one.code}: {one.message}: {one.help}"


def test_small_counts_are_in_no_known_unit() -> None:
    table_of("params,tokens,loss", lambda n, d: f"{n},{d}e9")
    for named in ({}, {"parameters": "params"}):
        said = refused(**named)
        assert said.startswith("wrong-counter: `params` is 70 to 2800, in a unit that its name does not state")
        assert "`--parameters '1e6 * params'` if it counts millions" in said
    assert sizes(parameters="1e6 * params") == (2.8e9, 3e10)
    assert sizes(parameters="1 * params") == (2.8e3, 3e10)
    table_of("params,tokens,loss", lambda n, d: f"{n}e6,{d}")
    assert "`--tokens '1e9 * tokens'` if it counts billions" in refused()
    assert sizes(tokens="1e9 * tokens") == (2.8e9, 3e10)
    table_of("params,compute,loss", lambda n, d: f"{n}e6,{6e-3 * n * d:.4g}")
    assert "`--compute '1e18 * compute'`" in refused()


def test_a_fit_asks_for_the_unit_of_small_parameters() -> None:
    found = write(**TOKENS, params=lambda width, step: {64: 70, 128: 410, 256: 2800}[width])
    said = '`compute: "6e6 * params * tokens"` if it counts millions'
    assert said in " ".join(found.advice)
    _, (error,) = read()
    assert said in str(error.help)


def test_counts_with_a_letter_and_decimal_commas_are_read() -> None:
    table_of("params,tokens,loss", lambda n, d: f"{n}M,{d}B")
    assert sizes() == (2.8e9, 3e10)
    table_of("params;tokens;loss", lambda n, d: f"{n}000000;{d}000000000")
    assert "`--numbers decimal_comma`" in refused()
    assert sizes(numbers="decimal_comma") == (2.8e9, 3e10)


def test_tokens_of_an_epoch_are_not_all_tokens() -> None:
    table_of("params,unique_tokens,epochs,loss", lambda n, d: f"{n}e6,1e9,{d}")
    assert "`--tokens 'unique_tokens * epochs'`" in refused()
    assert sizes(tokens="unique_tokens * epochs") == (2.8e9, 3e10)
    table_of("params,tokens,epochs,loss", lambda n, d: f"{n}e6,1e9,{d}")
    assert "`--tokens 'tokens * epochs'` for all tokens of a run" in refused()
    assert sizes(tokens="tokens * epochs") == (2.8e9, 3e10)


def test_a_peak_that_differs_between_runs_is_no_schedule() -> None:
    table_of("params,peak_lr,tokens,loss", lambda n, d: f"{n}e6,{0.01 * d**-0.5:.6g},{d}e9")
    assert sizes() == (2.8e9, 3e10)
    table_of("params,lr,tokens,loss", lambda n, d: f"{n}e6,{0.01 * d**-0.5:.6g},{d}e9")
    assert refused().startswith("mixed-laws: `lr` falls along the rows")
