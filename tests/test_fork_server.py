"""Jobs of a pool that are forks of one server: they do what separate processes do, and end with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from plans import toy_image_plan

from shapeflow.base.diagnostics import Refused
from shapeflow.ir.plan import Plan, Spec
from shapeflow.ir.plan_json import save, sealed
from shapeflow.running.forks import ForkServer
from shapeflow.running.pool import Job, Pool
from shapeflow.running.runs import last_step, read_run

if sys.platform != "linux":
    pytest.skip("jobs are forks on Linux only", allow_module_level=True)

PLAN = toy_image_plan((({"patch": 4, "width": 32}, 6), ({"patch": 2, "width": 48}, 6)), evaluate=6, checkpoint=4)
LONG = toy_image_plan((({"patch": 4, "width": 32}, 1_000_000),), evaluate=1_000_000, checkpoint=1_000_000)


def silent(job: Job, step: int, state: str) -> None:
    """A watch that does nothing."""


def checkpoints(folder: Path) -> dict[str, bytes]:
    """The contents of all checkpoint files of a run."""
    files = sorted(path for path in (folder / "checkpoints").rglob("*") if path.is_file())
    assert files
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def separate(plan: Plan, folder: Path, *options: str) -> str:
    """Train a plan in a separate process. Returns what it prints on stderr."""
    save(plan, folder / "plan.json")
    command = [sys.executable, "-m", "shapeflow", "run", str(folder / "plan.json"), "-o", str(folder), "--quiet"]
    return subprocess.run([*command, *options], check=False, capture_output=True, text=True).stderr


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """A pool with a server that was started in the environment of a launcher, where a run is refused: `bad-launch`."""
    with Pool(2, "cpu", tmp_path_factory.mktemp("pool")).kept() as kept:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RANK", "0")
            patch.setenv("WORLD_SIZE", "2")
            assert kept.shared is not None
            kept.shared.server(kept.threads)
            assert os.environ["RANK"] == "0"
        yield kept


def test_forks_train_to_the_same_bits(pool: Pool, tmp_path: Path) -> None:
    """The same as in a separate process: two at once, of which one stops early and continues in another fork."""
    whole, stopped = (Job(name, PLAN, tmp_path / name) for name in ("a", "b"))
    pool.run([whole, attrs.evolve(stopped, pause=5)], silent)
    pool.run([whole, stopped], silent)
    separate(PLAN, tmp_path / "alone", "--device", "cpu", "--root", str(pool.root), "--threads", str(pool.threads))
    alone = checkpoints(tmp_path / "alone")
    assert checkpoints(tmp_path / "a") == alone
    last = {name: data for name, data in alone.items() if f"step-{PLAN.steps:09d}" in name}
    assert last.items() <= checkpoints(tmp_path / "b").items()


def test_a_fork_computes_on_as_many_threads_as_a_new_process() -> None:
    """Products and sums large enough that torch splits them among threads, after numpy and torch were imported."""
    script = """
import os, sys
from shapeflow_torch import TorchBackend
if sys.argv[1] == "fork":
    TorchBackend().preload()
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
import hashlib, torch
a = torch.rand(257, 4099, generator=torch.Generator().manual_seed(0))
bits = [(a @ a.T).numpy().tobytes(), torch.softmax(a, 1).sum(0).numpy().tobytes(), a.sum().numpy().tobytes()]
print(torch.get_num_threads(), hashlib.sha256(b"".join(bits)).hexdigest(), flush=True)
"""
    own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    fork, new = (
        subprocess.run([sys.executable, "-c", script, kind], env=own, check=True, capture_output=True).stdout
        for kind in ("fork", "new")
    )
    assert fork == new


def test_what_is_imported_starts_no_thread_and_no_cuda(tmp_path: Path) -> None:
    """A run imports only a few small modules of torch more. OpenBLAS is left out: it stops its threads at a fork, and
    starts them again when they are needed."""
    script = """
