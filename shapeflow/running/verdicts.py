"""The result of `shapeflow check`. Backends create it, but it does not depend on a backend."""

from __future__ import annotations

from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic
from shapeflow.base.shapes import Shape
from shapeflow.ir.parameters import Preserves

EXACT = 1e-9
"""The largest relative change in float64 at which a function counts as preserved. Edits that preserve it in exact
arithmetic change it by 1e-15 to 1e-12, others by far more than 1e-6."""


@attrs.frozen
class Verdict:
    """The effect of one switch on a small model with random weights."""

    stage: int
    """The number of the stage after the switch, counted from 1."""
    transitions: tuple[str, ...]
    before: Shape
    after: Shape
    says: Preserves
    logits: float
    """Largest change of a logit relative to the largest logit, at the positions that both contexts share. Infinite if
    logits are not finite or their number differs."""
    averaged: float
    """The same as `logits`, with the averaged weights."""
    losses: tuple[float, float]
    """Cross-entropy on the test inputs before and after, in nats."""
    new: int
    """The number of new parameter entries."""
    reached: float | None
    """The share of new entries that receive a gradient by the second step; None without new entries."""
    faults: tuple[Diagnostic, ...]


@attrs.frozen
class Checked:
    """The result of checking a plan."""

    switches: tuple[Verdict, ...]
    blends: int
    """The number of blends that were entered and left."""
    entries: int
    """The number of parameters of the checked model, in its largest shape."""
    reduced: bool
    """Whether the checked model was a replica, smaller than the model of the plan."""
    faults: tuple[Diagnostic, ...]
    """Diagnostics of the blends."""
    notes: tuple[str, ...] = ()
    """Why the checked model is not smaller."""

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All faults; empty if every switch and blend does what its transition declares."""
        return tuple(fault for switch in self.switches for fault in switch.faults) + self.faults


def checked_to_json(checked: Checked) -> dict[str, Any]:
    """The result as JSON; infinity is null."""
    found = attrs.asdict(checked, recurse=False)
    found["switches"] = [_verdict(verdict) for verdict in checked.switches]
    found["faults"] = [fault.message for fault in checked.faults]
    return {**found, "exact_below": EXACT, "kept": not checked.diagnostics}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    found = attrs.asdict(verdict, recurse=False)
    found |= {"before": verdict.before.json(), "after": verdict.after.json()}
    found |= {name: _finite(found[name]) for name in ("logits", "averaged")}
    found["losses"] = [_finite(loss) for loss in verdict.losses]
    return {**found, "faults": [fault.message for fault in verdict.faults]}


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
