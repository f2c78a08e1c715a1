"""Muon for the matrices of the blocks, next to AdamW for all other parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from shapeflow.ir.rates import Factors
from shapeflow.optimizers.muon import Muon as Declared
from shapeflow_torch.optimizers.adamw import AdamwPart
from shapeflow_torch.optimizers.aged import AgedAdamW
from shapeflow_torch.optimizers.parts import Member

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x^3 and x^5 (Jordan et al. 2024). They map singular values in (0, 1] to about 0.7 to 1.2."""
ITERATIONS = 5
TINY = 1e-7
"""Added to the norm of a matrix, so that a zero matrix stays zero."""
LIKE_ADAMW = 0.2
"""Root mean square of an AdamW update divided by the learning rate (Liu et al., arXiv 2502.16982, section 2.2)."""


def newton_schulz(matrices: Tensor) -> Tensor:
    """Return approximately U V^T for each matrix U S V^T of a batch (..., rows, columns).

    Five Newton-Schulz iterations map each singular value s to p(p(p(p(p(s / |S|))))), where
    p(x) = 3.4445 x - 4.7750 x^3 + 2.0315 x^5. On a GPU they run in bfloat16, which is precise enough (Jordan et al.
    2024); otherwise in the precision of the input."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    if x.is_cuda:
        x = x.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + TINY)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.mT if tall else x
    return x.to(matrices.dtype)


@attrs.frozen
class Layout:
    """How a two-axis tensor is split into matrices: one matrix, or one for each entry of the fused dims that
    separate matrices."""

    sizes: tuple[int, ...]
    """Sizes of the logical dims."""
    order: tuple[int, ...]
    """Order of the logical dims, with those that separate matrices first."""
    rows: int
    columns: int

    def split(self, tensor: Tensor) -> Tensor:
        """Reshape a tensor with two axes to (matrices, rows, columns)."""
        return tensor.reshape(self.sizes).permute(self.order).reshape(-1, self.rows, self.columns)

    def joined(self, matrices: Tensor, like: Tensor) -> Tensor:
        """Undo `split`: reshape (matrices, rows, columns) to the shape of `like`."""
        inverse = sorted(range(len(self.order)), key=self.order.__getitem__)
        return matrices.reshape([self.sizes[axis] for axis in self.order]).permute(inverse).reshape(like.shape)


def layout_of(member: Member, apart: frozenset[str]) -> Layout:
    """Return the layout of a tensor. `apart`: dims along which slices are separate matrices."""
    dims = member.declared.logical
    order = sorted(range(len(dims)), key=lambda axis: dims[axis] not in apart)
    sides, at = [], 0
    for axis in member.declared.dims:
        words = axis.split()
        sides.append(math.prod(member.sizes[at + i] for i, word in enumerate(words) if word not in apart))
        at += len(words)
    return Layout(member.sizes, tuple(order), *sides)


class MuonAdamW(AgedAdamW):
    """AdamW whose groups with a `layout` are updated by Muon."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one update of every parameter that has a gradient."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if group["layout"] is None]
        try:
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group["layout"] is not None:
                self._orthogonal(group, group["layout"])

    def _orthogonal(self, group: Mapping[str, Any], layout: Layout) -> None:
        """Update all tensors of a group by Muon. They share one layout, so their matrices form one batch."""
        weights = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not weights:
            return
        for weight in weights:
            if "momentum" not in self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        gradients: list[Tensor] = [weight.grad for weight in weights]
        momenta: list[Tensor] = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"]) if group["nesterov"] else momenta
        split = [layout.split(update) for update in ahead]
        updates = torch.split(newton_schulz(torch.cat(split)), [len(each) for each in split])
        rate = group["lr"] * LIKE_ADAMW * math.sqrt(max(layout.rows, layout.columns))
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        joined = [layout.joined(update, weight) for update, weight in zip(updates, weights, strict=True)]
        torch._foreach_add_(weights, joined, alpha=-rate)


class Muon(AdamwPart[Declared]):
    declaration: ClassVar[type[Any]] = Declared

    def build(self, groups: list[dict[str, Any]], aged: bool) -> torch.optim.Optimizer:
        own = self.settings
        return MuonAdamW(groups, own.lr, (own.beta1, own.beta2), own.eps, fused=True)

    def options(self, member: Member) -> dict[str, Any]:
        own, found = self.settings, super().options(member)
        if not own.orthogonal(member.declared):
            return {**found, "layout": None}
        layout = layout_of(member, self.apart)
        return {**found, "layout": layout, "momentum": own.momentum, "nesterov": own.nesterov}

    def set_rates(
        self, optimizer: torch.optim.Optimizer, factors: Factors, memory: float, worth: Callable[[int], float]
    ) -> None:
        super().set_rates(optimizer, factors, memory, worth)
        if self.settings.adamw_lr is not None:
            for group in optimizer.param_groups:
                if group["layout"] is None:
                    group["lr"] *= self.settings.adamw_lr / self.settings.lr
