"""Runs `shapeflow run` in forks of this process, which imports torch once, and kills it at a file operation."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import attrs

from file_operations import Operation, Point, Watch

GIVEN_UP = 60.0
"""Seconds after which a process is considered stuck."""
STUCK = -1000


@attrs.frozen
class End:
    """How one process ended: its exit code, minus the number of a signal, or `STUCK`; the diagnostics it reported."""

    code: int
    codes: tuple[str, ...] = ()


@attrs.frozen
class Bench:
    """Runs commands in forks of this process. `top`: where the program lies; `world`: processes of a run."""

    top: Path
    world: int = 1

    def start(
        self, folder: Path, *more: str, point: Point | None = None, listed: Path | None = None
    ) -> tuple[int, ...]:
        """Start `shapeflow run` in all processes, and return their ids. The leader dies at `point`. `listed`: where it
        lists its operations."""
        port = _free_port() if self.world > 1 else 0
        children = []
        for rank in range(self.world):
            child = os.fork()
            if not child:
                self._become(rank, port, folder, more, point, listed)
            children.append(child)
        return tuple(children)

    def ends(self, children: Sequence[int]) -> list[End]:
        """Wait for the processes of a run."""
        return [End(code, self._reported(rank)) for rank, code in enumerate(_waited(children))]

    def run(self, folder: Path, *more: str, point: Point | None = None, listed: Path | None = None) -> list[End]:
        """Run `shapeflow run` in all processes, as `start` does, to their ends."""
        return self.ends(self.start(folder, *more, point=point, listed=listed))

    def _become(
        self, rank: int, port: int, folder: Path, more: Sequence[str], point: Point | None, listed: Path | None
    ) -> None:
        """Turn this fork into one process of a run, and end it."""
        from shapeflow.cli import answer

        code = 70
        try:
            os.dup2(os.open(self._said(rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
            if self.world > 1:
                os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(self.world), "LOCAL_RANK": str(rank)}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            watch = Watch(str(folder.parent), point if rank == 0 else None)
            watch.install()
            code = answer(command(self.top, folder, *more))
            if rank and watch.seen:
                code = 71  # only the leader may write
            if listed is not None and rank == 0:
                listed.write_text(json.dumps([attrs.asdict(one) for one in watch.seen]))
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _said(self, rank: int) -> Path:
        return self.top / f"said-{self.world}-{rank}"

    def _reported(self, rank: int) -> tuple[str, ...]:
        """The codes of the errors that a process reported."""
        lines = [json.loads(line) for line in self._said(rank).read_text().splitlines() if line.startswith("{")]
        return tuple(line["code"] for line in lines if line.get("severity", "error") == "error")

    def operations(self, folder: Path, *more: str) -> list[Operation]:
        """Run to the end and list the operations. Raises SystemExit if the run fails."""
        listed = self.top / "listed.json"
        ends = self.run(folder, *more, listed=listed)
        if any(end.code for end in ends):
            raise SystemExit(f"a run that is not killed fails: {ends}")
        return [Operation(**one) for one in json.loads(listed.read_text())]


def command(top: Path, folder: Path, *more: str) -> list[str]:
    return ["run", str(top / "kill.shape"), "-o", str(folder), "--device", "cpu", "--quiet", "--format", "json", *more]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _waited(children: Sequence[int]) -> list[int]:
    """The exit codes of child processes, or minus the number of a signal. Stuck ones are killed."""
    codes: dict[int, int] = {}
    given_up = time.monotonic() + GIVEN_UP
    while len(codes) < len(children):
        late = time.monotonic() > given_up
        for child in children:
            if child in codes:
                continue
            if late:
                os.kill(child, signal.SIGKILL)
            found, status = os.waitpid(child, 0 if late else os.WNOHANG)
            if found:
                codes[child] = STUCK if late else os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return [codes[child] for child in children]


def warm_up(top: Path) -> None:
    """Import all that a run needs, by running it in this process."""
    import torch
    import torch._dynamo  # which runs of two processes need, in addition

    from shapeflow.cli import answer

    torch.set_num_threads(1)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        if answer(command(top, top / "warm")):
            raise SystemExit(f"the run fails: {said.getvalue()}")
