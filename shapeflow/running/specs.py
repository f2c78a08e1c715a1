"""The components that a plan names, made from the settings that it states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shapeflow import registry
from shapeflow.base.diagnostics import Refused
from shapeflow.base.settings import unfit
from shapeflow.ir import plan_json
from shapeflow.ir.plan import Plan, Spec


class UnfitError(ValueError):
    """Settings that a component does not have, or that are not among its values."""


def load(path: Path) -> Plan:
    """The plan in a file, whose components have settings that they accept. Components that are not installed are not
    checked. Raises Refused."""
    plan = plan_json.load(path)
    if wrong := next(_unfit(plan), None):
        raise Refused(plan_json.broken(str(path), wrong))
    return plan


def component(kind: str, spec: Spec) -> Any:
    """A component of a plan; None if it, or one inside it, is not installed. Raises UnfitError."""
    known = registry.components(kind)
    if spec.name not in known:
        return None
    settings = {name: _value(kind, value) for name, value in spec.settings.items()}
    try:
        made = known[spec.name](**settings)
        wrong = next(unfit(made), None)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise UnfitError(f"the {kind} `{spec.name}` cannot be made: {error}") from error
    if wrong is not None:
        raise UnfitError(f"the {kind} `{spec.name}`: {wrong}")
    return made


def _value(kind: str, written: Any) -> Any:
    if isinstance(written, list | tuple):
        return tuple(_value(kind, one) for one in written)
    if isinstance(written, Mapping) and "is" in written:
        if not isinstance(name := written["is"], str):
            raise UnfitError(f"a part of a {kind} is {name!r}, which is no name")
        return component(kind, Spec(name, {name: one for name, one in written.items() if name != "is"}))
    return written


def _unfit(plan: Plan) -> Iterator[str]:
    named = [("model", plan.model), ("data", plan.data), ("optimizer", plan.optimizer)]
    named += [("objective", spec) for spec in plan.objectives.values()]
    for kind, spec in named:
        try:
            if spec is not None:
                component(kind, spec)
        except UnfitError as error:
            yield str(error)
