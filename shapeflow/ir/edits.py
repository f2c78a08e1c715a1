"""The vocabulary of change: what a transition may do to parameters and slots, as data, and its meaning in numbers.

Law of every edit on a parameter, along one named dim at a time: value' = V value + fill, gradient' = G gradient. The
optimiser follows from it: first moment' = G m, second moment' = (G * G) v, average' = V average + the same fill.
An edit holds rule names and sizes, never matrices; `gather`, `matrices` and `noise` turn it into numbers, the same ones
on every machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import attrs
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SlotValue = None | bool | int | float | str


class EditError(Exception):
    """A change that cannot be made. Becomes a diagnostic: `why` is hung under the place at fault, the component's
    setting of this name where one is named."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        why: str = "",
        notes: Iterable[str] = (),
        help: str | None = None,
        setting: str = "",
    ):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.why = code, message, why
        self.notes, self.help, self.setting = tuple(notes), help, setting


@attrs.frozen
class Constant:
    """New entries have one value."""

    value: float = 0.0


@attrs.frozen
class Mean:
    """New entries are the mean of the old ones along the dim."""


@attrs.frozen
class Normal:
    """New entries are drawn from N(0, gamma * mean square of the tensor before the edit): before this `Grow`, so behind
    the others of its switch that came first.

    The mean square is that of each slice along the model's `apart` dims, and of the raw weights for the average too.
    """

    gamma: float = 1.0


@attrs.frozen
class Copy:
    """New entries repeat old ones: `cycle` 0 1 0 1 (Net2Net, stacking), `spread` 0 0 1 1 (copies beside their source).

    `grain`: entries that stay together, the channels of one head. `values`, `gradients`: the share that the first
    replica keeps, the others splitting the rest evenly; None: every replica has the whole. `momentum` False: replicas
    start without first moment, the second is kept.
    """

    order: Literal["cycle", "spread"] = "cycle"
    grain: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    values: float | None = None
    gradients: float | None = None
    momentum: bool = True


Fill = Constant | Mean | Normal | Copy


@attrs.frozen
class Resize:
    """Bring a dim to `to` entries by linear interpolation.

    `values`: of the entries themselves (a grid of position embeddings). `kernel`: by the pseudo-inverse of the
    interpolation of its input, so that tokens stay when the input is resized alike (PI-resize of FlexiViT, 2212.08013).
    """

    to: int
    kind: Literal["kernel", "values"]
    antialias: bool = False


@attrs.frozen
class Along:
    """One dim of a `Grow`: its new size and how the new entries are made."""

    dim: str
    to: int
    fill: Fill


@attrs.frozen
class Grow:
    """Enlarge a parameter along dims, in the order given: the last dim fills the corner.

    Carried entries are multiplied by `scale`, their gradients by 1 / scale."""

    parameter: str
    along: tuple[Along, ...]
    scale: float = 1.0


@attrs.frozen
class Map:
    """Rewrite a parameter through a rule, on every axis that bears the dim. Lossy; ends a `View` of that dim."""

    parameter: str
    dim: str
    rule: Resize


@attrs.frozen
class View:
    """From now on read the stored parameter through a rule. Absolute: replaces the last view, composes with none."""

    parameter: str
    dim: str
    rule: Resize


@attrs.frozen
class Swap:
    """Put a value in a slot: loss, batch, context, patch. Absolute."""

    slot: str
    to: SlotValue


@attrs.frozen
class Scale:
    """Multiply the number in a slot. Relative, since the norms' eps depends on the way the run came."""

    slot: str
    by: float


Edit = Grow | Map | View | Swap | Scale
REVERSIBLE = (View, Swap)
"""Absolute verbs: a reading made of them can be entered from any other, in any order; only they may blend."""


def is_reversible(edit: Edit) -> bool:
    """Whether an edit is absolute, so that the reading of the stage before undoes it."""
    return isinstance(edit, REVERSIBLE)


