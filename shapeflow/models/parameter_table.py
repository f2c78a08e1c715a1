"""The table of a model of one's own: a TOML file with the sizes of its dims and its parameters.

    [sizes]
    residual = "width"
    hidden = "4 width"

    [parameters]
    "h.{depth}.mlp.up.weight" = { dims = ["hidden", "residual"] }

Nothing in it is executed: a size is a whole number, or a multiple of a quantity.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal, cast, get_args

import attrs

from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import Parameter, Role

LONGEST = 1 << 18
"""Maximum number of bytes of a table."""
QUANTITIES = ("width", "depth", "vocabulary")
"""What a size may be a multiple of."""
LARGEST = 1 << 31
"""Maximum size of a dim."""
Norm = Literal["layer", "rms", "none"]

_SIZE = re.compile(r"(?:(\d{1,9}(?:\.\d{1,6})?|\d{1,9}/\d{1,9})\s+)?(width|depth|vocabulary)")
_DIM = re.compile(r"[a-z][a-z0-9_]{0,40}")
_NAME = re.compile(r"[A-Za-z0-9_]+(\.([A-Za-z0-9_]+|\{depth\}))*")
_ROLES = get_args(Role)
_KEYS = {"dims", "role", "writes", "products"}


@attrs.frozen
class Multiple:
    """A size as a multiple of a quantity, or a number."""

    factor: Fraction
    of: str | None

    def size(self, dim: str, quantities: Mapping[str, int]) -> int:
        """The size, with the quantities of a shape. Raises EditError `broken-model-table` if it is not a positive whole
        number."""
        whole = self.factor * (1 if self.of is None else quantities[self.of])
        if whole.denominator != 1 or not 1 <= whole <= LARGEST:
            given = "" if self.of is None else f" at a {self.of} of {quantities[self.of]}"
            raise broken(f"its size `{dim}` is {float(whole):g}{given}, and a size is a positive whole number")
        return int(whole)


@attrs.frozen
class Entry:
    """A parameter, and the number of matrix products of each token with it."""

    parameter: Parameter
    products: int


@attrs.frozen
class ParameterTable:
    """The content of a table."""

    norm: Norm
    sizes: Mapping[str, Multiple]
    entries: tuple[Entry, ...]


def parse_table(text: str) -> ParameterTable:
    """The table in a text. Raises EditError `broken-model-table`."""
    if len(text) > LONGEST:
        raise too_long(len(text))
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise broken(f"it is not TOML: {error}") from None
    except (RecursionError, ValueError):
        raise broken("it is not TOML: a value is nested or written in a way that cannot be read") from None
    if unknown := sorted(found.keys() - {"norm", "sizes", "parameters"}):
        raise broken(f"it has `{unknown[0]}`, and a table has `norm`, `[sizes]` and `[parameters]`")
    norm = found.get("norm", "layer")
    if norm not in get_args(Norm):
        raise broken(f"its `norm` is {norm!r}, and `layer`, `rms` and `none` are known")
    sizes = {dim: _multiple(dim, value) for dim, value in _section(found, "sizes").items()}
    entries = tuple(_entry(name, value) for name, value in _section(found, "parameters").items())
    _check_dims(sizes, entries)
    return ParameterTable(norm, sizes, entries)


def broken(reason: str) -> EditError:
    help_ = "`shapeflow explain external` shows a table"
    return EditError("broken-model-table", "the table of the model cannot be used", notes=(reason,), help=help_)


def too_long(length: int) -> EditError:
    return broken(f"it has a length of {length:,}, and a table has up to {LONGEST:,} bytes")


def _section(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = found.get(name)
    if not isinstance(section, dict) or not section:
        raise broken(f"it has no entries under `[{name}]`")
    return section


def _multiple(dim: str, value: Any) -> Multiple:
    if not _DIM.fullmatch(dim) or dim == "depth":
        raise broken(f"`{dim}` is not the name of a dim: use lower case, and not `depth`, which every table has")
    if type(value) is int:
        return Multiple(Fraction(value), None)
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[1] in ("0", "0/0") or (match[1] or "1/1").endswith("/0"):
        words = " or ".join(f'"{quantity}"' for quantity in QUANTITIES)
        raise broken(f'its size `{dim}` is {value!r}: write a whole number, {words}, or a multiple such as "4 width"')
    return Multiple(Fraction(match[1] or 1), match[2])


def _entry(name: str, value: Any) -> Entry:
    if not _NAME.fullmatch(name) or name.count("{depth}") > 1:
        raise broken(f"`{name}` is not the name of a parameter: `{{depth}}` is the number of a block")
    if not isinstance(value, dict) or (value.keys() - _KEYS):
        raise broken(f"`{name}` must have `dims`, and may have {', '.join(sorted(f'`{k}`' for k in _KEYS - {'dims'}))}")
    dims = value.get("dims")
    fused = [axis.split() if isinstance(axis, str) else [] for axis in dims] if isinstance(dims, list) else []
    if not fused or not all(fused) or not all(_DIM.fullmatch(dim) for axis in fused for dim in axis):
        raise broken(f"the `dims` of `{name}` must be a list of names, one for each axis of the tensor")
    role = value.get("role", "matrix" if len(fused) > 1 else None)
    if role not in _ROLES or (role == "matrix") != (len(fused) > 1):
        roles = "`matrix`" if len(fused) > 1 else ", ".join(f"`{one}`" for one in _ROLES if one != "matrix")
        raise broken(f"the `role` of `{name}` must be one of {roles}")
    writes = value.get("writes", fused[0][-1])
    if writes not in [dim for axis in fused for dim in axis]:
        raise broken(f"`{name}` writes {writes!r}, which is not one of its dims")
    products = value.get("products", int(role == "matrix"))
    if type(products) is not int or not 0 <= products <= 1000 or (products and role != "matrix"):
        raise broken(f"the `products` of `{name}` must be a whole number from 0, and 0 of what is not a matrix")
    return Entry(Parameter(name, tuple(" ".join(axis) for axis in fused), cast(Role, role), writes), products)


def _check_dims(sizes: Mapping[str, Multiple], entries: tuple[Entry, ...]) -> None:
    used = {dim for entry in entries for dim in entry.parameter.logical}
    if missing := sorted(used - sizes.keys() - {"depth"}):
        raise broken(f"`{missing[0]}` is a dim of a parameter, and has no size under `[sizes]`")
    if idle := sorted(sizes.keys() - used):
        raise broken(f"its size `{idle[0]}` is no dim of a parameter")
    if "depth" in used:
        raise broken("`depth` is the number of blocks, which names say: `h.{depth}.mlp.up.weight`")
    if not any(entry.parameter.listed for entry in entries):
        raise broken("no parameter is in a block: write `{depth}` for the number of the block in its name")
