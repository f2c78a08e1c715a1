"""A machine for dry runs. It applies the same edits as torch to a ledger of sizes, and returns the loss that the
scaling laws predict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.edits import Edit
from shapeflow.ir.events import Evaluation
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Plan, Stage, Transition, forecast

__all__ = ["Simulator"]


class Simulator:
    """Executes a plan without a model: implements `execute.Machine`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ledger: Ledger | None = None
        self.done = 0

    def take(self, stage: Stage) -> None:
        self.ledger = Ledger.of(self.plan.parameters, stage.sizes, self.plan.slots, stage.reading)
        self.done = 0

    def apply(self, transition: Transition, stage: Stage) -> None:
        self.look(transition.edits)

    def look(self, edits: Sequence[Edit]) -> None:
        assert self.ledger is not None
        for edit in edits:
            self.ledger.apply(edit)

    def step(self, stage: Stage, step: int, compute: float) -> float:
        self.done = step + 1
        return self._error(stage)

    def measure(self, stage: Stage) -> Evaluation:
        error = self._error(stage)
        return Evaluation({} if math.isnan(error) else {self.plan.metric: error})

    def asked_to_stop(self) -> str | None:
        return None

    def save(self, path: Path, step: int) -> None:
        """Do nothing, because a simulation can be repeated quickly."""

    def load(self, path: Path) -> int:
        raise Refused(Diagnostic("no-checkpoint", "a simulation keeps no checkpoints", place=str(path)))

    def _error(self, stage: Stage) -> float:
        spent = (self.done - stage.first_step) * stage.cost
        error = forecast(self.plan.law_of(stage), stage.enter, spent)
        return math.nan if error is None else error
