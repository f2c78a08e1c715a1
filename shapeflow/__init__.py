"""shapeflow: train at the shape that pays.

A `.shape` file is compiled into a plan (`shapeflow.compile`), simulated (`shapeflow.simulate`), checked on a small
model (`shapeflow.check`) and run (`shapeflow.run`). Names are loaded when first used, so importing shapeflow does not
import torch, scipy or lark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapeflow.api import check, compile, run, simulate
    from shapeflow.base.diagnostics import Diagnostic, Refused
    from shapeflow.base.shapes import Shape
    from shapeflow.ir.plan import Plan

__all__ = ["Diagnostic", "Plan", "Refused", "Shape", "check", "compile", "run", "simulate"]

_HOMES = {
    "check": "shapeflow.api",
    "compile": "shapeflow.api",
    "run": "shapeflow.api",
    "simulate": "shapeflow.api",
    "Diagnostic": "shapeflow.base.diagnostics",
    "Refused": "shapeflow.base.diagnostics",
    "Plan": "shapeflow.ir.plan",
    "Shape": "shapeflow.base.shapes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `shapeflow` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
