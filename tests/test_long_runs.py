"""Runs that are started once and never lost: one command for every start, signals, divergence, restarts, exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from plans import toy_image_plan
from test_pilot import TEXT as PILOTED
from test_torch_run import go, refused, told

from shapeflow.cli import answer
from shapeflow.cli.group import COMMANDS
from shapeflow.cli.limit import limit, seconds_of
from shapeflow.ir.events import RunBranched, RunEnded, RunStarted, StepDone
from shapeflow.ir.plan import Charge, Spec
from shapeflow.ir.plan_json import load, save
from shapeflow.running.launchers import Launch
from shapeflow.running.options import Options
from shapeflow.running.run_folder import remembered_root
from shapeflow.running.stop import SIGNALS
from shapeflow_torch.choices import Choices
from shapeflow_torch.folder import prepare
from shapeflow_torch.machine import TorchMachine

if sys.platform == "win32":
    pytest.skip("signals of POSIX", allow_module_level=True)

PLAN = toy_image_plan((({"width": 32}, 6), ({"width": 48}, 6)), checkpoint=4)
TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    save(PLAN, tmp_path / "toy.json")


def signalled(monkeypatch: pytest.MonkeyPatch, at: int, *numbers: int) -> None:
    """Let this process receive signals while it makes a step."""
    step = TorchMachine.step

    def signals(self: TorchMachine, stage: Any, number: int, compute: float) -> float:
        if number + 1 == at:
            for each in numbers:
                os.kill(os.getpid(), each)
        return step(self, stage, number, compute)

    monkeypatch.setattr(TorchMachine, "step", signals)


def run(*words: str) -> int:
    return answer(["run", *words, "--device", "cpu"])


def ended(folder: str) -> RunEnded:
    last = told(Path(folder))[-1]
    assert isinstance(last, RunEnded)
    return last


def test_one_command_serves_every_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The first start, the start after a signal, and one after the end."""
    with monkeypatch.context() as patch:
        signalled(patch, 6, signal.SIGTERM)
        assert run("toy.json", "-o", "r", "--resume") == 75
    assert "resume with: shapeflow run toy.json -o r --device cpu --resume" in capsys.readouterr().out
    assert ended("r").stopped_by == "SIGTERM"
    assert run("toy.json", "-o", "r", "--resume") == 0
    before = Path("r/events.jsonl").read_bytes()
    capsys.readouterr()
    assert run("toy.json", "-o", "r", "--resume") == 0
    assert "the run in r is finished: there is nothing to resume" in capsys.readouterr().out
    assert Path("r/events.jsonl").read_bytes() == before


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_saves_and_stops(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    signalled(monkeypatch, 3, number)
    assert run("toy.json", "-o", "r", "--quiet") == 75
    assert (ended("r").step, ended("r").finished, ended("r").stopped_by) == (3, False, number.name)
    assert [path.name for path in Path("r/checkpoints").iterdir()] == ["step-000000003"]


def test_a_run_stops_after_a_time_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    armed: list[float] = []
    with monkeypatch.context() as patched:
        patched.setattr(signal, "setitimer", lambda which, seconds: armed.append(seconds))
        signalled(patched, 3, signal.SIGALRM)
        assert run("toy.json", "-o", "r", "--stop-after", "1.5 hours") == 75
    assert armed == [5400, 0]
    said = capsys.readouterr().out
    assert "stopped by `--stop-after` after step 3" in said
    assert "--resume" in said
    assert run("toy.json", "-o", "r", "--resume", "--stop-after", "1 h", "--quiet") == 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize(
    ("amount", "why"),
    [
        ("3", "`3` is neither a time nor a cost"),
        ("3 steps", "`3 steps` is neither a time nor a cost"),
        ("-3 h", "`-3 h` is neither a time nor a cost"),
        ("nan h", "`nan h` is neither a time nor a cost"),
        ("1__0 s", "`1__0 s` is neither a time nor a cost"),
        ("1_ s", "`1_ s` is neither a time nor a cost"),
        ("0 s", "`0 s` is out of range"),
        ("1e400 s", "`1e400 s` is out of range"),
        ("2e9 s", "`2e9 s` is out of range: write at most 1e9 s"),
        ("1e400 J", "`1e400 J` is out of range: write a finite amount above 0"),
        ("300 kWh", "the plan does not price a second in energy: write `minimise joules(watts: ...)`"),
        ("5 dollars", "the plan does not price a second in money: write `minimise dollars(price: ...)`"),
    ],
)
def test_an_amount_that_ends_no_run(amount: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("toy.json", "-o", "r", "--stop-after", amount) == 2
    assert why in " ".join(capsys.readouterr().err.split())
    assert not Path("r").exists()


def test_a_cost_is_the_time_that_it_pays_for_on_the_devices_of_the_run() -> None:
    """The price of the plan is that of the two devices of its profile."""
    charge = Charge(Spec("dollars"), "money", per_second=0.002, devices=2)
    assert seconds_of(limit("5 dollars"), attrs.evolve(PLAN, charge=charge), 4) == pytest.approx(1250)


def test_a_closed_connection_leaves_the_command_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of what goes to the terminal nothing is printed, since it is gone."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        signalled(monkeypatch, 3, signal.SIGHUP)
        assert run("toy.json", "-o", "r") == 75
        assert "resume with: shapeflow run toy.json -o r --device cpu --resume" in capfd.readouterr().out
        monkeypatch.setattr("shapeflow.cli.run_._to_terminal", lambda: True)
        signalled(monkeypatch, 3, signal.SIGHUP)
        assert run("toy.json", "-o", "s") == 75
        assert "resume with" not in capfd.readouterr().out
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    signalled(monkeypatch, 6, signal.SIGTERM, signal.SIGINT)
    assert run("toy.json", "-o", "r", "--quiet") == 130
    assert [path.name for path in Path("r/checkpoints").iterdir()] == ["step-000000004"]


def test_nohup_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signalled(monkeypatch, 3, signal.SIGHUP)
        assert run("toy.json", "-o", "r", "--quiet") == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_before_the_first_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """While the plan is read, nothing is there to save, and the same command starts again."""
    monkeypatch.setattr("shapeflow.cli.run_.plan_of", lambda file, sentences: os.kill(os.getpid(), signal.SIGUSR1))
    assert run("toy.json", "-o", "r") == 75
    assert capsys.readouterr().err == "stopped by SIGUSR1; the same command continues\n"
    monkeypatch.setattr("shapeflow.cli.run_.plan_of", lambda file, sentences: os.kill(os.getpid(), signal.SIGALRM))
    assert run("toy.json", "-o", "r") == 75
    assert capsys.readouterr().err == "stopped by `--stop-after` before the run began: give it more time\n"
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_a_launched_run_passes_signals_on(tmp_path: Path) -> None:
    """The launching process alone receives one; its processes agree on the step."""

    def listen(event: object) -> None:
        if isinstance(event, StepDone) and event.step == 2:
            os.kill(os.getpid(), signal.SIGUSR1)

    outcome, _ = go(LONG, tmp_path / "r", processes=2, listen=listen)
    assert (outcome.interrupted, outcome.stopped_by) == (True, "SIGUSR1")
    assert [path.name for path in (tmp_path / "r/checkpoints").iterdir()] == [f"step-{outcome.step:09d}"]


LONG = toy_image_plan((({"width": 32}, 100_000),), evaluate=100_000, checkpoint=100_000)


def test_commands_that_train_several_runs_stop_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the runs begin, and before that."""
    Path("tiny.shape").write_text(TINY)
    Path("text.shape").write_text(PILOTED)
    for place in ("shapeflow.running.pool.Pool._run", "shapeflow.compiler.compile_file"):
        monkeypatch.setattr(place, lambda *words, **choices: os.kill(os.getpid(), signal.SIGUSR2))
        for command in SEVERAL:
            assert answer(shlex.split(command)) == 75, command


TINY = """
model vit(depth: 1, head_width: 8)
data digits(batch: 64)
objective cross_entropy
optimizer adamw(warmup: 2 steps)
axis patch in [4, 2] px via flexi_resize(base: 4 px)
axis width in [16] via width_expand
stage (patch: 4 px, width: 16) until 50%
stage (patch: 2 px, width: 16) until end
budget 12 steps
"""
SEVERAL = (
    "sweep tiny.shape --budget '4 steps' --jobs 1",
    "compare tiny.shape --rival last --jobs 1",
    "ask tiny.shape --within '1 TFLOPs' --jobs 1",
    "probe tiny.shape --transition patch --at '4 steps' --for '4 steps' --jobs 1",
    "pilot text.shape --jobs 1",
)


def test_usage_refusals_and_stops_have_codes_of_their_own() -> None:
    assert run("toy.json", "-o", "r", "--quiet", "--pause", "3") == 0
    assert run("toy.json", "-o", "r", "--quiet") == 1
    assert run("--no-such-option") == 2
    text = (TESTS.parent / "docs" / "exit-codes.md").read_text()
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == ["0", "1", "2", "75", "130"]
    # The table of commands leaves none out.
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", text, re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(COMMANDS)


DIVERGES = """
model transformer(depth: 1, width: 32, head_width: 16)
data text("corpus.txt", batch: 256 tokens)
objective next_token
optimizer adamw(lr: 1e3, weight_decay: 1e6, warmup: 0 steps)
axis context in [32] tokens via context_grow
stage (context: 32 tokens) until end
budget 20 steps
evaluate every 1 steps
checkpoint every 1 steps
"""


@pytest.fixture
def corpus() -> None:
    Path("corpus.txt").write_text("Nothing is lost, and nothing is trained twice. " * 200)


@pytest.mark.usefixtures("corpus")
def test_a_divergence_is_not_saved(capsys: pytest.CaptureFixture[str]) -> None:
    Path("nan.shape").write_text(DIVERGES)
    assert run("nan.shape", "-o", "r", "--quiet") == 1
    said = capsys.readouterr().err
    found = re.search(r"loss-not-finite\]: the held-out `loss@own` after step (\d+) is nan", said)
    assert found is not None
    last = f"step-{int(found[1]) - 1:09d}"
    assert max(path.name for path in Path("r/checkpoints").iterdir()) == last
    # The advice can be followed.
    origin = f"r@{int(found[1]) - 1}"
    slower = "optimizer adamw(lr: 100.0, weight_decay: 1000000.0, warmup: 0 steps)"
    assert f"`shapeflow run nan.shape -o r-2 --set '{slower}' --from {origin} --other-rates` divides" in said
    lower = ("nan.shape", "--set", "optimizer adamw(lr: 1e-3, warmup: 2 steps)", "--from", origin, "-o", "r-2")
    assert run(*lower, "--quiet") == 1
    assert f" -o r-2 --from {origin} --other-rates`" in capsys.readouterr().err
    assert run(*lower, "--other-rates", "--quiet") == 0
    branched = next(event for event in told(Path("r-2")) if isinstance(event, RunBranched))
    assert branched.differs is not None
    assert "`lr` is 1000.0 in its plan, 0.001 in this one" in branched.differs
    assert run("nan.shape", "--other-rates", "-o", "r-3", "--quiet") == 2
    assert run("nan.shape", "-o", "r", "--quiet", "--resume") == 1
    assert "loss-not-finite" in capsys.readouterr().err
    # What looks at the run knows why it ended.
    assert answer(["show", "r"]) == 0
    assert f"diverged after step {found[1]} of 20 steps" in capsys.readouterr().out
    assert answer(["export", "r", "-o", "r.safetensors"]) == 1
    said = capsys.readouterr().err
    assert "--resume" not in said
    assert f"`shapeflow run PLAN --from {origin} --other-rates -o FOLDER`" in said
    # In the last step, it is no end of a run.
    assert run("nan.shape", "-o", "e", "--quiet", "--set", f"budget {found[1]} steps") == 1
    assert not any(isinstance(event, RunEnded) for event in told(Path("e")))
    assert answer(["export", "e", "-o", "e.safetensors"]) == 1
    assert "run-unfinished" in capsys.readouterr().err


def test_the_advice_after_a_divergence_can_be_pasted(corpus: None, capsys: pytest.CaptureFixture[str]) -> None:
    """At a tenth of this rate, weight decay takes all of a weight in a step, and no longer ten times as much."""
    text = DIVERGES.replace("lr: 1e3, weight_decay: 1e6", "lr: 2, weight_decay: 5")
    Path("nan.shape").write_text(text.replace("checkpoint every 1 steps", "checkpoint every 5 steps"))
    assert run("nan.shape", "-o", "r", "--quiet") == 1
    assert answer(advice(capsys.readouterr().err)) == 0
    optimizer = load(Path("r-2/plan.json")).optimizer
    assert optimizer is not None
    assert (optimizer.settings["lr"], optimizer.settings["weight_decay"], optimizer.settings["warmup"]) == (0.2, 5, 0)


def test_a_state_that_diverged_between_evaluations_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of a step is that before its update."""
    step = TorchMachine.step

    def diverge(self: TorchMachine, stage: Any, number: int, compute: float) -> float:
        loss = step(self, stage, number, compute)
        if number + 1 == 8:
            next(self.body.net.parameters()).data.view(-1)[0] = float("inf")
        return loss

    monkeypatch.setattr(TorchMachine, "step", diverge)
    plan = toy_image_plan((({"width": 32}, 12),), evaluate=12, checkpoint=4)
    found = refused(plan, tmp_path / "r")
    assert found.code == "loss-not-finite"
    assert re.fullmatch(r"`.*` is not finite after step 8", found.message)
    assert [path.name for path in (tmp_path / "r/checkpoints").iterdir()] == ["step-000000004"]


OWN = DIVERGES.replace("lr: 1e3, weight_decay: 1e6", "lr: 1e-3").replace("20 steps", "8 steps")


def advice(said: str) -> list[str]:
    """The command that a diagnostic quotes."""
    found = re.search(r"`shapeflow ([^`]*)`", said)
    assert found is not None, said
    return [*shlex.split(found[1]), "--device", "cpu", "--quiet"]


@pytest.mark.usefixtures("corpus")
def test_a_folder_knows_where_its_data_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The advice of a diagnostic can be followed as it is printed, here and elsewhere."""
    Path("own.shape").write_text(OWN)
    with monkeypatch.context() as patch:
        signalled(patch, 2, signal.SIGTERM)
        assert run("own.shape", "-o", "r", "--quiet") == 75
    shutil.copytree("r", "inside")
    # What is evaluated does not change the steps, so the run goes on.
    assert run("own.shape", "-o", "r", "--quiet", "--resume", "--set", "evaluate every 50%") == 0
    assert ended("r").finished
    assert run("own.shape", "-o", "inside", "--quiet") == 1
    assert "run-exists" in (said := capsys.readouterr().err)
    assert advice(said)[:3] == ["run", "inside", "--resume"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(str(tmp_path / "inside" / "plan.json"), "--resume", "--quiet") == 0


@pytest.mark.usefixtures("corpus")
def test_a_folder_that_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a").mkdir()
    shutil.move("corpus.txt", "a/corpus.txt")
    Path("a/own.shape").write_text(OWN)
    with monkeypatch.context() as patch:
        signalled(patch, 2, signal.SIGTERM)
        assert run("a/own.shape", "-o", "a/r", "--quiet") == 75
    # With its data, it is found by the relative path.
    shutil.move("a", "b")
    assert remembered_root(Path("b/r")) is not None
    assert run("b/r", "--resume", "--quiet", "--pause", "4") == 0
    # Alone, the help says what to write.
    shutil.move("b/r", "r")
    shutil.move("b", "c")
    assert run("r", "--resume", "--quiet") == 1
    said = capsys.readouterr().err
    assert "data-missing" in said
    assert "`--root FOLDER` names another folder" in said
    assert run("r", "--resume", "--quiet", "--root", "c") == 0
    assert remembered_root(Path("r")) == (tmp_path / "c").resolve()


def test_folders_without_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert run("empty", "--resume") == 1
    assert "error[no-run]: `empty` contains no run" in capsys.readouterr().err


def test_a_restart_goes_on_without_being_asked(tmp_path: Path) -> None:
    """But not with the run of another launch: that is refused, in the first attempt and in each restart."""
    go(PLAN, tmp_path / "r", pause=5)
    data = json.loads((tmp_path / "r/data.json").read_text())
    ours, theirs = Launch("a-1", "none", 1), Launch("a-2", "none", 1)
    choices = Choices(tmp_path / "r", Options(root=tmp_path, resume=True), attrs.evolve(ours, restarts=0))
    prepare(choices, PLAN, data, lambda warning: None)
    again = attrs.evolve(choices, options=Options(root=tmp_path), launch=ours)
    start = prepare(again, PLAN, data, lambda warning: None)
    assert start.checkpoint == tmp_path / "r/checkpoints/step-000000005"
    with pytest.raises(Exception, match="run-exists"):
        prepare(attrs.evolve(again, launch=theirs), PLAN, data, lambda warning: None)


PEER = """
    import os, signal, sys
    import shapeflow_torch.machine as m
    from shapeflow.cli import main

    step, rank = m.TorchMachine.step, os.environ.get("SLURM_PROCID") or os.environ["RANK"]
    how = {"kill": signal.SIGKILL, "stop": signal.SIGUSR2}[sys.argv[1]]

    def signalled(self, stage, number, compute):
        if number == 5 and rank == "1" and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
            os.kill(os.getpid(), how)
        return step(self, stage, number, compute)

    m.TorchMachine.step = signalled
    main(["run", "toy.json", "-o", "r", "--quiet", "--device", "cpu", *sys.argv[2:]])
"""


@pytest.fixture
def peer(tmp_path: Path) -> Callable[..., list[str]]:
    """The command of one process, which does something to itself in step 6."""
    (tmp_path / "peer.py").write_text(textwrap.dedent(PEER))
    return lambda *words: [str(tmp_path / "peer.py"), *words]


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(TESTS), *sys.path])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def test_tasks_of_srun_train_one_run_and_stop_together(peer: Callable[..., list[str]]) -> None:
    step = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NNODES": "1"}
    step |= {"SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_JOB_NODELIST": "localhost"}
    tasks = [
        subprocess.Popen(
            [sys.executable, *peer("stop")],
            env=environment(**step, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [task.communicate(timeout=200)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [75, 75], said
    assert (ended("r").step, ended("r").stopped_by) == (6, "SIGUSR2")
    assert sorted(path.name for path in Path("r/checkpoints").iterdir()) == ["step-000000004", "step-000000006"]


def test_a_task_that_would_train_again_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"SLURM_JOB_ID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_LOCALID", "0")
    monkeypatch.setenv("SLURM_NNODES", "1")
    found = refused(PLAN, tmp_path / "r", processes=2)
    assert (found.code, found.place) == ("contradicting-devices", "--processes")
    assert not (tmp_path / "r").exists()


def test_torchrun_restarts_a_run_where_it_was(peer: Callable[..., list[str]]) -> None:
    """Its process is lost in step 6. The other one saves step 5, and the restart goes on from there at once."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1", "--monitor-interval"]
    command = [sys.executable, *launcher, "0.1", *peer("kill")]
    done = subprocess.run(command, env=environment(), timeout=300, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bug in" not in done.stderr
    assert "worker-lost" in done.stderr
    assert "continue from the last checkpoint with `torchrun --nproc-per-node 2 -m shapeflow run r --resume`" in (
        " ".join(done.stderr.replace("│", " ").split())
    )
    assert [event for event in told(Path("r")) if isinstance(event, RunStarted)] == [
        RunStarted(PLAN.digest, 0),
        RunStarted(PLAN.digest, 5),
    ]
    assert ended("r").finished
    assert load(Path("r/plan.json")) == PLAN
