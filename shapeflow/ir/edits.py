"""Edits: the changes that a transition may make to parameters and slots, as data, and their numerical definition.

Every edit of a parameter is a linear map along one named dim at a time: value' = V value + fill, gradient' = G
gradient. The maps of the optimizer state follow: first moment' = G m, second moment' = (G * G) v, average' = V average
+ the same fill. An edit contains rule names and sizes, never matrices. `gather`, `matrices` and `noise.noise` compute
the numbers, which are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import attrs
import numpy as np
import numpy.typing as npt

from shapeflow.ir.random_features import projection

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SlotValue = None | bool | int | float | str


class EditError(Exception):
    """A change that cannot be made. It becomes a diagnostic. `why` is shown under the source location of the error: the
    component's setting called `setting`, if given."""

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
    """New entries are set to `value`."""

    value: float = 0.0


@attrs.frozen
class Mean:
    """New entries are the mean of the old ones along the dim."""


@attrs.frozen
class Normal:
    """New entries are drawn from N(0, gamma * mean square of the tensor).

    The mean square is computed before this `Grow` and after all earlier edits of the same switch, separately for each
    slice along the model's `apart` dims. The averaged weights use the mean square of the raw weights.
    """

    gamma: float = 1.0


@attrs.frozen
class Copy:
    """New entries repeat old ones: `cycle` 0 1 0 1 (Net2Net, stacking), `spread` 0 0 1 1 (copies next to their source).

    `grain`: number of entries that stay together, such as the channels of one head. `values`, `gradients`: the share
    that the first replica keeps; the other replicas split the rest evenly. None: every replica keeps the full value.
    `momentum` False: the first moment of new replicas starts at 0; their second moment is kept.
    """

    order: Literal["cycle", "spread"] = "cycle"
    grain: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    values: float | None = None
    gradients: float | None = None
    momentum: bool = True


Fill = Constant | Mean | Normal | Copy


@attrs.frozen
class Resize:
    """Resize a dim to `to` entries by linear interpolation.

    `values`: interpolates the entries themselves, such as a grid of position embeddings. `kernel`: multiplies by the
    pseudo-inverse of the interpolation of the input, so that the tokens stay the same if the input is resized in the
    same way (PI-resize of FlexiViT, arXiv 2212.08013).
    """

    to: int
    kind: Literal["kernel", "values"]
    antialias: bool = False


@attrs.frozen
class Project:
    """Rewrite the parameters of random features for `to` of them, such that the new ones predict best what the old ones
    predict on data whose entries have the deviations j^-alpha, j = 1 .. `features`. The random features themselves
    depend on the run's seed."""

    to: int
    features: int
    alpha: float


Rule = Resize | Project


@attrs.frozen
class Along:
    """One dim of a `Grow`: its new size, and how the new entries are filled."""

    dim: str
    to: int
    fill: Fill


@attrs.frozen
class Grow:
    """Enlarge a parameter along dims, in the order given. Entries that are new along several dims are filled by the
    last of these.

    Old entries are multiplied by `scale`, their gradients by 1 / scale."""

    parameter: str
    along: tuple[Along, ...]
    scale: float = 1.0


@attrs.frozen
class Map:
    """Apply a rule to the stored parameter, on every tensor axis that contains the dim. Lossy; removes a `View` of that
    dim."""

    parameter: str
    dim: str
    rule: Rule


@attrs.frozen
class View:
    """Read the stored parameter through a rule from now on. Absolute: it replaces the previous view and does not
    compose with it."""

    parameter: str
    dim: str
    rule: Resize


@attrs.frozen
class Swap:
    """Set the value of a slot, such as loss, batch, context or patch. Absolute."""

    slot: str
    to: SlotValue


@attrs.frozen
class Scale:
    """Multiply the number in a slot. Relative, because the eps of the norms depends on the earlier switches."""

    slot: str
    by: float


Edit = Grow | Map | View | Swap | Scale
REVERSIBLE = (View, Swap)
"""Absolute edits: their result does not depend on earlier ones, so a step can change to them from any other shape.
Blends may contain only these."""


def is_reversible(edit: Edit) -> bool:
    """Whether an edit is absolute, so that the View and Swap edits of the previous stage undo it."""
    return isinstance(edit, REVERSIBLE)


