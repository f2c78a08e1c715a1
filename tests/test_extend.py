"""Runs that are too short go on from their end, bit for bit as if they had been longer from the start."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import attrs
import pytest

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.ir.events import RunStarted, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.running.backend import backend
from shapeflow.running.options import Options
from shapeflow.running.pool import Job, Pool
from shapeflow.running.runs import aside, read_run
from shapeflow.running.sweep import sweep_jobs
from shapeflow.running.training import begins_like

FILE = """
plan "extend"
model      vit(depth: 1, width: 16, head_width: 8)
data       digits(batch: 32)
objective  cross_entropy
optimizer  adamw(lr: 3e-3, warmup: 5 steps)
metric     cross_entropy
axis patch in [4] px via flexi_resize(base: 4 px)
traversal  evenly
budget     40 steps
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.shape"
    path.write_text(FILE)
    return path


def job(file: Path, steps: int, name: str, *sentences: str) -> Job:
    (found,) = sweep_jobs(file, [f"budget {steps} steps", *sentences], [0], file.parent / name, Report())
    return found


MIXED = FILE.replace("[4] px", "[4, 2] px").replace(
    "traversal  evenly", "stage (patch: 2 px) with 70% (patch: 4 px) until end"
)


def mixed_job(file: Path, steps: int, name: str, *sentences: str) -> Job:
    """A run with constant shares, as a pilot has them."""
    file.write_text(MIXED)
    plan = compile_file(file, [f"budget {steps} steps", "checkpoint every 100%", *sentences], Report())
    return Job("mixed", plan, file.parent / name / "run")


def train(plan: Plan, folder: Path, resume: bool = False, pause: int | None = None) -> None:
    options = Options(root=folder.parents[1], device="cpu", compile="off", resume=resume, pause=pause)
    backend("torch")().run(plan, folder, options)


def weights(folder: Path) -> list[str]:
    last = max((folder / "checkpoints").iterdir())
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(last.glob("*.safetensors"))]


def ignored(*_: object) -> None:
    """Watch nothing."""


def test_an_extended_run_ends_with_the_bits_of_a_longer_one(file: Path) -> None:
    short, whole, long = job(file, 15, "a"), job(file, 40, "b"), job(file, 40, "a")
    train(short.plan, short.folder)
    train(whole.plan, whole.folder)
    assert not long.finished
    backend("torch")().extend(long.folder, long.plan, aside(long.folder))
    train(long.plan, long.folder, resume=True)
    assert weights(long.folder) == weights(whole.folder)
    run = read_run(long.folder)
    assert [event.step for event in run.measured if event.step > 15] == [
        event.step for event in read_run(whole.folder).measured if event.step > 15
    ]
    assert {event.step for event in read_run(whole.folder).measured} >= {40}
    assert run.ended is not None
    assert run.ended.step == 40
    assert sum(type(event).__name__ == "RunEnded" for event in run.events) == 1
    assert not aside(long.folder).exists()


def test_a_mixed_run_is_extended_by_the_pool_to_the_bits_of_a_longer_one(file: Path) -> None:
    """The shapes of 100 steps are shuffled at once: the run ends within the first hundred and goes on to the second."""
    short, whole, long = mixed_job(file, 60, "a"), mixed_job(file, 130, "b"), mixed_job(file, 130, "a")
    train(short.plan, short.folder)
    train(whole.plan, whole.folder)
    assert not long.finished
    (run,) = Pool(1, "cpu", file.parent).run([long], ignored)
    assert [event.step for event in run.events if isinstance(event, RunStarted)] == [0, 60]
    assert weights(long.folder) == weights(whole.folder)
    taken = [
        [(event.step, event.shape, event.loss) for event in one.events if isinstance(event, StepDone)]
        for one in (run, read_run(whole.folder))
    ]
    assert taken[0] == taken[1]
    assert len({shape for _, shape, _ in taken[0]}) == 2
    assert run.measured[-1].values == read_run(whole.folder).measured[-1].values


