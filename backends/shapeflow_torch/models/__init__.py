"""Model modules. Each component of `shapeflow/models/` has a file of the same name here."""

from __future__ import annotations

import torch

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.ledger import Ledger
from shapeflow_torch.models.parts import Net, initialise
from shapeflow_torch.models.random_features import RandomFeatures
from shapeflow_torch.models.transformer import Transformer
from shapeflow_torch.models.vit import Vit
from shapeflow_torch.plugins import plugin

_KINDS = {"random_features": RandomFeatures, "transformer": Transformer, "vit": Vit}

__all__ = ["Net", "build", "initialise"]


def build(kind: str, ledger: Ledger, device: torch.device, dtype: torch.dtype) -> Net:
    """Return a module of the ledger's sizes, with uninitialized weights.

    Raises Refused `no-such-model`, `wrong-parameters` if the module's tensors differ from the ledger's, and
    `no-such-view` if a view is set on a parameter that the module does not read through views.
    """
    made = _KINDS.get(kind) or plugin("models", kind)
    if made is None:
        help_ = "train it in a loop of your own, with `shapeflow.follow`: docs/grow.md" if kind == "external" else None
        raise Refused(Diagnostic("no-such-model", f"this backend has no model `{kind}`", place="model", help=help_))
    with torch.device("meta"):
        net: Net = made(ledger.sizes, ledger.slots)
    # What `to_empty` does. For tensors without memory it calls `empty_like`, which imports sympy and takes 0.6 s.
    net._apply(  # type: ignore[no-untyped-call]
        lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
    )
    net.to(dtype)
    net.tie()
    check(net, ledger)
    return net


def check(net: Net, ledger: Ledger) -> None:
    """Check that a module has the ledger's tensors and supports its views. Raises Refused `wrong-parameters`,
    `no-such-view`."""
    have = {name: tuple(tensor.shape) for name, tensor in net.named_parameters()}
    want = ledger.tensors()
    if have != want:
        wrong = sorted(name for name in have.keys() | want.keys() if have.get(name) != want.get(name))
        notes = tuple(f"`{n}`: module {have.get(n, 'none')}, plan {want.get(n, 'none')}" for n in wrong[:8])
        message = f"{len(wrong)} tensors of the module differ from what the plan declares"
        raise Refused(Diagnostic("wrong-parameters", message, place="model", notes=notes))
    unseen = sorted(name for name, views in ledger.views.items() if views and name not in net.viewable)
    if unseen:
        message = f"the model does not read `{unseen[0]}` through views"
        raise Refused(Diagnostic("no-such-view", message, place="model"))
