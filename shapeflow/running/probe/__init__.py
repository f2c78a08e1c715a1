"""Measures the share of progress that survives a switch, by forking a run at the switch.

For each seed, a run in the old shape (the trunk) is trained up to the switch and checkpointed. From there, one branch
continues in the old shape, and the other makes the switch as a plan would, with edits, moments and blends. Each is a
separate plan that the pool runs, so an interrupted probe can be continued.
"""

from __future__ import annotations

from shapeflow.running.backend import backend
from shapeflow.running.pool import Job, Pool, Watch
from shapeflow.running.probe.outcome import measured, references, runs_of
from shapeflow.running.probe.plans import Probing, probing
from shapeflow.running.probe.points import Asked
from shapeflow.running.runs import is_run

__all__ = ["Asked", "Probing", "measured", "phases", "probing", "runs_of", "train"]


def phases(asked: Probing) -> tuple[tuple[Job, ...], ...]:
    """The jobs in the order of training: trunks, branches, reference runs. Reference runs have a goal once all branches
    are finished. Raises Refused."""
    trunks, sides, scratch = asked.phases
    if all(job.finished for job in sides):
        scratch = tuple({job.folder: job for job in references(asked)}.values())
    return trunks, sides, scratch


def train(asked: Probing, pool: Pool, watch: Watch) -> None:
    """Train all runs that are not finished yet. Raises Refused."""
    trunks = {probe.trunk.folder: probe.trunk for probe in asked.probes}
    with pool.kept() as kept:
        kept.run(list(trunks.values()), watch)
        for probe in asked.probes:
            for job in (probe.stays, probe.moves):
                if not is_run(job.folder):
                    backend(pool.machine)().fork(probe.trunk.folder, job.plan, job.folder)
        kept.run([job for probe in asked.probes for job in (probe.stays, probe.moves)], watch)
        kept.run(list({job.folder: job for job in references(asked)}.values()), watch)
