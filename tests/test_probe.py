"""Probes: the runs they train, exact forks, and the output of the command."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest
import torch

from shapeflow.api import compile, run
from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.cli import answer
from shapeflow.ir.events import StepDone, TransitionApplied
from shapeflow.ir.plan_json import save
from shapeflow.running.backend import backend
from shapeflow.running.pool import Job, Pool, Watch
from shapeflow.running.probe import Asked, Probing, probing
from shapeflow.running.probe.outcome import _reference
from shapeflow.running.run_log import EVENTS, PLAN
from shapeflow.running.runs import Run, read_run

torch.set_num_threads(1)

TEXT = """
model     transformer(depth: 1, width: 16, head_width: 8)
data      python_source(batch: 64 tokens)
objective next_token
optimizer adamw(lr: 1e-2, warmup: 2 steps)
axis context in [8, 16, 32] tokens via context_grow
stage (context: 8 tokens) until 50%
stage (context: 16 tokens) until end
budget 24 steps
"""

IMAGES = """
model     vit(depth: 1, head_width: 8)
data      digits(batch: 16)
objective cross_entropy
optimizer adamw(lr: 1e-2, warmup: 2 steps)
metric    cross_entropy
axis patch in [4, 2] px via flexi_resize(base: 4 px, preview: 40%)
axis width in [16, 24]  via width_expand
law for (patch: 4 px, width: 16) is power(a: 9, b: 0.1, c: 0, d: 0)
law for (patch: 4 px, width: 24) is power(a: 12, b: 0.1, c: 0, d: 0)
law for (patch: 2 px, width: 16) is power(a: 12, b: 0.1, c: 0, d: 0)
law for (patch: 2 px, width: 24) is power(a: 12, b: 0.1, c: 0, d: 0)
traversal fixed(shape: (patch: 4 px, width: 16))
start at error 2
budget 24 steps
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; jobs run in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Pool, "run", in_this_process)
    Path("text.shape").write_text(TEXT)
    Path("images.shape").write_text(IMAGES)
    return tmp_path


def in_this_process(pool: Pool, jobs: Sequence[Job], watch: Watch) -> list[Run]:
    for job in jobs:
        if job.finished:
            watch(job, job.plan.steps, "kept")
            continue
        begun = (job.folder / EVENTS).exists()
        save(job.plan, job.folder / PLAN)
        run(job.plan, job.folder, device="cpu", resume=begun, until=job.until, root=pool.root)
        watch(job, job.plan.steps, "done")
    return [read_run(job.folder) for job in jobs]


def asked(file: str, name: str, *pairs: tuple[str, str], seeds: Sequence[int] = (0,), **how: object) -> Probing:
    return probing(Path(file), [], name, pairs, seeds, Asked(**how), Path("probe"), Report())  # type: ignore[arg-type]


def losses(found: Run, start: int) -> list[tuple[int, float]]:
    return [(event.step, event.loss) for event in found.events if isinstance(event, StepDone) and event.step > start]


@pytest.mark.parametrize("name", ["flexi_resize", "width"])
def test_both_sides_of_a_fork_equal_unforked_runs(name: str, here: Path) -> None:
    """The steps after a fork equal those of the same plan without a fork, bit for bit; with and without a preview."""
    probe = asked("images.shape", name, at=Amount(5, "steps"), length=Amount(3, "steps")).probes[0]
    assert bool(probe.trunk.plan.stages[0].blends) == (name == "flexi_resize")
    whole = Pool.of(1, "cpu", here)
    whole.run([probe.trunk], lambda *_: None)
    start = probe.trunk.plan.steps
    for job in (probe.stays, probe.moves):
        backend("torch")().fork(probe.trunk.folder, job.plan, job.folder)
        fresh = attrs.evolve(job, folder=here / "fresh" / job.folder.name)
        (forked,), (begun,) = whole.run([job], lambda *_: None), whole.run([fresh], lambda *_: None)
        assert losses(forked, 0) == losses(begun, 0)
        assert [event.values for event in forked.measured if event.step >= start] == [
            event.values for event in begun.measured if event.step >= start
        ]
    switched = [event for event in read_run(probe.moves.folder).events if isinstance(event, TransitionApplied)]
    assert [event.step for event in switched] == [start]
    assert switched[0].seconds > 0
    assert start + 1 in [event.step for event in read_run(probe.moves.folder).measured]


