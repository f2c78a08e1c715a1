"""Groups a tensor with its average and optimizer state, and grows or rewrites all of them along one dim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
    Rule,
    gather,
    matrices,
)
from shapeflow.ir.noise import noise_beyond
from shapeflow.ir.parameters import Growth
from shapeflow_torch.reading import along as through


@attrs.frozen(eq=False)
class Bundle:
    """A tensor with its average and optimizer state. All have the same logical sizes; fused dims are
    separate axes."""

    value: Tensor
    average: Tensor
    state: Mapping[str, Tensor]
    """The optimizer state by part."""
    rules: Mapping[str, Growth]
    """How an edit changes each part of the state."""
    new: Tensor
    """True for entries created by this switch."""

    def each(self, change: Callable[[Tensor], Tensor]) -> Bundle:
        """Return a bundle with `change` applied to every tensor."""
        state = {part: change(tensor) for part, tensor in self.state.items()}
        return Bundle(change(self.value), change(self.average), state, self.rules, change(self.new))

    def followed(self, by: Mapping[Growth, Callable[[Tensor], Tensor]]) -> Bundle:
        """Return a bundle with value, average and state changed by rule. The rule `value` applies to value and average;
        parts whose rule is not in `by` do not change."""
        state = {part: by.get(self.rules[part], _same)(tensor) for part, tensor in self.state.items()}
        value = by.get("value", _same)
        return attrs.evolve(self, value=value(self.value), average=value(self.average), state=state)

    def shaped(self, sizes: Sequence[int]) -> Bundle:
        return self.each(lambda tensor: tensor.reshape(tuple(sizes)))

    def copied(self) -> Bundle:
        return self.followed(dict.fromkeys(("value", "gradient", "squared"), torch.clone))

    def scaled(self, value: float, gradient: float) -> Bundle:
        """Return a bundle with entries multiplied by `value`, gradients by `gradient`, and state to match."""
        if value == gradient == 1.0:
            return self
        return self.followed(
            {"value": lambda t: t * value, "gradient": lambda t: t * gradient, "squared": lambda t: t * gradient**2}
        )

    def unmoved(self) -> Bundle:
        """Return a bundle in which state linear in the gradients, such as momentum, is zero."""
        return self.followed({"gradient": torch.zeros_like})

    @property
    def values(self) -> tuple[Tensor, ...]:
        """The value, the average and the parts of the state that follow the rule `value`."""
        return self.value, self.average, *(self.state[part] for part, rule in self.rules.items() if rule == "value")

    def filled(self, values: Sequence[Tensor]) -> Bundle:
        """Return a bundle of new entries: `values` as in `Bundle.values`, and all other state zero."""
        blank = self.followed(dict.fromkeys(("gradient", "squared", "count"), torch.zeros_like))
        names = [part for part, rule in self.rules.items() if rule == "value"]
        state = {**blank.state, **dict(zip(names, values[2:], strict=True))}
        return attrs.evolve(blank, value=values[0], average=values[1], state=state, new=torch.ones_like(self.new))


def _same(tensor: Tensor) -> Tensor:
    return tensor


@attrs.frozen
class Sheet:
    """The source of random numbers for one tensor at one switch."""

    seed: int
    switch: int
    tensor: str

    def draw(self, dim: str, like: Tensor, sizes: Sequence[int], axis: int = 0, old: int = 0) -> Tensor:
        """Return the part of a random tensor of `sizes` that starts at entry `old` of `axis`."""
        drawn = torch.empty([size - old * (each == axis) for each, size in enumerate(sizes)], dtype=like.dtype)
        flat, at = drawn.view(-1), 0
        for numbers in noise_beyond(self.seed, self.switch, self.tensor, dim, sizes, axis, old):
            flat[at : at + len(numbers)] = torch.from_numpy(numbers)
            at += len(numbers)
        return drawn.to(like.device)


def mean_square(value: Tensor, dims: Sequence[str], apart: Sequence[str]) -> Tensor:
    """Return the mean square over all axes whose dim is not in `apart`. It sets the variance of `Normal` fills.

    It is computed before each `Grow` of the tensor, once for all dims along which the tensor grows."""
    over = [axis for axis, dim in enumerate(dims) if dim not in apart]
    return value.pow(2).mean(over, keepdim=True) if over else value.pow(2)


def widen(bundle: Bundle, dims: Sequence[str], along: Along, square: Tensor, sheet: Sheet) -> Bundle:
    """Enlarge a dim on every axis that has it. `square`: see `mean_square`."""
    axes = [axis for axis, dim in enumerate(dims) if dim == along.dim]
    for axis in axes:
        # If two axes have the same dim, each draws its own random numbers.
        key = along.dim if len(axes) == 1 else f"{along.dim}/{axis}"
        bundle = _widen(bundle, axis, along, square, sheet, key)
    return bundle


def _widen(bundle: Bundle, axis: int, along: Along, square: Tensor, sheet: Sheet, key: str) -> Bundle:
    old = bundle.value.shape[axis]
    plan = gather(along, old)
    if isinstance(along.fill, Copy):
        source = torch.from_numpy(plan.source).to(bundle.value.device)
        return _weighed(bundle.each(lambda tensor: tensor.index_select(axis, source)), axis, plan)
    sizes = [along.to if each == axis else size for each, size in enumerate(bundle.value.shape)]
    one = [1 if each == axis else size for each, size in enumerate(sizes)]
    fills = _fills(
        along.fill,
        [tensor.mean(axis, keepdim=True) for tensor in bundle.values],
        square,
        lambda: sheet.draw(key, bundle.value, sizes, axis, old),
    )
    sizes[axis] = along.to - old
    fresh = bundle.each(lambda tensor: tensor.new_zeros(one)).filled(fills)

    def behind(old: Tensor, new: Tensor) -> Tensor:
        return torch.cat((old, new.expand(sizes)), axis)

    return Bundle(
        behind(bundle.value, fresh.value),
        behind(bundle.average, fresh.average),
        {part: behind(tensor, fresh.state[part]) for part, tensor in bundle.state.items()},
        bundle.rules,
        behind(bundle.new, fresh.new),
    )


def _fills(fill: Fill, means: Sequence[Tensor], square: Tensor, draw: Callable[[], Tensor]) -> Sequence[Tensor]:
    """Return the new entries of `Bundle.values`, as tensors that can be expanded to the final sizes.

    `means`: mean of the old entries of each tensor. Random draws are the same for all tensors."""
    match fill:
        case Constant(value):
            return [torch.full_like(mean, value) for mean in means]
        case Normal(gamma):
            drawn = draw() * (gamma * square).sqrt()
            return [drawn for _ in means]
        case _:
            return means


def _weighed(made: Bundle, axis: int, plan: Gather) -> Bundle:
    def column(weights: Floats) -> Tensor:
        sizes = [1] * made.value.dim()
        sizes[axis] = len(weights)
        return torch.from_numpy(weights).to(made.value.device, made.value.dtype).view(sizes)

    value, gradient, kept = column(plan.values), column(plan.gradients), column(plan.first)
    return made.followed(
        {
            "value": lambda tensor: tensor * value,
            "gradient": lambda tensor: tensor * gradient * kept,
            "squared": lambda tensor: tensor * gradient**2,
        }
    )


def deepen(family: Sequence[Bundle], along: Along, squares: Sequence[Tensor], sheets: Sequence[Sheet]) -> list[Bundle]:
    """Enlarge the dim whose entries are separate tensors. `sheets`: one for each entry after the edit."""
    plan = gather(along, len(family))
    square = torch.stack(list(squares)).mean(0)
    first = set(np.unique(plan.source, return_index=True)[1].tolist())
    # The first of several copies reuses the tensors of its source. The others need their own memory.
    return [
        _repeated(family, plan, entry, entry not in first)
        if plan.source[entry] >= 0
        else _entry(family, along, square, sheets[entry])
        for entry in range(along.to)
    ]


def _repeated(family: Sequence[Bundle], plan: Gather, entry: int, copied: bool) -> Bundle:
    found = family[int(plan.source[entry])].scaled(float(plan.values[entry]), float(plan.gradients[entry]))
    found = found.copied() if copied else found
    return found if plan.first[entry] else found.unmoved()


def _entry(family: Sequence[Bundle], along: Along, square: Tensor, sheet: Sheet) -> Bundle:
    like = family[0].value
    means = [torch.stack(tensors).mean(0) for tensors in zip(*(each.values for each in family), strict=True)]
    fills = _fills(along.fill, means, square, lambda: sheet.draw(along.dim, like, like.shape))
    # `_fills` returns the same drawn tensor several times, but tensors must not share memory.
    return family[0].filled([fills[0], *(fill.clone() for fill in fills[1:])])


def rewrite(bundle: Bundle, dims: Sequence[str], dim: str, rule: Rule, seed: int) -> Bundle:
    """Rewrite a dim through a rule on every axis that has it. Values are multiplied by the matrix V, gradients by G and
    squared gradients by G * G (elementwise).

    The rule mixes entries, so all of them get the age of the oldest."""
    for axis in (axis for axis, named in enumerate(dims) if named == dim):
        made = matrices(rule, bundle.value.shape[axis], seed)
        bundle = _rewritten(bundle, axis, *(_matrix(matrix, bundle.value) for matrix in made))
    return bundle


def _rewritten(bundle: Bundle, axis: int, value: Tensor, gradient: Tensor) -> Bundle:
    sizes = [len(value) if each == axis else size for each, size in enumerate(bundle.value.shape)]
    made = bundle.followed(
        {
            "value": lambda tensor: through(tensor, axis, value),
            "gradient": lambda tensor: through(tensor, axis, gradient),
            "squared": lambda tensor: through(tensor, axis, gradient**2),
            "count": lambda tensor: tensor.max().expand(sizes).clone(),
        }
    )
    return attrs.evolve(made, new=bundle.new.all().expand(sizes).clone())


def _matrix(numbers: Floats, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(like.device, like.dtype)
