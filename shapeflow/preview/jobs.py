"""Shows the progress of several runs: one bar per run on a terminal, else one line when a run ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shapeflow.preview.screen import console
from shapeflow.running.pool import Job, Watch


@contextmanager
def watched(jobs: Sequence[Job]) -> Iterator[Watch]:
    """Show the progress of jobs on stderr while they run."""
    out = console(stderr=True)
    if not out.is_terminal:

        def update(job: Job, steps: int, state: str) -> None:
            if state != "runs":
                out.print(f"  {job.label}: {'already done' if state == 'kept' else 'done'}")

        yield update
        return
    text = TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps")
    with Progress(text[0], BarColumn(), text[1], TimeRemainingColumn(), console=out, transient=True) as bars:
        tasks = {job.label: bars.add_task(job.label, total=job.steps, start=False) for job in jobs}

        def show(job: Job, steps: int, state: str) -> None:
            bars.start_task(tasks[job.label])
            bars.update(tasks[job.label], completed=steps)
            if state != "runs":
                bars.update(tasks[job.label], visible=False)
                out.print(f"  {job.label}: {'already done' if state == 'kept' else 'done'}")

        yield show
