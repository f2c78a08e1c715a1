"""All that is kept of a parameter, and how one dim of it grows or is rewritten."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from torch import Tensor

from shapeflow.edits import Along, Constant, Copy, Floats, Gather, Mean, Normal, Resize, gather, matrices, noise
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
        return Bundle(*(tensor.clone() for tensor in self.tensors()))

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

    def draw(self, dim: str, like: Tensor) -> Tensor:
        numbers = noise(self.seed, self.switch, self.tensor, dim, 0, like.numel())
        return torch.from_numpy(numbers).reshape(like.shape).to(like.device, like.dtype)


def mean_square(value: Tensor, dims: Sequence[str], apart: Sequence[str]) -> Tensor:
    """Mean square over all axes but those whose dim is in `apart`: the spread of what `Normal` fills in. It is taken
    before the switch's first edit of the tensor."""
    over = [axis for axis, dim in enumerate(dims) if dim not in apart]
    return value.pow(2).mean(over, keepdim=True) if over else value.pow(2)


def widen(bundle: Bundle, dims: Sequence[str], along: Along, square: Tensor, sheet: Sheet) -> Bundle:
    """Enlarge a dim on every axis that bears it. `square`: see `mean_square`."""
    for axis in (axis for axis, dim in enumerate(dims) if dim == along.dim):
        plan = gather(along, bundle.value.shape[axis])
        bundle = _widen(bundle, axis, along, plan, square, sheet)
    return bundle


def _widen(bundle: Bundle, axis: int, along: Along, plan: Gather, square: Tensor, sheet: Sheet) -> Bundle:
    source = torch.from_numpy(plan.source).to(bundle.value.device)
    made = Bundle(*(tensor.index_select(axis, source.clamp_min(0)) for tensor in bundle.tensors()))
    if isinstance(along.fill, Copy):
        return _weighed(made, axis, plan)
    column = [1] * made.value.dim()
    column[axis] = len(source)
    hole = (source < 0).view(column)
    fills = [
        _fill(along, old, new, old.mean(axis, keepdim=True), square, sheet)
        for old, new in ((bundle.value, made.value), (bundle.average, made.average))
    ]
    return Bundle(
        torch.where(hole, fills[0], made.value),
        torch.where(hole, fills[1], made.average),
        made.first.masked_fill(hole, 0.0),
        made.second.masked_fill(hole, 0.0),
        made.age.masked_fill(hole, 0.0),
        made.new | hole,
    )


def _fill(along: Along, old: Tensor, new: Tensor, mean: Tensor, square: Tensor, sheet: Sheet) -> Tensor:
    """What new entries are: numbers that `new`'s sizes can take. The average gets the same draws as the weights."""
    match along.fill:
        case Constant(value):
            return torch.full_like(new, value)
        case Mean():
            return mean.expand_as(new)
        case Normal(gamma):
            return sheet.draw(along.dim, new) * (gamma * square).sqrt()
        case _:
            raise ValueError(f"{along.fill} fills nothing in sizes {tuple(old.shape)}")


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
    return [_entry(family, along, plan, entry, square, sheets[entry]) for entry in range(along.to)]


def _entry(family: Sequence[Bundle], along: Along, plan: Gather, entry: int, square: Tensor, sheet: Sheet) -> Bundle:
    source = int(plan.source[entry])
    if source >= 0:
        # A copy of its own, also where nothing is scaled: two entries of one source must not share memory.
        found = family[source].scaled(float(plan.values[entry]), float(plan.gradients[entry])).copied()
        return found if plan.first[entry] else attrs.evolve(found, first=torch.zeros_like(found.first))
    made = family[0].blank()
    mean = [torch.stack([getattr(each, name) for each in family]).mean(0) for name in ("value", "average")]
    return attrs.evolve(
        made,
        value=_fill(along, made.value, made.value, mean[0], square, sheet),
        average=_fill(along, made.average, made.average, mean[1], square, sheet),
    )


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
