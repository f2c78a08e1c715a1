"""Launchers that may have started this process as one of several: torchrun and others that set RANK, Slurm's `srun`,
and those that only say how many there are. Reads environment variables alone."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused

VARIABLES = frozenset({"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"})
"""Variables of torchrun and of launchers like it."""
PREFIXES = ("TORCHELASTIC_", "SLURM_", "OMPI_COMM_WORLD_")
"""How the other variables begin by which a process recognizes its launcher."""

_PORTS = range(15_000, 32_000)
"""Ports for processes that Slurm starts: below those that Linux gives to outgoing connections."""
_MPI = ("OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


@attrs.frozen
class Place:
    """This process among those of its launcher. `local`: its number on this machine; `local_world`: how many there
    are; `address`, `port`: where process 0 listens."""

    launcher: str
    """`srun`, or `torchrun` for any that sets RANK."""
    rank: int
    world: int
    local: int
    local_world: int
    address: str
    port: int

    @property
    def by(self) -> str:
        """The launcher, for a sentence."""
        return "`srun`" if self.launcher == "srun" else "a launcher such as `torchrun`"


def placed(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Return the place that a launcher gave this process; None: it was started alone.

    Raises Refused `bad-launch` if a launcher says too little, so that its processes would each train alone."""
    given = [name for name in ("RANK", "WORLD_SIZE") if name in environment]
    if len(given) == 2:
        return _by_rank(environment)
    if given:
        other = ({"RANK", "WORLD_SIZE"} - {*given}).pop()
        raise bad_launch(f"{given[0]} is set, and {other} is not")
    if _slurm_tasks(environment) > 1:
        return _by_slurm(environment)
    if int(_number(environment, "SLURM_PROCID", instead=0)) > 0:
        raise bad_launch("SLURM_PROCID is set, and SLURM_STEP_NUM_TASKS is not", "srun")
    for name in _MPI:
        if environment.get(name, "1") != "1":
            raise bad_launch(f"{name} is {environment[name]}, and RANK is not set", "mpirun")
    return None


