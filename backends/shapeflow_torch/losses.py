"""The loss of a step: cut into micro-batches, and without holding all logits of a large vocabulary."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from shapeflow.base.shapes import Shape
from shapeflow.ir.memory import LARGE, rows_of_part
from shapeflow_torch.models import Net
from shapeflow_torch.objectives import Asked, Objective
from shapeflow_torch.objectives.parts import IGNORED
from shapeflow_torch.team import Team

Autocast = Callable[[], contextlib.AbstractContextManager[object]]


@attrs.frozen
class Saving:
    """How steps save memory. Nothing of it changes what a step computes, except for rounding.

    `micro_batch`: largest number of samples whose forward and backward pass this process makes at once, for all shapes
    or by shape; None: all of its samples. `recompute`: keep only the inputs of blocks, and compute each block again in
    the backward pass."""

    micro_batch: int | Mapping[Shape, int] | None = None
    recompute: bool = False

    def largest(self, shape: Shape) -> int | None:
        """Return the largest micro-batch in a shape, in samples; None: no limit."""
        return self.micro_batch.get(shape) if isinstance(self.micro_batch, Mapping) else self.micro_batch


def cut(asked: Asked, largest: int | None) -> Iterator[tuple[Asked, float]]:
    """Yield the micro-batches of a process's samples, of at most `largest` samples, and the share of the targets that
    each has. The numbers of samples differ by at most 1."""
    samples = len(asked.inputs)
    count = 1 if largest is None else -(-samples // largest)
    if count <= 1:
        yield asked, 1.0
        return
    wanted = targets_of(asked)
    for number in range(count):
        part = slice(samples * number // count, samples * (number + 1) // count)
        piece = attrs.evolve(asked, inputs=asked.inputs[part], targets=asked.targets[part], answers={})
        yield piece, targets_of(piece) / wanted


def targets_of(asked: Asked) -> int:
    """Return the number of targets that count."""
    return int((asked.targets != IGNORED).sum()) if asked.masked else asked.targets.numel()


def weight_of(asked: Asked, team: Team) -> float:
    """Return the weight of a process's mean in the mean over all targets of a step, times the number of processes."""
    if team.world == 1 or not asked.masked:
        return 1.0
    own = targets_of(asked)
    return own * team.world / float(team.sum(torch.tensor(float(own), device=team.device)))


def loss_of(net: Net, asked: Asked, inputs: Tensor, objective: Objective, autocast: Autocast) -> Tensor:
    """Return the mean loss of some samples. `inputs`: those of `asked`, at the model's own resolution."""
    arguments = (inputs,) if asked.prefix is None else (inputs, asked.prefix)
    if not (net.splits and is_large(asked.targets, net)):
        with autocast():
            logits = net(*arguments)
        return objective.loss(logits, asked)
    with autocast():
        features, dtype = net.features(*arguments).flatten(0, -2), _precision(net)
    rows = torch.arange(len(features), device=features.device)
    if asked.masked:
        rows = (asked.targets.flatten() != IGNORED).nonzero()[:, 0]
        features = features[rows]
    targets = asked.targets.flatten()

    def part(logits: Tensor, at: slice) -> Tensor:
        here = rows[at]
        piece = attrs.evolve(asked, targets=targets[here], rows=here, whole=asked, answers={})
        return objective.loss(logits, piece) * (len(here) / len(rows))

    loss: Tensor = _InParts.apply(features, net.head.weight, net.head.bias, dtype, part)  # type: ignore[no-untyped-call]
    return loss


def logits_of(net: Net, inputs: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the logits of text and their targets: all at once, or in parts if there are many. Not for training."""
    if not (net.splits and is_large(targets, net)):
        yield net(inputs), targets
        return
    features, flat = net.features(inputs).flatten(0, -2), targets.flatten()
    for at in parts(features, net.head.out_features):
        yield net.head(features[at]), flat[at]


def is_large(targets: Tensor, net: Net) -> bool:
    """Return whether there are so large a number of logits that they are computed in parts."""
    return targets.dim() == 2 and targets.numel() * net.head.out_features >= LARGE


def parts(features: Tensor, vocabulary: int) -> Iterator[slice]:
    """Yield the parts of some rows (rows, width) whose logits are computed one after the other."""
    size = rows_of_part(vocabulary, features.device.type)
    for at in range(0, len(features), size):
        yield slice(at, min(at + size, len(features)))


def _precision(net: Net) -> torch.dtype:
    """Return the precision of the logits in the current context."""
    device = net.head.weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else net.head.weight.dtype


class _InParts(torch.autograd.Function):
    """The sum of the losses of parts of the logits of a linear head.

    The gradients are computed together with the loss, part by part, so that no logits are kept and none is computed
    twice (as in Liger Kernel, Hsu et al., arXiv 2410.10989). What is kept until the backward pass are the gradients of
    the features and of the head, which the backward pass needs memory for anyway."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, loss: Callable[..., Tensor]
    ) -> Tensor:
        """`dtype`: precision of the logits; `loss`: (logits, slice of the rows) -> loss."""
        cast = None if bias is None else bias.to(dtype)
        x, w = features.to(dtype), weight.to(dtype)
        ctx.found = (torch.empty_like(features), *(None if t is None else torch.zeros_like(t) for t in (weight, bias)))
        total = features.new_zeros((), dtype=torch.promote_types(weight.dtype, torch.float32))
        with torch.autocast(features.device.type, enabled=False):
            for at in parts(x, len(w)):
                logits = functional.linear(x[at], w, cast)
                # What this keeps is freed at once, so hooks that move or count saved tensors must not see it.
                with torch.enable_grad(), saved_tensors_hooks(_same, _same):
                    one = loss(logits.requires_grad_(), at)
                    (wanted,) = torch.autograd.grad(one, logits)
                total += one.detach()
                _add(ctx.found, wanted, x, w, at)
                del logits, one, wanted
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (by,), found = gradients, ctx.found
        # Attributes of a node are not freed with its graph.
        del ctx.found
        return *(None if one is None else one.mul_(by) for one in found), None, None


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _add(found: tuple[Tensor, Tensor, Tensor | None], wanted: Tensor, x: Tensor, w: Tensor, at: slice) -> None:
    """Add the gradients of one part. `found`: those of features, weight and bias; `wanted`: that of the logits."""
    found[0][at] = wanted @ w
    if found[1].dtype == wanted.dtype:
        found[1].addmm_(wanted.T, x[at])
    else:
        found[1].add_(wanted.T @ x[at])
    if found[2] is not None:
        found[2].add_(wanted.sum(0))
