"""`shapeflow pilot`: real pilots of tiny models on the CPU, and the law that is read back from their folders."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from test_probe import in_this_process

from shapeflow import api
from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.compiler import compile_file, program_of
from shapeflow.ir.events import RunStarted, StepDone
from shapeflow.ir.mixture import MixtureLaw
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import load, save, sealed
from shapeflow.laws.mixing.pilots import Trial
from shapeflow.laws.mixing.reading import read_pilots
from shapeflow.preview.mixture import mixture_json, mixture_view
from shapeflow.running import pilot as pilot_module
from shapeflow.running.pilot import EVALUATE, Piloting, piloting, trained
from shapeflow.running.pilot_table import write_pilots
from shapeflow.running.pool import Job, Pool
from shapeflow.running.runs import Run, read_run
from shapeflow.stages.find_laws import _request, find_laws

TEXT = """
plan       "text"
model      transformer(depth: 1, width: 16, head_width: 8)
data       python_source(batch: 64 tokens)
objective  next_token
optimizer  adamw(lr: 3e-3, warmup: 4 steps, average: 8 steps)
metric     loss(context: longest)
axis       context in [8, 16, 32] tokens via context_grow
traversal  mixture(target: (context: 32 tokens))
budget     103 steps
evaluate   every 6 steps
checkpoint every 18 steps
"""
IMAGES = """
plan       "images"
model      vit(depth: 1, width: 16, head_width: 8)
data       digits(batch: 16)
objective  cross_entropy
metric     cross_entropy
axis       patch in [4, 2] px via flexi_resize(base: 4 px)
traversal  mixture(target: (patch: 2 px))
budget     60 steps
checkpoint every 100%
"""
SMALL, MIDDLE, LARGE = (Shape.of(context=n) for n in (8, 16, 32))
PILOT = ["--shares", "1,20%", "--device", "cpu", "--jobs", "1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `text.shape` and its pilots, and what the first call printed."""
    folder = tmp_path_factory.mktemp("pilots")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Pool, "run", in_this_process)
        Path("text.shape").write_text(TEXT)
        assert answer(["pilot", "text.shape", *PILOT, "--csv", "pilots.csv"]) == 0
        yield folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(Pool, "run", in_this_process)
    return made


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Pool, "run", in_this_process)
    Path("text.shape").write_text(TEXT)
    Path("images.shape").write_text(IMAGES)
    return tmp_path


Ask = Callable[..., str]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    def asked(*words: str, status: int = 0) -> str:
        capsys.readouterr()
        code = answer(list(words))
        said = capsys.readouterr()
        assert code == status, said.err
        return said.out if status == 0 else said.err

    return asked


def runs_of(folder: Path) -> list[Run]:
    return [read_run(path) for path in sorted((folder / "runs/text-pilots").iterdir())]


def law(folder: Path, laws: str, report: Report | None = None) -> MixtureLaw:
    report = report or Report()
    program = program_of(folder / "text.shape", [laws], report)
    assert program is not None
    found = find_laws(program, report).mixture
    assert found is not None, report.diagnostics
    return found


def read(folder: Path, place: str) -> Sequence[Trial]:
    """The pilots in a folder or table."""
    report = Report()
    program = program_of(folder / "text.shape", ['laws from mixture("pilots.csv")'], report)
    assert program is not None
    found = read_pilots(place, _request(program, program.candidates), report)
    assert found is not None, report.diagnostics
    return found.trials


def code(folder: Path, laws: str) -> str:
    report = Report()
    program = program_of(folder / "text.shape", [laws], report)
    assert program is not None
    assert find_laws(program, report).mixture is None
    return report.errors[0].code


# -- the command ----------------------------------------------------------------------------------------------------


def test_all_pilots_are_trained_once(here: Path) -> None:
    """Two cheap shapes are tried at 10%; the better one gets the other pilots, two seeds each."""
    runs = runs_of(here)
    assert all(run.ended is not None and run.ended.finished for run in runs)
    names = {run.folder.name for run in runs}
    tried = {f"context32-0.1-context{n}-seed0" for n in (8, 16)}
    assert tried <= names
    ends = {run.folder.name: run.curve("loss@longest")[-1][2] for run in runs}
    best = min(tried, key=lambda name: ends[name]).removeprefix("context32-0.1-").removesuffix("-seed0")
    others = {f"context32{part}-seed{seed}" for part in ("", f"-0.2-{best}") for seed in (0, 1)}
    assert names == tried | others
    assert {run.plan.stages[0].shape for run in runs} == {LARGE}
    assert all(run.plan.steps == 36 for run in runs)