def test_a_fork_of_something_else_is_refused(here: Path) -> None:
    one, other = asked("images.shape", "width", at=Amount(2, "steps"), seeds=(0, 1)).probes[:2]
    in_this_process(Pool.of(1, "cpu", here), [one.trunk], lambda *_: None)
    with pytest.raises(Refused, match="other-history"):
        backend("torch")().fork(one.trunk.folder, other.moves.plan, here / "fork")
    for name in (one.trunk.folder / "checkpoints").iterdir():
        shutil.rmtree(name)
    with pytest.raises(Refused, match="no-checkpoint"):
        backend("torch")().fork(one.trunk.folder, one.moves.plan, here / "fork")
    assert not (here / "fork").exists()


def test_where_a_probe_switches(here: Path) -> None:
    """A probe switches where `at` says; by default where the plan does, or else at half of its budget."""
    first, second = asked("text.shape", "context").probes
    assert first.trunk.plan.steps == 12
    assert (first.switch.name, second.switch.name) == ("context 8 -> 16", "context 16 -> 32")
    assert first.moves.plan.stages[0].blends[0].shape == Shape.of(context=16)
    assert first.trunk.plan.stages == first.moves.plan.stages[:1] == first.stays.plan.stages[:1]
    assert first.stays.plan.stages[1].blends == ()
    assert asked("text.shape", "context", ("8", "32"), at=Amount(0.25, "ratio")).probes[0].trunk.plan.steps == 6
    image, shape = asked("images.shape", "patch", at=2.0), Shape.of(patch=4, width=16)
    trunk = image.probes[0].trunk.plan
    assert trunk.steps == pytest.approx(image.laws[shape].compute(2.0) / trunk.stages[0].cost, rel=0.2, abs=1)


def test_pairs_with_the_same_start_share_their_trunk(here: Path) -> None:
    """Without a preview, a trunk does not depend on the shape after the switch, so pairs can share it."""
    Path("text.shape").write_text(TEXT.replace("context_grow", "context_grow(preview: 0%)"))
    pairs = [("8", "16"), ("8", "32")]
    found = asked("text.shape", "context", *pairs, at=Amount(8, "steps"), length=Amount(4, "steps"))
    assert len({probe.trunk.folder for probe in found.probes}) == 1
    assert len(found.jobs) == 1 + 2 * 2 + 2


