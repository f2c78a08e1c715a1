"""What other distributions bring to this backend, by entry point: `shapeflow.torch.data`, `shapeflow.torch.models`,
`shapeflow.torch.optimizers`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any


def plugin(group: str, name: str) -> Any | None:
    """What another distribution offers under a name, or None. `group`: `data` (a function like `open_` of
    `shapeflow_torch.data.text`), `models` (a `Net` class) or `optimizers` (an `Optimizer` class of
    `shapeflow_torch.optimizers.parts`); the name is that of the component in `.shape` files."""
    found = entry_points(group=f"shapeflow.torch.{group}", name=name)
    return next(iter(found)).load() if found else None
