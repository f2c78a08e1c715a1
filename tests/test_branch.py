"""Runs that go on under another plan, in their folder or in a new one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shlex
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from plans import toy_image_plan

from shapeflow.api import run
from shapeflow.base import files
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.cli import answer
from shapeflow.data.digits import Digits
from shapeflow.ir.decay import Decay
from shapeflow.ir.events import Measured, RunBranched, RunStarted, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import load, sealed
from shapeflow.ir.retention import Retention
from shapeflow.optimizers.adamw import Adamw
from shapeflow.running.runs import read_run
from shapeflow_torch import checkpoint


def plan_of(*legs: tuple[int, int], **fields: Any) -> Plan:
    """A plan of stages (width, steps), with a checkpoint every 4 steps."""
    return toy_image_plan([({"width": width}, steps) for width, steps in legs], **{"checkpoint": 4, **fields})


SHORT = plan_of((32, 6), (48, 6))
LONG = plan_of((32, 6), (48, 10))
COOLED = plan_of((32, 6), (48, 10), cooldown=4)


def go(plan: Plan, folder: Path, **choices: Any) -> None:
    run(plan, folder, **{"device": "cpu", "warn": lambda warning: None, **choices})


def refused(plan: Plan, folder: Path, **choices: Any) -> Diagnostic:
    with pytest.raises(Refused) as caught:
        go(plan, folder, **choices)
    return caught.value.diagnostics[0]


def content(folder: Path) -> dict[str, tuple[str, int]]:
    """Digest and time of change of every file."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in found
    }


def tensors(folder: Path) -> list[str]:
    """Digests of the tensors of the last checkpoint."""
    last = max((folder / "checkpoints").iterdir())
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(last.glob("*.safetensors"))]


def steps(folder: Path) -> list[tuple[int, float]]:
    return [(event.step, event.loss) for event in read_run(folder).events if isinstance(event, StepDone)]


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 12 steps with checkpoints at 8 and 12. Tests only read it."""
    folder = tmp_path_factory.mktemp("short") / "run"
    go(SHORT, folder)
    return folder


@pytest.fixture(scope="module")
def cooled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that had its cooldown from the start."""
    folder = tmp_path_factory.mktemp("cooled") / "run"
    go(COOLED, folder)
    return folder


def test_extended_twice_and_annealed_from_two_checkpoints(tmp_path: Path, short: Path, cooled: Path) -> None:
    """All of them end like runs that were planned so from the start: one log, the same losses and the same bits."""
    before = content(short)
    third = plan_of((32, 6), (48, 14), (64, 4))
    annealed = plan_of((32, 6), (48, 6), cooldown=4)
    go(LONG, tmp_path / "long", origin=(short, None))
    go(third, tmp_path / "third", origin=(tmp_path / "long", 12))
    go(COOLED, tmp_path / "cooled", origin=(tmp_path / "long", 12))
    go(annealed, tmp_path / "annealed", origin=(short, 8), pause=10)
    go(annealed, tmp_path / "annealed", resume=True)
    for name, plan in (("third", third), ("annealed", annealed)):
        go(plan, tmp_path / "whole" / name)
        assert tensors(tmp_path / name) == tensors(tmp_path / "whole" / name)
        assert steps(tmp_path / name) == steps(tmp_path / "whole" / name)
    assert (tensors(tmp_path / "cooled"), steps(tmp_path / "cooled")) == (tensors(cooled), steps(cooled))
    assert content(short) == before


def test_the_log_says_where_a_run_comes_from(tmp_path: Path, short: Path) -> None:
    go(LONG, tmp_path / "long", origin=(short, 8))
    events = read_run(tmp_path / "long").events
    (mark,) = (event for event in events if isinstance(event, RunBranched))
    path = short / "checkpoints" / "step-000000008"
    assert mark == RunBranched(8, SHORT.digest, str(short), checkpoint.digest_of(path))
    assert [event.step for event in events if isinstance(event, RunStarted)] == [0, 8]
    assert [event.step for event in events if isinstance(event, Measured)] == [6, 16]
    assert load(tmp_path / "long" / "plan.json") == LONG
    assert load(tmp_path / "long" / f"plan-{SHORT.digest[:16]}.json") == SHORT
    go(sealed(attrs.evolve(LONG, held_out=20)), tmp_path / "fewer", origin=(short, 8))
    (mark,) = (event for event in read_run(tmp_path / "fewer").events if isinstance(event, RunBranched))
    assert mark.differs == "evaluations are on held-out data of the default size in its plan, of 20 in this one"


