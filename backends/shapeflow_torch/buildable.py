"""Checks whether the modules of a plan can be built."""

from __future__ import annotations

import torch

from shapeflow.base.diagnostics import Refused
from shapeflow.ir.plan import Plan
from shapeflow.ir.replay import first_ledger
from shapeflow_torch.check_inputs import DataInputs, RandomInputs
from shapeflow_torch.models import build
from shapeflow_torch.reading import Reader

CPU, DTYPE = torch.device("cpu"), torch.float64


@torch.no_grad()
def unbuilt(plan: Plan, source: RandomInputs | DataInputs, samples: int) -> str | None:
    """Build the module of every stage and run it on one batch. Returns why this fails, or None if it works.

    Raises Refused if the cause is not the module: `no-such-model`, `no-such-view`, `no-such-data`."""
    assert plan.model is not None
    ledger, reader = first_ledger(plan), Reader()
    for stage in plan.stages:
        for edit in () if stage.transition is None else stage.transition.edits:
            ledger.apply(edit)
        size = ledger.slots.get("resolution", ledger.slots.get("context"))
        source.ledger = ledger
        inputs, _ = source.batch(plan.seed, 0, 0, samples, size if isinstance(size, int) else None, slice(None))
        try:
            net = build(plan.model.name, ledger, CPU, DTYPE)
            net.readings, net.slots = reader.readings(ledger, CPU, DTYPE), dict(ledger.slots)
            net(inputs)
        except Refused as refused:
            if refused.diagnostics[0].code != "wrong-parameters":
                raise
            return "; ".join((refused.diagnostics[0].message, *refused.diagnostics[0].notes))
        except (RuntimeError, ValueError) as error:
            return str(error).partition("\n")[0]
    return None
