"""Reading logs: tables and run folders, good and bad, and the laws fitted to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shapeflow.base.diagnostics import Report, Source, Span
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.law import Law
from shapeflow.ir.law_json import law_from_json, law_to_json
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fit import Fit

PATCHES = [Shape.of(patch=side) for side in (30, 8)]
TRUTH = {PATCHES[0]: (3e7, 0.5, 0.4, 0.0), PATCHES[1]: (8e7, 0.5, 0.2, 0.0)}
ALL = Amount(0.0, "number")


def curve(shape: Shape, count: int = 30, first: float = 1e15, last: float = 1e18) -> list[tuple[int, float, float]]:
    a, b, c, d = TRUTH[shape]
    compute = np.geomspace(first, last, count)
    return [(10 * (i + 1), float(x), float(a * (x + d) ** -b + c)) for i, x in enumerate(compute)]


def table(
    shapes: list[Shape] | None = None, sep: str = ",", header: str = "step,patch,flops,error", **more: Any
) -> str:
    lines = [header.replace(",", sep)]
    for shape in shapes or PATCHES:
        lines += [sep.join(map(str, (s, shape["patch"], x, e))) for s, x, e in curve(shape, **more)]
    return "\n".join(lines) + "\n"


def ask(
    folder: Path, shapes: list[Shape] | None = None, metric: str = "error", convention: str = "flops"
) -> LawRequest:
    source = Source("a.shape", 'axis patch in [30, 8] px\nlaws from fit("runs")\n')
    return LawRequest(
        candidates=tuple(shapes or PATCHES),
        units={"patch": "px"},
        metric=metric,
        convention=convention,
        folder=str(folder),
        spans={"": Span(source, 35, 38)},
        candidate_spans={shape: Span(source, 15, 17) for shape in PATCHES},
        setting_names=Fit.setting_names,
    )


def laws(fit: Fit, request: LawRequest, *codes: str) -> tuple[dict[Shape, Law], Report]:
    """The laws and the report, after checking that the report has exactly these codes."""
    report = Report()
    found = fit.laws(request, report)
    assert [one.code for one in report.diagnostics] == list(codes), report.diagnostics
    return found, report


def told(report: Report) -> str:
    return "\n".join(
        "\n".join((one.message, one.at.text if one.at else "", *one.notes, one.help or ""))
        for one in report.diagnostics
    )


def fits_the_truth(found: dict[Shape, Law]) -> None:
    assert list(found) == PATCHES
    for shape, law in found.items():
        assert (law.a, law.b, law.c) == pytest.approx(TRUTH[shape][:3], rel=1e-5)


@pytest.mark.parametrize("sep", [",", "\t"])
def test_a_table(tmp_path: Path, sep: str) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "all.csv").write_text(table(sep=sep))
    found, _ = laws(Fit("runs/*.csv"), ask(tmp_path))
    fits_the_truth(found)
    provenance = found[PATCHES[0]].provenance
    assert provenance.source == "fit"
    assert provenance.files[0][0] == "runs/all.csv"
    assert len(provenance.files[0][1]) == 64
    assert (provenance.runs, provenance.points, provenance.dropped) == (1, 28, {"warm-up": 2})
    assert provenance.spent == pytest.approx(1e18)
    assert provenance.compute == (pytest.approx(curve(PATCHES[0])[2][1]), pytest.approx(1e18))
    assert provenance.error is not None
    assert provenance.error[0] > provenance.error[1]
    assert provenance.settings["paths"] == "runs/*.csv"
    assert law_from_json(json.loads(json.dumps(law_to_json(found[PATCHES[0]])))) == found[PATCHES[0]]


def test_json_lines(tmp_path: Path) -> None:
    rows = [{"note": "the first row has no numbers"}]
    for shape in PATCHES:
        rows += [{"patch": shape["patch"], "compute": x, "loss": e} for _, x, e in curve(shape)]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found, _ = laws(Fit("all.jsonl"), ask(tmp_path, metric="loss@own"))
    fits_the_truth(found)


def test_columns_by_setting(tmp_path: Path) -> None:
    text = "it,side,macs,val,kind\n"
    for shape in PATCHES:
        for step, x, e in curve(shape):
            text += f"{step},{shape['patch']}.0,{x / 2e12},{e},static\n{step},{shape['patch']},{x / 2e12},9.9,adapt\n"
    (tmp_path / "a.csv").write_text(text)
    fit = Fit(
        "a.csv", compute="macs", compute_unit=Amount(2e12, "compute"), error="val", step="it",
        axes={"patch": "side"}, where={"kind": "static"},
    )  # fmt: skip
    fits_the_truth(laws(fit, ask(tmp_path))[0])


def test_an_axis_of_one_value_needs_no_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("flops,error\n" + "".join(f"{x},{e}\n" for _, x, e in curve(PATCHES[1])))
    found, _ = laws(Fit("a.csv"), ask(tmp_path, PATCHES[1:]))
    assert found[PATCHES[1]].c == pytest.approx(0.2, rel=1e-5)


def test_runs_of_one_shape_are_merged(tmp_path: Path) -> None:
    text = "seed,patch,flops,error\n"
    for seed in (0, 1):
        for shape in PATCHES:
            # The second run is measured elsewhere: a run with the same values is a copy.
            text += "".join(f"{seed},{shape['patch']},{x},{e}\n" for _, x, e in curve(shape)[seed::2])
    (tmp_path / "a.csv").write_text(text)
    found, _ = laws(Fit("a.csv"), ask(tmp_path))
    fits_the_truth(found)
    assert found[PATCHES[0]].provenance.runs == 2
    assert found[PATCHES[0]].provenance.spent == pytest.approx(2e18, rel=0.25)


def test_a_long_log_is_thinned_while_it_is_read(tmp_path: Path) -> None:
    a, b, c, _ = TRUTH[PATCHES[1]]
    rows = (f"{x},{a * x**-b + c}\n" for x in np.linspace(1e14, 1e18, 45_000))
    (tmp_path / "a.csv").write_text("flops,error\n" + "".join(rows))
    found, _ = laws(Fit("a.csv"), ask(tmp_path, PATCHES[1:]))
    assert found[PATCHES[1]].c == pytest.approx(0.2, rel=1e-5)
    assert found[PATCHES[1]].provenance.dropped["resampling"] == 45_000 - 2 - found[PATCHES[1]].provenance.points


def test_a_candidate_without_runs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(PATCHES[:1]))
    found, report = laws(Fit("*.csv"), ask(tmp_path), "law-without-runs")
    (error,) = report.diagnostics
    assert found == {}
    assert error.message == "no runs to fit a law for (patch: 8 px)"
    assert error.at is not None
    assert error.at.text == "1 run matched, for 1 of the 2 candidates"
    assert error.at.span.text == "fit"
    assert [label.text for label in error.also] == ["this candidate has no runs"]
    assert "state its law: `law for (patch: 8 px) is power(" in (error.help or "")


def test_no_files_at_all(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_text(table())
    _, report = laws(Fit("bytes.cvs"), ask(tmp_path), "no-such-logs")
    assert "no file matches `bytes.cvs`" in told(report)
    assert "did you mean `bytes.csv`?" in told(report)
    _, report = laws(Fit("runs/*.csv"), ask(tmp_path), "no-such-logs")
    assert "paths are relative" in told(report)


@pytest.mark.parametrize("pattern", ["../*.csv", "/etc/*.conf", "runs/../../x.csv"])
def test_a_pattern_may_not_leave_the_folder(tmp_path: Path, pattern: str) -> None:
    laws(Fit(pattern), ask(tmp_path), "path-outside")


def test_a_link_may_not_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "a.csv").write_text(table())
    (tmp_path / "in" / "a.csv").symlink_to(tmp_path / "a.csv")
    laws(Fit("*.csv"), ask(tmp_path / "in"), "path-outside")


def test_a_missing_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(header="step,patch,work,error"))
    _, report = laws(Fit("a.csv"), ask(tmp_path), "missing-column")
    assert "`a.csv` has no column `compute` or `flops`" in told(report)
    assert "its columns: step, patch, work, error" in told(report)
    (tmp_path / "a.csv").write_text(table())
    _, report = laws(Fit("a.csv", error="eror"), ask(tmp_path), "missing-column")
    assert "did you mean `error`?" in told(report)


@pytest.mark.parametrize(
    "content", [b"\x00\x01\x02\n" * 9, b"\xff\xfe\xfa\n\xff", b"x" * (1 << 21), b"hello\nworld\n", b"{oops\n{}\n"]
)
def test_junk_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    laws(Fit("a.csv"), ask(tmp_path), "unreadable-log")


def test_an_empty_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table())
    (tmp_path / "b.csv").write_text("")
    found, report = laws(Fit("*.csv"), ask(tmp_path), "skipped-runs")
    fits_the_truth(found)
    assert "`b.csv`: it is empty" in told(report)


@pytest.mark.parametrize("tail", ["320,8,1e18", "320,8,1e18,0.", "310,8,1.1e18,0.2\x00\x00"])
def test_a_torn_last_line_is_left_out(tmp_path: Path, tail: str) -> None:
    (tmp_path / "a.csv").write_text(table() + tail)
    found, report = laws(Fit("a.csv"), ask(tmp_path), "torn-log")
    fits_the_truth(found)
    assert "`a.csv`" in told(report)


def test_a_torn_line_of_json(tmp_path: Path) -> None:
    rows = [json.dumps({"patch": s["patch"], "flops": x, "error": e}) for s in PATCHES for _, x, e in curve(s)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows) + '\n{"patch": 8, "flo')
    fits_the_truth(laws(Fit("a.jsonl"), ask(tmp_path), "torn-log")[0])


def test_bad_points_are_left_out_and_reported(tmp_path: Path) -> None:
    bad = "900,30,1e17,nan\n901,30,1e17,inf\n902,30,1e17,-0.1\n903,30,1e17,oops\n904,30,1e17,\n0,30,0,1.0\nshort,1\n"
    (tmp_path / "a.csv").write_text(table() + bad)
    found, report = laws(Fit("a.csv"), ask(tmp_path), "excluded-points")
    fits_the_truth(found)
    assert "(patch: 30 px): 2 not finite, 1 an error of 0 or less, 1 no number" in told(report)
    assert "`a.csv`: 1 lines are not rows" in told(report)
    assert found[PATCHES[0]].provenance.dropped == {
        "an error of 0 or less": 1, "before any compute": 1, "no number": 1, "not finite": 2, "warm-up": 2,
    }  # fmt: skip


def test_the_last_of_repeated_steps_counts(tmp_path: Path) -> None:
    rows = table().splitlines()
    twice = [rows[0], *(row.rpartition(",")[0] + ",7.7" for row in rows[5:9]), *rows[1:]]
    (tmp_path / "a.csv").write_text("\n".join(twice) + "\n")
    found, report = laws(Fit("a.csv"), ask(tmp_path), "repeated-steps", "falling-compute")
    fits_the_truth(found)
    assert "(patch: 30 px): 4 repeated" in told(report)


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rows = table().splitlines()
    (tmp_path / "a.csv").write_text("\n".join([rows[0], *rows[:0:-1]]) + "\n")
    found, _ = laws(Fit("a.csv"), ask(tmp_path))
    fits_the_truth(found)


def test_compute_that_does_not_increase_is_reported(tmp_path: Path) -> None:
    lines = [line.split(",") for line in table().splitlines()]
    compute = [line[2] for line in lines]
    for at in (5, 40):
        compute[at], compute[at + 1] = compute[at + 1], compute[at]
    swapped = [[*line[:2], spent, line[3]] for line, spent in zip(lines, compute, strict=True)]
    (tmp_path / "a.csv").write_text("".join(",".join(line) + "\n" for line in swapped))
    _, report = laws(Fit("a.csv"), ask(tmp_path), "falling-compute")
    assert "(patch: 30 px): 1 decrease" in told(report)


def test_too_few_points(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(count=6))
    _, report = laws(Fit("a.csv"), ask(tmp_path), "too-few-points")
    assert "(patch: 30 px): 4 points (2 warm-up)" in told(report)
    laws(Fit("a.csv", drop_warmup=ALL), ask(tmp_path))


def test_a_column_in_large_units_is_suspected(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(first=0.1, last=900))
    _, report = laws(Fit("a.csv"), ask(tmp_path), "small-compute")
    assert "compute_unit" in told(report)


def test_points_that_scatter_widely_are_reported(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.08, 30)
    text = "flops,error\n" + "".join(
        f"{x},{e * np.exp(n)}\n" for (_, x, e), n in zip(curve(PATCHES[1]), noise, strict=True)
    )
    (tmp_path / "b.csv").write_text(text)
    laws(Fit("b.csv"), ask(tmp_path, PATCHES[1:]), "loose-law")


def test_warm_up_by_steps_needs_steps(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("flops,error\n" + "".join(f"{x},{e}\n" for _, x, e in curve(PATCHES[1])))
    laws(Fit("a.csv", drop_warmup=Amount(50, "steps")), ask(tmp_path, PATCHES[1:]), "missing-steps")


def sweep(folder: Path, shape: Shape, name: str | None = None, **plan: Any) -> Path:
    """Write a run folder as shapeflow does."""
    run = folder / (name or f"patch-{shape['patch']}")
    run.mkdir(parents=True)
    stage = {"shape": shape.json(), "blends": []}
    (run / "plan.json").write_text(json.dumps({"convention": "flops", "stages": [stage], **plan}))
    events: list[dict[str, Any]] = [{"event": "run_started", "plan": "x", "step": 0}]
    for step, x, e in curve(shape):
        events.append({"event": "step_done", "step": step, "compute": x, "loss": 9.0})
        events.append({"event": "measured", "step": step, "compute": x, "values": {"loss@own": e, "loss@longest": 2.0}})
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return run


@pytest.mark.parametrize("pattern", ["sweep", "sweep/*", "sweep/*/events.jsonl", "sweep/**"])
def test_run_folders(tmp_path: Path, pattern: str) -> None:
    for shape in PATCHES:
        sweep(tmp_path / "sweep", shape)
    found, _ = laws(Fit(pattern), ask(tmp_path, metric="loss@own"))
    fits_the_truth(found)
    assert found[PATCHES[0]].provenance.files[0][0] == "sweep/patch-30/events.jsonl"
    assert found[PATCHES[0]].provenance.runs == 1


def test_the_standard_error_of_a_held_out_set_goes_into_the_law(tmp_path: Path) -> None:
    """The error is common to all points, so it neither moves the law nor widens its intervals. Runs that share the set
    share the error, so that two runs do not halve it."""
    for shape, stated in zip(PATCHES, (0.03, None), strict=True):
        run = sweep(tmp_path / "plain", shape)
        for first, name in enumerate(("one", "two")):
            lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
            for place, line in enumerate(lines):
                if line["event"] == "measured":
                    line["values"]["loss@own"] *= 1 + 1e-6 * first
                if line["event"] == "measured" and stated is not None:
                    line["errors"] = {"loss@own": stated * (2 - place / len(lines)), "loss@longest": 7.0}
            copy = tmp_path / "stated" / f"{run.name}-{name}"
            copy.mkdir(parents=True)
            (copy / "plan.json").write_bytes((run / "plan.json").read_bytes())
            (copy / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, _ = laws(Fit("stated"), ask(tmp_path, metric="loss@own"))
    fits_the_truth(found)
    assert found[PATCHES[0]].provenance.held_out_error == pytest.approx(0.03, rel=0.05)
    assert found[PATCHES[1]].provenance.held_out_error is None
    assert "held_out_error" not in law_to_json(found[PATCHES[1]])
    again = law_from_json(law_to_json(found[PATCHES[0]]))
    assert again.provenance.held_out_error == found[PATCHES[0]].provenance.held_out_error


def test_points_in_a_cooldown_are_left_out(tmp_path: Path) -> None:
    """A law describes runs at a constant learning rate, so points in the cooldown are dropped. Its compute counts as
    spent."""
    for shape in PATCHES:
        run = sweep(tmp_path / "sweep", shape, totals={"steps": 300}, cooldown=30)
        lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
        for line in lines:
            if line["event"] == "measured" and line["step"] > 270:
                line["values"]["loss@own"] *= 0.7
        (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, report = laws(Fit("sweep", drop_warmup=ALL), ask(tmp_path, metric="loss@own"), "excluded-points")
    fits_the_truth(found)
    provenance = found[PATCHES[0]].provenance
    assert (provenance.points, provenance.dropped) == (27, {"in a cooldown": 3})
    assert provenance.spent == pytest.approx(1e18)
    assert "3 in a cooldown" in str(report.diagnostics[0].notes)


def test_a_run_with_a_schedule_has_a_falling_learning_rate(tmp_path: Path) -> None:
    """The learning rate of each point depends on the length of its run, so the law is not reliable beyond them."""
    for shape in PATCHES:
        sweep(tmp_path / "sweep", shape, totals={"steps": 300}, schedule={"form": "cosine", "final": 0.1})
    found, report = laws(Fit("sweep", drop_warmup=ALL), ask(tmp_path, metric="loss@own"), "falling-rate")
    assert {law.provenance.learning_rate for law in found.values()} == {"falling"}
    assert "2 of 2 laws are fitted to runs whose learning rate falls" in report.diagnostics[0].message


def test_only_runs_of_one_shape_are_read(tmp_path: Path) -> None:
    for shape in PATCHES:
        sweep(tmp_path / "sweep", shape)
    sweep(tmp_path / "sweep", PATCHES[0], "grown", stages=[{"shape": shape.json()} for shape in PATCHES])
    sweep(tmp_path / "sweep", PATCHES[0], "blended", stages=[{"shape": PATCHES[0].json(), "blends": [{}]}])
    sweep(tmp_path / "sweep", PATCHES[0], "broken", stages=7)
    sweep(tmp_path / "sweep", PATCHES[0], "lowered")
    branched = {"event": "run_branched", "step": 1, "plan": "x", "folder": "y", "checkpoint": "z", "differs": "its lr"}
    with (tmp_path / "sweep/lowered/events.jsonl").open("a") as log:
        log.write(json.dumps(branched) + "\n")
    found, report = laws(Fit("sweep/*"), ask(tmp_path, metric="loss@own"), "skipped-runs")
    fits_the_truth(found)
    assert "`sweep/grown`: it changes shape on the way" in told(report)
    assert "`sweep/blended`: it blends shapes" in told(report)
    assert "`sweep/broken`: its plan cannot be read" in told(report)
    assert "`sweep/lowered`: it was changed on the way: its lr" in told(report)


def test_conventions_are_not_mixed(tmp_path: Path) -> None:
    for shape in PATCHES:
        sweep(tmp_path / "sweep", shape, convention="paper")
    _, report = laws(Fit("sweep"), ask(tmp_path, metric="loss@own"), "mixed-conventions")
    assert "`sweep/patch-30` counts compute by `paper`, but this file by `flops`" in told(report)


def test_conventions_of_a_table_are_not_mixed(tmp_path: Path) -> None:
    lines = table().splitlines()
    for theirs in ("flops", "paper"):
        text = "\n".join([lines[0] + ",convention", *(f"{line},{theirs}" for line in lines[1:])]) + "\n"
        (tmp_path / f"{theirs}.csv").write_text(text)
    fits_the_truth(laws(Fit("flops.csv"), ask(tmp_path))[0])
    _, report = laws(Fit("*.csv"), ask(tmp_path), "mixed-conventions")
    assert "`paper.csv` counts compute by `paper`, but this file by `flops`" in told(report)


def test_a_loss_is_not_read_as_an_error_rate(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(header="step,patch,flops,loss"))
    laws(Fit("a.csv"), ask(tmp_path, metric="loss@own"))
    _, report = laws(Fit("a.csv"), ask(tmp_path, metric="classification_error"), "missing-column")
    assert "no column `classification_error` or `error`" in told(report)


def test_errors_in_percent_are_refused(tmp_path: Path) -> None:
    lines = [f"{s},{shape['patch']},{x},{17.08 * e}" for shape in PATCHES for s, x, e in curve(shape)]
    (tmp_path / "a.csv").write_text("\n".join(["step,patch,flops,error", *lines]) + "\n")
    _, report = laws(Fit("a.csv"), ask(tmp_path, metric="classification_error"), "error-above-one")
    assert "`classification_error` is a share between 0 and 1" in told(report)


def test_a_metric_that_no_run_measured(tmp_path: Path) -> None:
    sweep(tmp_path / "sweep", PATCHES[0])
    _, report = laws(Fit("sweep"), ask(tmp_path, PATCHES[:1], metric="loss@owl"), "missing-column")
    assert "did you mean `loss@own`?" in told(report)


def test_rows_that_a_resumed_run_repeats_are_dropped(tmp_path: Path) -> None:
    run = sweep(tmp_path, PATCHES[0], "run")
    lines = (run / "events.jsonl").read_text().splitlines()
    stale = json.dumps({"event": "measured", "step": 155, "compute": 5e17, "values": {"loss@own": 7.7}})
    back = json.dumps({"event": "run_started", "plan": "x", "step": 150})
    (run / "events.jsonl").write_text("\n".join([*lines[:31], stale, back, *lines[31:]]) + "\n")
    found, report = laws(Fit("run"), ask(tmp_path, PATCHES[:1], metric="loss@own"), "repeated-steps")
    assert found[PATCHES[0]].c == pytest.approx(0.4, rel=1e-5)
    assert "(patch: 30 px): 1 repeated" in told(report)


def test_a_folder_of_something_else_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    _, report = laws(Fit("empty"), ask(tmp_path, PATCHES[:1]), "skipped-runs", "law-without-runs")
    assert "neither a run's folder nor a folder of such" in told(report)
