"""Shows the result of `shapeflow frontier`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.ir.joint import Best
from shapeflow.ir.law import Pair
from shapeflow.laws.joint.frontier import INSIDE, Frontier
from shapeflow.laws.joint.slices import Slice
from shapeflow.preview.fit import indented
from shapeflow.preview.joint import FORM, evidence, growth, joint_json, numbers, optima, ranged, size, tested
from shapeflow.preview.numbers import flops


def frontier_view(
    found: Frontier, facts: Sequence[str], asked: bool, verbose: bool, unit: str | None = None
) -> RenderableType:
    """The best size for the budgets, then how it was found and what to doubt. `facts`: how the table was read. `asked`:
    whether the user named the budgets. `verbose`: list the isoFLOP slices. `unit`: that of the losses, if known."""
    parts: list[RenderableType] = [Text(line, style="bold") for line in headline(found, asked, unit)]
    parts.append(Text(tested(found.law)))
    parts += [Text(), _budgets(found), Text()]
    parts += [indented(f"note: {line}") for line in found.notes()]
    parts += [Text()] if any(True for _ in found.notes()) else []
    parts += [indented(line) for line in (FORM, *numbers(found.law), optima(found.law))]
    parts += [Text(), *map(indented, evidence(found.law))]
    parts.append(indented(f"compute of a token: {found.law.per_token.written} FLOPs"))
    parts += [indented(line) for line in _slices(found, verbose)]
    parts += [indented(line) for line in facts]
    return Group(*parts)


def headline(found: Frontier, asked: bool, unit: str | None = None) -> Iterator[str]:
    """Yield the answer for the first budget asked for, or for the last one that was measured, and how it grows."""
    within = [one for one in found.best if not any(found.outside(one))]
    one = found.best[0] if asked else (within or found.best)[-1]
    beyond = next(found.outside(one), "")
    yield (
        f"for {flops(one.compute)}{f', extrapolated to {beyond} measured' * bool(beyond)}: "
        f"{_sized(one.size, one.size_range)} parameters on {size(one.tokens)} tokens, loss {_loss(one)}"
        f"{'' if unit in (None, 'nats') else f' {unit}'.replace('_', ' ')}"
    )
    yield growth(found.law)


def frontier_json(found: Frontier, columns: Mapping[str, str], unit: str | None = None) -> dict[str, Any]:
    """The frontier as JSON values. `unit`: that of the losses; None if it is not known."""
    return {
        "unit": unit,
        "law": {**joint_json(found.law), "factors": list(found.law.factors)},
        "budgets": [
            {**attrs.asdict(one), "beyond": found.beyond(one), "outside": list(found.outside(one))}
            for one in found.best
        ],
        "slices": [
            {**attrs.asdict(one), "size": one.size.tolist(), "error": one.error.tolist()} for one in found.slices
        ],
        "slices_growth": None if found.growth is None else attrs.asdict(found.growth),
        "columns": dict(columns),
        "notes": list(found.notes()),
    }


def _budgets(found: Frontier) -> RenderableType:
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    for heading in (" compute", "parameters", "tokens", "tokens per\nparameter", "loss", ""):
        table.add_column(heading, justify="left" if heading == " compute" else "right", no_wrap=True)
    for one in found.best:
        table.add_row(
            f" {flops(one.compute)}",
            *(_wide(*each) for each in ((one.size, one.size_range), (one.tokens, one.tokens_range))),
            f"{one.tokens / one.size:.3g}",
            _ranged(f"{one.error:.4g}", one.error_range and [f"{each:.4g}" for each in one.error_range]),
            _basis(found, one),
        )
    return table


def _basis(found: Frontier, one: Best) -> str:
    beyond = found.beyond(one)
    if beyond > INSIDE:
        return f"extrapolated {beyond:.2g} x"
    return "extrapolated" if any(found.outside(one)) else "measured"


def _wide(value: float, interval: Pair | None) -> Text:
    return _ranged(size(value), interval and [size(each) for each in interval])


def _ranged(value: str, interval: Sequence[str] | None) -> Text:
    """A number with its interval in the line below."""
    cell = Text(value)
    if interval:
        cell.append(f"\n{' to '.join(interval)}", style="dim")
    return cell


def _sized(value: float, interval: Pair | None) -> str:
    return size(value) + (f" ({size(interval[0])} to {size(interval[1])})" if interval else "")


def _loss(one: Best) -> str:
    return f"{one.error:.4g}" + (f" ({one.error_range[0]:.4g} to {one.error_range[1]:.4g})" if one.error_range else "")


def _slices(found: Frontier, verbose: bool) -> Iterator[str]:
    """Yield what the isoFLOP slices show. `verbose`: each of them."""
    if not found.slices:
        yield "no isoFLOP slices: the runs do not have four sizes at any one compute"
        return
    good = [one for one in found.slices if one.best is not None]
    grown = (
        "" if found.growth is None else f"; they grow as compute^{ranged(found.growth.exponent, found.growth.interval)}"
    )
    yield f"isoFLOP slices: {len(good)} of {len(found.slices)} have a minimum within their sizes{grown}"
    if verbose:
        yield from (f"  {line}" for line in map(_slice, found.slices))
    else:
        yield "  `--verbose` lists them"


def _slice(one: Slice) -> str:
    where = f"{flops(one.compute, 3)}, {len(one.size)} points: "
    if one.best is None:
        return where + f"no minimum, {one.why}"
    return where + f"{_sized(one.best, one.best_range)} parameters, loss {one.lowest:.4g}"
