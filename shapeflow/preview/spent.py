"""The time that a run has spent against what was planned, as text."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.ir.events import RunStarted
from shapeflow.preview.charge import charged
from shapeflow.preview.numbers import duration
from shapeflow.running.runs import Run
from shapeflow.running.spent import Off, spent

EQUAL = 0.005
"""Times that differ by a smaller share are called equal."""


def spent_lines(run: Run) -> Iterator[str]:
    """Yield the spent and the planned time and cost, and where the profile is off; nothing without a profile."""
    found = spent(run)
    if found is None:
        return
    than = f"{_share(found.excess)} the {duration(found.planned, 3)} that the profile predicts for these steps"
    # A profile prices its own devices, and the run may have had more of them.
    planned = charged(run.plan, found.planned)
    cost = charged(run.plan, found.measured * _devices(run))
    money = "" if cost is None else f"; {cost}, {planned} predicted"
    yield f"training took {than}{money}"
    for one in found.off:
        yield f"the profile is off: {_steps(run, one)}"
    if found.off:
        yield f"{_why(run)}: measure a new one with `shapeflow profile`"


def _why(run: Run) -> str:
    """Why a profile may be off."""
    start, about = _start(run), run.plan.timed_by
    if about is not None and start is not None:
        if start.devices is not None and start.devices != about.devices:
            processes = "1 process" if about.devices == 1 else f"{about.devices} processes"
            return f"the profile is of {processes}, and the run had {start.devices}"
        if start.device is not None and about.machine and start.device not in about.machine:
            return f"the profile is of another machine ({about.machine}) than the run ({start.device})"
    return "other programs used the machine during the profile or the run"


def _start(run: Run) -> RunStarted | None:
    return next((event for event in reversed(run.events) if isinstance(event, RunStarted)), None)


def _devices(run: Run) -> float:
    """Devices of the run's last start over those of the profile."""
    start = _start(run)
    charge = run.plan.charge
    if start is None or start.devices is None or charge is None:
        return 1.0
    return start.devices / charge.devices


def _steps(run: Run, one: Off) -> str:
    took, said = duration(one.measured, 3), duration(one.profile, 3)
    share = _share(one.measured / one.profile - 1)
    return f"a step in {one.shape.written(run.plan.units)} takes {took}, {share} the predicted {said}"


def _share(excess: float) -> str:
    if excess > 1:
        return f"{1 + excess:.3g} times"
    if abs(excess) < EQUAL:
        return "as long as"
    return f"{100 * abs(excess):.0f}% {'longer' if excess >= 0 else 'less'} than"
