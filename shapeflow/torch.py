"""What a training loop in torch uses to carry out a plan: batches, and the edits of switches on a module of one's own.

The names belong to the torch backend. Each is loaded when it is first used, so that this file imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapeflow.foreign.adapters import HF_LLAMA, TIMM_VIT, Adapter, Layout, table_adapter
    from shapeflow_torch.adopt.fitting import verify
    from shapeflow_torch.adopt.grow import Grown, become, grow
    from shapeflow_torch.adopt.look import look
    from shapeflow_torch.adopt.rehearse import rehearse
    from shapeflow_torch.adopt.sampler import PlanSampler, Windows

_HOMES = {
    **dict.fromkeys(("HF_LLAMA", "TIMM_VIT", "Adapter", "Layout", "table_adapter"), "shapeflow.foreign.adapters"),
    **dict.fromkeys(("Grown", "become", "grow"), "shapeflow_torch.adopt.grow"),
    **dict.fromkeys(("PlanSampler", "Windows"), "shapeflow_torch.adopt.sampler"),
    "look": "shapeflow_torch.adopt.look",
    "rehearse": "shapeflow_torch.adopt.rehearse",
    "verify": "shapeflow_torch.adopt.fitting",
}

__all__ = [
    "HF_LLAMA",
    "TIMM_VIT",
    "Adapter",
    "Grown",
    "Layout",
    "PlanSampler",
    "Windows",
    "become",
    "grow",
    "look",
    "rehearse",
    "table_adapter",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `shapeflow.torch` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
