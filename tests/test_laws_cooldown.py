"""Runs whose learning rate falls at their end: cut at the fall, the drop, and what a plan says about its cooldown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from shapeflow.base.diagnostics import Report
from shapeflow.cli import answer
from shapeflow.compiler import compile_file, fit_file
from shapeflow.laws.logs.schedule import fall
from shapeflow.stages.lower.cooled import FARTHEST

ROOT = Path(__file__).parent.parent
STEPS = range(1, 101)


@pytest.mark.parametrize(
    ("rate", "at"),
    [
        (lambda step: min(1.0, step / 10, (100 - step) / 10), 90),
        (lambda step: min(1.0, (100 - step) / 40), 60),
        (lambda step: min(1.0, (100 - step) / 60), None),
        (lambda step: 1.0, None),
        (lambda step: 1 - step / 100, None),
        (lambda step: 1.0 if step <= 80 else 0.5, None),
        (lambda step: 1.0 if step <= 80 else 0.1, 80),
        (lambda step: 0.1 if step == 50 else min(1.0, (100 - step) / 10), None),
    ],
)
def test_where_a_rate_begins_to_fall(rate: Callable[[int], float], at: int | None) -> None:
    assert fall({float(step): rate(step) for step in STEPS}) == at


def test_a_rate_that_rises_again_is_no_cooldown() -> None:
    rates = {float(step): min(1.0, (100 - step) / 20) for step in STEPS}
    assert fall({**rates, 95.0: 0.9}) is None
    assert fall({1.0: 1.0, 2.0: 0.1}) is None
    assert fall({}) is None


HEAD = """model      transformer(depth: 2, width: 64, head_width: 16, kv_ratio: 2, mlp_ratio: 3)
data       python_source(batch: 512 tokens)
objective  next_token
metric     loss(context: own)
axis context in [16, 32, 64] tokens via context_grow
"""
LONG = {16: 3000, 32: 3000, 64: 3000}
DROP = {16: 0.08, 32: 0.08, 64: 0.08}


def write(folder: Path, *, offs: dict[int, float] | None = None, cooled: tuple[int, ...] = (16, 32, 64)) -> Path:
    """A file, and runs whose rate falls over the last tenth, during which the error falls by `DROP`. `offs`: contexts
    whose end is off by a factor."""
    rows = ["context,step,lr,loss"]
    for context, steps in LONG.items():
        for step in range(50, steps + 1, 50):
            after = max(0.0, (step - 0.9 * steps) / (0.1 * steps)) if context in cooled else 0.0
            loss = 1.4 - context / 500 + 60 / (step + 100) ** 0.6 - DROP[context] * after * (offs or {}).get(context, 1)
            rows.append(f"{context},{step},{2e-3 * (1 - after):.6g},{loss:.6f}")
    (folder / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = folder / "wsd.shape"
    laws = 'laws from fit("runs.csv", resamples: 0)\ntraversal steepest\nbudget 3000 steps\n'
    path.write_text(HEAD + laws, encoding="utf-8")
    return path


def test_the_part_before_the_fall_is_a_curve_at_a_constant_rate(tmp_path: Path) -> None:
    report = Report()
    _, found = fit_file(write(tmp_path), (), report)
    assert "falling-rate" not in {one.code for one in report.diagnostics}
    for shape, law in found.laws.items():
        about = law.provenance
        assert about.learning_rate == "constant"
        assert about.dropped["where the learning rate falls"] == 6
        drop = about.drop
        assert drop is not None
        assert drop.value == pytest.approx(DROP[shape.number("context")], rel=0.05)
        assert drop.share == pytest.approx(0.1, abs=0.001)
        assert drop.runs == 1
        assert law.error(drop.compute) > about.error[1] - DROP[64]  # type: ignore[index]


def test_runs_without_a_fall_record_no_drop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["fit", str(write(tmp_path, cooled=())), "--json"]) == 0
    laws = json.loads(capsys.readouterr().out)["laws"]
    assert not any("drop" in law for law in laws)


def test_the_drop_survives_a_table_of_laws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    assert answer(["fit", str(path), "-o", str(tmp_path / "laws.json")]) == 0
    assert "below the law, after a fall over 10% of the run" in " ".join(capsys.readouterr().out.split())
    table = 'laws from table("laws.json")'
    direct, again = (note(path, *sets) for sets in ((), (table,)))
    assert direct == again


def note(path: Path, *sets: str, cooldown: str = "cooldown 10%") -> str:
    plan = compile_file(path, (cooldown, *sets))
    return next(one for one in plan.notes if "cooldown" in one and "final error" in one)


def test_a_plan_says_what_its_cooldown_gains(tmp_path: Path) -> None:
    said = note(write(tmp_path))
    assert said.startswith("the cooldown lowers the final error by 0.08, give or take 0.013")
    assert "ends at" in said


def test_the_drop_of_another_shape_is_brought_to_size_and_length(tmp_path: Path) -> None:
    # All contexts have nearly the same size, and a step of a context costs what its own model counts.
    assert note(write(tmp_path, cooled=(16,))).startswith("the cooldown lowers the final error by 0.08")


@pytest.mark.parametrize(
    ("sets", "cooldown", "why"),
    [
        ((), "cooldown 30%", "a share of the plan, at most 20%"),
        ((), "cooldown 300 steps", "a share of the plan"),
        (("budget 100000 steps",), "cooldown 10%", f"over {FARTHEST:g} times longer or shorter"),
    ],
)
def test_what_is_not_known_is_said(tmp_path: Path, sets: tuple[str, ...], cooldown: str, why: str) -> None:
    said = note(write(tmp_path), *sets, cooldown=cooldown)
    assert "is not known" in said
    assert why in said


def test_without_a_cooled_run_the_gain_is_not_known(tmp_path: Path) -> None:
    assert "no run of its laws ends in a cooldown" in note(write(tmp_path, cooled=()))


def test_sweeps_of_shapeflow_are_measured_on_averaged_weights() -> None:
    assert "by less than 0.005 nats" in note(ROOT / "examples" / "lm_context.shape")


def test_averaged_weights_are_known_from_a_table_of_laws(tmp_path: Path) -> None:
    path = write(tmp_path, cooled=())
    header, *rows = (tmp_path / "runs.csv").read_text(encoding="utf-8").splitlines()
    text = "\n".join([f"{header},convention", *(f"{row},flops" for row in rows)])
    (tmp_path / "runs.csv").write_text(f"{text}\n", encoding="utf-8")
    assert answer(["fit", str(path), "-o", str(tmp_path / "laws.json")]) == 0
    direct, again = (note(path, *sets) for sets in ((), ('laws from table("laws.json")',)))
    assert direct == again
    assert "averaged weights" in again


def test_laws_without_word_of_their_weights_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, cooled=())
    assert answer(["fit", str(path), "-o", str(tmp_path / "laws.json")]) == 0
    assert "averaged" not in (tmp_path / "laws.json").read_text(encoding="utf-8")
    assert "is not known" in note(path, 'laws from table("laws.json")')


def test_an_end_above_the_law_measures_no_drop(tmp_path: Path) -> None:
    path = write(tmp_path, offs={64: -0.2})
    report = Report()
    _, found = fit_file(path, (), report)
    (odd,) = (one for one in report.diagnostics if one.code == "odd-drop")
    assert "above the law, although its learning rate fell" in odd.notes[0]
    assert [law.provenance.drop is None for law in found.laws.values()] == [False, False, True]


def test_a_run_that_is_off_its_law_at_the_fall_is_doubted(tmp_path: Path) -> None:
    path = write(tmp_path)
    header, *rows = (tmp_path / "runs.csv").read_text(encoding="utf-8").splitlines()
    rows = [f"{row},a" for row in rows]
    for step in range(50, 3001, 50):
        # A second run of a context that goes on from another one after a third.
        after, off = max(0.0, (step - 2700) / 300), 1.05 if step > 1000 else 1.0
        loss = off * (1.4 - 64 / 500 + 60 / (step + 100) ** 0.6) - 0.08 * after
        rows.append(f"64,{step},{2e-3 * (1 - after):.6g},{loss:.6f},b")
    (tmp_path / "runs.csv").write_text("\n".join([f"{header},run", *rows]) + "\n", encoding="utf-8")
    report = Report()
    fit_file(path, (), report)
    (odd,) = (one for one in report.diagnostics if one.code == "odd-drop")
    assert len(odd.notes) >= 1
    assert "off the law where its learning rate begins to fall" in odd.notes[0]


@pytest.mark.parametrize(("factor", "odd"), [(1.001, False), (1.03, True)])
def test_constant_parts_of_one_shape_that_differ(tmp_path: Path, factor: float, odd: bool) -> None:
    path = write(tmp_path)
    header, *rows = (tmp_path / "runs.csv").read_text(encoding="utf-8").splitlines()
    others = [(*row.rpartition(",")[0::2], "c") for row in rows if row.startswith("64,")]
    parts = [row.rpartition(",") for row in rows]
    rows = [f"{row},a" for row in rows] + [f"{rest},{1.0005 * float(loss):.6f},b" for rest, _, loss in parts]
    rows += [f"{rest},{factor * float(loss):.6f},{run}" for rest, loss, run in others]
    (tmp_path / "runs.csv").write_text("\n".join([f"{header},run", *rows]) + "\n", encoding="utf-8")
    report = Report()
    fit_file(path, (), report)
    found = [note for one in report.diagnostics if one.code == "unlike-runs" for note in one.notes]
    assert len(found) == odd
    assert all("run `c` needs " in note and "of the median of the others" in note for note in found)