@pytest.mark.parametrize(
    ("change", "comparable"),
    [({"cooldown": 2}, True), ({"held_out": 20}, False), ({"metric": "cross_entropy"}, False)],
)
def test_the_best_checkpoint_is_one_of_those_that_measure_the_same(
    change: dict[str, Any], comparable: bool, tmp_path: Path
) -> None:
    """In the same folder and in a new one. A value on fewer images would stay the lowest for ever by chance."""
    first = plan_of((32, 12), evaluate=4, keep=Retention(None, best=True))
    then = plan_of((32, 16), evaluate=4, keep=Retention(None, best=True), **change)
    go(first, tmp_path / "run")
    go(then, tmp_path / "new", origin=(tmp_path / "run", 8), pause=9)
    assert errors(tmp_path / "run") == {4: True, 8: True, 12: True}
    assert errors(tmp_path / "new") == {8: comparable, 9: False}
    go(then, tmp_path / "run", resume=True)
    assert errors(tmp_path / "run") == {4: comparable, 8: comparable, 12: comparable} | (
        {14: True, 16: True} if comparable else {16: True}
    )


def errors(folder: Path) -> dict[int, bool]:
    """Step of each checkpoint -> whether it has an error by which it may be the best."""
    return {
        step: checkpoint._error_of(path) is not None for step, path in checkpoint.saved(folder / "checkpoints").items()
    }


def test_a_run_goes_on_in_its_folder(tmp_path: Path, short: Path) -> None:
    """With a larger budget, and then with other checkpoints and a cooldown that lies ahead."""
    go(SHORT, tmp_path / "run")
    go(attrs.evolve(LONG), tmp_path / "run", resume=True, pause=13)
    other = plan_of((32, 6), (48, 14), cooldown=6, checkpoint=3)
    go(other, tmp_path / "run", resume=True)
    go(other, tmp_path / "whole")
    assert (tensors(tmp_path / "run"), steps(tmp_path / "run")) == (
        tensors(tmp_path / "whole"),
        steps(tmp_path / "whole"),
    )
    marks = [event for event in read_run(tmp_path / "run").events if isinstance(event, RunBranched)]
    assert [(mark.step, mark.plan, mark.folder) for mark in marks] == [(12, SHORT.digest, ""), (13, LONG.digest, "")]
    assert load(tmp_path / "run" / "plan.json") == other


EARLIER = "start from the last checkpoint that both plans have: `{new} --from {run}@8`"
RATES = "; to change the optimizer, schedule or cooldown from step 12 on: `{new} --from {run}@12 --other-rates`"


@pytest.mark.parametrize(
    ("plan", "help_"),
    [
        (plan_of((32, 6), (48, 7), cooldown=3), EARLIER + RATES),
        (plan_of((32, 6), (48, 4)), EARLIER),
        (plan_of((32, 6), (48, 10), seed=1), "change `seed` to that of the run, or start a new run in another folder"),
        (plan_of((32, 7), (48, 10)), "end stage 1 with `until 6 steps`: a percentage grows with the budget"),
        (plan_of((32, 4)), "write a larger budget"),
        (plan_of((32, 6), (48, 10), schedule=Decay("linear", 0.0)), None),
        (plan_of((32, 6), (48, 10), data=Digits(batch=16)), None),
        (plan_of((32, 6), (48, 10), optimizer=Adamw(lr=2e-3, warmup=3)), None),
    ],
)
def test_a_plan_that_differs_before_is_refused(plan: Plan, help_: str | None, tmp_path: Path, short: Path) -> None:
    before = content(short)
    for folder, choices in ((short, {"resume": True}), (tmp_path / "new", {"origin": (short, None)})):
        found = refused(plan, folder, **choices)
        assert found.code == "other-history"
        new = tmp_path / "new" if "origin" in choices else f"{short}-2"
        assert help_ is None or found.help == help_.format(run=short, new=f"shapeflow run FILE -o {new}")
    assert content(short) == before
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_branched_from_or_to(tmp_path: Path, short: Path) -> None:
    found = refused(LONG, tmp_path / "new", origin=(short, 5))
    assert (found.code, found.notes) == ("no-checkpoint", ("it has checkpoints at these steps: 8, 12",))
    for named, help_ in (
        (tmp_path / "none", "write the folder of a run: `--from FOLDER[@STEP]`"),
        (short.with_name(f"{short.name}@half"), f"`--from {short}@12`"),
        (short / "checkpoints/step-000000008", f"`--from {short}@8`"),
    ):
        found = refused(LONG, tmp_path / "new", origin=(named, None))
        assert (found.code, (found.help or "")[-len(help_) :]) == ("no-run", help_)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert refused(LONG, tmp_path / "mine", origin=(short, None)).code == "run-exists"
    go(LONG, tmp_path / "new", origin=(short, None), resume=True, pause=14)
    assert refused(LONG, tmp_path / "new", origin=(short, None)).code == "run-exists"
    go(LONG, tmp_path / "new", origin=(short, None), resume=True)
    assert [event.step for event in read_run(tmp_path / "new").events if isinstance(event, RunStarted)] == [0, 12, 14]