def joined(parts: Iterable[Sequence[Edit]]) -> tuple[Edit, ...]:
    """The edits of several transitions at one switch, given in the order in which their axes change. Two may grow one
    parameter, and two may ask for the same value or view, which is then set once. Raises EditError `slot-contested`
    where they ask for different ones."""
    edits: list[Edit] = []
    wanted: dict[str, View | Swap] = {}
    for edit in (edit for part in parts for edit in part):
        if isinstance(edit, REVERSIBLE):
            what = edit.slot if isinstance(edit, Swap) else f"{edit.parameter} along {edit.dim}"
            first = wanted.setdefault(what, edit)
            if first != edit:
                one, two = (repr(each.to if isinstance(each, Swap) else each.rule) for each in (first, edit))
                message = f"two transitions at one switch set `{what}`, to {one} and to {two}"
                raise EditError("slot-contested", message)
        if not isinstance(edit, REVERSIBLE) or edit not in edits:
            edits.append(edit)
    return tuple(edits)


@attrs.frozen(eq=False)
class Gather:
    """Entry j of the new dim is entry `source[j]` of the old (-1: filled) times `values[j]`; its gradient and first
    moment are multiplied by `gradients[j]`, its second by the square. `first[j]` is 0 where the first is dropped."""

    source: Ints
    values: Floats
    gradients: Floats
    first: Floats


