"""Whether the compute of logs is what their parameters and tokens take: 6 N D, or a multiple of it.

A column of FLOPs does not say what it counts: the forward pass alone, one of several processes, 1e9 FLOPs. Where a log
also states the size of its model and its tokens, the ratio to 6 N D shows it; else the ratio to what the model of the
file takes for the same steps or tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Literal

import attrs

from shapeflow.laws.logs.readers import Row
from shapeflow.laws.logs.series import Product

PER_PARAMETER = 6.0
"""FLOPs of a token of training per parameter (Kaplan et al. 2020, arXiv 2001.08361)."""
USUAL = (0.8, 1.25)
"""Ratios to 6 N D that attention, embeddings and rounding explain."""
FAR = (0.2, 5.0)
"""Median ratios outside of which one of the columns has another unit or is another quantity."""
STATED = (0.5, 2.0)
"""Ratios outside of which it is said that they differ between sizes."""
EVEN = 1.05
"""Ratios that differ by less than this factor are one."""
CLOSE = 0.03
"""Largest relative distance of a ratio from that of a convention."""
JUMP = 1.9
"""Ratios that do not follow the size, and differ by this factor or more, are of different conventions."""
EDGE = 20
"""Of this many rows, one at each end is not compared: figures that were read off, and first rows."""
GROUPS = 10
"""Number of groups of neighbouring sizes that many rows are compared in."""
MOST = 65536
"""Largest number of processes that is mentioned."""
KNOWN = {
    1 / 3: ("as the FLOPs of forward passes alone are", "2 N D"),
    1 / 2: ("as multiply-accumulates are", "3 N D"),
    1 / 6: ("as the multiply-accumulates of forward passes alone are", "N D"),
    4 / 3: ("as FLOPs are that include activations computed again", "8 N D"),
}
"""Ratio -> what is counted so, and its amount in parameters and tokens."""


@attrs.frozen
class Reference:
    """What compute is compared with."""

    name: str
    """How messages name it."""
    unknown: str
    """What a ratio of no known convention means."""
    products: bool = False
    """Whether it is a product of parameters and tokens."""
    conventions: bool = True
    """Whether it counts all FLOPs of training, so that ratios show conventions."""


SIX_N_D = Reference(
    "6 x parameters x tokens", "so one of the three is another quantity or in another unit", products=True
)


@attrs.frozen
class Ratio:
    """The compute of the rows of one model in one file, divided by that of the reference."""

    file: str
    size: float
    value: float


@attrs.frozen
class OfModel:
    """The compute of a log, over what the model of the file takes."""

    product: Product
    """The columns of compute."""
    reference: Reference
    ratios: tuple[Ratio, ...]
    sure: bool
    """Whether nothing speaks against what the steps are taken for."""
    counted: bool
    """Whether the log states its tokens. Otherwise its steps are taken for those of the file, with its batch."""


@attrs.frozen
class Stated:
    """What compute is compared with."""

    product: str
    """6 N D as a product of columns or keys: `6 * params * tokens`."""
    size: Callable[[Row], float | str]
    tokens: Callable[[Row], float | str]


@attrs.frozen
class Verdict:
    """How compute differs from the reference."""

    kind: Literal["odd", "mixed", "uneven"]
    """Another unit or quantity; different ones in different files or rows; or a ratio that depends on the size."""
    why: str
    """A clause that follows `compute`."""
    ratio: float | None = None
    """What all of it is of the reference, if it is one multiple."""

    @property
    def refused(self) -> bool:
        return self.kind != "uneven"


def ratios_of(file: str, rows: Iterable[Row], compute: Callable[[Row], float | str], stated: Stated) -> list[Ratio]:
    """Return the median ratio of the rows of each size in a file."""
    found: dict[float, list[float]] = {}
    for row in rows:
        spent, size, tokens = compute(row), stated.size(row), stated.tokens(row)
        if isinstance(spent, float) and isinstance(size, float) and isinstance(tokens, float):
            product = PER_PARAMETER * size * tokens
            if spent > 0 and 0 < product < math.inf and spent < math.inf:
                found.setdefault(size, []).append(spent / product)
    return [Ratio(file, size, median(values)) for size, values in found.items()]


def verdict_of(ratios: Sequence[Ratio], of: Reference = SIX_N_D) -> Verdict | None:
    """Return how compute differs from the reference; None if it does not, or if nothing is known."""
    if not ratios:
        return None
    ordered = sorted(one.value for one in ratios)
    edge = len(ordered) // EDGE
    low, high = ordered[edge], ordered[-1 - edge]
    middle = median(ordered)
    if high <= EVEN * low:
        if USUAL[0] <= middle <= USUAL[1]:
            return None
        return Verdict("odd", f"is {_times(middle)} {of.name}, {meaning(middle, of)}", middle)
    if (mixed := _mixed(ratios, of)) is not None:
        return mixed
    if _impossible(ratios):
        range_ = f"{low:.3g} to {high:.3g} times"
        return Verdict("odd", f"is {range_} {of.name} by size, as no count of training is")
    if not FAR[0] <= middle <= FAR[1]:
        return Verdict("odd", f"is {_times(middle)} {of.name} in the median, {meaning(middle, of)}")
    if low < STATED[0] or high > STATED[1]:
        return Verdict("uneven", f"is {low:.3g} to {high:.3g} times {of.name} by size")
    return None


def _impossible(ratios: Sequence[Ratio]) -> bool:
    """Return whether ratios fall with the size to less than training takes, or rise to more. Attention and embeddings
    are a smaller part of larger models: ratios with them fall towards 1, and those without them rise towards 1."""
    by_size = sorted(ratios, key=lambda one: one.size)
    first, last = by_size[0].value, by_size[-1].value
    return (first > last and last < USUAL[0]) or (first < last and last > USUAL[1])


def _mixed(ratios: Sequence[Ratio], against: Reference) -> Verdict | None:
    """Return the verdict on ratios of several conventions: each is that of one, or they do not follow the size."""
    few = len(ratios) // EDGE
    of: dict[float | None, list[str]] = {}
    for one in ratios:
        known = next((value for value in (1.0, *KNOWN) if _near(one.value, value)), None)
        of.setdefault(known or _power(one.value), []).append(one.file)
    unknown = of.pop(None, [])
    conventions = [(value, files[0]) for value, files in of.items() if value is not None and len(files) > few]
    if len(unknown) <= few and len(conventions) > 1:
        return _several(conventions[0], conventions[1], against)
    by_size = _thinned(sorted(ratios, key=lambda one: one.size))
    falls, rises = _step_against(by_size, 1), _step_against(by_size, -1)
    if falls is None or rises is None:
        return None
    first, second = ((one.value, one.file) for one in falls)
    return _several(first, second, against)


def _thinned(by_size: Sequence[Ratio]) -> Sequence[Ratio]:
    """Of many ratios in order of size, the median of each group of neighbours: single rows may be wrong."""
    if len(by_size) <= EDGE:
        return by_size
    groups = [by_size[at * len(by_size) // GROUPS : (at + 1) * len(by_size) // GROUPS] for at in range(GROUPS)]
    return [sorted(group, key=lambda one: one.value)[len(group) // 2] for group in groups]


def _step_against(by_size: Sequence[Ratio], sign: int) -> tuple[Ratio, Ratio] | None:
    """Return two ratios that fall by `JUMP` or more as the size grows (`sign` 1), or rise (-1), if there are any."""
    extreme = by_size[0]
    for one in by_size[1:]:
        if (extreme.value / one.value) ** sign >= JUMP:
            return extreme, one
        extreme = max(extreme, one, key=lambda each: sign * each.value)
    return None


def _several(first: tuple[float, str], second: tuple[float, str], of: Reference) -> Verdict:
    alike = first[1] == second[1]
    where = ("in some rows", "in others") if alike else (f"in `{first[1]}`", f"in `{second[1]}`")
    why = f"is {_times(first[0])} {of.name} {where[0]}, and {_times(second[0])} that {where[1]}"
    return Verdict("mixed", why)


def meaning(ratio: float, of: Reference) -> str:
    """Return what may be counted so."""
    for value, (said, product) in KNOWN.items() if of.conventions else ():
        if _near(ratio, value):
            return f"{said} ({product})" if of.products else said
    if (power := _power(ratio)) is not None:
        return f"as if it were counted in units of {1 / power:g} FLOPs"
    whole = ratio if ratio > 1 else 1 / ratio
    if 2 <= round(whole) <= MOST and abs(whole / round(whole) - 1) <= CLOSE / 3:
        side = "compute" if ratio < 1 else "tokens" if of.products else "data"
        return f"as if only the {side} of one of {round(whole)} processes counted"
    return of.unknown


def is_convention(ratio: float) -> bool:
    """Return whether a ratio is that of a known convention, rather than of another number of processes or batch."""
    return any(_near(ratio, value) for value in KNOWN) or _power(ratio) is not None


def _near(ratio: float, value: float) -> bool:
    return abs(ratio / value - 1) <= CLOSE


def _power(ratio: float) -> float | None:
    """Return the power of 1000 that a ratio is."""
    power = round(math.log10(ratio) / 3) * 3
    return 10.0**power if power and _near(ratio, 10.0**power) else None


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times"
