"""The exact machine: carries out a plan for `random_features` on average over all samples, without drawing any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.edits import Edit, Grow, Map, Swap, matrices
from shapeflow.ir.events import Evaluation
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.noise import Floats
from shapeflow.ir.plan import Plan, Stage, Transition
from shapeflow.ir.random_features import PLAIN_SGD, beyond_plain_sgd
from shapeflow.ir.rates import factors
from shapeflow_exact.moments import Basis, Diagonal, Moments, advanced, basis, diverges, largest_step, moved, start

METRIC = "squared_error"


class ExactMachine:
    """Implements `shapeflow.running.execute.Machine`. The random features are those of the plan's seed; losses are
    expectations over the samples."""

    def __init__(self, plan: Plan, stop: Callable[[], str | None] = lambda: None) -> None:
        """`stop`: returns the name of the signal that asks for a stop, or None.

        Raises Refused `not-exact` for a plan that theory does not describe."""
        _check(plan)
        self._stop = stop
        assert plan.data is not None
        self.plan = plan
        data: Mapping[str, Any] = plan.data.settings
        self._alpha, self._beta, self._features = data["alpha"], data["beta"], data["features"]
        self._ledger: Ledger | None = None
        self._moments: Moments | None = None
        self._diagonal: Diagonal | None = None
        self._pace: tuple[float, int] = (0.0, 1)
        """Step size, with gradients summed over the batch, and batch of the steps that `_diagonal` has made."""
        self._steps = 0
        """Number of steps that `_diagonal` is ahead of `_moments`."""

    def take(self, stage: Stage) -> None:
        self._ledger = Ledger.of(self.plan.parameters, stage.sizes, self.plan.slots, stage.reading)
        self._enter(start(self._basis(stage.sizes["feature"])))

    def apply(self, transition: Transition, stage: Stage) -> None:
        """See `Machine`. Raises Refused `not-exact` for an edit that is not a linear map of the parameters."""
        moments = self._settled()
        for edit in transition.edits:
            if isinstance(edit, Swap):
                self.look((edit,))
                continue
            old = len(moments.mean)
            theta_map = _map(edit, old, self.plan.seed)
            self.ledger.apply(edit)
            moments = moved(moments, self._basis(len(theta_map)), theta_map)
        self._enter(moments)

    def look(self, edits: Sequence[Edit]) -> None:
        for edit in edits:
            self.ledger.apply(edit)

    def step(self, stage: Stage, step: int, compute: float) -> float:
        """See `Machine`. The loss is that before the update, as in training. Raises Refused `unstable-step`."""
        del stage, compute
        batch = self.ledger.slots["batch"]
        assert isinstance(batch, int)
        # The gradient of the mean squared error is 2 / batch times the summed gradient of the theory.
        pace = 2 * factors(self.plan, step).rate / batch, batch
        if self._diagonal is None or pace != self._pace:
            moments = self._settled()
            if diverges(moments.basis, *pace):
                raise Refused(self._unstable(step, moments.basis, *pace))
            self._diagonal, self._pace = Diagonal.of(moments, *pace), pace
        loss = self._diagonal.loss
        self._diagonal, self._steps = self._diagonal.next(), self._steps + 1
        return loss

    def measure(self, stage: Stage) -> Evaluation:
        del stage
        return Evaluation({METRIC: self.loss})

    def asked_to_stop(self) -> str | None:
        return self._stop()

    def save(self, path: Path, step: int) -> None:
        """Do nothing, because a run takes seconds and has no randomness: start it again."""

    def load(self, path: Path) -> int:
        raise Refused(Diagnostic("no-checkpoint", "the exact machine keeps no checkpoints", place=str(path)))

    @property
    def ledger(self) -> Ledger:
        assert self._ledger is not None
        return self._ledger

    @property
    def loss(self) -> float:
        """The expected loss of the current parameters."""
        if self._diagonal is not None:
            return self._diagonal.loss
        assert self._moments is not None
        return Diagonal.of(self._moments, 0.0, 1).loss

    def _unstable(self, step: int, at: Basis, step_size: float, batch: int) -> Diagnostic:
        assert self.plan.optimizer is not None
        rate = self.plan.optimizer.settings["lr"]
        # At the largest stable step size itself, the noise of SGD keeps the loss high.
        advised = 0.9 * rate * largest_step(at, batch) / step_size
        message = f"SGD diverges from step {step + 1} on, at width {len(at.singular)} and batch {batch}"
        note = f"`lr: {rate:g}` is a step size of {step_size:.4g} there, with gradients summed over the batch"
        return Diagnostic(
            "unstable-step", message, place="plan", notes=(note,), help=f"write `lr: {advised:.2g}` or less"
        )

    def _basis(self, width: int) -> Basis:
        return basis(self._alpha, self._beta, self._features, self.plan.seed, width)

    def _enter(self, moments: Moments) -> None:
        self._moments, self._diagonal, self._steps = moments, None, 0

    def _settled(self) -> Moments:
        """The moments after all steps made."""
        assert self._moments is not None
        if self._diagonal is not None and self._steps:
            self._enter(advanced(self._moments, self._diagonal, *self._pace, self._steps))
        return self._moments


def _map(edit: Edit, old: int, seed: int) -> Floats:
    """The matrix (new width, old width) of an edit of the parameters. Raises Refused `not-exact`."""
    if isinstance(edit, Map):
        return matrices(edit.rule, old, seed)[0]
    if isinstance(edit, Grow) and len(edit.along) == 1:
        return np.eye(edit.along[0].to, old) * edit.scale
    raise Refused(_not_exact(f"it cannot carry out the edit {type(edit).__name__}", "grow by `append` or `project`"))


def _check(plan: Plan) -> None:
    """Raise Refused `not-exact` unless theory describes what the plan trains."""
    parts = {"model": plan.model, "data": plan.data, "optimizer": plan.optimizer}
    wanted = {"model": "random_features", "data": "power_law", "optimizer": "sgd"}
    for part, name in wanted.items():
        spec = parts[part]
        if spec is None or spec.name != name:
            found = "nothing" if spec is None else f"`{spec.name}`"
            why = f"its {part} is {found}, not `{name}`"
            raise Refused(_not_exact(why, "train it: leave out `--machine exact`"))
    assert plan.optimizer is not None
    if plan.start is not None:
        why = f"it starts from the weights in `{plan.start.file}`, and theory starts at zero"
        raise Refused(_not_exact(why, "leave out `start from`, or `--machine exact`"))
    wrong = beyond_plain_sgd(plan.optimizer.name, plan.optimizer.settings)
    if wrong:
        why = f"its `sgd` has {', '.join(f'`{name}`' for name in wrong)}, which theory does not describe"
        raise Refused(_not_exact(why, f"write `optimizer {PLAIN_SGD}`, with your learning rate"))


def _not_exact(why: str, help_: str) -> Diagnostic:
    message = "the exact machine carries out plans for random features alone, trained by plain SGD"
    return Diagnostic("not-exact", message, place="plan", notes=(why,), help=help_)
