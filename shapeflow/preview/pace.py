"""How fast a run is and what it uses, as text."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.base.units import flops, size
from shapeflow.ir.events import RunStarted, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.preview.numbers import count
from shapeflow.running.meter import items_of
from shapeflow.running.runs import Run


def rate(plan: Plan, step: StepDone) -> str:
    """Tokens or images per second, and the MFU where it is known; empty without a measurement."""
    if step.throughput is None:
        return ""
    mfu = "" if step.mfu is None else f", MFU {100 * step.mfu:.3g}%"
    number = count(round(step.throughput)) if step.throughput >= 10 else f"{step.throughput:.2g}"
    return f"{number} {items_of(plan)}/s{mfu}"


def paces(run: Run) -> Iterator[str]:
    """Yield what the log of a run says of its last steps, a line each. Logs of earlier versions say nothing."""
    steps = [event for event in run.events if isinstance(event, StepDone) and event.throughput is not None]
    if not steps:
        return
    last = steps[-1]
    learning = "" if last.learning_rate is None else f", learning rate {last.learning_rate:.4g}"
    norm = "" if last.gradient_norm is None else f", gradient norm {last.gradient_norm:.3g}"
    yield f"at step {count(last.step)}: {rate(run.plan, last)}{learning}{norm}"
    start = next((event for event in reversed(run.events) if isinstance(event, RunStarted)), None)
    if start is None or start.device is None:
        return
    many = "" if start.devices in (None, 1) else f"{start.devices} processes, each on "
    if start.peak_flops is None:
        yield f"on {many}{start.device}; no MFU: {start.peak_from}"
    else:
        yield f"on {many}{start.device}; MFU of {flops(start.peak_flops)}/s ({start.peak_from})"
    memory = next((step.memory for step in reversed(steps) if step.memory is not None), None)
    if memory is not None:
        yield f"peak memory {size(memory)} ({start.memory_of})"
