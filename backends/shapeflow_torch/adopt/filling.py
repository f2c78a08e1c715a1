"""Puts the tensors of a plan into a module of another library, whatever sizes it had."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shapeflow.foreign.adapters import Adapter
from shapeflow.foreign.cells import cells
from shapeflow.ir.ledger import Ledger
from shapeflow_torch.adopt.cells import joined, norms_of, parameters_of, sizes_of
from shapeflow_torch.adopt.views import enter


@torch.no_grad()
def put(model: nn.Module, adapter: Adapter, ledger: Ledger, values: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """Put values into a module, and return the parameters that were replaced: name -> the old one."""
    _deepen(model, adapter, ledger)
    theirs, new, renewed = parameters_of(model), dict[int, nn.Parameter](), dict[str, nn.Parameter]()
    for cell in cells(adapter, ledger):
        weight = theirs[cell.theirs]
        value = joined(cell, [values[name] for name in cell.ours], weight.dim()).to(weight.dtype)
        if value.shape == weight.shape:
            weight.copy_(value)
            weight.grad = None
        else:
            # A loop that still holds its last loss holds a graph with the old sizes. A new parameter is not part of it.
            new[id(weight)] = nn.Parameter(value, requires_grad=weight.requires_grad)
            renewed[cell.theirs] = weight
    for module in model.modules():
        for name, old in list(module._parameters.items()):
            if old is not None and id(old) in new:
                setattr(module, name, new[id(old)])
    enter(model, adapter, ledger)
    _retell(model, adapter, ledger)
    return renewed


def _deepen(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    """Add blocks until there are as many as in the ledger. A new one begins as a copy of the first."""
    blocks, depth = model.get_submodule(adapter.blocks), sizes_of(ledger).get("depth", 0)
    assert isinstance(blocks, nn.Sequential | nn.ModuleList)
    # The copies share the module's config, which changes with its sizes.
    shared = {id(config): config for config in [getattr(model, "config", None)] if config is not None}
    while len(blocks) < depth:
        blocks.append(copy.deepcopy(blocks[0], dict(shared)))
    for at, block in enumerate(blocks):
        for path, attribute in adapter.index.items():
            setattr(block.get_submodule(path), attribute, at)


def _retell(model: nn.Module, adapter: Adapter, ledger: Ledger) -> None:
    """Set what modules of torch, norms and the config keep of their sizes next to their tensors."""
    sizes = sizes_of(ledger)
    for module in model.modules():
        match module:
            case nn.Linear():
                module.out_features, module.in_features = module.weight.shape
            case nn.Embedding():
                module.num_embeddings, module.embedding_dim = module.weight.shape
            case nn.LayerNorm() | nn.RMSNorm():
                module.normalized_shape = tuple(module.weight.shape)
            case nn.Conv2d():
                module.out_channels = module.weight.shape[0]
    for _, norm in norms_of(model, adapter):
        setattr(norm, adapter.eps or "", float(ledger.slots["norm.eps"] or 0.0))
    for key, rule in adapter.config.items():
        setattr(model.config, key, rule(sizes))
    if adapter.config_eps is not None:
        setattr(model.config, adapter.config_eps, ledger.slots["norm.eps"])