import os, sys
from shapeflow.cli import answer, fork_server
fork_server._preload("torch", None)
import torch
assert "torch._decomp.decompositions" in sys.modules
print(len(os.listdir("/proc/self/task")), torch.cuda.is_initialized())
before = set(sys.modules)
assert answer(["run", "plan.json", "-o", "run", "--device", "cpu", "--threads", "1", "--quiet"]) == 0
late = sorted(name for name in set(sys.modules) - before if name.startswith("torch"))
assert len(late) < 5, late
"""
    own = {**os.environ, "OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "1"}
    save(PLAN, tmp_path / "plan.json")
    done = subprocess.check_output([sys.executable, "-c", script], env=own, text=True, cwd=tmp_path)
    assert done == "1 False\n"


def test_a_job_that_fails_is_reported_as_before(pool: Pool, tmp_path: Path) -> None:
    plan = sealed(attrs.evolve(PLAN, optimizer=Spec("adafactor")))
    with pytest.raises(Refused, match=r"run-failed: the run of \(patch: 4 px\) ended with exit code 1") as caught:
        pool.run([Job("(patch: 4 px)", plan, tmp_path / "a")], silent)
    said = separate(plan, tmp_path / "b", "--device", "cpu", "--root", str(tmp_path))
    assert "no-such-optimizer" in said
    assert caught.value.diagnostics[0].notes == (said.strip(),)


def test_wrong_arguments_have_their_exit_code(pool: Pool) -> None:
    assert pool.shared is not None
    with tempfile.NamedTemporaryFile() as said:
        job = pool.shared.server(pool.threads).start(["run", "--no-such-option"], Path(said.name))
        job.wait()
        assert job.poll() == 2
        assert b"No such option" in said.read()


def children(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_server_that_is_killed_ends_in_a_diagnostic(tmp_path: Path) -> None:
    """Its jobs save a checkpoint and stop before the diagnostic is shown."""

    killed: list[int] = []

    def watch(job: Job, step: int, state: str) -> None:
        if step > 0 and not killed:
            killed.extend(each for each in children(os.getpid()) if children(each))
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(Refused, match=r"run-failed: the process that starts the runs ended .* exit code -9"):
        Pool(1, "cpu", tmp_path).run([Job("a", LONG, tmp_path / "a")], watch)
    assert checkpoints(tmp_path / "a")
    ended = read_run(tmp_path / "a").ended
    assert ended is not None
    assert not ended.finished


def test_a_server_that_cannot_start_ends_in_a_diagnostic(tmp_path: Path) -> None:
    server = ForkServer({**os.environ, "PYTHONHOME": str(tmp_path)}, None)
    job = server.start(["run"], tmp_path / "said")
    job.wait()
    with pytest.raises(Refused, match="the process that starts the runs ended too early, with exit code 1"):
        job.poll()
    server.close()


def test_jobs_that_have_not_begun_do_not_wait_for_imports(tmp_path: Path) -> None:
    """The imports never end: a module that is imported first reads a pipe to which nothing is written."""
    (tmp_path / "attrs.py").write_text("import os\nos.read(os.pipe()[0], 1)\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    server = ForkServer({**os.environ, "PYTHONPATH": path}, None)
    job = server.start(["run"], tmp_path / "said")
    job.send_signal(signal.SIGTERM)
    job.wait()
    server.close()
    assert job.returncode is None


POOL = """
import sys
from pathlib import Path
from shapeflow.ir.plan_json import load
from shapeflow.running.pool import Job, Pool

plan, folder = load(Path(sys.argv[1])), Path(sys.argv[2])
reported = []

def watch(job, step, state):
    if step > 0 and not reported:
        reported.append(step)
        print("trains", flush=True)

Pool(1, "cpu", folder).run([Job("a", plan, folder / "a")], watch)
"""


@pytest.mark.parametrize("how", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_pool_saves_checkpoints(how: signal.Signals, tmp_path: Path) -> None:
    """SIGINT goes to all processes, as from a terminal; the others to the pool's process alone, which passes SIGUSR1
    and SIGTERM on. If it is killed, the system sends SIGTERM."""
    save(LONG, tmp_path / "long.json")
    command = [sys.executable, "-c", POOL, str(tmp_path / "long.json"), str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as pool:
        assert pool.stdout is not None
        assert pool.stdout.readline() == "trains\n"
        (server,) = children(pool.pid)
        (job,) = children(server)
        watched = [os.pidfd_open(each) for each in (server, job)]
        if how == signal.SIGINT:
            os.killpg(pool.pid, how)
        else:
            os.kill(pool.pid, how)
        for descriptor in watched:
            select.select([descriptor], [], [])
            os.close(descriptor)
    assert last_step(tmp_path / "a") > 0
    assert checkpoints(tmp_path / "a")
    ended = read_run(tmp_path / "a").ended
    assert ended is not None
    assert not ended.finished
    assert ended.stopped_by == ("SIGTERM" if how == signal.SIGKILL else how.name)


def test_ctrl_c_while_the_server_starts_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """It reaches all processes of a terminal, and may do so before the server has imported anything."""
    for _ in range(5):
        server = ForkServer(os.environ, 1)
        server._process.send_signal(signal.SIGINT)
        server._process.terminate()
        server.close()
        assert server._process.returncode == -signal.SIGTERM
    assert capfd.readouterr().err == ""