def joined(parts: Iterable[Sequence[Edit]]) -> tuple[Edit, ...]:
    """Concatenate the edits of several transitions at one switch, given in the order in which their axes change.

    Two transitions may grow the same parameter. If two set the same slot or view to the same value, it is set once.
    Raises EditError `slot-contested` if they set it to different values."""
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
    """How the entries of a new dim follow from those of the old dim; all arrays have one element for each new entry.

    Entry j is entry `source[j]` of the old dim times `values[j]`; a source of -1 means that it is filled. The gradient
    and the first moment are multiplied by `gradients[j]`, the second moment by its square. `first[j]` is 0 if the first
    moment is dropped, otherwise 1."""

    source: Ints
    values: Floats
    gradients: Floats
    first: Floats


def possible(along: Along, old: int) -> None:
    """Check one `Along` for a dim of `old` entries, in no time. Raises EditError `one-way` or `broken-grain`."""
    to, fill = along.to, along.fill
    if to < old:
        raise EditError("one-way", f"`{along.dim}` cannot shrink from {old} to {to}")
    if isinstance(fill, Copy) and (fill.grain < 1 or old % fill.grain or to % fill.grain):
        raise EditError("broken-grain", f"`{along.dim}` from {old} to {to} does not keep grains of {fill.grain} whole")


def gather(along: Along, old: int) -> Gather:
    """The gather of one `Along` for a dim of `old` entries. Raises EditError `one-way` or `broken-grain`."""
    possible(along, old)
    to, fill = along.to, along.fill
    if not isinstance(fill, Copy):
        one, entry = np.ones(to), np.arange(to, dtype=np.int64)
        return Gather(np.where(entry < old, entry, -1), one, one, one)
    unit, rank, count = order(fill.order, old // fill.grain, to // fill.grain)
    source = (unit[:, None] * fill.grain + np.arange(fill.grain)).reshape(-1)
    first = np.where((rank > 0) & (not fill.momentum), 0.0, 1.0)
    values, gradients = (_shares(share, rank, count) for share in (fill.values, fill.gradients))
    return Gather(source, *(np.repeat(each, fill.grain) for each in (values, gradients, first)))


def order(name: Literal["cycle", "spread"], old: int, to: int) -> tuple[Ints, Ints, Ints]:
    """For each of `to` new units: the old unit that it repeats, its replica number, and the number of replicas."""
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
    """The matrix (to, old) of linear interpolation from `old` to `to` samples, with half-pixel centres and clamped
    edges. Equals torch's `interpolate(mode="bilinear", align_corners=False)` along one axis; the 2-D map is the product
    of two such matrices."""
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


def matrices(rule: Rule, old: int, seed: int = 0) -> tuple[Floats, Floats]:
    """The matrices (V, G) of a rule on a dim of `old` entries. Both have shape (to, old) and type float64, and apply
    along each tensor axis that contains the dim. `seed`: that of the run, which only `Project` needs."""
    if old == rule.to:
        return np.eye(old), np.eye(old)
    if isinstance(rule, Project):
        forward = projection(seed, rule.features, rule.alpha, old, rule.to)
        return forward, np.asarray(np.linalg.pinv(forward).T, np.float64)
    forward = interpolation(old, rule.to, rule.antialias)
    inverse = np.asarray(np.linalg.pinv(forward).T, np.float64)
    return (inverse, forward) if rule.kind == "kernel" else (forward, inverse)


def edit_to_json(edit: Edit) -> dict[str, Any]:
    """An edit as a JSON object, including defaults: a changed default must not change an old plan."""
    return {"is": type(edit).__name__.lower(), **attrs.asdict(edit, recurse=False, value_serializer=_write)}


def edit_from_json(data: Any) -> Edit:
    """The edit that `edit_to_json` wrote. Raises ValueError for an unknown kind, or a missing, extra or wrong field."""
    edit: Edit = _read(data, Edit)
    return edit


def _write(_: object, __: object, value: Any) -> Any:
    if isinstance(value, tuple):
        return [_write(_, __, each) for each in value]
    return edit_to_json(value) if attrs.has(type(value)) else value


def _read(data: Any, wanted: Any) -> Any:
    """Read a value of a field's type. The only conversion is from an int to a float. Raises ValueError."""
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
