"""A plan in the `Trainer` of Hugging Face's `transformers`, and in trainers that inherit it.

The names belong to the torch backend. Each is loaded when it is first used, so that this file imports no torch and no
`transformers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapeflow.foreign.adapters import HF_LLAMA
    from shapeflow_torch.adopt.hugging_face import follow

_HOMES = {"HF_LLAMA": "shapeflow.foreign.adapters", "follow": "shapeflow_torch.adopt.hugging_face"}

__all__ = ["HF_LLAMA", "follow"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `shapeflow.hf` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
