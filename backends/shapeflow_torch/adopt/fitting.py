"""Whether a module of another library is the model of a plan in the sizes of a stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import nn

from shapeflow.base.diagnostics import Refused
from shapeflow.foreign.adapters import Adapter, Sizes
from shapeflow.foreign.cells import cells, unfit
from shapeflow.ir.ledger import Ledger
from shapeflow_torch.adopt.cells import norms_of, parameters_of, require_bare, sizes_of
from shapeflow_torch.adopt.views import attributes, current, sizes_under

SHOWN = 4
"""Tensors that a refusal names."""


def verify(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    """Check that a module is what the adapter and the ledger of a plan say, under any of its views. Changes nothing.

    Raises Refused `wrapped-module`, and `unfit-model` with the key of its config, its tensors or the attribute that
    differ."""
    require_bare(model)
    _check_config(model, adapter, ledger)
    ours, have = ledger.tensors(), parameters_of(model)
    wanted = {cell.theirs: cell for cell in cells(adapter, ledger)}
    wrong = []
    for name in sorted(have.keys() | wanted.keys()):
        if name not in wanted and ".parametrizations." in f".{name}":
            wrong.append(f"`{name}`: a parametrization computes the tensor from it; remove it from the module")
        elif name not in wanted:
            wrong.append(f"`{name}`: the plan's model does not have it")
        elif name not in have:
            wrong.append(f"`{name}`: the module does not have it")
        elif not wanted[name].fits(tuple(have[name].shape), ours):
            wrong.append(f"`{name}`: {tuple(have[name].shape)}; the plan: {[ours[each] for each in wanted[name].ours]}")
    if wrong:
        message = f"{len(wrong)} tensors of the module are not those of the plan, for the adapter `{adapter.name}`"
        more = (f"and {len(wrong) - SHOWN} more",) if len(wrong) > SHOWN else ()
        help_ = "give the module the sizes of the plan's stage, or `become` for those after some steps"
        if viewed := {dim: ledger.sizes[name][dim] for name, rules in ledger.views.items() for dim in rules}:
            stored = ", ".join(f"`{dim}` of {size}" for dim, size in viewed.items())
            help_ = f"{help_}; what is read through a view has its stored size: {stored}"
        raise Refused(unfit(message, help_, (*wrong[:SHOWN], *more)))
    _check_eps(model, adapter, ledger)
    _check_attributes(model, adapter, ledger)


def _check_config(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    config = getattr(model, "config", None)
    for key, allowed in adapter.fixed.items():
        value = getattr(config, key, allowed[0])
        if value not in allowed:
            message = f"`config.{key}` of the module is {value!r}, and the plan's model computes as with {allowed[0]!r}"
            raise Refused(unfit(message, f"set `{key}` to {allowed[0]!r} before training, or train another model"))
    rope, base = getattr(config, "rope_parameters", None), ledger.slots.get("rope.base")
    if isinstance(rope, Mapping) and base is not None:
        for key, wanted in (("rope_type", "default"), ("rope_theta", base)):
            if rope.get(key, wanted) != wanted:
                message = f"`config.rope_parameters[{key!r}]` is {rope[key]!r}, and the plan's is {wanted!r}"
                raise Refused(unfit(message, "use the plan's rotary positions: `rope_base` of its model"))
    sizes: Sizes = sizes_of(ledger)
    rules: Mapping[str, Callable[[Sizes], object]] = adapter.config
    for key, rule in rules.items():
        if (value := getattr(config, key, None)) != rule(sizes):
            message = f"`config.{key}` of the module is {value!r}, and the plan's stage has {rule(sizes)!r}"
            raise Refused(unfit(message, "make the module in the sizes of the stage before the switch"))


def _check_eps(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    for name, module in norms_of(model, adapter):
        have, wanted = float(getattr(module, adapter.eps or "")), float(ledger.slots["norm.eps"] or 0.0)
        if not math.isclose(have, wanted, rel_tol=1e-6):
            message = f"`{name}.{adapter.eps}` is {have:g}, and the plan's norms have {wanted:g}"
            raise Refused(unfit(message, "set `norm_eps` of the plan's model, or that of the module"))


def _check_attributes(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    sizes = sizes_under(ledger, current(model))
    for (path, module), name, wanted in attributes(model, adapter, ledger, sizes):
        if (value := getattr(module, name)) != wanted:
            place = f"{path}.{name}" if path else name
            message = f"`{place}` of the module is {value!r}, and the plan's stage has {wanted!r}"
            raise Refused(unfit(message, "make the module in the sizes of the stage before the switch"))