def test_other_data_and_another_tokenizer_are_named(tmp_path: Path, short: Path) -> None:
    from shapeflow_torch.branch import Origin, branch

    found = []
    for data in ({"sha256": "other"}, {"sha256": "other", "tokenizer_sha256": "new"}):
        with pytest.raises(Refused) as caught:
            branch(Origin(short), LONG, data, tmp_path / "new", lambda warning: None)
        found.append(caught.value.diagnostics[0])
    assert [one.code for one in found] == ["data-changed"] * 2
    assert "the tokens were made by another tokenizer" in found[1].notes
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    before = content(short)
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(checkpoint, "_write", full)
    found = refused(LONG, tmp_path / "new", origin=(short, None))
    assert (found.code, found.place) == ("disk-full", str(tmp_path / "new"))
    assert found.help is not None
    assert "give the same command again" in found.help
    assert list(tmp_path.iterdir()) == []
    assert content(short) == before


def test_without_links_checkpoints_are_copied(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", unsupported)
    go(LONG, tmp_path / "new", origin=(short, 12), pause=13)
    assert (tmp_path / "new/checkpoints/step-000000012/model.safetensors").stat().st_nlink == 1


OPERATIONS = ("link", "rename", "replace", "mkdir")
"""Functions of `os` before which a process is killed."""


def killed(act: Callable[[], None], at: int) -> bool:
    """Whether a process that acts was killed before its `at`-th file operation."""
    child = os.fork()
    if not child:
        count = 0

        def dying(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **choices: Any) -> Any:
                nonlocal count
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **choices)

            return call

        # Whatever happens here, this process must not go on with the tests of the other one.
        try:
            for name in OPERATIONS:
                setattr(os, name, dying(name, getattr(os, name)))
            act()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def every_kill(act: Callable[[Path], None], prepare: Callable[[Path], None], where: Path) -> Sequence[Path]:
    """Folders in which `act` was killed, each before another file operation."""
    found = []
    for at in range(1, 100):
        folder = where / str(at)
        prepare(folder)
        if not killed(lambda folder=folder: act(folder), at):  # type: ignore[misc]
            return found
        found.append(folder)
    raise AssertionError("the process never ended")


def test_killed_while_it_branches(tmp_path: Path, short: Path) -> None:
    """Whatever the moment, the same command goes on to the same end, and the other run is not touched."""
    from shapeflow_torch.branch import Origin, branch

    before, about = content(short), {"sha256": _sha(short)}
    folders = every_kill(
        lambda folder: branch(Origin(short), LONG, about, folder / "new", lambda warning: None),
        lambda folder: folder.mkdir(),
        tmp_path,
    )
    assert len(folders) > 5
    for folder in folders:
        if not (folder / "new").exists():
            branch(Origin(short), LONG, about, folder / "new", lambda warning: None)
        assert [path.name for path in folder.iterdir()] == ["new"]
        assert checkpoint.owner_of(folder / "new/checkpoints/step-000000012") == LONG.digest
    go(LONG, folders[-1] / "new", resume=True)
    assert content(short) == before


def _sha(folder: Path) -> str:
    return str(json.loads((folder / "data.json").read_text())["sha256"])


