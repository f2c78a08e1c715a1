"""`shapeflow ask`: candidates are trained until the answer is settled, or the allowance is spent."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs
import pytest

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.ir.answer import Answer, Asked, Say, Settle
from shapeflow.ir.events import Measured, RunEnded
from shapeflow.running.ask import Allowance, Question, ask
from shapeflow.running.pool import Job, Pool
from shapeflow.running.price import prices
from shapeflow.running.rungs import LONGEST, MARGIN, SEEDS, Growing, next_lengths
from shapeflow.running.runs import Run, read_run
from shapeflow.running.sweep import laws_sentence, sweep_jobs, write_points

FILE = """
plan "ask"
model      vit(depth: 1, width: 16, head_width: 8)
data       digits(batch: 32)
objective  cross_entropy
optimizer  adamw(lr: 3e-3, warmup: 5 steps)
metric     cross_entropy
axis patch in [4, 2] px via flexi_resize(base: 4 px, preview: 0%)
traversal  steepest
budget     240 steps
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

    def __init__(self, worse: float = 4.0) -> None:
        self.worse = worse
        self.trained: list[tuple[str, int]] = []

    def __call__(self, jobs: Sequence[Job]) -> list[Run]:
        from shapeflow.ir.plan_json import save
        from shapeflow.running.run_log import PLAN

        runs = []
        for job in jobs:
            self.trained.append((job.folder.name, job.plan.steps))
            plan, shape = job.plan, job.plan.stages[0].shape
            scale = 1.0 if shape["patch"] == 2 else self.worse
            values = {step: {"cross_entropy": scale * (step / 5) ** -0.4} for step in range(2, plan.steps + 1)}
            events = tuple(
                Measured(step, 0, shape, plan.compute_at(step), None, value, 1.0) for step, value in values.items()
            )
            job.folder.mkdir(parents=True, exist_ok=True)
            save(plan, job.folder / PLAN)
            run = Run(job.folder, plan, (*events, RunEnded(plan.steps, plan.totals.compute or 0.0, True)))
            write_points([run], job.folder.parents[1] / f"{job.folder.name}.csv")
            runs.append(run)
        return runs


