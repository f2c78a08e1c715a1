"""What other distributions bring to this backend, by entry point: `shapeflow.torch.data`, `shapeflow.torch.models`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any


def stranger(group: str, name: str) -> Any | None:
    """What another distribution offers under a name, or None. `group`: `data` (a function like `open_` of
    `shapeflow_torch.data.text`) or `models` (a `Net` class); the name is that of the component in `.shape` files."""
    found = entry_points(group=f"shapeflow.torch.{group}", name=name)
    return next(iter(found)).load() if found else None
