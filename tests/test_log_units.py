"""Columns in units that names do not state, and rows that were not measured: what is wrong is not fitted silently."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trainers

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.cli import answer
from shapeflow.compiler import compile_file, fit_file
from shapeflow.doctor import Table, examine
from shapeflow.ir.law import Law
from shapeflow.laws.logs.finding import words

FLOPS = {64: 4.7e11, 128: 1.6e12, 256: 6.1e12}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(width: int, step: int) -> float:
    return 1.5 + 24 / width + 6e4 * width**0.3 * (step * FLOPS[width]) ** -0.35


def fit(sentences: Sequence[str]) -> Mapping[int, Law]:
    """The laws of sentences that doctor proposes, by width."""
    Path("a.shape").write_text("\n".join(sentences).replace('.csv"', '.csv", resamples: 0'))
    report = Report()
    _, found = fit_file(Path("a.shape"), (), report)
    assert not report.errors
    return {int(shape.number("width")): law for shape, law in found.laws.items()}


def refused(text: str) -> Diagnostic:
    """The first error of a file."""
    Path("a.shape").write_text(text)
    with pytest.raises(Refused) as caught:
        fit_file(Path("a.shape"), (), Report())
    return caught.value.diagnostics[0]


def looked(**more: Any) -> Table:
    """What doctor finds in a sweep. `more`: name -> the cell at a width and a step."""
    rows = [
        {"width": width, "val_loss": loss(width, step)} | {name: cell(width, step) for name, cell in more.items()}
        for width in FLOPS
        for step in range(40, 4001, 40)
    ]
    trainers.table(Path("a.csv"), rows)
    (found,) = examine(["a.csv"], Report()).tables
    return found


def test_small_tokens_are_in_an_unknown_unit() -> None:
    found = looked(tokens=lambda w, s: s * 65536 / 1e9)
    assert not found.sentences
    assert any("a unit that its name does not state" in line for line in found.advice)


def test_a_logarithm_is_no_amount() -> None:
    assert not looked(log10_flops=lambda w, s: len(str(s)) + s / 1e4 + 14).sentences
    assert words.flops_of("FLOPs (1e15)") == 1e15
    assert words.flops_of("compute_exaflops") == 1e18
    assert not words.is_error("val/loss_sum")


@pytest.mark.parametrize(
    ("name", "off", "held"),
    [("is_eval", 0, "1"), ("is_train", 1, "0"), ("held_out", 0, "1"), ("validation", 0, "1")],
)
def test_flags_of_held_out_rows_select_them(name: str, off: int, held: str) -> None:
    """Each step has a row of the training loss, and one of the held-out loss in the same column."""
    found = looked(
        step=lambda w, s: (s + 40) // 80 * 80,
        flops=lambda w, s: (s + 40) // 80 * 80 * FLOPS[w],
        val_loss=lambda w, s: loss(w, (s + 40) // 80 * 80) * (1 if s % 80 == 0 else 0.8),
        **{name: lambda w, s: int((s % 80 == 0) != off)},
    )
    (laws,) = [line for line in found.sentences if line.startswith("laws")]
    assert f'where: ({name}: "{held}")' in laws
    assert found.curves is not None
    assert (found.curves.points, found.curves.repeated) == ((50, 50), 0)
    assert found.curves.error[0] == pytest.approx(loss(256, 4000), rel=1e-6)
    fitted = fit(found.sentences)
    assert fitted[256].error(4000 * FLOPS[256]) == pytest.approx(loss(256, 4000), rel=2e-3)


def test_marks_and_carried_values_are_left_out() -> None:
    found = looked(step=lambda w, s: s, val_loss=lambda w, s: loss(w, s) if s % 120 == 0 else 999)
    assert found.curves is not None
    assert found.curves.error[1] < 20
    found = looked(step=lambda w, s: s, val_loss=lambda w, s: loss(w, max(s // 400 * 400, 40)))
    assert found.curves is not None
    assert found.curves.points[1] == 11


def test_steps_that_begin_again_beside_compute() -> None:
    found = looked(step=lambda w, s: s if s <= 2000 else s - 2000, flops=lambda w, s: s * FLOPS[w])
    assert found.curves is not None
    assert (found.curves.points, found.curves.restarted) == ((100, 100), 0)


def test_shares_of_a_few_images_repeat_and_are_kept() -> None:
    """Each of the 100 errors was measured, although most equal the one before."""
    found = looked(step=lambda w, s: s, val_loss=lambda w, s: round(360 * (0.05 + 9 / s)) / 360)
    assert found.curves is not None
    assert found.curves.points == (100, 100)


AXIS = "axis width in [64, 128, 256] via width_expand\n"
END = "\ntraversal steepest\nbudget 24.38 PFLOPs\n"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("val_bpb", "bits_per_byte"),
        ("Validation bpb", "bits_per_byte"),
        ("eval/bits_per_byte", "bits_per_byte"),
        ("valid_loss_bits", "bits_per_token"),
        ("test_bpc", "bits_per_character"),
    ],
)
def test_the_unit_of_errors_goes_with_their_laws(name: str, unit: str) -> None:
    rows = [{"width": w, "flops": s * FLOPS[w], name: loss(w, s)} for w in FLOPS for s in range(40, 4001, 40)]
    trainers.table(Path("a.csv"), rows)
    (found,) = examine(["a.csv"], Report()).tables
    assert found.sentences[0] == f"metric loss(unit: {unit})"
    laws = fit(found.sentences)
    assert {law.provenance.unit for law in laws.values()} == {unit}
    assert laws[64].error(4000 * FLOPS[64]) == pytest.approx(loss(64, 4000), rel=2e-3)
    plan = compile_file(Path("a.shape"), (), Report())
    assert plan.metric == f"loss@own:{unit}"
    # The default metric is in nats.
    for setting in ("", f', error: "{name}"'):
        error = refused(f'{AXIS}laws from fit("a.csv"{setting}){END}')
        assert error.code == "mixed-laws"
        assert f"is in {unit.replace('_', ' ')}, but `loss@own` of this file is in nats" in error.message
        assert f"`metric loss(unit: {unit})`" in str(error.help)


def test_a_file_takes_the_errors_of_its_unit() -> None:
    looked(flops=lambda w, s: s * FLOPS[w], val_bpb=lambda w, s: loss(w, s) / 3)
    for metric, share in (("loss", 1), ("loss(unit: bits_per_byte)", 1 / 3)):
        laws = fit([f"metric {metric}", AXIS, 'laws from fit("a.csv")', END])
        assert laws[64].error(4000 * FLOPS[64]) == pytest.approx(share * loss(64, 4000), rel=2e-3)
    text = f'metric loss(unit: bits_per_token)\n{AXIS}laws from fit("a.csv"){END}'
    assert "`val_bpb` in `a.csv` is in bits per byte" in refused(text).message
    looked(flops=lambda w, s: s * FLOPS[w])
    error = refused(text)
    assert error.code == "missing-column"
    assert "name the column of errors in bits per token with the setting `error`" in str(error.help)


def test_logs_in_two_units_are_not_mixed() -> None:
    for width, name in ((64, "val_loss"), (128, "val_bpb"), (256, "val_loss")):
        rows = [{"flops": s * FLOPS[width], name: loss(width, s)} for s in range(40, 4001, 40)]
        trainers.table(Path(f"runs/w{width}.csv"), rows)
    error = refused(f'{AXIS}laws from fit("runs/w{{width}}.csv"){END}')
    assert "`val_bpb` in `runs/w128.csv` is in bits per byte" in error.message


def test_a_table_of_laws_keeps_its_unit() -> None:
    looked(flops=lambda w, s: s * FLOPS[w], val_bpb=loss)
    Path("a.shape").write_text(f'metric loss(unit: bits_per_byte)\n{AXIS}laws from fit("a.csv", resamples: 0){END}')
    assert answer(["fit", "a.shape", "-o", "laws.json"]) == 0
    assert refused(f'{AXIS}laws from table("laws.json"){END}').code == "nothing-to-fit"
    with pytest.raises(Refused) as caught:
        compile_file(Path("a.shape"), (), Report())
    assert caught.value.diagnostics[0].code == "mixed-laws"


def test_the_frontier_of_a_table_is_in_the_unit_of_its_losses(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"N": n, "D": d, "bpb": 0.6 + 480 / n**0.35 + 2085 / d**0.37} for n in (1e8, 3e8, 1e9) for d in (2e9, 8e9, 3e10)
    ]
    trainers.table(Path("a.csv"), rows)
    assert answer(["frontier", "a.csv", "--resamples", "0"]) == 0
    assert "bits per byte" in capsys.readouterr().out.split("\n\n")[0]
    assert answer(["frontier", "a.csv", "--resamples", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unit"] == "bits_per_byte"


@pytest.mark.parametrize("name", ["dataset", "eval_set", "task", "val_domain"])
@pytest.mark.parametrize("run", [True, False])
def test_rows_of_several_data_sets_are_no_runs(name: str, run: bool, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"width": w, **({"run": f"r{w}"} if run else {}), "step": s, "flops": s * FLOPS[w], name: one}
        | {"val_loss": loss(w, s) * share}
        for w in FLOPS
        for s in range(40, 4001, 40)
        for one, share in (("wiki", 1.1), ("c4", 1.0), ("code", 0.7))
    ]
    trainers.table(Path("a.csv"), rows)
    (found,) = examine(["a.csv"], Report()).tables
    assert not found.sentences
    assert any(f'`where: ({name}: "c4")`' in line and "(c4, code, wiki)" in line for line in found.advice)
    error = refused(f'{AXIS}laws from fit("a.csv"){END}')
    assert error.code == "mixed-laws"
    assert f'`where: ({name}: "c4")`' in str(error.help)
    laws = fit([AXIS, f'laws from fit("a.csv", where: ({name}: "c4"))', END])
    assert laws[64].error(4000 * FLOPS[64]) == pytest.approx(loss(64, 4000), rel=2e-3)
    # Runs that were trained on different data differ in every row.
    trainers.table(Path("a.csv"), [{**row, "run": f"{row['width']}-{row[name]}"} for row in rows])
    (found,) = examine(["a.csv"], Report()).tables
    assert found.sentences


def test_a_table_of_ends_on_several_data_sets(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"N": n, "D": d, "dataset": one, "loss": share * (1.8 + 480 / n**0.35 + 2085 / d**0.37)}
        for n in (1e8, 3e8, 1e9)
        for d in (2e9, 8e9, 3e10)
        for one, share in (("c4", 1.0), ("code", 0.7))
    ]
    trainers.table(Path("a.csv"), rows)
    assert answer(["frontier", "a.csv"]) == 1
    assert "--where 'dataset=c4'" in capsys.readouterr().err
    assert answer(["frontier", "a.csv", "--where", "dataset=c4", "--resamples", "0"]) == 0


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("tokens_seen_k", 1e3),
        ("tokens (M)", 1e6),
        ("consumed_tokens_b", 1e9),
        ("tokens_per_step", 1.0),
        ("tokens", 1.0),
    ],
)
def test_the_multiple_of_tokens(name: str, unit: float) -> None:
    assert words.count_of(name) == unit


@pytest.mark.parametrize("name", ["pf_days", "petaflop/s-days", "PFLOPs days", "train/pflop-days"])
def test_petaflop_days_are_compute(name: str) -> None:
    found = looked(**{name: lambda w, s: s * FLOPS[w] / 8.64e19})
    laws = fit(found.sentences)
    assert laws[64].provenance.spent == pytest.approx(4000 * FLOPS[64])
    assert words.flops_of("gpu_days") is None


@pytest.mark.parametrize(
    ("name", "unit", "setting"),
    [("n_params_m", 1e6, ""), ("params_b", 1e9, ', parameters: "params_b"'), ("N", 1.0, ""), ("model_size", 1.0, "")],
)
@pytest.mark.parametrize("blocks", [False, True])
def test_the_sizes_of_a_joint_law_are_in_their_unit(
    name: str, unit: float, setting: str, blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a model, the column of parameters is found by its words."""
    monkeypatch.setattr("shapeflow.laws.logs.readers.delimited.LARGE", 1 if blocks else 1 << 30)
    rows = [
        {"width": w, name: n / unit, "flops": 6 * n * d, "val_loss": 1.8 + 480 / n**0.35 + 2085 / d**0.37}
        for w, n in ((64, 1e7), (128, 3e7), (256, 1e8), (512, 3e8))
        for d in (1e9, 2e9, 4e9, 8e9, 1.6e10, 3.2e10, 6.4e10, 1.3e11)
    ]
    trainers.table(Path("a.csv"), rows)
    axis = "axis width in [64, 128, 256, 512] via width_expand\n"
    joint = f'laws from fit("a.csv", form: chinchilla, resamples: 0{setting})'
    Path("a.shape").write_text(f"metric loss\n{axis}{joint}\ntraversal steepest\nbudget 1e20 FLOPs\n")
    _, found = fit_file(Path("a.shape"), (), Report())
    assert list(found.sizes.values()) == pytest.approx([1e7, 3e7, 1e8, 3e8])
    assert found.joint is not None
    assert list(found.joint.numbers) == pytest.approx([1.8, 480, 2085, 0.35, 0.37], rel=0.01)


def test_a_number_with_a_comma_has_two_readings() -> None:
    rows = [{"width": w, "step": f"{s:,}", "loss": f"{loss(w, s):.6f}"} for w in FLOPS for s in range(40, 4001, 40)]
    trainers.table(Path("a.csv"), rows)
    error = refused(f'metric loss\n{AXIS}laws from fit("a.csv"){END}')
    assert error.code == "number-format"
    assert error.help == "`numbers: decimal_comma` or `numbers: thousands_comma`"


@pytest.mark.parametrize("blank", ["", "nan", "NA"])
def test_a_column_of_compute_without_numbers_is_not_compute(blank: str) -> None:
    model = "model transformer(depth: 4, head_width: 32, mlp_ratio: 3, context: 256 tokens)\nobjective next_token"
    data = "data python_source(batch: 65536 tokens)"
    found = looked(step=lambda w, s: s, flops=lambda w, s: blank)
    assert len(fit([model, data, *found.sentences])) == 3
