"""The exact backend: computes what a plan for `random_features` reaches on average over samples.

The model is linear and its data Gaussian, so the first two moments of its error follow exact equations, through every
switch of the plan (`moments.py`). A run takes seconds and repeats to the last bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shapeflow.ir.plan import Plan

if TYPE_CHECKING:
    from shapeflow.running.follow import Outcome
    from shapeflow.running.options import Options

__all__ = ["ExactBackend"]


class ExactBackend:
    """The backend registered as `exact` in the entry point group `shapeflow.backends`."""

    name = "exact"

    def preload(self) -> None:
        """Import what a run needs."""
        import shapeflow_exact.run  # noqa: F401

    def run(self, plan: Plan, folder: Path, options: Options, **listeners: Any) -> Outcome:
        """Carry out a plan in a folder; see `shapeflow_exact.run.run`."""
        from shapeflow_exact.run import run

        return run(plan, folder, options, **listeners)

    def fork(self, source: Path, plan: Plan, folder: Path) -> None:
        """Create a run folder for a plan that begins like the run in `source`. It repeats the steps of that run, which
        are the same to the last bit."""
        from shapeflow.ir.plan_json import save

        del source
        save(plan, folder / "plan.json")

    def extend(self, folder: Path, plan: Plan, aside: Path) -> None:
        """Let the run in a folder start again as a longer plan."""
        from shapeflow.ir.plan_json import save

        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(folder)
        save(plan, folder / "plan.json")

    def gpus(self) -> tuple[str, ...]:
        """Empty: the exact machine uses no GPU."""
        return ()
