"""Compute that is not what the parameters and tokens of the same log take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trainers

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.doctor import Table, examine
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fit import Fit
from shapeflow.laws.fitting.warnings import mixed_units
from shapeflow.laws.joint.table import Named, read_tables
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.conventions import Ratio, verdict_of
from shapeflow.laws.logs.query import Query

SIZES = {64: 2e5, 128: 8e5, 256: 3.2e6}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(width: int, step: int) -> float:
    return 1.5 + 24 / width + 6e4 * width**0.3 * (6 * SIZES[width] * 65536 * step) ** -0.35


def rows(width: int, factor: float, **more: Any) -> list[dict[str, Any]]:
    """A run whose FLOPs are `factor` times N D."""
    return [
        {"width": width, "flops": factor * SIZES[width] * 65536 * s, "val_loss": loss(width, s), "tokens": 65536 * s}
        | {"n_params": SIZES[width]}
        | more
        for s in range(40, 801, 40)
    ]


def sweep(factors: Mapping[int, float]) -> Table:
    trainers.table(Path("a.csv"), [row for width, factor in factors.items() for row in rows(width, factor)])
    (found,) = examine(["a.csv"], Report()).tables
    return found


def read(paths: str = "a.csv", compute: str | None = None) -> list[Diagnostic]:
    """What a fit reports while it reads."""
    shapes = tuple(Shape.of({"width": width}) for width in SIZES)
    request = LawRequest(shapes, {"width": ""}, "loss@own", "flops", ".", {}, {}, setting_names=Fit.setting_names)
    report = Report()
    logs = read_logs(Query(paths, compute=compute, run=("width",)), request, report)
    assert logs is None or len(logs.runs) == 3
    return report.diagnostics


@pytest.mark.parametrize(("factor", "codes"), [(1.0, []), (1e-4, []), (1e-6, ["mixed-conventions"])])
def test_runs_in_other_units_are_no_ladder(factor: float, codes: list[str]) -> None:
    """A file that logs TFLOPs, or its tokens in millions, next to others that do not."""
    for width in SIZES:
        scale = factor if width == 256 else 1.0
        lines = [{"flops": scale * row["flops"], "val_loss": row["val_loss"]} for row in rows(width, 6.0)]
        trainers.table(Path(f"w{width}.csv"), lines)
    # A run that broke off after its first row is none in another unit.
    trainers.table(Path("w64-again.csv"), [{"flops": 1e6, "val_loss": 9.0}])
    shapes = tuple(Shape.of({"width": width}) for width in SIZES)
    request = LawRequest(shapes, {"width": ""}, "loss@own", "flops", ".", {}, {}, setting_names=Fit.setting_names)
    report = Report()
    logs = read_logs(Query("w{width}*.csv"), request, report)
    assert logs is not None
    assert len(logs.runs) == 4
    mixed_units(logs, request, report)
    assert [one.code for one in report.errors] == codes
    if codes:
        assert report.errors[0].notes[0].startswith("`w256.csv` took ")


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (2, "0.333 times 6 x parameters x tokens, as the FLOPs of forward passes alone are (2 N D)"),
        (3, "0.5 times 6 x parameters x tokens, as multiply-accumulates are (3 N D)"),
        (8, "1.33 times 6 x parameters x tokens, as FLOPs are that include activations computed again"),
        (6e-9, "as if it were counted in units of 1e+09 FLOPs"),
        (48, "as if only the tokens of one of 8 processes counted"),
        (0.75, "as if only the compute of one of 8 processes counted"),
    ],
)
def test_compute_by_another_count_is_refused_by_its_factor(factor: float, said: str) -> None:
    found = sweep(dict.fromkeys(SIZES, factor))
    assert not found.sentences
    assert said in found.advice[0]
    assert '`compute: "6 * n_params * tokens"`; if it is right as it is, `compute: "1 * flops"`' in found.advice[0]
    (error,) = read()
    assert (error.code, error.severity) == ("odd-compute", "error")
    assert said in error.message
    with pytest.raises(Refused) as caught:
        read_tables([Path("a.csv")], Named(run="width"))
    assert said in caught.value.diagnostics[0].message
    assert "`--compute '6 * n_params * tokens'`" in str(caught.value.diagnostics[0].help)
    (doubt,) = read_tables([Path("a.csv")], Named(run="width", compute="1 * flops")).doubts
    assert said in doubt


def test_a_setting_settles_what_compute_counts() -> None:
    sweep(dict.fromkeys(SIZES, 2))
    (warning,) = read(compute="1 * flops")
    assert (warning.code, warning.severity) == ("odd-compute", "warning")
    assert not read(compute="6 * n_params * tokens")
    assert not read(compute="3 * flops")


def test_files_that_count_in_two_ways_are_refused() -> None:
    for width, factor in ((64, 6), (128, 2), (256, 6)):
        trainers.table(Path(f"runs/{width}.csv"), rows(width, factor))
    (found,) = examine(["runs"], Report()).tables
    assert not found.sentences
    (error,) = read("runs/*.csv")
    assert error.code == "mixed-conventions"
    assert (
        "is 1 times 6 x parameters x tokens in `runs/64.csv`, and 0.333 times that in `runs/128.csv`" in error.message
    )
    with pytest.raises(Refused, match="mixed-conventions"):
        read_tables(sorted(Path("runs").glob("*.csv")), Named(run="width"))


@pytest.mark.parametrize("step", [False, True])
def test_the_configuration_beside_a_log_states_its_size(step: bool) -> None:
    for width, size in SIZES.items():
        folder = Path(f"runs/{width}")
        own = [
            {"step": row["tokens"] // 65536, **{k: v for k, v in row.items() if k not in ("n_params", "tokens")}}
            | ({} if step else {"tokens": row["tokens"]})
            for row in rows(width, 2)
        ]
        trainers.table(folder / "log.csv", own)
        (folder / "config.json").write_text(json.dumps({"num_parameters": size, "tokens_per_step": 65536}))
    (found,) = examine(["runs"], Report()).tables
    assert not found.sentences
    data = "65536 * step" if step else "tokens"
    said = f'`compute: "{6 * 65536 if step else 6} * num_parameters * {data.rpartition(" ")[2]}"`'
    assert said in found.advice[0]
    (error,) = read("runs/*/log.csv")
    assert error.code == "odd-compute"
    assert not read("runs/*/log.csv", said.split('"')[1])


def verdict(*values: float) -> str | None:
    found = verdict_of([Ratio("a", 10.0**at, value) for at, value in enumerate(values)])
    return None if found is None else found.kind


def test_attention_and_embeddings_are_no_convention() -> None:
    """Of FLOPs that include attention, or leave out embeddings, the ratio comes to 1 as models grow."""
    assert verdict(1.2, 1.1, 1.05) is None
    assert verdict(0.85, 0.95, 1.0) is None
    assert verdict(4.0, 1.9, 1.2) == "uneven"
    assert verdict(0.3, 0.6, 0.9) == "uneven"
    assert verdict(17.0, 9.0, 6.0) == "odd"
    assert verdict(1.1, 0.8, 0.4) == "odd"
    assert verdict(1.2, 0.38, 1.1) == "mixed"


@pytest.mark.parametrize("name", ["flops", "compute"])
@pytest.mark.parametrize("power", [0.0, 0.2])
def test_flops_that_hardly_rise_are_no_amount(name: str, power: float) -> None:
    """FLOPs per second rise slowly, from row to row."""
    steps = range(40, 2001, 40)
    speed = [{"step": s, name: 3e14 * (s / 40) ** power + 1e9 * s} for s in steps]
    rows = [{"width": w, **row, "val_loss": loss(w, row["step"])} for w in SIZES for row in speed]
    trainers.table(Path("a.csv"), rows)
    (found,) = examine(["a.csv"], Report()).tables
    assert (found.needs_model, found.counts) == (True, None)
    assert next(one.role for one in found.columns if one.name == name) == ""
    for compute in (None, name):
        (error,) = read(compute=compute)
        assert error.code == "wrong-counter"
        assert "rises by far less than the run goes on" in error.message
        assert f'`compute: "1 * {name}"`' in str(error.help)
    assert not read(compute=f"1 * {name}")


@pytest.mark.parametrize(
    ("size", "data", "compute"),
    [
        ("N (M)", "D (B)", "C (1e18 FLOPs)"),
        ("params(M)", "tokens_b", "compute_e18"),
        ("model_size_m", "tokens_bil", "flops_1e18"),
        ("N_M", "D_1e9", "C_e18"),
        ("params M", "toks (bn)", "compute (EFLOPs)"),
        ("N(1e6)", "Tokens (billions)", "EFLOPs"),
    ],
)
def test_units_in_names_are_read(size: str, data: str, compute: str) -> None:
    points = [(n, d) for n in (50, 200, 900) for d in (1, 4, 16)]
    table = [{size: n, data: d, compute: 6 * n * d * 1e-3, "loss": 2 + 1 / n + 0.1 / d} for n, d in points]
    trainers.table(Path("a.csv"), table)
    found = read_tables([Path("a.csv")], Named())
    assert dict(found.columns)["compute"].endswith(compute)
    assert sorted(found.points.size) == sorted(1e6 * n for n, _ in points)
    assert sorted(found.points.tokens) == sorted(1e9 * d for _, d in points)
    named = read_tables([Path("a.csv")], Named(parameters=size, tokens=data, compute=compute))
    assert sorted(named.points.tokens) == sorted(found.points.tokens)
    assert (named.per_token.factor, named.doubts) == (pytest.approx(6), ())


def test_a_column_that_is_named_alone_has_the_unit_of_its_name() -> None:
    trainers.table(Path("a.csv"), [row for w in SIZES for row in rows(w, 6e-12)])
    text = Path("a.csv").read_text()
    Path("a.csv").write_text(text.replace("flops", "tflops_total", 1))
    assert [one.code for one in read(compute="tflops_total")] == []
    assert [one.code for one in read(compute="1 * tflops_total")] == ["odd-compute"]
