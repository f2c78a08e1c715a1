"""How logs map to runs: usual column names, settings, `{placeholders}` in paths, and metadata in run files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from log_files import events, parquet, trainer_state
from test_laws_logs import ALL, PATCHES, TRUTH, ask, curve, fits_the_truth, laws, sweep, table, told

from shapeflow.api import compile
from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.units import Amount
from shapeflow.laws.fit import Fit
from shapeflow.laws.logs.collect import read_logs
from shapeflow.laws.logs.points import Point
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.runs import Logs, Run
from shapeflow.laws.logs.schedule import diverged, learning_rate
from shapeflow.laws.logs.series import error_names, evaluation
from shapeflow.laws.logs.template import Template


def rows(shape: Any, error: str = "loss", **more: Any) -> list[dict[str, Any]]:
    return [{"step": s, "flops": x, error: e, **more} for s, x, e in curve(shape)]


def logs(query: Query, folder: Path, *codes: str, **more: Any) -> Logs:
    report = Report()
    found = read_logs(query, ask(folder, **more), report)
    assert [one.code for one in report.diagnostics] == list(codes), report.diagnostics
    return found or Logs()


# ---- Paths with placeholders ----


@pytest.mark.parametrize("format", ["trainer_state.json", "events.out.tfevents.1.host", "a.parquet", "a.csv"])
def test_paths_give_the_shape_of_a_file(tmp_path: Path, format: str) -> None:
    for shape in PATCHES:
        for seed in (0, 1):
            path = tmp_path / "runs" / f"patch{shape['patch']}-s{seed}" / format
            path.parent.mkdir(parents=True)
            # Each seed is measured at other steps: a run with the same values is a copy.
            if format.endswith("json"):
                trainer_state(path, rows(shape, "eval_loss")[seed:])
            elif format.endswith("host"):
                events(path, rows(shape, "eval/loss")[seed:])
            elif format.endswith("parquet"):
                parquet(path, rows(shape)[seed:])
            else:
                path.write_text("flops,loss\n" + "".join(f"{x},{e}\n" for _, x, e in curve(shape)[seed:]))
    found, _ = laws(Fit(f"runs/patch{{patch}}-s{{run}}/{format[:6]}*"), ask(tmp_path, metric="loss@own"))
    assert [found[shape].c for shape in PATCHES] == pytest.approx([TRUTH[shape][2] for shape in PATCHES], rel=1e-4)
    assert [found[shape].provenance.runs for shape in PATCHES] == [2, 2]


def test_a_run_named_in_paths_may_have_several_files(tmp_path: Path) -> None:
    for part, half in (("a", slice(0, 15)), ("b", slice(15, 30))):
        lines = [f"{s},{x},{e}" for s, x, e in curve(PATCHES[1])[half]]
        (tmp_path / f"{part}-s7.csv").write_text("\n".join(["step,flops,error", *lines]) + "\n")
    found, _ = laws(Fit("*-s{run}.csv"), ask(tmp_path, PATCHES[1:]))
    provenance = found[PATCHES[1]].provenance
    assert (provenance.runs, [name for name, _ in provenance.files]) == (1, ["a-s7.csv", "b-s7.csv"])


def test_a_path_without_a_value_is_reported(tmp_path: Path) -> None:
    for shape in PATCHES:
        (tmp_path / f"p{shape['patch']}.csv").write_text(table([shape]))
    (tmp_path / "pilot.csv").write_text(table())
    found, report = laws(Fit("p{patch}.csv"), ask(tmp_path), "skipped-runs")
    fits_the_truth(found)
    assert "`pilot.csv`: the text in the place of an axis is not a value of that axis" in told(report)


def test_shapes_in_paths_that_are_not_candidates(tmp_path: Path) -> None:
    (tmp_path / "p16.csv").write_text(table(PATCHES[:1]))
    _, report = laws(Fit("p{patch}.csv"), ask(tmp_path), "law-without-runs")
    assert "(patch: 16)" in told(report)


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("w{width}-s{run}.csv", "w64-s1.csv", {"width": "64", "run": "1"}),
        ("w{width}*.csv", "w128.csv", {"width": "128"}),
        ("{run}/**/w{width}/a.csv", "x y/1/2/w1e3/a.csv", {"run": "x y", "width": "1e3"}),
        ("{run}/{run}.csv", "a/a.csv", {"run": "a"}),
        ("{run}/{run}.csv", "a/b.csv", None),
        ("w{width}.csv", "wide.csv", None),
        ("[ab]{width}?[!z-a]", "a3xy", {"width": "3"}),
        ("a.c{run}", "abcd", None),
    ],
)
def test_templates_of_paths(text: str, path: str, values: dict[str, str] | None) -> None:
    assert Template(text, frozenset(["width"])).path(path) == values


# ---- Columns ----


def wide(heads: str) -> str:
    """A chart as W&B exports it: one column per shape and run, followed by its minimum and maximum."""
    names = [heads.format(run=run, patch=shape["patch"]) for shape in PATCHES for run in (0, 1)]
    text = ",".join(["Step", *(f"{name}{end}" for name in names for end in ("", "__MIN", "__MAX"))]) + "\n"
    curves = [curve(shape) for shape in PATCHES for _ in (0, 1)]
    for each in zip(*curves, strict=True):
        # A second run that is measured a bit higher: one with the same values is a copy.
        errors = [e * (1 + 1e-4 * (place % 2)) for place, (_, _, e) in enumerate(each)]
        text += ",".join([str(each[0][0]), *(f"{e},{e},{e}" for e in errors)]) + "\n"
    return text


def test_a_column_for_each_run(tmp_path: Path) -> None:
    (tmp_path / "chart.csv").write_text(wide("run {run} patch{patch} - loss"))
    query = Query("chart.csv", error="run {run} patch{patch} - loss")
    request = attrs.evolve(ask(tmp_path, metric="loss@own"), step_compute=dict(zip(PATCHES, (1e15, 2e15), strict=True)))
    found = read_logs(query, request, Report())
    assert found is not None
    assert [run.shape for run in found.runs.values()] == [PATCHES[0]] * 2 + [PATCHES[1]] * 2
    assert [run.spent for run in found.runs.values()] == [3e17, 3e17, 6e17, 6e17]
    assert all(len(run.points) == 30 for run in found.runs.values())
    assert (found.sampled, found.counted) == (["chart.csv"], {"chart.csv": "steps times the model's FLOPs per step"})


def test_places_of_the_error_in_other_settings(tmp_path: Path) -> None:
    names = [f"{column}/{shape['patch']}" for shape in PATCHES for column in ("pf", "err", "lr")]
    lines = [",".join(f"{x / 1e15},{e},{1 / s}" for s, x, e in each) for each in zip(*map(curve, PATCHES), strict=True)]
    (tmp_path / "a.csv").write_text("\n".join([",".join(names), *lines]) + "\n")
    fit = Fit(
        "a.csv", error="err/{patch}", compute="pf/{patch}", rate="lr/{patch}", compute_unit=Amount(1e15, "compute")
    )
    found, report = laws(fit, ask(tmp_path), "falling-rate")
    fits_the_truth(found)
    assert "whose learning rate falls" in told(report)


def test_a_template_that_no_column_matches(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table())
    _, report = laws(Fit("a.csv", error="loss {patch}"), ask(tmp_path), "missing-column")
    assert "no column `loss {patch}`" in told(report)


def test_placeholders_that_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table())
    _, report = laws(Fit("{pach}.csv", step="{run}"), ask(tmp_path), "unknown-place", "unknown-place")
    assert "did you mean `{patch}`?" in told(report)


@pytest.mark.parametrize("compute", ["params * tokens", "2 * params * tokens * 0.5"])
def test_compute_as_a_product(tmp_path: Path, compute: str) -> None:
    lines = [f"{shape['patch']},1e6,{x / 6e6},{e}" for shape in PATCHES for _, x, e in curve(shape)]
    (tmp_path / "a.csv").write_text("\n".join(["patch,params,tokens,error", *lines]) + "\n")
    fits_the_truth(laws(Fit("a.csv", compute=compute, compute_unit=Amount(6.0, "compute")), ask(tmp_path))[0])
    _, report = laws(Fit("a.csv", compute="param * tokens"), ask(tmp_path), "missing-column")
    assert "did you mean `params`?" in told(report)


def test_the_flops_of_a_trainers_last_step(tmp_path: Path) -> None:
    for shape in PATCHES:
        history = [{"step": s, "eval_loss": e, "loss": 9.0} for s, _, e in curve(shape)]
        path = tmp_path / f"p{shape['patch']}" / "trainer_state.json"
        trainer_state(path, history, global_step=300, total_flos=3e17)
    found = logs(Query("p{patch}/trainer_state.json"), tmp_path, metric="loss@own")
    assert found.counted["p8/trainer_state.json"] == "the 3e+17 FLOPs of its 300 steps, spread evenly (`total_flos`)"
    assert [run.spent for run in found.runs.values()] == [3e17, 3e17]
    assert {run.evaluation for run in found.runs.values()} == {"held-out"}


def test_steps_without_a_model_give_no_compute(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("patch,step,error\n30,1,0.5\n")
    _, report = laws(Fit("a.csv"), ask(tmp_path), "missing-column")
    assert "if there is none, compute can be derived from a step column and a `model` sentence" in told(report)


def test_compute_that_was_logged_in_another_row_of_the_step(tmp_path: Path) -> None:
    lines = []
    for s, x, e in curve(PATCHES[1]):
        lines += [{"step": s, "flops": x}, {"step": s, "error": e}]
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in [*lines, {"step": 999, "error": 0.1}])
    )
    found, report = laws(Fit("a.jsonl"), ask(tmp_path, PATCHES[1:]), "excluded-points")
    assert found[PATCHES[1]].provenance.points == 28
    assert "1 no compute" in told(report)


def test_held_out_errors_are_taken_before_others(tmp_path: Path) -> None:
    text = "flops,loss,val_loss\n" + "".join(f"{x},9.9,{e}\n" for _, x, e in curve(PATCHES[1]))
    (tmp_path / "a.csv").write_text(text)
    found, _ = laws(Fit("a.csv"), ask(tmp_path, PATCHES[1:], metric="loss@own"))
    assert found[PATCHES[1]].c == pytest.approx(0.2, rel=1e-5)
    assert error_names("classification_error")[0] == "classification_error"
    assert "loss" not in error_names("classification_error")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("eval_loss", "held-out"), ("val/loss", "held-out"), ("run 1 - validation loss", "held-out"),
        ("Test Loss", "held-out"), ("train/loss", "training"), ("loss", None), ("valley", None), ("trained", None),
    ],
)  # fmt: skip
def test_the_name_of_an_error_gives_its_metric(name: str, what: str | None) -> None:
    assert evaluation(name) == what


# ---- Metadata in run files ----


def test_facts_of_runs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "flops,lr,val_error\n" + "".join(f"{x},{1 / s},{e}\n" for s, x, e in curve(PATCHES[1]))
    )
    (run,) = logs(Query("a.csv", error="val_error"), tmp_path, shapes=PATCHES[1:]).runs.values()
    assert (run.evaluation, run.learning_rate, run.data) == ("held-out", "falling", None)
    folder = sweep(tmp_path, PATCHES[1])
    (folder / "data.json").write_text(json.dumps({"data": "digits", "sha256": "ab" * 32}))
    (run,) = logs(Query(folder.name), tmp_path, shapes=PATCHES[1:], metric="loss@own").runs.values()
    assert (run.evaluation, run.learning_rate) == ("held-out", "constant")
    assert run.data == "digits sha256:" + "ab" * 8


@pytest.mark.parametrize(
    ("rates", "how"),
    [
        ([0.1, 0.5, 1, 1, 1], "constant"),
        ([0.1, 1, 0.95], "constant"),
        ([0.1, 1, 0.8], "falling"),
        ([1, 0.1, 1], "falling"),
        ([1], None),
        ([0, 0], None),
        ([], None),
    ],
)
def test_whether_a_learning_rate_falls(rates: list[float], how: str | None) -> None:
    assert learning_rate(dict(enumerate(rates))) == how
    assert learning_rate(dict(reversed(list(enumerate(rates))))) == how


def points(errors: Any) -> list[Point]:
    return [Point(float(i + 1), float(error)) for i, error in enumerate(errors)]


def which(errors: Any) -> list[int]:
    return [int(point.compute) - 1 for point in diverged(points(errors))]


def test_where_a_run_diverged() -> None:
    falling = list(np.geomspace(10, 3, 20))
    assert which(falling) == []
    assert which([*falling, 7.5]) == [20]
    assert which([*falling, 7.5, 6, 5, 3.05, 3.0]) == [20, 21, 22]
    assert which([*falling, 40, *falling[-3:]]) == [20]
    assert which([*falling, 1e-9, *[3.0] * 9]) == []
    assert which([0.9, 0.91, 0.9, 0.92, 0.9, 0.85]) == []
    assert which([2.0, 1.0]) == []
    assert which([1e308, 1e-308, 1e308, 1e-308]) is not None


@pytest.mark.parametrize("sigma", [0.0, 0.01, 0.1, 0.3])
def test_noise_is_not_read_as_divergence(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(0, sigma, (20, 400))
    truth = 8 * np.arange(1, 401) ** -0.3 + 2
    assert sum(len(which(row)) for row in truth * np.exp(noise)) <= 20 * 400 // 1000


def test_diverged_points_are_left_out_and_reported(tmp_path: Path) -> None:
    text = table() + "".join(f"{300 + i},8,{1e18 * (1 + i / 10)},{5 + i}\n" for i in range(1, 4))
    (tmp_path / "a.csv").write_text(text + "304,8,1.4e18,nan\n")
    found, report = laws(Fit("a.csv"), ask(tmp_path), "excluded-points")
    fits_the_truth(found)
    assert "(patch: 8 px): 1 not finite, 3 diverged" in told(report)
    assert found[PATCHES[1]].provenance.dropped["diverged"] == 3


def test_rows_that_a_resumed_trainer_repeats_are_dropped(tmp_path: Path) -> None:
    """A second event file in a folder begins at the step from which the trainer resumed."""
    first, second = rows(PATCHES[1])[:20], rows(PATCHES[1])[15:]
    stale = [{**row, "step": row["step"] + 1, "loss": 0.7} for row in first[15:]]
    events(tmp_path / "events.out.tfevents.1.a", [*first[:15], *stale])
    events(tmp_path / "events.out.tfevents.2.a", second)
    fit = Fit("events*", drop_warmup=ALL)
    found, report = laws(fit, ask(tmp_path, PATCHES[1:], metric="loss@own"), "repeated-steps")
    assert found[PATCHES[1]].c == pytest.approx(0.2, rel=1e-4)
    assert "5 repeated" in told(report)
    assert found[PATCHES[1]].provenance.runs == 1


def test_checkpoints_of_one_run_are_one_run(tmp_path: Path) -> None:
    every = rows(PATCHES[1])
    for count in (10, 30):
        trainer_state(tmp_path / "r" / f"checkpoint-{count * 10}" / "trainer_state.json", every[:count])
    query = Query("r/checkpoint-*/trainer_state.json")
    (run,) = logs(query, tmp_path, shapes=PATCHES[1:], metric="loss@own").runs.values()
    assert (len(run.points), run.repeated, len(run.files)) == (30, 10, 2)


def test_packages_that_are_not_installed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet(tmp_path / "a.parquet", rows(PATCHES[1]))
    parquet(tmp_path / "b.parquet", rows(PATCHES[1]))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    _, report = laws(Fit("*.parquet"), ask(tmp_path), "missing-extra")
    assert "pip install 'shapeflow[data]'" in told(report)


def test_rates_of_a_long_run_are_thinned() -> None:
    run = Run(PATCHES[0], "a")
    for step in range(50_000):
        run.add(1e15 * (step + 1), None, step, 1.0 if step < 40_000 else 0.5)
    assert len(run.rates) <= 20_000
    run.finish()
    assert run.learning_rate == "falling"


# ---- Examples in docs/logs.md ----


def blocks_of_logs() -> list[tuple[str, str, str]]:
    """Each log in `docs/logs.md` as (path, log, sentence that reads it)."""
    text = (Path(__file__).parent.parent / "docs" / "logs.md").read_text()
    kept = dict(re.findall(r"<!-- log: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL))
    readers = re.findall(r"<!-- reads: (\S+) -->\n```shape\n(.*?)```", text, re.DOTALL)
    assert len(kept) == len(readers) == 4
    return [(name, kept[name], sentence) for name, sentence in readers]


@pytest.mark.parametrize(("name", "log", "sentence"), blocks_of_logs())
def test_the_examples_of_the_document_are_read(tmp_path: Path, name: str, log: str, sentence: str) -> None:
    """The examples are read correctly: the only error of their fits is the lack of points."""
    (tmp_path / "runs").mkdir()
    (tmp_path / name).write_text(log)
    sentences = [
        'plan "logs"',
        "model transformer(depth: 2, head_width: 16, context: 64 tokens)",
        "data python_source(batch: 512 tokens)",
        "objective next_token",
        "axis width in [64, 128] via width_expand",
        sentence + "traversal evenly",
        "budget 9 TFLOPs",
    ]
    (tmp_path / "a.shape").write_text("\n".join(sentences))
    with pytest.raises(Refused) as refused:
        compile(tmp_path / "a.shape")
    (error,) = [one for one in refused.value.diagnostics if one.severity == "error"]
    ends = "points: ends" in sentence
    assert (error.code, len(error.notes)) == (("few-ends", 0) if ends else ("too-few-points", 2))