@pytest.fixture
def by_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Laws are fitted to the tables that `Trainer` writes next to the folder of the runs."""
    monkeypatch.setattr(Question, "laws", property(lambda self: 'laws from fit("runs/*.csv")'))


@pytest.mark.usefixtures("by_tables")
def test_runs_grow_until_the_answer_is_settled_and_an_idle_shape_waits(file: Path) -> None:
    trainer = Trainer()
    rounds = list(ask(question(file, compute=1e12), Report(), trainer))
    assert trainer.trained[:2] == [("patch4-seed0", 30), ("patch2-seed0", 30)]
    assert {name for name, _ in trainer.trained[2:]} == {"patch2-seed0"}
    assert [round(one.length, 3) for one in rounds] == [0.125, 0.25, 0.5, 1.0][: len(rounds)]
    assert rounds[-1].say == "no"
    assert rounds[-1].answer is not None
    assert rounds[-1].answer.idle == (rounds[0].jobs[0].plan.stages[0].shape,)


@pytest.mark.usefixtures("by_tables")
def test_every_run_counts_once_however_often_it_goes_on(file: Path) -> None:
    rounds = list(ask(question(file, compute=1e12), Report(), Trainer(1.02)))
    longest = {job.folder: job.plan.totals.compute or 0.0 for one in rounds for job in one.jobs}
    assert len(rounds) > 1
    assert sum(one.compute for one in rounds) == pytest.approx(sum(longest.values()))


@pytest.mark.usefixtures("by_tables")
def test_runs_are_as_long_as_the_allowance_admits(file: Path) -> None:
    every = list(ask(question(file, compute=1e12), Report(), Trainer()))
    first = every[0].compute
    for share, steps in ((1.0, 30), (0.5, 15), (0.3, 7)):
        other = file.parent / f"other{steps}"
        other.mkdir()
        (other / "plan.shape").write_text(FILE)
        trainer = Trainer()
        assert list(ask(question(other / "plan.shape", compute=share * first * 1.01), Report(), trainer))
        assert [length for _, length in trainer.trained[:2]] == [steps, steps]


SHAPES = A, B = Shape({"patch": 4}), Shape({"patch": 2})


def said(say: Say, **more: object) -> Answer:
    given: dict[str, object] = {
        **{"doubts": (), "stated": False, "unit": "compute", "useful": 0.02, "best": None, "last": None, "fixed": ()},
        **{"other": 0.0, "asked": (), "switches": (), "credit_needed": None, "differ": None, "differ_runs": 0},
        **{"error": None, "spent": None, "saved": None, "settle": None},
    }
    return Answer(say=say, **{**given, **more})  # type: ignore[arg-type]


def settling(by: Literal["seeds", "compute"], *shapes: Shape) -> Settle:
    return Settle(by=by, times=2.0, compute=1.0, shapes=shapes, expected=None)


def test_a_rung_doubles_the_runs_of_all_shapes_but_those_that_wait() -> None:
    growing = Growing({(A, 0): 0.25, (B, 0): 0.25})
    assert next_lengths(growing, None) == [{(A, 0): x, (B, 0): x} for x in (0.5, 0.375, 0.3125)]
    assert next_lengths(growing, said("unknown", idle=(A,)))[0] == {(B, 0): 0.5}


def test_beyond_the_data_yes_ends_the_search_and_no_does_not() -> None:
    asked = (Asked(shape=A, times=4.0),)
    growing = Growing({(A, 0): 0.25, (B, 0): 0.25})
    assert next_lengths(growing, said("yes", asked=asked)) == []
    assert next_lengths(growing, said("no", asked=asked))
    assert next_lengths(growing, said("no")) == []


@pytest.mark.parametrize("doubt", ["mixture", "metric", "published", "falling-rate"])
def test_no_run_is_trained_for_what_runs_cannot_tell(doubt: str) -> None:
    assert next_lengths(Growing({(A, 0): 0.125, (B, 0): 0.125}), said("unknown", doubts=(doubt,))) == []


def test_more_seeds_of_all_shapes_or_of_the_most_useful_one() -> None:
    growing = Growing({(A, 0): 1.0, (B, 0): 1.0, (B, 1): 1.0})
    answer = said("unknown", settle=settling("seeds", B, A))
    assert next_lengths(growing, answer) == [{(B, 2): 1.0, (A, 1): 1.0}, {(B, 2): 1.0}]
    many = Growing({(A, seed): 1.0 for seed in range(SEEDS)} | {(B, 0): 1.0})
    assert next_lengths(many, said("unknown", settle=settling("seeds", A))) == []


def test_longer_runs_have_all_runs_of_a_shape_go_on() -> None:
    growing = Growing({(A, 0): 1.0, (A, 1): 1.0, (B, 0): 1.0})
    asked = (Asked(shape=A, times=1.5), Asked(shape=B, times=100.0))
    first, second = next_lengths(growing, said("unknown", asked=asked, settle=settling("compute", A, B)))
    assert first == {(A, 0): 1.5 * MARGIN, (A, 1): 1.5 * MARGIN, (B, 0): LONGEST}
    assert second == {(A, 0): 1.5 * MARGIN, (A, 1): 1.5 * MARGIN}


def test_a_shape_that_waited_goes_on_before_the_search_ends() -> None:
    growing = Growing({(A, 0): 0.25, (B, 0): 1.0})
    assert next_lengths(growing, said("unknown", idle=(A,))) == [{(A, 0): 1.0}]
    assert next_lengths(growing, said("unknown", idle=(A,), settle=settling("seeds", B, A)))[0] == {(A, 0): 1.0}
    assert next_lengths(Growing({(A, 0): 1.0, (B, 0): 1.0}), said("unknown", idle=(A,))) == []


def test_the_sentence_of_a_folder_takes_its_name_literally(tmp_path: Path) -> None:
    assert laws_sentence(tmp_path / "runs/a[1]*", tmp_path) == 'laws from fit("runs/a[[]1][*]")'


def test_an_allowance_for_no_runs_is_refused(file: Path) -> None:
    with pytest.raises(Refused) as refused:
        list(ask(question(file, compute=1.0), Report(), Trainer()))
    (found,) = refused.value.diagnostics
    assert found.code == "allowance-too-small"
    # One step of each candidate.
    assert found.notes == ("the shortest that were tried need 1.4e+07 FLOPs",)


@pytest.mark.usefixtures("by_tables")
@pytest.mark.parametrize("steps", [240, 60])
def test_a_round_is_as_long_as_its_runs(steps: int, file: Path) -> None:
    """Runs of an earlier call may be longer than the first rung, whose steps are rounded down: 7 for 60."""
    file.write_text(FILE.replace("240 steps", f"{steps} steps"))
    list(ask(question(file, compute=1e12), Report(), Trainer(1.02)))

    def kept(jobs: Sequence[Job]) -> list[Run]:
        return [attrs.evolve(read_run(job.folder), events=(RunEnded(steps, 0.0, True),)) for job in jobs]

    first = next(iter(ask(question(file, compute=1e12), Report(), kept)))
    assert first.length == 1.0


def test_a_file_without_a_budget_is_refused(file: Path) -> None:
    laws = 'laws from fit("old.csv")'
    file.write_text(FILE.replace("budget     240 steps\n", f"{laws}\nstop when error <= 1\n"))
    with pytest.raises(Refused) as refused:
        list(ask(question(file, compute=1e12), Report(), Trainer()))
    assert refused.value.diagnostics[0].code == "uncounted-budget"


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = prices([sweep_jobs(file, ["budget 30 steps"], [0], file.parent / "x", Report())]).all
    within = f"{sum(one.compute for one in first):.0f} FLOPs"
    arguments = ["ask", str(file), "--within", within, "--jobs", "1", "--device", "cpu"]
    assert answer([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"]["say"] in ("yes", "no", "unknown")
    assert Path(found["plan"]).is_file()
    assert found["rounds"][0]["runs"] == 2
    assert found["rounds"][0]["length"] == 0.125
    # Finished runs are kept, and the folder is what other commands read.
    assert answer(arguments) == 0
    said = capsys.readouterr()
    assert "already done" in said.err
    assert "plan written to" in said.out
    # The file has no laws: the next command names those of the runs.
    words = shlex.split(said.out.rpartition("next: shapeflow ")[2].splitlines()[0].partition(", to")[0])
    assert "larger" in words or words[0] == "run" or words[3].startswith("laws from fit(")
    if words[0] == "compare":
        assert answer([*words, "--dry-run"]) == 0
    assert answer(["fit", str(file), "--set", 'laws from fit("runs/plan-ask/runs")']) == 0


@pytest.mark.parametrize("within", ["5 apples", "-3 minutes", "0 s", "3 tokens", ""])
def test_an_allowance_is_a_time_or_compute(within: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["ask", str(file), "--within", within]) == 2
    assert "write '20 minutes' or '3 TFLOPs'" in capsys.readouterr().err


def test_a_link_to_a_file_and_a_folder_with_wildcards(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The laws are fitted to the folder that was trained: paths are relative to the folder of the link."""
    link = file.parent / "links" / "[a] {b}.shape"
    link.parent.mkdir()
    link.symlink_to(file)
    first = prices([sweep_jobs(file, ["budget 30 steps"], [0], file.parent / "x", Report())]).all
    within = f"{sum(one.compute for one in first):.0f} FLOPs"
    assert answer(["ask", str(link), "--within", within, "--jobs", "1", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert 'laws from fit("runs/[[]a] [{]b}-ask/runs")' in said.out
    assert (link.parent / "runs" / "[a] {b}-ask" / "plan.json").is_file()


def test_a_folder_that_no_sentence_can_name_is_refused_before_training(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = file.parent / 'a"b'
    assert answer(["ask", str(file), "--within", "1 TFLOPs", "-o", str(folder)]) == 2
    assert "contains a double quote" in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.usefixtures("by_tables")
@pytest.mark.parametrize("line", ["optimizer adamw(lr: 1e-3)", "model vit(depth: 2, width: 16, head_width: 8)"])
def test_runs_of_another_training_are_not_mixed_with_those_of_another_seed(line: str, file: Path) -> None:
    list(ask(question(file, compute=1e12), Report(), Trainer()))
    again, trainer = attrs.evolve(question(file, compute=1e12), sentences=("seed 5", line)), Trainer()
    with pytest.raises(Refused) as refused:
        list(ask(again, Report(), trainer))
    assert refused.value.diagnostics[0].code == "other-plan"
    assert not trainer.trained
    assert list(ask(attrs.evolve(again, sentences=("seed 5",)), Report(), trainer))


@pytest.mark.usefixtures("by_tables")
def test_kept_runs_with_too_few_measurements_are_named(file: Path) -> None:
    """A sentence that measures more often does not change runs that are finished."""
    file.write_text(FILE + "evaluate every 1000 steps\n")

    class Rare(Trainer):
        def __call__(self, jobs: Sequence[Job]) -> list[Run]:
            runs = super().__call__(jobs)
            ends = [attrs.evolve(run, events=run.events[-2:]) for run in runs]
            for run in ends:
                write_points([run], run.folder.parents[1] / f"{run.folder.name}.csv")
            return ends

    with pytest.raises(Refused) as refused:
        list(ask(question(file, compute=1e12), Report(), Rare()))
    assert "evaluate more often" in (refused.value.diagnostics[0].help or "")
    file.write_text(FILE + "evaluate every 5 steps\n")

    def kept(jobs: Sequence[Job]) -> list[Run]:
        return [attrs.evolve(read_run(job.folder), events=(RunEnded(240, 0.0, True),)) for job in jobs]

    with pytest.raises(Refused) as refused:
        list(ask(question(file, compute=1e12), Report(), kept))
    assert "remove this run" in (refused.value.diagnostics[0].help or "")
    assert "not measured again" in refused.value.diagnostics[0].notes[-1]


def test_mixtures_are_for_pilot(file: Path) -> None:
    """Before anything is trained."""
    file.write_text(FILE.replace("steepest", "mixture(target: (patch: 2 px))"))
    trainer = Trainer()
    with pytest.raises(Refused) as found:
        list(ask(question(file, compute=1e12), Report(), trainer))
    assert "shapeflow pilot" in (found.value.diagnostics[0].help or "")
    assert not trainer.trained
