"""Backends by name: distributions that provide a machine, found by entry point (`shapeflow.backends`)."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import Any

from shapeflow.base.diagnostics import Diagnostic, Refused, did_you_mean


def backend(name: str) -> Any:
    """The object that a backend's entry point names: `Simulator` (a class), `TorchBackend` (a class).

    Raises Refused `unknown-backend`, and FileNotFoundError if the current folder was removed.
    """
    # Without a current folder, the libraries of torch cannot load each other, and end the process.
    os.getcwd()
    known = {entry.name: entry for entry in entry_points(group="shapeflow.backends")}
    if name not in known:
        close = did_you_mean(name, known)
        raise Refused(
            Diagnostic(
                "unknown-backend",
                f"no backend is called `{name}`",
                place="installed distributions",
                notes=(f"installed: {', '.join(sorted(known)) or 'none; is shapeflow itself installed?'}",),
                help=f"did you mean `{close}`?" if close else None,
            )
        )
    return known[name].load()
