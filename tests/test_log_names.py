"""Columns of names that nobody listed: what is not known is not taken for anything, and said with what to write."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trainers

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import fit_file
from shapeflow.doctor import Table, examine
from shapeflow.laws.joint.table import Named, read_tables
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.roles import size_of
from shapeflow.laws.logs.runs import Run
from shapeflow.laws.logs.schedule import learning_rate

MODEL = """
model transformer(depth: 4, head_width: 32, mlp_ratio: 3, context: 256 tokens)
metric loss
data python_source(batch: 65536 tokens)
objective next_token
"""
FLOPS = {64: 4.7e11, 128: 1.6e12, 256: 6.1e12}
STEPS = range(40, 4001, 40)
AT_STEPS = ["step_lr", "train/lr_step", "lr_at_step", "lr/step", "sched_mult", "cosine_scale"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loss(width: int, step: float) -> float:
    return 1.5 + 24 / width + 6e4 * width**0.3 * (step * FLOPS[width]) ** -0.35


@pytest.mark.parametrize(
    "name", ["config.params", "cfg/model.num_parameters", "hp_params", "config.non_emb_params", "model_size"]
)
def test_settings_of_trackers_may_hold_parameters(name: str) -> None:
    assert words.role_of(name) == "parameters"
    assert words.role_of(f"{name}/grad_norm") != "parameters"


def rows(width: int, counter: str = "step", each: float = 1, **more: Any) -> list[dict[str, Any]]:
    return [{counter: round(s * each), "val_loss": loss(width, s), **more} for s in STEPS]


def sweep(counter: str = "step", each: float = 1) -> Table:
    trainers.table(Path("a.csv"), [{"width": width, **row} for width in FLOPS for row in rows(width, counter, each)])
    return table("a.csv")


def table(name: str) -> Table:
    report = Report()
    (found,) = examine([name], report).tables
    assert not report.errors
    return found


def role(found: Table, name: str) -> str:
    return next(column.role for column in found.columns if column.name == name)


def fitted(text: str) -> tuple[Mapping[Any, Any], list[Diagnostic]]:
    Path("a.shape").write_text(text)
    report = Report()
    try:
        _, found = fit_file(Path("a.shape"), (), report)
    except Refused as refused:
        return {}, list(refused.diagnostics)
    return found.laws, report.diagnostics


@pytest.mark.parametrize("name", ["chars", "env_steps", "rollouts", "ticks", "decode_step", "frames"])
def test_what_rises_is_not_thereby_a_step(name: str) -> None:
    found = sweep(name)
    assert not role(found, name)
    assert not found.sentences
    assert any(f'`step: "{name}"`' in line and f'`compute: "{name}"`' in line for line in found.advice)
    axis = "axis width in [64, 128, 256] via width_expand\n"
    end = "\ntraversal steepest\nbudget 24.38 PFLOPs\n"
    laws, (said,) = fitted(f'{MODEL}{axis}laws from fit("a.csv"){end}')
    assert (len(laws), said.code) == (0, "missing-column")
    assert f'`step: "{name}"`' in str(said.help)
    laws, _ = fitted(f'{MODEL}{axis}laws from fit("a.csv", step: "{name}", step_unit: 1 steps){end}')
    assert len(laws) == 3


@pytest.mark.parametrize(
    ("name", "each", "counts"),
    [
        ("epochs_done", 0.025, "epochs"),
        ("seqs", 256, "samples"),
        ("kimg", 0.256, "samples"),
        ("examples_seen", 256, "samples"),
        ("days", 0.1, "time"),
        ("completed_updates", 1, "step"),
    ],
)
def test_words_of_counters(name: str, each: float, counts: str) -> None:
    found = sweep(name, each)
    assert role(found, name) == counts
    assert bool(found.sentences) == (counts == "step")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("kimg", 1e3),
        ("n_params_m", 1e6),
        ("params_b", 1e9),
        ("seqs", 1.0),
        ("params_millions", 1e6),
        ("model_size_m", 1e6),
        ("tokens_thousands", 1e3),
        ("tokens_in_thousands", 1e3),
        ("tokens_in_millions", 1e6),
        ("tokens_trained_in_billions", 1e9),
        ("tokens_seen_in_trillions", 1e12),
        ("tokens_e9", 1e9),
        ("tokens_at_layer_e", 1.0),
    ],
)
def test_words_of_multiples(name: str, unit: float) -> None:
    assert words.count_of(name) == unit


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("total_flops_billion", 1e9),
        ("total_flops_in_trillions", 1e12),
        ("total_flops_e15", 1e15),
        ("exa_flops", 1e18),
        ("flops_p", 1e15),
        ("train/total_flops", 1.0),
    ],
)
def test_words_of_multiples_of_flops(name: str, unit: float) -> None:
    assert words.flops_of(name) == unit


@pytest.mark.parametrize(
    "name",
    [
        "model_size_bytes", "params_mb", "eval_tokens", "val_tokens_total", "tokens_remaining", "tokens_padded",
        "val_samples", "remaining_epochs", "flops_remaining",
    ],
)  # fmt: skip
def test_what_was_not_trained_on_is_no_amount(name: str) -> None:
    assert words.role_of(name) not in ("parameters", "tokens", "samples", "epochs", "compute")


def test_a_mixture_of_experts_costs_its_active_parameters() -> None:
    sizes = {"total_params": 8e8, "active_params": 1e8, "num_experts": 8}
    active, total = size_of(["total_params", "active_params"], [sizes]), size_of(["total_params"], [sizes])
    assert (active, total) == ("active_params", None)
    assert size_of(["total_params"], [{"total_params": 8e8}]) == "total_params"


def test_rates_that_were_not_logged_to_the_end_are_not_known() -> None:
    rates = {float(step): 1e-3 for step in range(40, 2401, 40)}
    assert learning_rate(rates, 2400) == learning_rate(rates, 2440) == "constant"
    assert learning_rate(rates, 4000) is None
    assert learning_rate({**rates, 2440.0: 1e-4}, 4000) == "falling"
    run = Run(Shape.of({"width": 64}), "a.csv")
    for step in range(40, 4001, 40):
        run.add(1e12 * step, loss(64, step), float(step), rates.get(step))
    run.finish()
    assert run.learning_rate is None


@pytest.mark.parametrize("name", ["lrate", "step_size", "eta", "learn_rate", "optim/lrate", "group0.eta", *AT_STEPS])
def test_a_learning_rate_by_words_and_values(name: str) -> None:
    found = [
        {"width": width, **row, "flops": row["step"] * FLOPS[width], name: 3e-4 * (1 - row["step"] / 4100)}
        for width in FLOPS
        for row in rows(width)
    ]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert role(examined, name) == "learning rate"
    assert examined.curves is not None
    assert examined.curves.learning_rate == "falling"


def cosine(step: int) -> float:
    return 3e-4 * (1 + math.cos(math.pi * step / 4100)) / 2


def with_rate(name: str, at: Callable[[int], float]) -> Table:
    """What doctor finds in a sweep with a column of learning rates."""
    steps = [(w, s) for w in FLOPS for s in STEPS]
    found = [{"width": w, "step": s, "flops": s * FLOPS[w], "val_loss": loss(w, s), name: at(s)} for w, s in steps]
    trainers.table(Path("a.csv"), found)
    return table("a.csv")


@pytest.mark.parametrize("name", ["eta_t", "rate", "train/rate", "alpha_t", "train/lr/group0", "lr-AdamW"])
def test_a_name_of_much_else_is_a_learning_rate_if_it_falls(name: str) -> None:
    curves = with_rate(name, cosine).curves
    assert curves is not None
    assert curves.learning_rate == "falling"
    if "lr" not in name:
        assert role(with_rate(name, lambda step: 0.9 + 0.1 * math.sin(step)), name) != "learning rate"


def test_a_schedule_of_no_known_name_is_asked_about() -> None:
    assert any('`rate: "k1"`' in line for line in with_rate("k1", cosine).advice)


def test_a_rate_that_falls_counts_more_than_its_peak() -> None:
    found = [{"width": w, **row, "lr": 1e-3, "lr_scale": 1 - row["step"] / 4100} for w in FLOPS for row in rows(w)]
    trainers.table(Path("a.csv"), found)
    facts = table("a.csv").curves
    assert facts is not None
    assert facts.learning_rate == "falling"


def test_the_time_that_is_left_is_no_learning_rate() -> None:
    left = [{"width": width, **row, "eta": 4100 - row["step"]} for width in FLOPS for row in rows(width)]
    trainers.table(Path("a.csv"), left)
    assert role(table("a.csv"), "eta") == "time"


def by_epoch(width: int, size: int, first: int, more: bool) -> list[dict[str, Any]]:
    """Rows of a run whose steps are counted within epochs of `size` steps."""
    found = [(s - 1) // size for s in STEPS]
    return [
        {"width": width, "step": s - size * at - first, "val_loss": loss(width, s), **({"epoch": at} if more else {})}
        for s, at in zip(STEPS, found, strict=True)
    ]


@pytest.mark.parametrize(("size", "first", "more"), [(400, 0, True), (400, 1, False), (410, 0, True), (1000, 0, False)])
def test_steps_that_begin_again_at_every_epoch(size: int, first: int, more: bool) -> None:
    trainers.table(Path("a.csv"), [row for width in FLOPS for row in by_epoch(width, size, first, more)])
    found = table("a.csv")
    assert not found.sentences
    assert any("begin again while the run goes on" in line for line in found.advice)
    axis = "axis width in [64, 128, 256] via width_expand\n"
    laws, said = fitted(f'{MODEL}{axis}laws from fit("a.csv")\ntraversal steepest\nbudget 24.38 PFLOPs\n')
    assert (len(laws), [one.code for one in said]) == (0, ["wrong-counter"])
    assert ('`step: "epoch"`' in str(said[0].help)) == more
    assert "`run`" in str(said[0].help)


def test_a_run_that_resumed_twice_is_read() -> None:
    done = {w: [*rows(w)[:40], *rows(w)[30:70], *rows(w)[65:]] for w in FLOPS}
    trainers.table(Path("a.csv"), [{"width": width, **row} for width, found in done.items() for row in found])
    axis = "axis width in [64, 128, 256] via width_expand\n"
    laws, said = fitted(f'{MODEL}{axis}laws from fit("a.csv")\ntraversal steepest\nbudget 24.38 PFLOPs\n')
    assert (len(laws), [one.code for one in said if one.severity == "error"]) == (3, [])


@pytest.mark.parametrize("run", [True, False])
@pytest.mark.parametrize("name", ["channels_out", "rnn_cells"])
def test_a_constant_axis_hides_no_other_size(name: str, run: bool) -> None:
    found = [
        {name: width, "depth": 4, **({"run": f"r{width}"} if run else {}), **row, "flops": row["step"] * FLOPS[width]}
        for width in FLOPS
        for row in rows(width)
    ]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert not examined.sentences
    assert any(f"`{name}` (64, 128, 256)" in line and f'`axes: (width: "{name}")`' in line for line in examined.advice)
    axis = "axis width in [64, 128, 256] via width_expand\nmetric loss\n"
    laws, _ = fitted(
        f'{axis}laws from fit("a.csv", axes: (width: "{name}"))\ntraversal steepest\nbudget 24.38 PFLOPs\n'
    )
    assert len(laws) == 3


def test_a_constant_axis_hides_no_number_of_parameters() -> None:
    found = [{"n_params_m": w, "depth": 4, "run": f"r{w}", **row} for w in FLOPS for row in rows(w)]
    trainers.table(Path("a.csv"), found)
    examined = table("a.csv")
    assert not examined.sentences
    assert any("`n_params_m` differs between models" in line for line in examined.advice)


@pytest.mark.parametrize("name", ["channels_out", "n_params_m"])
def test_a_fit_refuses_models_that_no_axis_tells_apart(name: str) -> None:
    found = [
        {name: w, "depth": 4, "run": f"r{w}", **row, "flops": row["step"] * FLOPS[w]} for w in FLOPS for row in rows(w)
    ]
    trainers.table(Path("a.csv"), found)
    rest = "metric loss\ntraversal steepest\nbudget 24.38 PFLOPs\naxis depth in [4] via depth_expand\n"
    laws, said = fitted(f'{rest}laws from fit("a.csv")\n')
    assert (len(laws), [one.code for one in said if one.severity == "error"]) == (0, ["mixed-laws"])
    assert any(f"differ in `{name}` (64, 128, 256)" in (one.help or "") for one in said)
    # Settings override what was found.
    for setting in (f"where: ({name}: 64)", f'run: "{name}"'):
        assert len(fitted(f'{rest}laws from fit("a.csv", {setting})\n')[0]) == 1


@pytest.mark.parametrize("name", ["hidden_dim", "config.n_embd", "cfg_d_model", "model.dim", "units"])
def test_names_of_widths(name: str) -> None:
    found = [{name: width, "depth": 4, **row, "run": f"r{width}"} for width in FLOPS for row in rows(width)]
    trainers.table(Path("a.csv"), found)
    assert any(line.startswith("axis width in [64, 128, 256]") for line in table("a.csv").sentences)


def test_a_size_of_no_known_name_in_the_configurations() -> None:
    for width in FLOPS:
        trainers.table(Path(f"runs/{'abc'[list(FLOPS).index(width)]}/log.csv"), rows(width, depth=4))
        Path(f"runs/{'abc'[list(FLOPS).index(width)]}/config.json").write_text(f'{{"net": {{"broadness": {width}}}}}')
    examined = table("runs")
    assert not examined.sentences
    assert any('`axes: (width: "broadness")`' in line for line in examined.advice)


@pytest.mark.parametrize(
    ("size", "data", "error"),
    [
        ("non_emb_params", "tokens_b", "final_val_loss"),
        ("n_params_m", "consumed_tokens", "c4_eval_loss"),
        ("non_embedding_params", "tokens_total", "heldout_nll"),
    ],
)
def test_a_table_of_ends_has_the_columns_of_doctor(size: str, data: str, error: str) -> None:
    found = []
    for n in (1e7, 3e7, 1e8, 3e8):
        for d in (1e9, 3e9, 1e10, 3e10):
            value = 1.8 + 482 / n**0.35 + 2085 / d**0.37
            per = {size: n / words.count_of(size), data: d / words.count_of(data)}
            found.append({"id": f"r{n:g}-{d:g}", **per, "train_loss": value - 0.1, error: value})
    trainers.table(Path("a.csv"), found)
    read = read_tables([Path("a.csv")], Named())
    assert read.columns["loss"] == error
    assert read.points.size.max() == pytest.approx(3e8)
    assert read.points.tokens.max() == pytest.approx(3e10)
    examined = table("a.csv")
    assert [role(examined, name) for name in (size, data, error)] == ["parameters", "tokens", "error"]
