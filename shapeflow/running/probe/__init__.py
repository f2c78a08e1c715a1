"""Probes: a run of a shape, forked at a switch, so that what survives it is measured.

For each seed one run in the shape before (the trunk) is trained up to the switch and checkpointed. From there one side
goes on in that shape, the other makes the switch as a plan would: its edits, its moments, its blends. All are plans of
their own, run by the pool as any other, so that a probe that was interrupted goes on.
"""

from __future__ import annotations

from shapeflow.running.backend import backend
from shapeflow.running.pool import Pool, Watch
from shapeflow.running.probe.outcome import measured, references, runs_of
from shapeflow.running.probe.plans import Probing, probing
from shapeflow.running.probe.points import Asked
from shapeflow.running.runs import is_run

__all__ = ["Asked", "Probing", "measured", "probing", "runs_of", "train"]


def train(asked: Probing, pool: Pool, watch: Watch) -> None:
    """Make all runs that are not there yet. Raises Refused."""
    trunks = {probe.trunk.folder: probe.trunk for probe in asked.probes}
    pool.run(list(trunks.values()), watch)
    for probe in asked.probes:
        for job in (probe.stays, probe.moves):
            if not is_run(job.folder):
                backend("torch")().fork(probe.trunk.folder, job.plan, job.folder)
    pool.run([job for probe in asked.probes for job in (probe.stays, probe.moves)], watch)
    pool.run(list({job.folder: job for job in references(asked)}.values()), watch)
