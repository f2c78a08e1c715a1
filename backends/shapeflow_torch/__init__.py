"""The torch backend: it trains what a plan says. Importing it does not import torch; running does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shapeflow.ir.plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from shapeflow.running.verdicts import Checked
    from shapeflow_torch.export import Exported
    from shapeflow_torch.run import Outcome


class TorchBackend:
    """What the entry point `shapeflow.backends` offers under the name `torch`."""

    name = "torch"

    def run(self, plan: Plan, folder: Path, **choices: Any) -> Outcome | None:
        """Train a plan in a folder; see `shapeflow_torch.run.run`."""
        from shapeflow_torch.run import run

        return run(plan, folder, **choices)

    def check(self, plan: Plan, root: Path | None = None) -> Checked:
        """Look at every switch of a plan on a small model; see `shapeflow_torch.check.check`. `root`: where relative
        data paths start, if the plan's own data is to be read."""
        from shapeflow_torch.check import check

        return check(plan, root)

    def export(self, plan: Plan, folder: Path, path: Path, **choices: Any) -> Exported:
        """Write a run's weights into one file; see `shapeflow_torch.export.export`."""
        from shapeflow_torch.export import export

        return export(plan, folder, path, **choices)

    def fork(self, source: Path, plan: Plan, folder: Path) -> None:
        """Lay a run folder from which a plan goes on where a finished run ended; see `shapeflow_torch.fork.fork`."""
        from shapeflow_torch.fork import fork

        fork(source, plan, folder)

    def gpus(self) -> tuple[str, ...]:
        """Names of the CUDA devices that this machine shows."""
        from shapeflow_torch.devices import gpus

        return gpus()
