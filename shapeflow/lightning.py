"""A plan in the `Trainer` of Lightning.

The names belong to the torch backend. Each is loaded when it is first used, so that this file imports no torch and no
Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapeflow.foreign.adapters import HF_LLAMA
    from shapeflow_torch.adopt.lightning import PlanCallback

_HOMES = {"HF_LLAMA": "shapeflow.foreign.adapters", "PlanCallback": "shapeflow_torch.adopt.lightning"}

__all__ = ["HF_LLAMA", "PlanCallback"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `shapeflow.lightning` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
