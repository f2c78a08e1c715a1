"""What a process learns of its launcher from its environment."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from shapeflow.base.diagnostics import Refused
from shapeflow.running.launchers import Launch, first_host, launch_of, placed, require_alone, tasks_of, without_launcher

JOB = {"SLURM_JOB_ID": "4242", "SLURM_JOB_NODELIST": "node[007-009,012],gpu1", "SLURM_NTASKS": "5", "SLURM_PROCID": "0"}
STEP = {
    **JOB,
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_NODELIST": "node[008-009]",
    "SLURM_STEP_TASKS_PER_NODE": "4,1",
    "SLURM_LOCALID": "0",
}
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "none"}


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("node001", "node001"),
        ("node[001-003,007],gpu1", "node001"),
        ("gpu1,node[001-003]", "gpu1"),
        ("node[7,001-003]", "node7"),
        ("rack[1-2]node[01-04]-ib", "rack1node01-ib"),
        ("", ""),
    ],
)
def test_the_first_of_a_list_of_hosts(hosts: str, first: str) -> None:
    assert first_host(hosts) == first


def test_tasks_per_node() -> None:
    counts = [tasks_of("4(x2),1", node) for node in range(4)]
    assert counts == [4, 4, 1, 0]
    assert tasks_of("2(x999999999)", 3) == 2
    assert tasks_of("", 0) == 0


def test_the_tasks_of_a_step_find_each_other() -> None:
    last = {**STEP, "SLURM_PROCID": "4", "SLURM_NODEID": "1"}
    places = [placed(STEP), placed(last)]
    assert [(p.rank, p.local, p.world, p.local_world) for p in places if p] == [(0, 0, 5, 4), (4, 0, 5, 1)]
    assert {(p.address, p.launcher) for p in places if p} == {("node008", "srun")}
    (port,) = {p.port for p in places if p}
    assert 1024 < port < 32_768
    others = [placed({**STEP, "SLURM_STEP_ID": "1"}), placed({**STEP, "SLURM_JOB_ID": "4243"})]
    assert port not in {p.port for p in others if p}
    here = placed({**STEP, "SLURM_STEP_NUM_NODES": "1"})
    chosen = placed({**STEP, "MASTER_ADDR": "head", "MASTER_PORT": "29500"})
    assert here is not None
    assert chosen is not None
    assert (here.address, chosen.address, chosen.port) == ("127.0.0.1", "head", 29500)
    bare = {name: value for name, value in STEP.items() if "NODELIST" not in name}
    found = placed({**bare, "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1"})
    assert found is not None
    assert found.address == "10.0.0.1"


@pytest.mark.parametrize(
    "alone",
    [
        {},
        JOB,
        {**JOB, "SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"},
        {**STEP, "SLURM_NTASKS": "5", "SLURM_STEP_NUM_TASKS": "1"},
    ],
)
def test_the_shell_of_a_job_is_one_process(alone: Mapping[str, str]) -> None:
    assert placed(alone) is None
    require_alone("`shapeflow sweep`", alone)


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        ({"RANK": "0"}, "RANK is set, and WORLD_SIZE is not"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is set, and RANK is not"),
        ({**JOB, "SLURM_PROCID": "1"}, "SLURM_PROCID is set, and SLURM_STEP_NUM_TASKS is not"),
        ({**STEP, "SLURM_PROCID": "5"}, "SLURM_PROCID is 5, and the step has 5 tasks"),
        ({**STEP, "SLURM_LOCALID": "x"}, "SLURM_LOCALID is `x`"),
        ({**STEP, "SLURM_JOB_ID": ""}, "SLURM_JOB_ID is ``"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE is 2, and RANK is not set"),
    ],
)
def test_processes_that_would_train_twice_are_refused(stated: Mapping[str, str], why: str) -> None:
    with pytest.raises(Refused, match="bad-launch") as caught:
        placed(stated)
    assert caught.value.diagnostics[0].notes == (why,)


@pytest.mark.parametrize(("launched", "by"), [(STEP, "`srun` started 5"), (TORCHRUN, "`torchrun` started 2")])
def test_a_sweep_is_one_process(launched: Mapping[str, str], by: str) -> None:
    with pytest.raises(Refused, match=f"{by} processes, and each would train all runs"):
        require_alone("`shapeflow sweep`", launched)
    assert placed(without_launcher(launched)) is None


def test_a_restart_knows_what_its_launch_began() -> None:
    """By its agent; or by a rendezvous id that the user chose, if the leader has moved to another machine."""
    launch = launch_of(TORCHRUN)
    assert launch is not None
    assert launch.began({"agent": launch.agent, "run": "none"})
    assert not Launch("b-1", "none", 1).began({"agent": "a-1", "run": "none"})
    assert Launch("b-1", "job", 1).began({"agent": "a-1", "run": "job"})
    assert not Launch("b-1", "job", 0).began({"agent": "a-1", "run": "job"})
    assert launch_of(STEP) is None
