"""The tensors of a module of another library, under the names of a plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.foreign.adapters import Adapter, Sizes
from shapeflow.foreign.cells import Cell, cells, unfit
from shapeflow.ir.ledger import Ledger

WRAPPERS = frozenset({"FullyShardedDataParallel", "FSDPModule", "OptimizedModule", "DeepSpeedEngine"})
SHOWN = 4
"""Tensors that a refusal names."""


def split(cell: Cell, value: Tensor, ours: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the tensors of the plan in one of the module, copied."""
    value = value.T if cell.layout.transposed else value
    sizes = [ours[name] for name in cell.ours]
    parts = [value.reshape(sizes[0])] if len(sizes) == 1 else list(torch.split(value, [size[0] for size in sizes]))
    return {name: part.clone() for name, part in zip(cell.ours, parts, strict=True)}


def joined(cell: Cell, parts: Sequence[Tensor], axes: int) -> Tensor:
    """Undo `split`. `axes`: those of the module's tensor, which may have axes of 1 in front."""
    value = parts[0] if len(parts) == 1 else torch.cat(list(parts))
    value = value.T if cell.layout.transposed else value
    return value.reshape((1,) * (axes - value.dim()) + tuple(value.shape)).contiguous()


def parameters_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return a module's parameters by name, without the names that parametrizations add."""
    named = model.named_parameters()
    return {name.replace("parametrizations.", "").removesuffix(".original"): each for name, each in named}


def sizes_of(ledger: Ledger) -> dict[str, int]:
    """Return the size of each dim, and the channels of a head."""
    sizes = {dim: size for each in ledger.sizes.values() for dim, size in each.items()}
    head = ledger.slots.get("head_width")
    return {**sizes, "head": head} if isinstance(head, int) else sizes


def require_bare(model: nn.Module) -> None:
    """Raise Refused `wrapped-module` for a module that is compiled, or shared by a wrapper of torch."""
    for name, module in model.named_modules():
        kinds = {kind.__name__ for kind in type(module).__mro__} & WRAPPERS
        wrapped = isinstance(module, DataParallel | DistributedDataParallel) or bool(kinds)
        if wrapped or getattr(module, "_compiled_call_impl", None) is not None:
            kind = "compiled" if not wrapped or "OptimizedModule" in kinds else f"a {type(module).__name__}"
            message = f"`{name or 'the module'}` is {kind}, which does not see that its tensors change"
            help_ = "give the module itself to the switch, and wrap or compile it again after it"
            raise Refused(Diagnostic("wrapped-module", message, place="model", help=help_))


def require_unviewed(ledger: Ledger) -> None:
    """Raise Refused `unfit-model` if a parameter is read through a view that changes its size."""
    views = ((name, dim, rule) for name, rules in ledger.views.items() for dim, rule in rules.items())
    if viewed := sorted(name for name, dim, rule in views if rule.to != ledger.sizes[name][dim]):
        message = f"the plan reads `{viewed[0]}` through a view, and a module of another library cannot"
        raise Refused(unfit(message, "use a plan without an axis of patches, or `shapeflow run`"))


def verify(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    """Check that a module is what the adapter and the ledger of a plan say. Changes nothing.

    Raises Refused `wrapped-module`, and `unfit-model` with its class, the key of its config or its tensors that
    differ."""
    require_bare(model)
    require_unviewed(ledger)
    keys, wrong = list(_other_keys(model, adapter, ledger)), _other_tensors(model, adapter, ledger)
    more = (f"and {len(wrong) - SHOWN} more",) if len(wrong) > SHOWN else ()
    shown = (*wrong[:SHOWN], *more)
    if adapter.classes and not {kind.__name__ for kind in type(model).__mro__} & {*adapter.classes}:
        message = (
            f"the adapter `{adapter.name}` is for {' and '.join(adapter.classes)}, not for `{type(model).__name__}`"
        )
        known = ("it has the same tensors, but may compute something else with them",)
        help_ = "train one of these, or state in `classes` of an adapter that yours computes the same"
        raise Refused(unfit(message, help_, (*shown, *(each for each, _ in keys)) or known))
    if keys:
        raise Refused(unfit(*keys[0]))
    if wrong:
        message = f"{len(wrong)} tensors of the module are not those of the plan, for the adapter `{adapter.name}`"
        help_ = "give the module the sizes of the plan's stage, or `become` for those after some steps"
        raise Refused(unfit(message, help_, shown))
    _check_eps(model, adapter, ledger)


def _other_tensors(model: nn.Module, adapter: Adapter, ledger: Ledger) -> list[str]:
    """The tensors that only one of module and plan has, or that have other sizes."""
    ours, have = ledger.tensors(), parameters_of(model)
    wanted = {cell.theirs: cell for cell in cells(adapter, ledger)}
    wrong = []
    for name in sorted(have.keys() | wanted.keys()):
        if name not in wanted:
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


def _check_eps(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    for name, module in norms_of(model, adapter):
        have, wanted = float(getattr(module, adapter.eps or "")), float(ledger.slots["norm.eps"] or 0.0)
        if not math.isclose(have, wanted, rel_tol=1e-6):
            message = f"`{name}.{adapter.eps}` is {have:g}, and the plan's norms have {wanted:g}"
            raise Refused(unfit(message, "set `norm_eps` of the plan's model, or that of the module"))


def norms_of(model: nn.Module, adapter: Adapter) -> list[tuple[str, nn.Module]]:
    """Return the norms of a module by path."""
    if adapter.eps is None:
        return []
    return [(n, m) for n, m in model.named_modules() if hasattr(m, adapter.eps) and not list(m.children())]
