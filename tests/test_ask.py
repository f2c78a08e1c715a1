"""`shapeflow ask`: candidates are trained until the answer is settled, or the allowance is spent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.cli import answer
from shapeflow.ir.answer import Settle
from shapeflow.ir.events import Measured, RunEnded
from shapeflow.running.ask import Allowance, Question, Round, ask
from shapeflow.running.pool import Job, Pool
from shapeflow.running.price import prices
from shapeflow.running.runs import Run
from shapeflow.running.sweep import sweep_jobs, write_points

FILE = """
plan "ask"
model      vit(depth: 1, width: 16, head_width: 8)
data       digits(batch: 32)
objective  cross_entropy
optimizer  adamw(lr: 3e-3, warmup: 5 steps)
metric     cross_entropy
axis patch in [4, 2] px via flexi_resize(base: 4 px, preview: 0%)
traversal  steepest
budget     60 steps
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.shape"
    path.write_text(FILE)
    return path


def question(file: Path, **allowance: float) -> Question:
    return Question(file, (), file.parent / "runs/ask", Allowance(**allowance), Pool(1, "cpu", file.parent))


class Trainer:
    """Writes runs by a law instead of training; the second shape is the better one per FLOP throughout."""

    def __init__(self) -> None:
        self.trained: list[str] = []

    def __call__(self, jobs: Sequence[Job]) -> list[Run]:
        from shapeflow.ir.plan_json import save
        from shapeflow.running.runs import PLAN

        runs = []
        for job in jobs:
            self.trained.append(job.folder.name)
            plan, shape = job.plan, job.plan.stages[0].shape
            scale = 1.0 if shape["patch"] == 2 else 1.5
            events = tuple(
                Measured(
                    step, 0, shape, plan.compute_at(step), None, {"cross_entropy": scale * (step / 5) ** -0.4}, 1.0
                )
                for step in range(2, plan.steps + 1)
            )
            job.folder.mkdir(parents=True)
            save(plan, job.folder / PLAN)
            run = Run(job.folder, plan, (*events, RunEnded(plan.steps, plan.totals.compute or 0.0, True)))
            write_points([run], job.folder.parents[2] / f"{job.folder.name}.csv")
            runs.append(run)
        return runs


@pytest.fixture
def by_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Laws are fitted to the tables that `Trainer` writes next to the folder of the runs."""
    monkeypatch.setattr(Question, "laws", property(lambda self: 'laws from fit("runs/*.csv")'))


@pytest.mark.usefixtures("by_tables")
def test_a_settled_answer_ends_the_search(file: Path) -> None:
    trainer = Trainer()
    (only,) = ask(question(file, compute=1e12), Report(), trainer)
    assert trainer.trained == ["patch4-seed0", "patch2-seed0"]
    assert only.answer.say == "no"
    assert [job.plan.steps for job in only.jobs] == [60, 60]


@pytest.mark.usefixtures("by_tables")
def test_first_runs_share_an_allowance_that_is_too_small(file: Path) -> None:
    (whole,) = ask(question(file, compute=1e12), Report(), Trainer())
    other = file.parent / "other"
    other.mkdir()
    (other / "plan.shape").write_text(FILE)
    (half,) = ask(question(other / "plan.shape", compute=whole.compute / 2), Report(), Trainer())
    assert half.compute == pytest.approx(0.5 * whole.compute)
    assert {job.plan.steps for job in half.jobs} == {30}


@pytest.mark.usefixtures("by_tables")
def test_more_seeds_are_trained_while_they_would_settle_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown answer asks for more runs of one shape; they are trained until the allowance ends."""
    import shapeflow.running.ask as module

    compiled = module.compile_file

    def undecided(*arguments: object) -> object:
        plan = compiled(*arguments)  # type: ignore[arg-type]
        assert plan.answer is not None
        shape = plan.stages[-1].shape
        wanted = Settle(by="seeds", times=2.0, compute=1.0, shapes=(shape,), expected=None)
        return attrs.evolve(plan, answer=attrs.evolve(plan.answer, say="unknown", settle=wanted))

    monkeypatch.setattr(module, "compile_file", undecided)
    trainer = Trainer()
    rounds: list[Round] = list(ask(question(file, compute=1e12), Report(), trainer))
    assert len(rounds) == module.SEEDS
    assert trainer.trained[2:4] == ["patch2-seed1", "patch2-seed2"]
    spent = rounds[0].compute + 1.5 * rounds[1].compute
    again = file.parent / "again"
    again.mkdir()
    (again / "plan.shape").write_text(FILE)
    assert len(list(ask(question(again / "plan.shape", compute=spent), Report(), Trainer()))) == 2


def test_an_allowance_for_no_runs_is_refused(file: Path) -> None:
    with pytest.raises(Refused) as refused:
        list(ask(question(file, compute=1.0), Report(), Trainer()))
    assert refused.value.diagnostics[0].code in ("allowance-too-small", "no-steps")


def test_a_file_without_a_budget_is_refused(file: Path) -> None:
    laws = 'laws from fit("old.csv")'
    file.write_text(FILE.replace("budget     60 steps\n", f"{laws}\nstop when error <= 1\n"))
    with pytest.raises(Refused) as refused:
        list(ask(question(file, compute=1e12), Report(), Trainer()))
    assert refused.value.diagnostics[0].code == "uncounted-budget"


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["ask", str(file), "--within", "1 TFLOPs", "--jobs", "1", "--device", "cpu"]
    assert answer([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"]["say"] in ("yes", "no", "unknown")
    assert Path(found["plan"]).is_file()
    assert found["rounds"][0]["runs"] == 2
    # Finished runs are kept, and the folder is what other commands read.
    assert answer(arguments) == 0
    said = capsys.readouterr()
    assert "already done" in said.err
    assert "plan written to" in said.out
    assert "next: shapeflow " in said.out
    assert answer(["fit", str(file), "--set", 'laws from fit("runs/plan-ask/runs/whole")']) == 0


def test_a_larger_allowance_continues_after_shorter_runs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of each length have their own folder: a repeated call must not meet runs of another plan."""
    priced = sum(one.compute for one in prices([sweep_jobs(file, [], [0], file.parent / "x", Report())]).all)
    for within, runs in ((0.6 * priced, "1-of-2"), (2 * priced, "whole")):
        arguments = ["ask", str(file), "--within", f"{within:.0f} FLOPs", "--jobs", "1", "--device", "cpu"]
        assert answer(arguments) == 0, capsys.readouterr().err
        assert f'laws from fit("runs/plan-ask/runs/{runs}")' in capsys.readouterr().out


@pytest.mark.parametrize("within", ["5 apples", "-3 minutes", "0 s", "3 tokens", ""])
def test_an_allowance_is_a_time_or_compute(within: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["ask", str(file), "--within", within]) == 2
    assert "write '20 minutes' or '3 TFLOPs'" in capsys.readouterr().err
