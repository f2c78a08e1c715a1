"""Shows the progress of several runs: bars on a terminal, else a line when a run ends and at every tenth of the
compute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from shapeflow.base.units import flops
from shapeflow.preview.screen import console
from shapeflow.preview.standing import span
from shapeflow.running.ahead import Ahead
from shapeflow.running.pool import Job, Watch

_LINES = 10
"""Number of equal parts of the compute after each of which a line is printed if there is no terminal."""


@contextmanager
def watched(jobs: Sequence[Job], ahead: Ahead | None = None) -> Iterator[Watch]:
    """Show the progress of jobs on stderr while they run. `ahead`: all that the command is going to run; default: these
    jobs."""
    out, total = console(stderr=True), ahead or Ahead(jobs)
    if not out.is_terminal:
        yield _in_lines(out, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=out, transient=True) as bars:
        tasks = {job.label: bars.add_task(job.label, total=job.steps, start=False, said="") for job in jobs}
        every = bars.add_task("all runs", total=1.0, said=total_line(total))

        def show(job: Job, steps: int, state: str) -> None:
            total.note(job, steps, state)
            bars.start_task(tasks[job.label])
            bars.update(tasks[job.label], completed=steps, said=f"{steps:,}/{job.steps:,} steps")
            bars.update(every, completed=total.share, said=total_line(total))
            if state != "runs":
                bars.update(tasks[job.label], visible=False)
                out.print(f"  {job.label}: {'already done' if state == 'kept' else 'done'}")

        yield show


def _in_lines(out: Console, total: Ahead) -> Watch:
    printed = -1

    def update(job: Job, steps: int, state: str) -> None:
        nonlocal printed
        total.note(job, steps, state)
        part = int(_LINES * total.share)
        if state == "runs" and part <= printed:
            return
        printed = max(printed, part)
        what = "" if state == "runs" else f"{job.label}: {'already done' if state == 'kept' else 'done'}; "
        out.print(f"  {what}{total_line(total)}")

    return update


def total_line(total: Ahead) -> str:
    """How much of all runs is done, and the time left."""
    part = f"{total.ended} of {total.runs} runs, {100 * total.share:.0f}% of {flops(total.total, 3)}"
    if total.ended == total.runs:
        return part
    left = "unknown" if total.left is None else f"about {span(total.left)}"
    return f"{part}, time left: {left}"