def test_data_at_each_shape_is_that_of_the_events(here: Path) -> None:
    for run in runs_of(here):
        counted: Counter[Shape] = Counter()
        at = {}
        for event in run.events:
            if isinstance(event, StepDone):
                counted[event.shape] += 64
                at[event.step] = dict(counted)
        assert len(at) == run.plan.steps
        for step, data in at.items():
            assert {shape: n for shape, n in run.plan.data_of(step).items() if n} == data


def test_the_table_holds_the_data_and_the_errors_of_all_measurements(here: Path) -> None:
    with (here / "pilots.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_name = {run.folder.name: run for run in runs_of(here)}
    assert {row["run"] for row in rows} == set(by_name)
    assert len(rows) == sum(len(run.measured) for run in by_name.values())
    for row in rows:
        run, step = by_name[row["run"]], int(row["step"])
        data = run.plan.data_of(step)
        assert [int(row[f"context={n}"]) for n in (8, 16, 32)] == [data.get(s, 0) for s in (SMALL, MIDDLE, LARGE)]
        assert sum(data.values()) == 64 * step
        (event,) = (each for each in run.measured if each.step == step)
        assert float(row["loss@longest"]) == pytest.approx(event.values["loss@longest"], rel=1e-5)
        assert float(row["compute"]) == event.compute


def test_folders_and_table_give_the_same_law(here: Path) -> None:
    folders, table = (read(here, place) for place in ("runs/text-pilots", "pilots.csv"))
    assert len(folders) == len(table) == len(runs_of(here))
    for one in folders:
        (other,) = (each for each in table if each.name == f"pilots.csv: {Path(one.name).name}")
        assert (one.data == other.data).all()
        assert one.error == pytest.approx(other.error, rel=1e-5)
        assert one.compute == pytest.approx(other.compute)
        assert one.seed == other.seed
    laws = [law(here, f'laws from mixture("{place}")') for place in ("runs/text-pilots", "pilots.csv")]
    assert laws[0].target == laws[1].target == LARGE
    assert laws[0].kinds == laws[1].kinds
    assert laws[0].theta[0] == pytest.approx(laws[1].theta[0], abs=1e-3)
    assert laws[0].seeds == 2
    assert laws[0].spent == pytest.approx(sum(run.measured[-1].compute for run in runs_of(here)))
    # All pilots share one held-out set, so its standard error is that of one run, not of their mean.
    of_set = [run.measured[-1].errors["loss@longest"] for run in runs_of(here)]
    assert laws[0].provenance.held_out_error == pytest.approx(np.sqrt(np.mean(np.square(of_set))))
    assert laws[1].provenance.held_out_error is None
    screens = [str(mixture_view("text", {}, "loss", one).renderables) for one in laws]
    assert ["standard error of the held-out set" in screen for screen in screens] == [True, False]
    assert [one.get("held_out_error") for one in map(mixture_json, laws)] == [
        laws[0].provenance.held_out_error,
        None,
    ]


def test_a_second_call_trains_nothing_and_gives_the_same_answer(
    here: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr("test_probe.run", never)
    found = json.loads(ask("pilot", "text.shape", *PILOT, "--json"))
    assert found["laws"] == 'laws from mixture("runs/text-pilots")'
    assert found["answer"]["mix"]["target"] == {"context": 32}
    screen = ask("pilot", "text.shape", *PILOT, "--csv", "pilots.csv")
    assert 'laws: `laws from mixture("pilots.csv")`' in screen
    assert "next: shapeflow" in screen
    dry = json.loads(ask("pilot", "text.shape", *PILOT, "--dry-run", "--json"))
    assert {one["state"] for one in dry["runs"]} == {"finished"}


def test_a_dry_run_prices_the_shape_that_the_trial_chose(here: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever order the shapes are tried."""
    own = pilot_module.piloting

    def turned(*settings: Any, **named: Any) -> Piloting:
        found = own(*settings, **named)
        return attrs.evolve(found, cheap=found.cheap[::-1])

    monkeypatch.setattr(pilot_module, "piloting", turned)
    dry = json.loads(ask("pilot", "text.shape", *PILOT, "--dry-run", "--json"))
    assert {one["state"] for one in dry["runs"]} == {"finished"}


def test_a_plan_is_compiled_from_the_pilots(here: Path, ask: Ask) -> None:
    plans = []
    for place in ("runs/text-pilots/*", "pilots.csv"):
        ask("compile", "text.shape", "--set", f'laws from mixture("{place}")', "-o", "plan.json")
        plans.append(load(here / "plan.json"))
    for plan in plans:
        assert plan.stages[0].shape == LARGE
        assert plan.answer is not None
        assert plan.answer.mix is not None
        assert plan.answer.mix.pilots == len(runs_of(here))
    assert plans[0].stages[0].blends == plans[1].stages[0].blends


def test_a_dry_run_lists_every_pilot_once_and_writes_nothing(empty: Path, ask: Ask) -> None:
    found = json.loads(ask("pilot", "text.shape", "--dry-run", "--json"))
    assert sorted(path.name for path in empty.iterdir()) == ["images.shape", "text.shape"]
    labels = [one["label"] for one in found["runs"]]
    assert len(labels) == len(set(labels)) == 9
    assert labels[:2] == [
        "(context: 32 tokens) 10%, (context: 8 tokens) 90%, seed 0",
        "(context: 32 tokens) 10%, (context: 16 tokens) 90%, seed 0",
    ]
    assert {one["steps"] for one in found["runs"]} == {36}
    alone = json.loads(
        ask("pilot", "text.shape", "--cheap", "(context: 8)", "--seeds", "3", "--length", "0.7", "--dry-run", "--json")
    )
    assert [one["label"] for one in alone["runs"]] == [
        "(context: 32 tokens), seed 3",
        "(context: 32 tokens) 50%, (context: 8 tokens) 50%, seed 3",
        "(context: 32 tokens) 10%, (context: 8 tokens) 90%, seed 3",
        "(context: 32 tokens) 3%, (context: 8 tokens) 97%, seed 3",
    ]
    assert {one["steps"] for one in alone["runs"]} == {72}
    assert "the other pilots are priced with (context: 8 tokens)" in " ".join(
        ask("pilot", "text.shape", "--dry-run").split()
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shares", "1,2"], "`2` is not a share above 0 and at most 1"),
        (["--length", "0%"], "`0%` is not a share above 0 and at most 1"),
        (["--cheap", "8 tokens"], "is not a shape: write '(context: 64 tokens)'"),
        (["--seeds", "a"], "seed"),
        (["--shares", "1,0.1,10%"], "`1,0.1,10%` names a share twice"),
        (["--cheap", "(context: 8, context: 16)"], "is not a shape: write '(context: 64 tokens)'"),
        (["--cheap", "(context: 8 px)"], "`px` is not the unit of `context`: write (context: 8 tokens)"),
    ],
)
def test_options_that_cannot_be_read(words: list[str], said: str, empty: Path, ask: Ask) -> None:
    assert said in " ".join(ask("pilot", "text.shape", *words, status=2).split())


@pytest.mark.parametrize("share", ["1e-9", "0.00001", "0.001"])
def test_a_share_without_a_step_of_the_target_is_refused(share: str, empty: Path, ask: Ask) -> None:
    said = " ".join(ask("pilot", "text.shape", "--shares", f"1,{share}", "--dry-run", status=1).split())
    assert "error[out-of-range]" in said
    assert "leaves (context: 32 tokens) less than one step of a pilot" in said
    assert "--shares" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cheap", "(context: 32)"], "(context: 32 tokens) cannot be mixed in: it is the target itself"),
        (["--cheap", "(context: 48)"], "(context: 48 tokens) cannot be mixed in: it is not a candidate"),
        (["--set", "traversal mixture(target: (context: 48 tokens))"], "(context: 48 tokens) is not a candidate"),
    ],
)
def test_shapes_that_cannot_be_piloted_are_named_with_those_that_can(
    words: list[str], said: str, empty: Path, ask: Ask
) -> None:
    shown = " ".join(ask("pilot", "text.shape", *words, "--dry-run", status=1).split())
    assert said in shown
    assert "(context: 8 tokens), (context: 16 tokens)" in shown
    assert "= help: name one of" in shown


def test_what_pilot_refuses(empty: Path) -> None:
    def refused(*sentences: str, **how: Any) -> str:
        with pytest.raises(Refused) as found:
            piloting(Path("text.shape"), sentences, empty / "runs", report=Report(), **how)
        return found.value.diagnostics[0].code

    width = "axis width in [8, 16] via width_expand"
    wide = TEXT.replace("width: 16, ", "context: 32 tokens, ").replace(
        "axis       context in [8, 16, 32] tokens via context_grow", width
    )
    assert refused("traversal evenly") == "no-target"
    assert refused("traversal mixture(target: (context: 64 tokens))") == "unknown-candidate"
    assert refused(cheap=Shape.of(context=64)) == "unknown-candidate"
    assert refused(cheap=LARGE) == "unknown-candidate"
    # Nothing is cheaper than the smallest context.
    assert refused("traversal mixture(target: (context: 8 tokens))") == "not-blendable"
    Path("text.shape").write_text(TEXT.replace("budget     103 steps\n", "stop when error <= 2\n"))
    assert refused() in ("uncounted-budget", "no-end")
    Path("text.shape").write_text(wide.replace("(context: 32 tokens)", "(width: 16)").replace("longest", "own"))
    assert refused() == "not-blendable"


def test_pilots_are_evaluated_often_unless_the_file_says_how_often(empty: Path) -> None:
    Path("text.shape").write_text(TEXT.replace("evaluate   every 6 steps\n", ""))
    found = piloting(Path("text.shape"), [], empty / "runs", report=Report())
    assert EVALUATE == "evaluate every 2.5%"
    assert found.job(0, 0.5, SMALL).plan.evaluate == 1
    Path("text.shape").write_text(TEXT)
    assert piloting(Path("text.shape"), [], empty / "runs", report=Report()).job(0, 0.5, SMALL).plan.evaluate == 6


def test_patches_are_piloted_too(empty: Path) -> None:
    """The error is that at the target's own patch."""
    found = piloting(
        Path("images.shape"), ["evaluate every 10%"], empty / "runs", shares=(1.0, 0.5), seeds=(0,), report=Report()
    )
    assert found.trial == []
    pool = Pool.of(1, "cpu", empty)
    (jobs,) = trained(found, lambda jobs: pool.run(jobs, lambda *_: None))
    assert len(jobs) == 2
    runs = [read_run(job.folder) for job in jobs]
    assert write_pilots(runs, empty / "pilots.csv") == sum(len(run.measured) for run in runs)
    report = Report()
    program = program_of(empty / "images.shape", ['laws from mixture("runs")'], report)
    assert program is not None
    mixture = find_laws(program, report).mixture
    assert mixture is not None
    assert mixture.target == Shape.of(patch=2)
    assert [pilot.share for pilot in mixture.pilots] == [1.0, pytest.approx(0.5, abs=0.1)]


# -- reading --------------------------------------------------------------------------------------------------------


def test_a_resumed_run_is_read_as_one_that_was_not_interrupted(here: Path, tmp_path: Path) -> None:
    whole = runs_of(here)[0]
    folder = tmp_path / "runs" / "one"
    save(whole.plan, folder / "plan.json")
    (tmp_path / "text.shape").write_text(TEXT)
    for resume, pause in ((False, 20), (True, None)):
        api.run(whole.plan, folder, root=tmp_path, device="cpu", compile="off", resume=resume, pause=pause)
    assert [event.step for event in read_run(folder).events if isinstance(event, RunStarted)] == [0, 20]
    # A process that is killed after its last checkpoint leaves measurements that are made again.
    log = folder / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    again = next(place for place, line in enumerate(lines) if '"run_started"' in line and '"step": 20' in line)
    lost = next(line for line in lines if '"measured"' in line and '"step": 24' in line)
    wrong = re.sub(r'"loss@longest": [0-9.]+', '"loss@longest": 99.0', lost)
    assert wrong != lost
    log.write_text("".join([*lines[:again], wrong, wrong.replace('"step": 24', '"step": 25'), *lines[again:]]))
    (one,) = read(tmp_path, "runs")
    (other,) = read(here, f"runs/text-pilots/{whole.folder.name}")
    assert (one.data == other.data).all()
    assert (one.error == other.error).all()


def pilot_folder(here: Path, tmp_path: Path, change: Callable[[Plan], Plan]) -> Path:
    """A copy of the pilots of which one has another plan."""
    shutil.copytree(here / "runs/text-pilots", tmp_path / "runs")
    (tmp_path / "text.shape").write_text(TEXT)
    folder = max((tmp_path / "runs").iterdir())
    save(sealed(change(read_run(folder).plan)), folder / "plan.json")
    return tmp_path


def with_setting(field: str, **settings: Any) -> Callable[[Plan], Plan]:
    def change(plan: Plan) -> Plan:
        spec = getattr(plan, field)
        return attrs.evolve(plan, **{field: attrs.evolve(spec, settings={**spec.settings, **settings})})

    return change


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (with_setting("optimizer", lr=1e-3), "optimizer"),
        (with_setting("optimizer", average=99), "optimizer"),
        (with_setting("data", batch=128), "data"),
        (with_setting("model", mlp_ratio=2.0), "model"),
        (
            lambda plan: attrs.evolve(
                plan, candidates=(*plan.candidates, attrs.evolve(plan.candidates[0], shape=Shape.of(context=64)))
            ),
            "shape at which errors are measured",
        ),
    ],
    ids=["rate", "average", "batch", "model", "longest"],
)
def test_pilots_of_another_training_are_refused(
    change: Callable[[Plan], Plan], part: str, here: Path, tmp_path: Path
) -> None:
    folder, report = pilot_folder(here, tmp_path, change), Report()
    program = program_of(folder / "text.shape", ['laws from mixture("runs")'], report)
    assert program is not None
    find_laws(program, report)
    assert [error.code for error in report.errors] == ["mixed-pilots"]
    assert f"differ in their {part}" in report.errors[0].message


@pytest.mark.parametrize(
    ("sentence", "part"),
    [
        ("model transformer(depth: 2, width: 16, head_width: 8)", "`depth` of `transformer`"),
        ("data python_source(batch: 128 tokens)", "`batch` of `python_source`"),
        ("optimizer adamw(lr: 1e-3, warmup: 4 steps, average: 8 steps)", "`lr` of `adamw`"),
        ("optimizer sgd(lr: 3e-3)", "`optimizer`"),
    ],
)
def test_pilots_of_another_file_are_refused(sentence: str, part: str, here: Path) -> None:
    report = Report()
    program = program_of(here / "text.shape", ['laws from mixture("runs/text-pilots")', sentence], report)
    assert program is not None
    find_laws(program, report)
    assert [error.code for error in report.errors] == ["foreign-pilots"]
    assert report.errors[0].message == f"the pilots were trained with a different {part}"


def test_other_data_is_refused(here: Path, tmp_path: Path) -> None:
    folder = pilot_folder(here, tmp_path, lambda plan: plan)
    facts = max((folder / "runs").iterdir()) / "data.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "sha256": "0" * 64}))
    assert code(folder, 'laws from mixture("runs")') == "mixed-pilots"


def test_pilots_of_another_metric_are_refused(here: Path) -> None:
    report = Report()
    program = program_of(
        here / "text.shape", ['laws from mixture("runs/text-pilots")', "metric classification_error"], report
    )
    if program is not None:
        find_laws(program, report)
    assert report.errors


def test_runs_that_are_no_pilots_are_left_out_with_a_warning(here: Path, tmp_path: Path) -> None:
    folder = pilot_folder(here, tmp_path, lambda plan: attrs.evolve(plan, cooldown=10))
    report = Report()
    found = law(folder, 'laws from mixture("runs")', report)
    assert len(found.pilots) == len(runs_of(here)) - 1
    (warning,) = (each for each in report.diagnostics if each.code == "skipped-runs")
    assert "its learning rate falls" in warning.notes[0]
    # The candidate that one pilot trains is no longer in the file.
    (folder / "text.shape").write_text(TEXT.replace("[8, 16, 32]", "[8, 32]"))
    report = Report()
    program = program_of(folder / "text.shape", ['laws from mixture("runs")'], report)
    assert program is not None
    find_laws(program, report)
    notes = " ".join(note for each in report.diagnostics for note in each.notes)
    assert "(context: 16 tokens), which is not a candidate" in notes


def test_a_run_that_changes_its_shape_has_the_data_of_all_its_stages(here: Path, tmp_path: Path) -> None:
    """Only totals count in the law, so a schedule of several stages is data as good as constant shares."""
    (tmp_path / "text.shape").write_text(TEXT)
    file = tmp_path / "switch.shape"
    head = TEXT.replace(
        "traversal  mixture(target: (context: 32 tokens))\n",
        "stage (context: 8 tokens) until 50%\nstage (context: 32 tokens) until end\n",
    )
    head = head.replace("budget     103 steps", "budget     24 steps")
    file.write_text(head.replace("context_grow", "context_grow(preview: 0%)"))
    plan = compile_file(file, [], Report())
    job = Job("x", plan, tmp_path / "runs" / "switch")
    in_this_process(Pool.of(1, "cpu", tmp_path), [job], lambda *_: None)
    (one,) = read(tmp_path, "runs")
    assert one.data[-1].tolist() == [12 * 64, 0, 12 * 64]
    assert one.data[0].tolist() == [6 * 64, 0, 0]


def test_a_broken_pilot_is_named(here: Path, tmp_path: Path) -> None:
    folder = pilot_folder(here, tmp_path, lambda plan: plan)
    (min((folder / "runs").iterdir()) / "plan.json").write_text("{")
    assert code(folder, 'laws from mixture("runs")') == "unreadable-log"
