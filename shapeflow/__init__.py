"""shapeflow: compiles scaling laws into a training plan.

A `.shape` file is compiled into a plan (`compile`), which can be previewed (`simulate`), checked on a small model
(`check`) and trained (`run`), or followed by a training loop of one's own (`follow`, `at`). The other names are for
code that adds a component or a backend. Names are loaded when they are first used: importing shapeflow does not import
torch, scipy or lark.
"""

from __future__ import annotations

# As in `typing`, whose import would take longer than the rest of this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shapeflow.api import check, compile, export, import_weights, run, simulate
    from shapeflow.base.diagnostics import Diagnostic, Refused, Report
    from shapeflow.base.settings import setting
    from shapeflow.base.shapes import Shape, Value
    from shapeflow.base.units import Amount
    from shapeflow.emitting import emit
    from shapeflow.ir.components import (
        Architecture,
        Axis,
        AxisHooks,
        Data,
        DataHooks,
        LawForm,
        LawSource,
        LawSourceHooks,
        Metric,
        MetricHooks,
        Objective,
        ObjectiveHooks,
        Optimizer,
        Schedule,
        Transition,
        TransitionHooks,
        Traversal,
        TraversalHooks,
    )
    from shapeflow.ir.decay import Decay
    from shapeflow.ir.edits import Along, Edit, EditError, Grow, Map, Scale, Swap, View
    from shapeflow.ir.events import Event
    from shapeflow.ir.law import Law, Provenance
    from shapeflow.ir.parameters import Compute, DataFacts, Growth, Model, Parameter
    from shapeflow.ir.plan import Plan, Stage
    from shapeflow.ir.route import END, LawRequest, Leg, Problem, Route, Share, Until
    from shapeflow.ir.steps import Step, at
    from shapeflow.laws.fitting.fitted_laws import FittedLaws
    from shapeflow.laws.fitting.fitted_source import FittedSource
    from shapeflow.running.execute import Machine, execute
    from shapeflow.running.runs import Run, read_run
    from shapeflow.running.session import Session, follow

_NAMES = {
    "api": ("check", "compile", "export", "import_weights", "run", "simulate"),
    "base.diagnostics": ("Diagnostic", "Refused", "Report"),
    "base.settings": ("setting",),
    "base.shapes": ("Shape", "Value"),
    "base.units": ("Amount",),
    "emitting": ("emit",),
    "ir.components": (
        *("Architecture", "Axis", "AxisHooks", "Data", "DataHooks", "LawForm", "LawSource", "LawSourceHooks"),
        *("Metric", "MetricHooks", "Objective", "ObjectiveHooks", "Optimizer", "Schedule"),
        *("Transition", "TransitionHooks", "Traversal", "TraversalHooks"),
    ),
    "ir.decay": ("Decay",),
    "ir.edits": ("Along", "Edit", "EditError", "Grow", "Map", "Scale", "Swap", "View"),
    "ir.events": ("Event",),
    "ir.law": ("Law", "Provenance"),
    "ir.parameters": ("Compute", "DataFacts", "Growth", "Model", "Parameter"),
    "ir.plan": ("Plan", "Stage"),
    "ir.route": ("END", "LawRequest", "Leg", "Problem", "Route", "Share", "Until"),
    "ir.steps": ("Step", "at"),
    "laws.fitting.fitted_laws": ("FittedLaws",),
    "laws.fitting.fitted_source": ("FittedSource",),
    "running.execute": ("Machine", "execute"),
    "running.runs": ("Run", "read_run"),
    "running.session": ("Session", "follow"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "END",
    "Along",
    "Amount",
    "Architecture",
    "Axis",
    "AxisHooks",
    "Compute",
    "Data",
    "DataFacts",
    "DataHooks",
    "Decay",
    "Diagnostic",
    "Edit",
    "EditError",
    "Event",
    "FittedLaws",
    "FittedSource",
    "Grow",
    "Growth",
    "Law",
    "LawForm",
    "LawRequest",
    "LawSource",
    "LawSourceHooks",
    "Leg",
    "Machine",
    "Map",
    "Metric",
    "MetricHooks",
    "Model",
    "Objective",
    "ObjectiveHooks",
    "Optimizer",
    "Parameter",
    "Plan",
    "Problem",
    "Provenance",
    "Refused",
    "Report",
    "Route",
    "Run",
    "Scale",
    "Schedule",
    "Session",
    "Shape",
    "Share",
    "Stage",
    "Step",
    "Swap",
    "Transition",
    "TransitionHooks",
    "Traversal",
    "TraversalHooks",
    "Until",
    "Value",
    "View",
    "at",
    "check",
    "compile",
    "emit",
    "execute",
    "export",
    "follow",
    "import_weights",
    "read_run",
    "run",
    "setting",
    "simulate",
]


def _in_a_notebook() -> None:
    """Register what notebooks show, if this is one."""
    import sys

    ipython = sys.modules.get("IPython")
    if ipython is not None and hasattr(ipython, "get_ipython"):
        from shapeflow.notebook import register

        register(ipython.get_ipython())


_in_a_notebook()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `shapeflow` has no attribute `{name}`")
    from importlib import import_module

    return getattr(import_module(f"shapeflow.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
