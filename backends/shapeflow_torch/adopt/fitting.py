"""Whether a module of another library is the model of a plan in the sizes of a stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from torch import nn

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.foreign.adapters import TABLE, Adapter, Sizes
from shapeflow.foreign.cells import cells, unfit
from shapeflow.ir.edits import Swap
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Plan
from shapeflow_torch.adopt.cells import norms_of, parameters_of, require_bare, sizes_of
from shapeflow_torch.adopt.views import attributes, current, sizes_under

SHOWN = 4
"""Tensors that a refusal names."""


def verify(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    """Check that a module is what the adapter and the ledger of a plan say, under any of its views. Changes nothing.

    Raises Refused `wrapped-module`, and `unfit-model` with its class, the key of its config, its tensors or the
    attribute that differ."""
    require_bare(model)
    wrong, keys = _other_tensors(model, adapter, ledger), list(_other_keys(model, adapter, ledger))
    more = (f"and {len(wrong) - SHOWN} more",) if len(wrong) > SHOWN else ()
    shown = (*wrong[:SHOWN], *more)
    if adapter.classes and not {kind.__name__ for kind in type(model).__mro__} & {*adapter.classes}:
        message = (
            f"the adapter `{adapter.name}` is for {' and '.join(adapter.classes)}, not for `{type(model).__name__}`"
        )
        known = ("it has the same tensors, but may compute something else with them",)
        other = "train one of these, or state in `classes` of an adapter that yours computes the same"
        help_ = _help_inside(model, {cell.theirs for cell in cells(adapter, ledger)}) or other
        raise Refused(unfit(message, help_, (*shown, *(each for each, _ in keys)) or known))
    if keys:
        raise Refused(unfit(*keys[0]))
    if wrong:
        message = f"{len(wrong)} tensors of the module are not those of the plan, for the adapter `{adapter.name}`"
        raise Refused(unfit(message, _help(model, adapter, ledger), shown))
    _check_blocks(model, adapter)
    _check_eps(model, adapter, ledger)
    _check_attributes(model, adapter, ledger)


def require_rotation(plan: Plan) -> None:
    """Raise Refused `unfit-plan` if a plan changes how rotary positions are read, which modules do in their own way."""
    own = {"rope.base": plan.slots.get("rope.base"), "rope.factor": 1.0}
    readings = [edits for each in plan.stages for edits in (each.reading, *(blend.edits for blend in each.blends))]
    if any(isinstance(edit, Swap) and own.get(edit.slot, edit.to) != edit.to for edits in readings for edit in edits):
        message = "the plan changes the angles of rotary positions, and the module keeps its own"
        help_ = "use `rope: keep` in `context_grow`, or `shapeflow run`"
        raise Refused(Diagnostic("unfit-plan", message, place="plan", help=help_))


def _help(model: nn.Module, adapter: Adapter, ledger: Ledger) -> str:
    """What to do about tensors that differ."""
    wanted = {cell.theirs for cell in cells(adapter, ledger)}
    if (inside := _help_inside(model, wanted)) is not None:
        return inside
    if set(parameters_of(model)) != wanted and _blocks_of(model, adapter) == sizes_of(ledger).get("depth"):
        every = "as `named_parameters()` does; a tied one is named once"
        if adapter.name == TABLE:
            return f"name all parameters of the module in the table of `external`, {every}"
        alike = "give the module and the plan's model the same parts, such as a head that is `tied` in both or in none"
        return f"{alike}; an `Adapter` of your own names all parameters, {every}"
    help_ = "give the module the sizes of the plan's stage, or `become` for those after some steps"
    if viewed := {dim: ledger.sizes[name][dim] for name, rules in ledger.views.items() for dim in rules}:
        stored = ", ".join(f"`{dim}` of {size}" for dim, size in viewed.items())
        help_ = f"{help_}; what is read through a view has its stored size: {stored}"
    return help_


def _help_inside(model: nn.Module, wanted: set[str]) -> str | None:
    """What to do about a wrapper of the module, such as one of averaged weights; None if it is none."""
    inner = getattr(model, "module", None)
    if not isinstance(inner, nn.Module) or set(parameters_of(inner)) != wanted:
        return None
    return f"give the `module` in the `{type(model).__name__}`, which has these tensors"


def _blocks_of(model: nn.Module, adapter: Adapter) -> int | None:
    """The number of blocks of a module; None if it does not have the list that the adapter names."""
    try:
        return len(list(model.get_submodule(adapter.blocks).children()))
    except AttributeError:
        return None


def _other_tensors(model: nn.Module, adapter: Adapter, ledger: Ledger) -> list[str]:
    """The tensors that only one of module and plan has, or that have other sizes."""
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
    return wrong


def _other_keys(model: nn.Module, adapter: Adapter, ledger: Ledger) -> Iterator[tuple[str, str]]:
    """Yield what the config states otherwise than the plan, and what to do about it."""
    config = getattr(model, "config", None)
    for key, allowed in adapter.fixed.items():
        value = getattr(config, key, allowed[0])
        if value not in allowed:
            message = f"`config.{key}` of the module is {value!r}, and the plan's model computes as with {allowed[0]!r}"
            yield message, f"set `{key}` to {allowed[0]!r} before training, or train another model"
    rope, base = getattr(config, "rope_parameters", None), ledger.slots.get("rope.base")
    if isinstance(rope, Mapping) and base is not None:
        for key, wanted in (("rope_type", "default"), ("rope_theta", base)):
            if rope.get(key, wanted) != wanted:
                message = f"`config.rope_parameters[{key!r}]` is {rope[key]!r}, and the plan's is {wanted!r}"
                yield message, "use the plan's rotary positions: `rope_base` of its model"
    sizes: Sizes = sizes_of(ledger)
    rules: Mapping[str, Callable[[Sizes], object]] = adapter.config
    for key, rule in rules.items():
        if (value := getattr(config, key, None)) != rule(sizes):
            message = f"`config.{key}` of the module is {value!r}, and the plan's stage has {rule(sizes)!r}"
            yield message, "make the module in the sizes of the stage before the switch"


def _check_blocks(model: nn.Module, adapter: Adapter) -> None:
    blocks = model.get_submodule(adapter.blocks)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList):
        message = f"`{adapter.blocks}`, the blocks of the module, is a `{type(blocks).__name__}`"
        raise Refused(unfit(message, "keep the blocks in an `nn.ModuleList` or `nn.Sequential`: switches add to it"))


def _check_eps(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    norms = norms_of(model, adapter)
    if adapter.eps is not None and not norms:
        message = f"no norm of the module has the attribute `{adapter.eps}`, which holds the eps"
        raise Refused(unfit(message, "name the attribute of the norms in `eps`, or leave `eps` out if there is none"))
    for name, module in norms:
        have, wanted = float(getattr(module, adapter.eps or "")), float(ledger.slots["norm.eps"] or 0.0)
        if not math.isclose(have, wanted, rel_tol=1e-6):
            message = f"`{name}.{adapter.eps}` is {have:g}, and the plan's norms have {wanted:g}"
            raise Refused(unfit(message, "set `norm_eps` of the plan's model, or that of the module"))


def _check_attributes(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    sizes = sizes_under(ledger, current(model))
    for place, rules in adapter.attributes.items():
        path = place.replace("{depth}", "0")
        try:
            module = model.get_submodule(path)
        except AttributeError:
            message = f"`attributes` of the adapter names the module `{path}`, which there is not"
            raise Refused(unfit(message, "write the path as `named_modules()` does")) from None
        for name, rule in rules.items():
            if adapter.name == TABLE and not hasattr(module, name):
                message = f"`{path}` of the module has no attribute `{name}`" if path else f"there is no `{name}`"
                raise Refused(unfit(message, "name the attribute as the module does, or leave it out"))
            try:
                rule(sizes)
            except (KeyError, TypeError, ArithmeticError) as error:
                known = ", ".join(f"`{each}`" for each in sorted(sizes))
                message = f"the rule of `{name}` in `attributes` fails: {type(error).__name__}: {error}"
                raise Refused(unfit(message, f"give a function of the sizes: {known}")) from None
    for (path, module), name, wanted in attributes(model, adapter, ledger, sizes):
        if (value := getattr(module, name)) != wanted:
            place = f"{path}.{name}" if path else name
            message = f"`{place}` of the module is {value!r}, and the plan's stage has {wanted!r}"
            raise Refused(unfit(message, "make the module in the sizes of the stage before the switch"))
