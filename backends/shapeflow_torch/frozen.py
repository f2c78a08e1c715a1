"""A module with fixed weights: that of a teacher, or of a run that is looked at."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from shapeflow.ir.weights import Weights
from shapeflow_torch.models import Net, build
from shapeflow_torch.reading import Reader


def frozen(weights: Weights, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Net:
    """Return the module of a file of weights, in evaluation mode and without gradients. `tensors`: name -> values."""
    ledger = weights.ledger()
    net = build(weights.model, ledger, device, dtype).eval().requires_grad_(False)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(tensors[name])
    net.slots = dict(ledger.slots)
    net.readings = Reader().frozen(ledger, dict(net.named_parameters()), device, dtype)
    return net