def gather(along: Along, old: int) -> Gather:
    """What one `Along` does to a dim of `old` entries. Raises EditError `one-way` or `broken-grain`."""
    to, fill = along.to, along.fill
    if to < old:
        raise EditError("one-way", f"`{along.dim}` cannot shrink from {old} to {to}")
    if not isinstance(fill, Copy):
        one, entry = np.ones(to), np.arange(to, dtype=np.int64)
        return Gather(np.where(entry < old, entry, -1), one, one, one)
    if old % fill.grain or to % fill.grain:
        raise EditError("broken-grain", f"`{along.dim}` from {old} to {to} does not keep grains of {fill.grain} whole")
    unit, rank, count = order(fill.order, old // fill.grain, to // fill.grain)
    source = (unit[:, None] * fill.grain + np.arange(fill.grain)).reshape(-1)
    first = np.where((rank > 0) & (not fill.momentum), 0.0, 1.0)
    values, gradients = (_shares(share, rank, count) for share in (fill.values, fill.gradients))
    return Gather(source, *(np.repeat(each, fill.grain) for each in (values, gradients, first)))


def order(name: Literal["cycle", "spread"], old: int, to: int) -> tuple[Ints, Ints, Ints]:
    """For each of `to` new units: the old unit it repeats, which replica of it this is, how many replicas there are."""
    unit = np.arange(to, dtype=np.int64) % old
    rank = np.arange(to, dtype=np.int64) // old
    if name == "spread":
        unit.sort()
        rank = np.arange(to, dtype=np.int64) - np.searchsorted(unit, unit)
    return unit, rank, np.bincount(unit, minlength=old)[unit]


def _shares(share: float | None, rank: Ints, count: Ints) -> Floats:
    if share is None:
        return np.ones(len(rank))
    split = np.where(rank == 0, share, (1 - share) / np.maximum(count - 1, 1))
    return np.where(count == 1, 1.0, split)


def interpolation(old: int, to: int, antialias: bool) -> Floats:
    """Linear interpolation from `old` to `to` samples, half-pixel centres, edges clamped: a matrix (to, old). Torch's
    `interpolate(mode="bilinear", align_corners=False)` along one axis; the 2-D map is the product of two."""
    step = old / to
    centre = (np.arange(to) + 0.5) * step - 0.5
    if antialias:
        weights = np.maximum(0.0, 1 - np.abs(np.arange(old) - centre[:, None]) / max(step, 1.0))
        return np.asarray(weights / weights.sum(1, keepdims=True), np.float64)
    low = np.clip(np.floor(centre), 0, old - 1).astype(np.int64)
    part = np.clip(centre - low, 0, 1)
    weights = np.zeros((to, old))
    np.add.at(weights, (np.arange(to), low), 1 - part)
    np.add.at(weights, (np.arange(to), np.minimum(low + 1, old - 1)), part)
    return weights


def matrices(rule: Resize, old: int) -> tuple[Floats, Floats]:
    """(V, G) of a rule on a dim of `old` entries: both (to, old), float64; along each axis that bears the dim."""
    if old == rule.to:
        return np.eye(old), np.eye(old)
    forward = interpolation(old, rule.to, rule.antialias)
    inverse = np.asarray(np.linalg.pinv(forward).T, np.float64)
    return (inverse, forward) if rule.kind == "kernel" else (forward, inverse)


_BLOCK = 1 << 16
"""Normals drawn for one counter value. Part of what a seed means: changing it changes every run."""


def noise(seed: int, switch: int, parameter: str, dim: str, start: int, count: int) -> Floats:
    """Standard normals start .. start + count of an endless sheet that depends on the first four arguments alone.

    `parameter` is the name of one tensor (depth filled in). Any slice can be drawn alone, so a rank draws its shard
    only; independent of torch, of the device and of the number of ranks.
    """
    digest = hashlib.sha256(f"{seed}/{switch}/{parameter}/{dim}".encode()).digest()
    key = np.frombuffer(digest[:16], "<u8")
    first, last = start // _BLOCK, -(-(start + count) // _BLOCK)
    streams = [np.random.Philox(key=key, counter=[0, 0, 0, block]) for block in range(first, last)]
    sheet = [np.random.Generator(stream).standard_normal(_BLOCK) for stream in streams]
    return np.concatenate([np.empty(0), *sheet])[start - first * _BLOCK :][:count]


def noise_beyond(
    seed: int, switch: int, parameter: str, dim: str, sizes: Sequence[int], axis: int, old: int
) -> Iterator[Floats]:
    """The normals of a sheet that is laid out in `sizes`, row by row, at entry `old` and behind of one axis: all of
    them, in order, some at a time. Blocks of the sheet that hold none are not drawn."""
    behind = math.prod(sizes[axis + 1 :])
    row, count = sizes[axis] * behind, math.prod(sizes)
    for start in range(0, count, _BLOCK):
        wanted = np.arange(start, min(start + _BLOCK, count)) % row >= old * behind
        if wanted.any():
            yield noise(seed, switch, parameter, dim, start, len(wanted))[wanted]


def edit_to_json(edit: Edit) -> dict[str, Any]:
    """An edit as a JSON object, defaults too: a later default must not change an old plan."""
    return {"is": type(edit).__name__.lower(), **attrs.asdict(edit, recurse=False, value_serializer=_write)}


def edit_from_json(data: Any) -> Edit:
    """The edit that `edit_to_json` wrote. Raises ValueError on an unknown kind, a missing, surplus or wrong field."""
    edit: Edit = _read(data, Edit)
    return edit


def _write(_: object, __: object, value: Any) -> Any:
    if isinstance(value, tuple):
        return [_write(_, __, each) for each in value]
    return edit_to_json(value) if attrs.has(type(value)) else value


def _read(data: Any, wanted: Any) -> Any:
    """Read a value of a field's type, and turn nothing into anything else but a whole number into a float."""
    kinds = get_args(wanted) or (wanted,)
    if get_origin(wanted) is tuple and isinstance(data, list):
        return tuple(_read(each, kinds[0]) for each in data)
    if get_origin(wanted) is not tuple and attrs.has(kinds[0]):
        return _read_object(data, {kind.__name__.lower(): kind for kind in kinds})
    if type(data) is int and float in kinds and int not in kinds:
        return float(data)
    if type(data) in kinds or (get_origin(wanted) is Literal and data in kinds):
        return data
    raise ValueError(f"expected {wanted}, found {data!r}")


def _read_object(data: Any, kinds: Mapping[str, type[attrs.AttrsInstance]]) -> Any:
    name = data.get("is") if isinstance(data, dict) else None
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"expected one of {', '.join(kinds)}, found {name or data!r}")
    fields = {field.name: field.type for field in attrs.fields(attrs.resolve_types(kinds[name]))}
    if set(data) != {"is", *fields}:
        raise ValueError(f"`{name}` has the fields {', '.join(fields)}, found {', '.join(sorted(data))}")
    return kinds[name](**{key: _read(data[key], wanted) for key, wanted in fields.items()})
