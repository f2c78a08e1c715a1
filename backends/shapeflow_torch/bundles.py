"""All that is kept of a parameter, and how one dim of it grows or is rewritten."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
import torch
from torch import Tensor

from shapeflow.ir.edits import (
    Along,
    Constant,
    Copy,
    Fill,
    Floats,
    Gather,
    Normal,
    Resize,
    gather,
    matrices,
    noise_beyond,
)
from shapeflow_torch.reading import along as through


@attrs.frozen(eq=False)
class Bundle:
    """One tensor and what belongs to it, all in the same logical sizes (fused dims apart)."""

    value: Tensor
    average: Tensor
    first: Tensor
    """First moment."""
    second: Tensor
    """Second moment."""
    age: Tensor
    """Updates that each entry has seen, float32."""
    new: Tensor
    """True where an edit of this switch made the entry."""

    def shaped(self, sizes: Sequence[int]) -> Bundle:
        return Bundle(*(tensor.reshape(tuple(sizes)) for tensor in self.tensors()))

    def tensors(self) -> tuple[Tensor, ...]:
        return self.value, self.average, self.first, self.second, self.age, self.new

    def copied(self) -> Bundle:
        value, average, first, second = (tensor.clone() for tensor in self.tensors()[:4])
        return attrs.evolve(self, value=value, average=average, first=first, second=second)

    def scaled(self, value: float, gradient: float) -> Bundle:
        """Entries times `value`, hence gradients times `gradient`: the moments follow."""
        if value == gradient == 1.0:
            return self
        return attrs.evolve(
            self,
            value=self.value * value,
            average=self.average * value,
            first=self.first * gradient,
            second=self.second * gradient**2,
        )

    def blank(self) -> Bundle:
        """An entry that no update has seen; value and average are to be filled."""
        return attrs.evolve(
            self,
            first=torch.zeros_like(self.first),
            second=torch.zeros_like(self.second),
            age=torch.zeros_like(self.age),
            new=torch.ones_like(self.new),
        )


@attrs.frozen
class Sheet:
    """Where the random numbers of one tensor at one switch come from."""

    seed: int
    switch: int
    tensor: str

    def draw(self, dim: str, like: Tensor, sizes: Sequence[int], axis: int = 0, old: int = 0) -> Tensor:
        """The numbers of a tensor of `sizes`, at entry `old` and behind of one axis."""
        drawn = torch.empty([size - old * (each == axis) for each, size in enumerate(sizes)], dtype=like.dtype)
        flat, at = drawn.view(-1), 0
        for numbers in noise_beyond(self.seed, self.switch, self.tensor, dim, sizes, axis, old):
            flat[at : at + len(numbers)] = torch.from_numpy(numbers)
            at += len(numbers)
        return drawn.to(like.device)


def mean_square(value: Tensor, dims: Sequence[str], apart: Sequence[str]) -> Tensor:
    """Mean square over all axes but those whose dim is in `apart`: the spread of what `Normal` fills in. It is taken
    before each `Grow` of the tensor, once for all dims that it grows along."""
    over = [axis for axis, dim in enumerate(dims) if dim not in apart]
    return value.pow(2).mean(over, keepdim=True) if over else value.pow(2)


def widen(bundle: Bundle, dims: Sequence[str], along: Along, square: Tensor, sheet: Sheet) -> Bundle:
    """Enlarge a dim on every axis that bears it. `square`: see `mean_square`."""
    axes = [axis for axis, dim in enumerate(dims) if dim == along.dim]
    for axis in axes:
        # Two axes of one dim have numbers of their own.
        key = along.dim if len(axes) == 1 else f"{along.dim}/{axis}"
        bundle = _widen(bundle, axis, along, square, sheet, key)
    return bundle


def _widen(bundle: Bundle, axis: int, along: Along, square: Tensor, sheet: Sheet, key: str) -> Bundle:
    old = bundle.value.shape[axis]
    plan = gather(along, old)
    if isinstance(along.fill, Copy):
        source = torch.from_numpy(plan.source).to(bundle.value.device)
        return _weighed(Bundle(*(tensor.index_select(axis, source) for tensor in bundle.tensors())), axis, plan)
    sizes = [along.to if each == axis else size for each, size in enumerate(bundle.value.shape)]
    one = [1 if each == axis else size for each, size in enumerate(sizes)]
    fills = _fills(
        along.fill,
        (bundle.value.mean(axis, keepdim=True), bundle.average.mean(axis, keepdim=True)),
        square,
        lambda: sheet.draw(key, bundle.value, sizes, axis, old),
    )
    sizes[axis] = along.to - old
    blank = Bundle(*(tensor.new_zeros(one) for tensor in bundle.tensors())).blank()
    fresh = attrs.evolve(blank, value=fills[0], average=fills[1]).tensors()
    # What is filled stands behind what was there.
    return Bundle(*(torch.cat((a, b.expand(sizes)), axis) for a, b in zip(bundle.tensors(), fresh, strict=True)))


def _fills(
    fill: Fill, means: tuple[Tensor, Tensor], square: Tensor, draw: Callable[[], Tensor]
) -> tuple[Tensor, Tensor]:
    """What new entries of value and average are, as tensors that expand to their sizes. `means`: of the old entries of
    both. The average gets the same draws as the weights."""
    match fill:
        case Constant(value):
            return torch.full_like(means[0], value), torch.full_like(means[1], value)
        case Normal(gamma):
            drawn = draw() * (gamma * square).sqrt()
            return drawn, drawn
        case _:
            return means


def _weighed(made: Bundle, axis: int, plan: Gather) -> Bundle:
    def column(weights: Floats) -> Tensor:
        sizes = [1] * made.value.dim()
        sizes[axis] = len(weights)
        return torch.from_numpy(weights).to(made.value.device, made.value.dtype).view(sizes)

    value, gradient = column(plan.values), column(plan.gradients)
    return attrs.evolve(
        made,
        value=made.value * value,
        average=made.average * value,
        first=made.first * gradient * column(plan.first),
        second=made.second * gradient**2,
    )


def deepen(family: Sequence[Bundle], along: Along, squares: Sequence[Tensor], sheets: Sequence[Sheet]) -> list[Bundle]:
    """Enlarge the dim whose entries are tensors of their own. `sheets`: one for each NEW entry."""
    plan = gather(along, len(family))
    square = torch.stack(list(squares)).mean(0)
    first = set(np.unique(plan.source, return_index=True)[1].tolist())
    # The first of several entries of one source takes its tensors over; others must not share memory with it.
    return [
        _repeated(family, plan, entry, entry not in first)
        if plan.source[entry] >= 0
        else _entry(family, along, square, sheets[entry])
        for entry in range(along.to)
    ]


def _repeated(family: Sequence[Bundle], plan: Gather, entry: int, copied: bool) -> Bundle:
    found = family[int(plan.source[entry])].scaled(float(plan.values[entry]), float(plan.gradients[entry]))
    found = found.copied() if copied else found
    return found if plan.first[entry] else attrs.evolve(found, first=torch.zeros_like(found.first))


def _entry(family: Sequence[Bundle], along: Along, square: Tensor, sheet: Sheet) -> Bundle:
    like = family[0].value
    value, average = (torch.stack([getattr(each, name) for each in family]).mean(0) for name in ("value", "average"))
    fills = _fills(along.fill, (value, average), square, lambda: sheet.draw(along.dim, like, like.shape))
    return attrs.evolve(family[0].blank(), value=fills[0], average=fills[1].clone())


def rewrite(bundle: Bundle, dims: Sequence[str], dim: str, rule: Resize) -> Bundle:
    """Rewrite a dim through a rule on every axis that bears it: V on values, G on gradients, G * G on their squares.

    Entries are mixed, so that they share the oldest age from now on."""
    for axis in (axis for axis, named in enumerate(dims) if named == dim):
        value, gradient = (_matrix(each, bundle.value) for each in matrices(rule, bundle.value.shape[axis]))
        written = through(bundle.value, axis, value)
        bundle = Bundle(
            written,
            through(bundle.average, axis, value),
            through(bundle.first, axis, gradient),
            through(bundle.second, axis, gradient**2),
            bundle.age.max().expand(written.shape).clone(),
            bundle.new.all().expand(written.shape).clone(),
        )
    return bundle


def _matrix(numbers: Floats, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(like.device, like.dtype)
