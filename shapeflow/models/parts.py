"""Common parts of the architectures: parameters, values of axes, widths of heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shapeflow.base.shapes import Shape, Value
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import Parameter


def linear(name: str, out: str, into: str, bias: bool) -> tuple[Parameter, ...]:
    """A linear map from one dim to another: weight (out, into), bias (out)."""
    weight = Parameter(f"{name}.weight", (out, into), "matrix", out)
    return (weight, Parameter(f"{name}.bias", (out,), "bias", out)) if bias else (weight,)


def norm(name: str, shift: bool) -> tuple[Parameter, ...]:
    """A norm of the residual stream: scale, and shift if it has one."""
    weight = Parameter(f"{name}.weight", ("residual",), "scale", "residual")
    return (weight, Parameter(f"{name}.bias", ("residual",), "shift", "residual")) if shift else (weight,)


def whole(kind: str, settings: Mapping[str, int | None], values: Mapping[str, Value]) -> Shape:
    """A candidate, completed by the settings for axes that it does not have. Raises EditError `missing-setting`,
    `setting-and-axis`."""
    for axis, value in settings.items():
        if value is None and axis not in values:
            raise _lacking(kind, axis)
        if value is not None and axis in values:
            help = f"leave the setting out: the axis gives every stage its `{axis}`"
            raise EditError("setting-and-axis", f"`{axis}` is both a setting of `{kind}` and an axis", help=help)
    return Shape.of({axis: value for axis, value in settings.items() if value is not None}).with_(values)


def number(kind: str, axis: str, shape: Shape, setting: int | None) -> int:
    """The value of a shape on an axis; if it does not have the axis, the setting. Raises EditError
    `missing-setting`."""
    if axis in shape:
        return shape.number(axis)
    if setting is None:
        raise _lacking(kind, axis)
    return setting


def _lacking(kind: str, axis: str) -> EditError:
    help = f"give `{kind}` the setting `{axis}`, or add an axis of that name"
    why = f"neither the setting `{axis}` nor an axis"
    return EditError("missing-setting", f"`{kind}` has no `{axis}`", why=why, help=help)


def head_width(kind: str, width: int | None, heads: int | None, given: int | None) -> int:
    """The channels of one head: the setting, or the width divided by the number of heads.

    Raises EditError `missing-setting` if neither is given, `head-width-mismatch` if they do not fit.
    """
    if given is not None:
        return given
    if heads is None or width is None:
        why = "the width is an axis, so `heads` is not enough" if heads is not None else ""
        help = f"give `{kind}` the setting `head_width`"
        raise EditError("missing-setting", f"`{kind}` needs the width of its heads", why=why, help=help)
    if width % heads:
        message = f"a width of {width} cannot be split into {heads} heads"
        why, help = f"{width} / {heads} leaves {width % heads} over", "use a number of heads that divides the width"
        raise EditError("head-width-mismatch", message, why=why, help=help)
    return width // heads


def whole_heads(width: int, head_width: int, heads: int | None) -> int:
    """The number of heads of a width. Raises EditError `head-width-mismatch` if it is not an integer, or not
    `heads`."""
    count, over = divmod(width, head_width)
    if over or not count:
        near = max(count, 1) * head_width
        raise EditError(
            "head-width-mismatch",
            f"a width of {width} is not a multiple of the head width, {head_width}",
            help=f"use a multiple of {head_width}, such as {near} or {near + head_width}",
        )
    if heads is not None and count != heads:
        message = f"a width of {width} with a head width of {head_width} gives {count} heads, not {heads}"
        raise EditError("head-width-mismatch", message, help="leave `heads` out")
    return count


def hidden(width: int, ratio: float) -> int:
    """The number of hidden units of an MLP. Raises EditError `fractional-mlp` if it is not an integer."""
    units = ratio * width
    if units != int(units):
        message = f"a width of {width} times an MLP ratio of {ratio:g} gives {units:g} hidden units"
        help = "choose `mlp_ratio` so that every width gives a whole number"
        raise EditError("fractional-mlp", message, why="must be a whole number", help=help)
    return int(units)


def blocks(parts: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """The parameters of all blocks, given those of one block."""
    return tuple(Parameter("blocks.{depth}." + p.name, p.dims, p.role, p.writes) for p in parts)