@pytest.mark.parametrize("then", [SHORT, LONG], ids=["back", "on"])
def test_killed_while_it_changes_its_plan(then: Plan, tmp_path: Path, short: Path) -> None:
    """Whatever the moment, the run can be resumed by either plan."""
    from shapeflow.running.options import Options
    from shapeflow_torch.choices import Choices
    from shapeflow_torch.folder import prepare
    from shapeflow_torch.lineage import plan_of as owner

    about = {"sha256": _sha(short)}

    def resume(plan: Plan, folder: Path) -> None:
        prepare(Choices(folder, Options(root=folder.parent, resume=True)), plan, about, lambda warning: None)

    def copied(folder: Path) -> None:
        shutil.copytree(short, folder)
        shutil.rmtree(folder / "checkpoints" / "step-000000012")

    folders = every_kill(lambda folder: resume(LONG, folder), copied, tmp_path)
    assert len(folders) > 5
    for folder in folders:
        resume(then, folder)
        assert owner(folder, folder / "checkpoints/step-000000008") == load(folder / "plan.json") == then
    assert files.read_text(folders[0] / "events.jsonl").count('"run_branched"') == (then == LONG)


def test_a_checkpoint_of_a_stranger_is_foreign(tmp_path: Path, short: Path) -> None:
    shutil.copytree(short, tmp_path / "run")
    checkpoint.give(tmp_path / "run/checkpoints/step-000000012", "0" * 64)
    assert refused(SHORT, tmp_path / "run", resume=True).code == "foreign-checkpoint"
    assert refused(SHORT, tmp_path / "new", origin=(tmp_path / "run", None)).code == "foreign-checkpoint"


def test_a_checkpoint_after_a_switch_needs_the_same_switch(tmp_path: Path) -> None:
    """One that was saved before the switch serves a plan with another one."""
    from shapeflow_torch.branch import Origin, branch

    other = plan_of((32, 6), (48, 6), moments="reset")
    go(SHORT, tmp_path / "run", pause=6)
    about = {"sha256": _sha(tmp_path / "run")}
    branch(Origin(tmp_path / "run"), other, about, tmp_path / "before", lambda warning: None)
    path = tmp_path / "run/checkpoints/step-000000006"
    state = {**checkpoint._header(path, None), "stage": 1}
    (path / "state.json").write_bytes(checkpoint._sealed(state, SHORT.digest))
    with pytest.raises(Refused, match="other-history"):
        branch(Origin(tmp_path / "run"), other, about, tmp_path / "after", lambda warning: None)
    branch(Origin(tmp_path / "run"), LONG, about, tmp_path / "after", lambda warning: None)


FILE = """
model      vit(depth: 1, head_width: 8, patch: 4 px)
data       digits(batch: 32)
objective  cross_entropy
optimizer  adamw(lr: 3e-3, warmup: 3 steps)
axis width in [16, 24] via width_expand
stage (width: 16) until 8 steps
stage (width: 24) until end
budget     16 steps
checkpoint every 4 steps
"""


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Train longer, cool down from a checkpoint, and save more often."""
    file = tmp_path / "p.shape"
    file.write_text(FILE)

    def ask(folder: str, *words: str, status: int = 0) -> str:
        assert answer(["run", str(file), "-o", str(tmp_path / folder), "--device", "cpu", "--quiet", *words]) == status
        return capsys.readouterr().err

    ask("r", "--pause", "13")
    ask("r", "--resume", "--set", "budget 20 steps", "--set", "checkpoint every 10 steps")
    cooled = ("--from", f"{tmp_path / 'r'}@13", "--set", "cooldown 3 steps")
    assert "error[no-checkpoint]" in ask("cooled", "--from", f"{tmp_path / 'r'}@12", status=1)
    ask("cooled", *cooled, "--resume", "--pause", "14")
    ask("cooled", *cooled, "--resume")
    ask("whole", *cooled[2:])
    assert tensors(tmp_path / "cooled") == tensors(tmp_path / "whole")
    said = ask("late", "--from", str(tmp_path / "r"), "--set", "cooldown 3 steps", status=1)
    assert "error[other-history]" in said
    # The advice is a whole command.
    assert answer([*shlex.split(said.split("`shapeflow ")[1].partition("`")[0]), "--quiet"]) == 0
    assert tensors(tmp_path / "late") == tensors(tmp_path / "whole")
    assert answer(["show", str(tmp_path / "cooled")]) == 0
    assert f"the first 13 steps are those of `{tmp_path / 'r'}`" in " ".join(capsys.readouterr().out.split())
