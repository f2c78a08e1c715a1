"""Loads plugins of other distributions from the entry point groups `shapeflow.torch.data`, `shapeflow.torch.models` and
`shapeflow.torch.optimizers`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from shapeflow.base.diagnostics import Diagnostic, Refused


def plugin(group: str, name: str) -> Any | None:
    """Return the object that a plugin provides under a name, or None.

    `group`: `data` (a function like `open_` of `shapeflow_torch.data.text`), `models` (a `Net` class) or `optimizers`
    (an `Optimizer` class of `shapeflow_torch.optimizers.parts`); `name`: name of the component in `.shape` files.

    Raises Refused `broken-component`."""
    for entry in entry_points(group=f"shapeflow.torch.{group}", name=name):
        try:
            return entry.load()
        except Exception as error:  # a plugin may raise anything while it is imported
            message = f"`{name}` of another distribution cannot be imported by the torch backend"
            notes = (f"entry point `{entry.value}`", f"{type(error).__name__}: {error}")
            help_ = "repair or uninstall that distribution"
            raise Refused(Diagnostic("broken-component", message, place="plan", notes=notes, help=help_)) from error
    return None
