"""Reads stored tensors through views."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from shapeflow.ir.edits import Resize, matrices
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.parameters import Parameter


class Reading:
    """Applies the views of one parameter. Gradients flow to the stored tensor.

    A view acts on one dim, along every axis that has it. A two-dimensional resize is thus the product of two
    one-dimensional ones, and so is its pseudo-inverse. Matrices are computed in float64 and applied in the
    parameter's own precision, without autocast.
    """

    def __init__(
        self,
        parameter: Parameter,
        sizes: Mapping[str, int],
        rules: Mapping[str, Resize],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._logical = tuple(sizes[dim] for dim in parameter.logical)
        self._fused = tuple(len(entry.split()) for entry in parameter.dims)
        self._through: list[tuple[int, Tensor]] = []
        for dim, rule in rules.items():
            if rule.to == sizes[dim]:
                continue
            matrix = torch.from_numpy(matrices(rule, sizes[dim])[0]).to(device, dtype)
            self._through += [(axis, matrix) for axis, named in enumerate(parameter.logical) if named == dim]

    def __call__(self, stored: Tensor) -> Tensor:
        if not self._through:
            return stored
        with torch.autocast(stored.device.type, enabled=False):
            seen = stored.reshape(self._logical)
            for axis, matrix in self._through:
                seen = along(seen, axis, matrix)
        sizes, at = [], 0
        for count in self._fused:
            sizes.append(seen.shape[at : at + count].numel())
            at += count
        return seen.reshape(sizes)


class Frozen:
    """Returns a parameter that was read through its views once, for weights that do not change."""

    def __init__(self, seen: Tensor) -> None:
        self._seen = seen

    def __call__(self, stored: Tensor) -> Tensor:
        return self._seen


def along(tensor: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Apply `matrix` (to, old) along an axis of `old` entries."""
    return (tensor.movedim(axis, -1) @ matrix.T).movedim(-1, axis)


class Reader:
    """Creates and caches readings, so that alternating views are computed once and compiled once each."""

    def __init__(self) -> None:
        self._made: dict[object, Reading] = {}

    def readings(self, ledger: Ledger, device: torch.device, dtype: torch.dtype) -> dict[str, Reading]:
        """Return parameter name -> its current reading, for parameters that have views."""
        found = {}
        for name, rules in ledger.views.items():
            if rules:
                key = (name, tuple(sorted(rules.items(), key=lambda rule: rule[0])), tuple(ledger.sizes[name].items()))
                if key not in self._made:
                    self._made[key] = Reading(ledger.table[name], ledger.sizes[name], dict(rules), device, dtype)
                found[name] = self._made[key]
        return found

    def frozen(
        self, ledger: Ledger, stored: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> dict[str, Frozen]:
        """Return the same as `readings` for parameters that no longer change. Each is read once, in this call."""
        with torch.no_grad():
            readings = self.readings(ledger, device, dtype)
            return {name: Frozen(reading(stored[name])) for name, reading in readings.items()}