def test_a_run_with_other_shares_is_not_continued(file: Path) -> None:
    short, other = mixed_job(file, 15, "a"), mixed_job(file, 40, "a")
    file.write_text(MIXED.replace("70%", "60%"))
    plan = compile_file(file, [], Report())
    assert begins_like(short.plan, other.plan)
    assert not begins_like(short.plan, plan)
    assert not begins_like(short.plan, attrs.evolve(other.plan, held_out=64))


def test_the_pool_extends_a_shorter_run_and_keeps_a_longer_one(file: Path) -> None:
    short, long = job(file, 15, "a"), job(file, 40, "a")
    train(short.plan, short.folder)
    (run,) = Pool(1, "cpu", file.parent).run([long], ignored)
    assert (run.plan.digest, run.done) == (long.plan.digest, 40)
    assert short.finished
    (kept,) = Pool(1, "cpu", file.parent).run([short], ignored)
    assert kept.plan.digest == long.plan.digest


@pytest.mark.parametrize(("before", "then"), [(15, 40), (40, 40), (40, 15)])
def test_a_run_that_was_set_aside_is_found_again(before: int, then: int, file: Path) -> None:
    """The process was killed after it moved the old folder and before the new one took its place."""
    earlier, now = job(file, before, "a"), job(file, then, "a")
    train(earlier.plan, earlier.folder)
    earlier.folder.rename(aside(earlier.folder))
    (run,) = Pool(1, "cpu", file.parent).run([now], ignored)
    assert run.done == 40
    assert [event.step for event in run.events if isinstance(event, RunStarted)] == [0, 15][: 1 + (before < then)]
    assert not aside(now.folder).exists()


def test_copies_that_killed_processes_left_are_not_runs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They were killed before or after the new folder took the place of the old one."""
    one = job(file, 40, "a")
    train(one.plan, one.folder)
    left = [aside(one.folder), one.folder.with_name(f".{one.folder.name}.4242")]
    for copy in left:
        shutil.copytree(one.folder, copy)
    assert answer(["fit", str(file), "--set", 'laws from fit("a", resamples: 50)', "--json"]) == 0
    (curve,) = json.loads(capsys.readouterr().out)["laws"]
    assert curve["runs"] == 1
    answer(["doctor", str(one.folder.parent)])
    assert f".{one.folder.name}." not in capsys.readouterr().out
    Pool(1, "cpu", file.parent).run([one], ignored)
    assert not any(copy.exists() for copy in left)


def test_a_run_without_a_checkpoint_starts_again(file: Path) -> None:
    from shapeflow.ir.plan_json import save

    short, long = job(file, 15, "a"), job(file, 40, "a")
    save(short.plan, short.folder / "plan.json")
    backend("torch")().extend(long.folder, long.plan, aside(long.folder))
    assert read_run(long.folder).plan.digest == long.plan.digest
    assert read_run(long.folder).done == 0


@pytest.mark.parametrize(
    "sentence",
    ["seed 1", "optimizer adamw(lr: 2e-3, warmup: 5 steps)", "data digits(batch: 16)", "metric classification_error"],
)
def test_another_training_is_not_continued(sentence: str, file: Path) -> None:
    short = job(file, 15, "a")
    (other,) = sweep_jobs(file, ["budget 40 steps", sentence], [int(sentence == "seed 1")], file.parent / "b", Report())
    assert not begins_like(short.plan, other.plan)
    train(short.plan, short.folder)
    with pytest.raises(Refused) as refused:
        Pool(1, "cpu", file.parent).run([Job("x", other.plan, short.folder)], ignored)
    assert refused.value.diagnostics[0].code == "other-plan"


def test_losses_of_another_longest_context_are_not_continued(file: Path) -> None:
    text = Path("examples/lm_context.shape").read_text()
    file.write_text(text.replace("laws/", str(Path("examples/laws").resolve()) + "/"))
    short, long = (sweep_jobs(file, [f"budget {n} steps"], [0], file.parent / "a", Report()) for n in (10, 20))
    other = sweep_jobs(
        file, ["budget 20 steps", "axis context in [16, 32] tokens via context_grow"], [0], file.parent / "a", Report()
    )
    assert begins_like(short[0].plan, long[0].plan)
    assert not begins_like(short[0].plan, other[0].plan)