def require_alone(command: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise Refused `bad-launch` in one of several processes of a launcher. `command`: one that starts its own runs."""
    place = placed(environment)
    if place is not None and place.world > 1:
        message = f"{place.by} started {place.world} processes, and each would train all runs"
        help_ = f"start one process of {command}: it trains the runs one by one, or several at once with `--jobs`"
        raise Refused(Diagnostic("bad-launch", message, place="environment", help=help_))


def without_launcher(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a run that is not part of its parent's launch."""
    return {
        name: value for name, value in environment.items() if name not in VARIABLES and not name.startswith(PREFIXES)
    }


@attrs.frozen
class Launch:
    """One call of torchrun, which may restart its processes. `agent`: the process that does; `run`: the rendezvous id,
    `none` unless the user chose one; `restarts`: how often this agent has restarted its processes."""

    agent: str
    run: str
    restarts: int

    def began(self, about: Mapping[str, object]) -> bool:
        """Whether this launch wrote `about`. The leader may have moved to the agent of another machine since then."""
        same_run = self.run != "none" and about.get("run") == self.run
        return about.get("agent") == self.agent or (self.restarts > 0 and same_run)


def launch_of(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """The torchrun that started this process; None: another launcher, or none."""
    run = environment.get("TORCHELASTIC_RUN_ID")
    if run is None or "RANK" not in environment:
        return None
    restarts = _number(environment, "TORCHELASTIC_RESTART_COUNT", instead=0)
    return Launch(f"{socket.gethostname()}-{os.getppid()}", run, restarts)


def first_host(hosts: str) -> str:
    """The first name of a list of hosts of Slurm, such as `node001` of `node[001-003,007],gpu1`."""
    first = re.match(r"(?:\[[^]]*\]|[^,\[])*", hosts)
    return re.sub(r"\[([^],-]*)[^]]*\]", r"\1", first[0] if first else "")


def tasks_of(text: str, node: int) -> int:
    """Tasks on one node, of a list of Slurm such as `4(x2),1`. `node`: its number, from 0. 0: the list is not one."""
    counts: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * min(int(times or 1), node + 1)
    return counts[node] if node < len(counts) else 0


def bad_launch(why: str, launcher: str = "torchrun") -> Refused:
    """The error for a process of a launcher that cannot find the others."""
    message = "a launcher started this process, and it cannot find the others of its run"
    help_ = {
        "torchrun": "launch with `torchrun`, or unset RANK and WORLD_SIZE and use `--gpus` or `--processes`",
        "srun": "launch with `srun` in a job of Slurm, or start one task and use `--gpus` or `--processes`",
        "mpirun": "launch with `torchrun` or `srun`, or start one process and use `--gpus` or `--processes`",
    }[launcher]
    return Refused(Diagnostic("bad-launch", message, place="environment", notes=(why,), help=help_))


def _by_rank(environment: Mapping[str, str]) -> Place:
    rank, world = _number(environment, "RANK"), _number(environment, "WORLD_SIZE", 1)
    local = _number(environment, "LOCAL_RANK", instead=rank)
    local_world = _number(environment, "LOCAL_WORLD_SIZE", 1, world)
    if rank >= world:
        raise bad_launch(f"RANK is {rank}, and WORLD_SIZE {world}")
    if not environment.get("MASTER_ADDR"):
        raise bad_launch("MASTER_ADDR is not set")
    port = _number(environment, "MASTER_PORT")
    return Place("torchrun", rank, world, local, local_world, environment["MASTER_ADDR"], port)


def _slurm_tasks(environment: Mapping[str, str]) -> int:
    """The tasks of the job step that this process belongs to; 1 outside of a step.

    The shell of a batch job or of `salloc` is one process, whatever SLURM_NTASKS says: that is what a step may use."""
    if "SLURM_STEP_NUM_TASKS" in environment:
        return _number(environment, "SLURM_STEP_NUM_TASKS", 1, launcher="srun")
    if "SLURM_STEP_ID" in environment and "SLURM_PROCID" in environment:
        return _number(environment, "SLURM_NTASKS", 1, 1, launcher="srun")
    return 1


def _by_slurm(environment: Mapping[str, str]) -> Place:
    world, rank = _slurm_tasks(environment), _number(environment, "SLURM_PROCID", launcher="srun")
    local = _number(environment, "SLURM_LOCALID", launcher="srun")
    if rank >= world:
        raise bad_launch(f"SLURM_PROCID is {rank}, and the step has {world} tasks", "srun")
    node = _number(environment, "SLURM_NODEID", instead=0, launcher="srun")
    lists = ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE")
    counts = (tasks_of(environment.get(name, ""), node) for name in lists)
    local_world = max(next((count for count in counts if count), world), local + 1)
    return Place("srun", rank, world, local, local_world, _address(environment), _port(environment))


def _address(environment: Mapping[str, str]) -> str:
    """Where task 0 listens: on the first host of the step. The host that called `srun` may be another one."""
    if environment.get("MASTER_ADDR"):
        return environment["MASTER_ADDR"]
    nodes = environment.get("SLURM_STEP_NUM_NODES") or environment.get("SLURM_NNODES")
    if nodes == "1":
        return "127.0.0.1"
    for name in ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"):
        if host := first_host(environment.get(name, "")):
            return host
    if environment.get("SLURM_LAUNCH_NODE_IPADDR"):
        return environment["SLURM_LAUNCH_NODE_IPADDR"]
    raise bad_launch("neither SLURM_JOB_NODELIST nor SLURM_LAUNCH_NODE_IPADDR is set", "srun")


def _port(environment: Mapping[str, str]) -> int:
    """A port that all tasks of a step compute alike, and that steps at the same time hardly share."""
    if "MASTER_PORT" in environment:
        return _number(environment, "MASTER_PORT", launcher="srun")
    job = _number(environment, "SLURM_JOB_ID", launcher="srun")
    step = _number(environment, "SLURM_STEP_ID", instead=0, launcher="srun")
    return _PORTS[(job * 31 + step) % len(_PORTS)]


def _number(
    environment: Mapping[str, str], name: str, least: int = 0, instead: int | None = None, launcher: str = "torchrun"
) -> int:
    """Return an integer variable. `least`: smallest valid value; `instead`: default if the variable is not set. Raises
    Refused `bad-launch`."""
    text = environment.get(name)
    if text is None and instead is not None:
        return instead
    if text is None or not text.isdecimal() or int(text) < least:
        raise bad_launch(f"{name} is not set" if text is None else f"{name} is `{text}`", launcher)
    return int(text)
