"""A shape: one value for each axis. Laws, stages and candidates are identified by their shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

Value = int | str
"""A shape's value on one axis, in the axis's base unit: pixels, tokens, channels, samples, or the name of a loss."""


def _sorted(pairs: Iterable[tuple[str, Value]]) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted(dict(pairs).items()))


@attrs.frozen(order=True, repr=False)
class Shape(Mapping[str, Value]):
    """Axis name -> value; hashable; sorted by axis name, so that equal shapes compare equal."""

    items_: tuple[tuple[str, Value], ...] = attrs.field(converter=_sorted)

    @classmethod
    def of(cls, values: Mapping[str, Value] | None = None, **named: Value) -> Shape:
        return cls(tuple({**(values or {}), **named}.items()))

    def __getitem__(self, axis: str) -> Value:
        for name, value in self.items_:
            if name == axis:
                return value
        raise KeyError(axis)

    def __iter__(self) -> Iterator[str]:
        return iter(name for name, _ in self.items_)

    def __len__(self) -> int:
        return len(self.items_)

    def number(self, axis: str) -> int:
        """The value on an axis of numbers. Raises TypeError on an axis of names."""
        value = self[axis]
        if not isinstance(value, int):
            raise TypeError(f"axis {axis} has the value {value!r}, not a number")
        return value

    def with_(self, values: Mapping[str, Value]) -> Shape:
        """This shape with some values replaced."""
        return Shape(tuple({**dict(self.items_), **values}.items()))

    def changed(self, other: Shape) -> tuple[str, ...]:
        """The axes on which another shape differs from this one."""
        return tuple(axis for axis, value in other.items_ if self.get(axis) != value)

    def __repr__(self) -> str:
        return f"({', '.join(f'{axis}: {value}' for axis, value in self.items_)})"

    def written(self, units: Mapping[str, str]) -> str:
        """The shape as in a `.shape` file: `(patch: 8 px, width: 384)`. `units`: axis name -> unit, or empty."""
        pairs = (f"{axis}: {brief(value)} {units.get(axis, '')}".rstrip() for axis, value in self.items_)
        return f"({', '.join(pairs)})"

    def json(self) -> dict[str, Any]:
        return dict(self.items_)

    @classmethod
    def from_json(cls, values: Any) -> Shape:
        """The shape that `json()` wrote. Raises ValueError if it is not one."""
        if not isinstance(values, Mapping) or not all(type(value) in (int, str) for value in values.values()):
            raise ValueError(f"{values!r} is not a shape")
        return cls.of(values)


def brief(value: Value) -> str:
    """A value as in a `.shape` file; round millions and more with an exponent: `3e9`."""
    short = f"{value:.3g}".replace("e+0", "e").replace("e+", "e") if isinstance(value, int) and value >= 1e6 else ""
    return short if short and float(short) == value else str(value)
