"""Shows where runs stand: of one run a line or more, of several a table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs
from rich.console import Group as Together
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.base.units import flops
from shapeflow.ir.events import CheckpointSaved
from shapeflow.preview.numbers import count, error
from shapeflow.preview.pace import rate
from shapeflow.running.standing import Group, Standing

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def span(seconds: float | None) -> str:
    """A time in its two largest units, such as `3 h 5 min`; `unknown` if there is none."""
    if seconds is None:
        return "unknown"
    left, words = max(1, round(seconds)), list[str]()
    largest = next(size for size, _ in _UNITS if left >= size)
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        if number and size * 60 >= largest:
            words.append(f"{number} {unit}")
    return " ".join(words[:2])


def state_words(one: Standing) -> str:
    """What a run does, or how it ended."""
    steps = count(one.plan.steps)
    match one.state:
        case "finished":
            return f"finished, {steps} steps"
        case "waiting":
            return f"not begun, {steps} steps"
        case "running":
            return f"running, after step {count(one.run.done)} of {steps}"
        case "stopped":
            by = f" by {'`--stop-after`' if one.stopped_by == 'SIGALRM' else one.stopped_by}" if one.stopped_by else ""
            return f"stopped{by} after step {count(one.run.done)} of {steps} steps"
        case "reached" | "paused":
            why = "`--until` was reached" if one.state == "reached" else "paused"
            return f"{why} after step {count(one.run.done)} of {steps} steps"
        case _ if one.diverged is not None:
            return f"diverged after step {count(one.run.done)} of {steps} steps"
        case _:
            return f"failed or killed after step {count(one.run.done)} of {steps} steps"


def standing_lines(one: Standing) -> Iterator[str]:
    """Yield what to say of a run that has not ended as planned, or has not ended yet."""
    if one.holder is not None:
        on = "" if one.holder.host is None else f" on {one.holder.host}"
        process = "a process" if one.holder.process is None else f"process {one.holder.process}"
        age = "" if one.holder.seconds is None else f", for {span(one.holder.seconds)}"
        yield f"{process}{on} runs it{age}"
    if one.state in ("running", "stopped", "failed", "paused"):
        yield from _place(one)
    if one.state == "running":
        pace = "" if one.step is None or not (found := rate(one.plan, one.step)) else f", at {found}"
        yield f"time left: {span(one.left)}{pace}"
    if one.diverged is not None:
        yield f"{one.diverged}; it would diverge again after `--resume`: lower the learning rate, or warm up longer"
    if one.state == "failed":
        saved = [event.step for event in one.run.events if isinstance(event, CheckpointSaved)]
        yield f"the newest checkpoint is that of step {count(saved[-1])}" if saved else "there is no checkpoint"


def _place(one: Standing) -> Iterator[str]:
    """Yield the stage, the share of the FLOPs and the last loss. Not every step is logged with its loss."""
    step, stages = one.step, len(one.plan.stages)
    share = f"{flops(one.compute, 3)}, {_percent(one)} of the plan's"
    if step is None:
        yield share if one.run.done else "before the first step"
        return
    index = one.plan.stage_at(step.step)
    name = one.plan.stages[index].shape.written(one.plan.units)
    yield f"in stage {index + 1} of {stages}, {name}; {share}; loss {step.loss:.3f} at step {count(step.step)}"


def _percent(one: Standing) -> str:
    return f"{100 * one.compute / one.total:.0f}%" if one.total else "0%"


def group_view(group: Group) -> RenderableType:
    """The output of `shapeflow show` for a folder of several runs: a line for each, and the total."""
    table = Table(box=None, padding=(0, 2))
    for heading, right in (("run", 0), ("state", 0), ("compute", 1), ("loss", 1), ("held out", 1), ("time left", 1)):
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for one in group.runs:
        early = group.verdict is not None and one.state == "paused"
        words = f"ended early, after step {count(one.run.done)}" if early else state_words(one)
        table.add_row(one.run.folder.name, words, *_numbers(one))
    for each in group.waiting:
        table.add_row(each.name, "not begun", f"0% of {flops(each.compute, 3)}", "-", "-", "")
    states = [one.state for one in group.runs] + ["waiting" for _ in group.waiting]
    done = ("finished", "reached", "paused") if group.verdict is not None else ("finished", "reached")
    ended = sum(state in done for state in states)
    running = f", {number} running" if (number := states.count("running")) else ""
    share = f"{100 * group.done / group.total:.0f}%" if group.total else "0%"
    left = f"; time left: {span(group.left)}" if number else ""
    title = f"{group.folder}: {ended} of {len(states)} runs finished{running}; {share} of {flops(group.total, 3)}{left}"
    if group.verdict is not None:
        return Together(Text(group.verdict, style="bold"), Text(title), Text(), table)
    return Together(Text(title, style="bold"), Text(), table)


def _numbers(one: Standing) -> list[str]:
    """Share of FLOPs, loss of the last step, last held-out value of the plan's metric, and time left."""
    metric = one.plan.metric
    held = next((event.values[metric] for event in reversed(one.run.measured) if metric in event.values), None)
    left = span(one.left) if one.state == "running" else ""
    loss = "-" if one.step is None else f"{one.step.loss:.3f}"
    return [f"{_percent(one)} of {flops(one.total, 3)}", loss, error(held, metric), left]


def standing_json(one: Standing) -> dict[str, Any]:
    """Where a run stands, as JSON."""
    return {
        "plan": one.plan.digest,
        "state": one.state,
        "stopped_by": one.stopped_by,
        "diverged": one.diverged,
        "holder": None if one.holder is None else attrs.asdict(one.holder),
        "steps": one.run.done,
        "of": one.plan.steps,
        "compute": one.compute,
        "total": one.total,
        "loss": one.step.loss if one.step is not None and math.isfinite(one.step.loss) else None,
        "seconds_left": one.left,
        "finished": one.state == "finished",
    }


def group_json(group: Group) -> dict[str, Any]:
    """The runs of a folder as JSON, by the names of their folders."""
    runs = {one.run.folder.name: standing_json(one) for one in group.runs}
    waiting = {one.name: {"state": "waiting", "total": one.compute} for one in group.waiting}
    whole = {"compute": group.done, "total": group.total, "seconds_left": group.left}
    return {"verdict": group.verdict, "runs": runs | waiting, **whole}