def test_a_law_is_not_used_above_its_measured_errors(here: Path) -> None:
    found = asked("images.shape", "width")
    after = found.probes[0].switch.after
    law = found.laws[after]
    fitted = attrs.evolve(law, provenance=attrs.evolve(law.provenance, error=(3.0, 2.0)))
    reference = _reference(attrs.evolve(found, laws={after: fitted}), found.probes[0])
    assert reference(3.1) == math.inf
    assert reference(2.9) == law.compute(2.9)
    assert reference(1.9) == law.compute(1.9)


Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")

    def answered(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = answer(list(words))
        said = capsys.readouterr()
        return status, said.out, said.err

    return answered


def test_a_probe_writes_what_a_plan_reads(ask: Ask) -> None:
    words = [
        "probe",
        "images.shape",
        "--transition",
        "width",
        "--seeds",
        "0,1",
        "--at",
        "3 steps",
        "--for",
        "3 steps",
        "--pair",
        "16,24",
    ]
    status, out, err = ask(*words, "-o", "runs/p")
    assert status == 0, err
    assert "6 runs, " in err
    assert "% of the progress (95%: " in out
    assert '`credits from "runs/p/credits.json"` in images.shape uses the measurements' in out
    body = json.loads(Path("runs/p/credits.json").read_text())
    (pair,) = body["pairs"]
    assert (pair["axis"], pair["before"], pair["after"], pair["reference"]) == ("width", 16, 24, "law")
    assert pair["low"] < pair["eta"] < pair["high"]
    assert [trial["seed"] for trial in pair["trials"]] == [0, 1]
    text = IMAGES.replace("traversal fixed(shape: (patch: 4 px, width: 16))", 'credits from "runs/p/credits.json"')
    way = "stage (patch: 4 px, width: 16) until 50%\nstage (patch: 4 px, width: 24) until end\n"
    Path("by_hand.shape").write_text(text + way)
    transition = compile("by_hand.shape").stages[1].transition
    assert transition is not None
    assert transition.credits[0].eta == pair["eta"]
    assert transition.seconds == pair["seconds"]
    again = ask(*words, "-o", "runs/p", "--json")
    assert again[0] == 0
    assert again[2].count(": already done") == 6
    assert ": done" not in again[2]
    assert json.loads(again[1])["pairs"] == body["pairs"]


def test_without_a_law_a_run_is_the_reference(ask: Ask) -> None:
    Path("bare.shape").write_text("".join(line for line in IMAGES.splitlines(True) if not line.startswith("law")))
    words = ["probe", "bare.shape", "--transition", "patch", "--at", "3 steps", "--for", "3 steps"]
    status, out, err = ask(*words, "-o", "p", "--credits", "kept.json")
    assert status == 0, err
    assert "4 runs, " in err
    (pair,) = json.loads(Path("kept.json").read_text())["pairs"]
    assert pair["reference"] == "run"
    (trial,) = pair["trials"]
    stays, moves, alone = (read_run(Path(f"p/patch-4-2-seed0/{name}")) for name in ("stays", "moves", "scratch"))
    at = {event.step: event.values["cross_entropy"] for event in moves.measured}
    start = moves.plan.stages[0].last_step
    assert (trial["before"], trial["after"], trial["end"]) == (at[start], at[start + 1], at[max(at)])
    assert trial["stayed"] == stays.measured[-1].values["cross_entropy"]
    assert alone.ended is not None
    sides = [run.plan.compute_at(run.plan.steps) for run in (stays, moves)]
    assert pair["spent"] == pytest.approx(sum(sides) - moves.plan.compute_at(start) + alone.ended.compute)
    assert ("does not cover these errors" in out) == (trial["eta"] is None)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--transition", "widht"], "unknown-axis"),
        (["--transition", "width", "--pair", "16,99"], "unknown-value"),
        (["--transition", "width", "--pair", "24,16"], "one-way-transition"),
        (["--transition", "width", "--at", "3"], "missing-unit"),
        (["--transition", "width", "--at", "error 0"], "target-out-of-reach"),
        (["--transition", "width", "--set", "stop when error <= 2%", "--credits", "broken.json"], "broken-credits"),
    ],
)
def test_probes_that_cannot_be_made(words: list[str], code: str, ask: Ask) -> None:
    Path("broken.json").write_text("{")
    status, _, err = ask("probe", "images.shape", *words)
    assert status == 1
    assert f"error[{code}]" in err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--at", "error 2"], "no-laws"),
        (["--reference", "law"], "no-laws"),
        (["--credits", "other.json"], "foreign-credits"),
    ],
)
def test_probes_without_laws_that_cannot_be_made(words: list[str], code: str, ask: Ask) -> None:
    from shapeflow.ir.credits import Credits
    from shapeflow.ir.credits import save as keep

    keep(Credits({"convention": "paper"}, ()), Path("other.json"))
    status, _, err = ask("probe", "text.shape", "--transition", "context", *words)
    assert status == 1
    assert f"error[{code}]" in err
    assert ask("probe", "text.shape", "--transition", "context", "--pair", "8")[0] == 2


def test_a_pair_is_probed_once(ask: Ask) -> None:
    status, _, err = ask("probe", "images.shape", "--transition", "width", "--pair", "16,24", "--pair", "16, 24")
    assert status == 2
    assert "`16,24` is named twice" in err
