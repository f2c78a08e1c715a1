"""Optimizers. Each component of `shapeflow/optimizers/` has a file of the same name here."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any

from shapeflow.base.conformance import CLOSE
from shapeflow.base.diagnostics import Diagnostic, Refused, did_you_mean
from shapeflow.base.settings import unfit
from shapeflow.ir.edits import EditError
from shapeflow.ir.plan import Spec
from shapeflow_torch.optimizers.adamw import Adamw
from shapeflow_torch.optimizers.muon import Muon
from shapeflow_torch.optimizers.parts import Member, Optimizer, State
from shapeflow_torch.optimizers.sgd import Sgd
from shapeflow_torch.plugins import plugin

_KINDS: dict[str, type[Optimizer[Any]]] = {"adamw": Adamw, "muon": Muon, "sgd": Sgd}

__all__ = ["Member", "Optimizer", "State", "optimizer_of"]


def optimizer_of(spec: Spec, apart: Collection[str] = (), varied: bool = False) -> Optimizer[Any]:
    """Return the optimizer that a plan names. `apart`, `varied`: see `Optimizer`.

    Raises Refused `no-such-optimizer`; `broken-component` or `wrong-member` if a plugin's class cannot be used;
    `broken-plan` if the optimizer does not have these settings.
    """
    kind = _KINDS.get(spec.name) or plugin("optimizers", spec.name)
    if kind is None:
        message = f"the torch machine has no optimizer `{spec.name}`"
        help_ = f"write `optimizer {did_you_mean(spec.name, _KINDS) or 'adamw'}`, or install what brings this one"
        raise Refused(Diagnostic("no-such-optimizer", message, place="plan", help=help_))
    _check_kind(spec.name, kind)
    try:
        settings = kind.declaration(**spec.settings)
    except (TypeError, EditError) as error:
        why = str(error)
    else:
        why = next(unfit(settings), "")
    if why:
        message = f"the settings of the optimizer `{spec.name}` cannot be read"
        raise Refused(Diagnostic("broken-plan", message, place="plan", notes=(why,)))
    made: Optimizer[Any] = kind(settings, apart, varied)
    return made


def _check_kind(name: str, kind: Any) -> None:
    """Raise Refused `wrong-member` if a class does not implement `Optimizer`."""
    if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        lacks, help_ = "is not a subclass of `shapeflow_torch.Optimizer`", "inherit it"
    elif kind.__abstractmethods__:
        lacks, help_ = (
            f"lacks `{min(kind.__abstractmethods__)}`",
            "write this method of `Optimizer`",
        )
    elif not hasattr(kind, "declaration"):
        lacks, help_ = "lacks `declaration`", "set it to the component that declares the settings"
    elif near := next(_misspelt(kind), None):
        lacks, help_ = f"has `{near[0]}`, which `Optimizer` does not have", f"did you mean `{near[1]}`?"
    else:
        return
    message = f"the torch backend's `{name}` {lacks}"
    raise Refused(Diagnostic("wrong-member", message, place="plan", help=help_))


def _misspelt(kind: type[Optimizer[Any]]) -> Iterator[tuple[str, str]]:
    """Yield public methods that would never be called, each with the similar method name of `Optimizer`."""
    hooks = {name for name, value in vars(Optimizer).items() if callable(value) and not name.startswith("_")}
    for base in kind.__mro__[: kind.__mro__.index(Optimizer)]:
        for name in vars(base).keys() - hooks:
            if not name.startswith("_") and (near := get_close_matches(name, hooks, 1, CLOSE)):
                yield name, near[0]
