"""What a check found out about the switches of a plan; made by a backend, without anything of it inside."""

from __future__ import annotations

from typing import Any

import attrs

from shapeflow.base.diagnostics import Diagnostic
from shapeflow.base.shapes import Shape
from shapeflow.ir.parameters import Preserves

EXACT = 1e-9
"""Up to this relative change in float64 a function counts as kept: what is kept in theory changes by 1e-15 to 1e-12,
and what is not changes by far more than 1e-6."""


@attrs.frozen
class Verdict:
    """What one switch does to a small model with random weights."""

    stage: int
    """Number of the stage that it leads to, from 1."""
    transitions: tuple[str, ...]
    before: Shape
    after: Shape
    says: Preserves
    logits: float
    """Largest change of a logit, over the largest logit; at the positions that both contexts have. Infinite where
    logits are not finite, or not as many."""
    averaged: float
    """The same under the averaged weights."""
    losses: tuple[float, float]
    """Cross-entropy on the probe before and after, in nats."""
    new: int
    """Entries of parameters that the switch made."""
    reached: float | None
    """Share of them that a gradient has reached by the second step; None where there are none."""
    faults: tuple[Diagnostic, ...]


@attrs.frozen
class Checked:
    """What was found out about a plan."""

    switches: tuple[Verdict, ...]
    blends: int
    """Readings of blends that were entered and left."""
    entries: int
    """Entries of all parameters of the model that was looked at, in its largest shape."""
    reduced: bool
    """It was a replica, smaller than the plan's own model."""
    faults: tuple[Diagnostic, ...]
    """Of the blends."""
    notes: tuple[str, ...] = ()
    """Why the model that was looked at is not as small as others."""

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All that is wrong; nothing where the plan's switches do what they say."""
        return tuple(fault for switch in self.switches for fault in switch.faults) + self.faults


def checked_to_json(checked: Checked) -> dict[str, Any]:
    """What was found out, as JSON values; infinity is null."""
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
