"""The PyTorch backend: trains a plan. Importing this package does not import torch; running a plan does.

`Net`, `Optimizer`, `Images` and `Windows` are the base classes for plugins from other distributions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shapeflow.ir.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from shapeflow.base.shapes import Shape
    from shapeflow.ir.profile import Times
    from shapeflow.running.follow import Outcome
    from shapeflow.running.options import Options
    from shapeflow.running.verdicts import Checked
    from shapeflow_torch.data.images import Images
    from shapeflow_torch.data.windows import Windows
    from shapeflow_torch.export import Exported
    from shapeflow_torch.generate import Generated
    from shapeflow_torch.models.parts import Net
    from shapeflow_torch.optimizers.parts import Optimizer

__all__ = ["Images", "Net", "Optimizer", "TorchBackend", "Windows"]

_HOMES = {"Images": "data.images", "Net": "models.parts", "Optimizer": "optimizers.parts", "Windows": "data.windows"}


class TorchBackend:
    """The backend registered as `torch` in the entry point group `shapeflow.backends`."""

    name = "torch"

    def preload(self) -> None:
        """Import what a run on a CPU needs. Starts no thread and no CUDA, so that this process may be forked."""
        import shapeflow_torch.run  # noqa: F401

    def run(self, plan: Plan, folder: Path, options: Options, **listeners: Any) -> Outcome | None:
        """Train a plan in a folder; see `shapeflow_torch.run.run`."""
        from shapeflow_torch.run import run

        return run(plan, folder, options, **listeners)

    def check(self, plan: Plan, root: Path | None = None) -> Checked:
        """Check every switch of a plan on a small model; see `shapeflow_torch.check.check`.

        `root`: base directory of relative data paths. If it is given, the plan's own data is read."""
        from shapeflow_torch.check import check

        return check(plan, root)

    def export(self, plan: Plan, folder: Path, path: Path, target: str, **choices: Any) -> Exported:
        """Write a run's weights; see `shapeflow_torch.export.export` and `shapeflow_torch.foreign.export_as`."""
        from shapeflow_torch.export import export
        from shapeflow_torch.foreign import export_as

        if target != "shapeflow":
            return export_as(plan, folder, path, target, **choices)
        return export(plan, folder, path, **choices)

    def generate(self, plan: Plan, folder: Path, prompt: Sequence[int], count: int, **choices: Any) -> Generated:
        """Continue some tokens with the model of a run; see `shapeflow_torch.generate.generate`."""
        from shapeflow_torch.generate import generate

        return generate(plan, folder, prompt, count, **choices)

    def fork(self, source: Path, plan: Plan, folder: Path) -> None:
        """Create a run folder in which a plan continues from the end of a finished run; see
        `shapeflow_torch.fork.fork`."""
        from shapeflow_torch.fork import fork

        fork(source, plan, folder)

    def extend(self, folder: Path, plan: Plan, aside: Path) -> None:
        """Let the run in a folder go on as a longer plan; see `shapeflow_torch.fork.extend`."""
        from shapeflow_torch.fork import extend

        extend(folder, plan, aside)

    def pace(self, plan: Plan, **choices: Any) -> Mapping[Shape, tuple[float, float]]:
        """Time steps and evaluations of a plan in each of its shapes; see `shapeflow_torch.pace.pace`."""
        from shapeflow_torch.pace import pace

        return pace(plan, **choices)

    def profile(self, fixed: Sequence[Plan], switching: Sequence[Plan], root: Path, **choices: Any) -> Times | None:
        """Time steps and evaluations of plans that have one stage each, the switches of plans that have two, and a
        checkpoint; see `shapeflow_torch.profiling.profile`.

        `threads`, `micro_batch`, `recompute`, `peak_flops`: see `shapeflow_torch.profiling.Asked` and
        `shapeflow_torch.losses.Saving`; `device`, `processes`, `gpus`: as for a run."""
        from shapeflow_torch.losses import Saving
        from shapeflow_torch.profiling import Asked, profile

        how = {name: choices.pop(name, None) for name in ("threads", "peak_flops")}
        saving = Saving(choices.pop("micro_batch", None), choices.pop("recompute", False))
        return profile(Asked(tuple(fixed), tuple(switching), root, saving=saving, **how), **choices)

    def gpus(self) -> tuple[str, ...]:
        """Return the names of the CUDA devices visible on this machine."""
        from shapeflow_torch.devices import gpus

        return gpus()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `shapeflow_torch` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(f"shapeflow_torch.{_HOMES[name]}"), name)
