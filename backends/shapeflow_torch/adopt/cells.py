"""The tensors of a module of another library, under the names of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.foreign.adapters import Adapter
from shapeflow.foreign.cells import Cell
from shapeflow.ir.ledger import Ledger

WRAPPERS = frozenset({"FullyShardedDataParallel", "FSDPModule", "OptimizedModule", "DeepSpeedEngine"})


def split(cell: Cell, value: Tensor, ours: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the tensors of the plan in one of the module, without a copy."""
    value = value.T if cell.layout.transposed else value
    sizes = [ours[name] for name in cell.ours]
    parts = [value.reshape(sizes[0])] if len(sizes) == 1 else list(torch.split(value, [size[0] for size in sizes]))
    return dict(zip(cell.ours, parts, strict=True))


def joined(cell: Cell, parts: Sequence[Tensor], axes: int) -> Tensor:
    """Undo `split`. `axes`: those of the module's tensor, which may have axes of 1 in front."""
    value = parts[0] if len(parts) == 1 else torch.cat(list(parts))
    value = value.T if cell.layout.transposed else value
    return value.reshape((1,) * (axes - value.dim()) + tuple(value.shape)).contiguous()


def parameters_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return a module's parameters by name, as they are stored."""
    return dict(model.named_parameters())


def sizes_of(ledger: Ledger) -> dict[str, int]:
    """Return the stored size of each dim, and the channels of a head."""
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


def norms_of(model: nn.Module, adapter: Adapter) -> list[tuple[str, nn.Module]]:
    """Return the norms of a module by path."""
    if adapter.eps is None:
        return []
    return [(n, m) for n, m in model.named_modules() if hasattr(m, adapter.eps) and not list(m.children())]
