"""Shows the fixed and the scheduled frontier of a file: `shapeflow frontier FILE.shape`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.base.shapes import Shape, brief
from shapeflow.ir.answer import Range
from shapeflow.ir.law import Law
from shapeflow.laws.joint.slices import FEWEST, Slice, slice_of
from shapeflow.preview.answer import DOUBTS
from shapeflow.preview.fit import indented, lines_about
from shapeflow.preview.joint import size
from shapeflow.preview.numbers import duration, error, flops
from shapeflow.running.budgets import NOUNS
from shapeflow.running.scheduled import FARTHEST, Compared, Scheduled, Way

CREDITS = "the file's traversal makes the schedules, with the credits of its transitions, as in `compile`"


def scheduled_view(found: Scheduled, asked: bool, verbose: bool) -> RenderableType:
    """The answer for the first budget asked for, or for the last one, then the table of all budgets. `asked`: whether
    the user named the budgets. `verbose`: list the isoFLOP curves."""
    parts: list[RenderableType] = [Text(line, style="bold") for line in scheduled_headline(found, asked)]
    parts += [Text(line) for line in unproven(found)]
    parts += [Text(), _table(found), Text()]
    return Group(*parts, *(indented(line) for line in _notes(found, verbose)))


def scheduled_headline(found: Scheduled, asked: bool) -> Iterator[str]:
    """Yield the budgets that have no answer; then the answer for one in two sentences: the errors, and the compute or
    the time at equal error."""
    if found.too_far:
        far = ", ".join(found.unit.written(row.budget) for row in found.too_far)
        yield f"no answer for {far}: more than {FARTHEST:g} times the compute that was measured"
    one = found.rows[0] if asked else found.rows[-1]
    paid = found.unit.cost(one.budget)
    budget = f"for {found.unit.written(one.budget)}{f' ({paid})' * (paid is not None)}{_beyond(found, one)}"
    fixed = f"{written(one.fixed, found.units)} fixed reaches {found.metric} {_error(found, one.fixed)}"
    if one.scheduled is None:
        yield f"{budget}: {fixed}; no schedule: {one.why}"
        return
    if len(one.scheduled.shapes) == 1:
        yield f"{budget}: {fixed}; no switch pays"
        return
    yield (f"{budget}: {fixed}, and the schedule {written(one.scheduled, found.units)} {_error(found, one.scheduled)}")
    if one.ratio is not None and math.isinf(one.ratio.middle):
        yield "no fixed shape reaches the error of the schedule"
    elif one.ratio is not None:
        yield f"at equal error, fixed takes {times(one.ratio)} the {found.unit.noun} of the schedule"


def _beyond(found: Scheduled, row: Compared) -> str:
    """How far a budget is from what was measured; empty if it is within."""
    way = row.outermost
    if way.farthest is None:
        return ""
    shape = way.farthest.written(found.units)
    return f", extrapolated to {way.beyond:.3g} times the largest compute measured of {shape}"


def unproven(found: Scheduled) -> Iterator[str]:
    """Yield what was not tested of the laws, or is not known, as `fit` shows it."""
    fitted = {shape: law for shape, law in found.laws.items() if isinstance(law, Law)}
    yield from lines_about(found.units, fitted)


def times(ratio: Range) -> str:
    """A ratio of budgets, with its interval if it has one: `1.05 times (0.99 to 1.07)`."""
    wide = _wide(ratio)
    return f"{ratio.middle:.3g} times" + (f" ({wide})" if wide else "")


def _wide(ratio: Range) -> str:
    """The interval of a ratio; empty if its ends are alike to three digits."""
    low, high = f"{ratio.low:.3g}", f"{ratio.high:.3g}"
    return "" if low == high else f"{low} to {high}"


def written(way: Way, units: Mapping[str, str]) -> str:
    """The shapes of a way: the first one whole, then what each switch changes."""
    first, *_ = way.shapes
    moves = [
        Shape.of({axis: after[axis] for axis in before.changed(after)}).written(units)
        for before, after in itertools.pairwise(way.shapes)
    ]
    return " > ".join([first.written(units), *moves])


def in_brief(way: Way, units: Mapping[str, str]) -> str:
    """The same without the names of axes: `12 px, 16 > 32`."""
    first, *_ = way.shapes
    moves = [
        [(axis, after[axis]) for axis in before.changed(after)] for before, after in itertools.pairwise(way.shapes)
    ]
    return " > ".join(
        ", ".join(f"{brief(value)} {units.get(axis, '')}".strip() for axis, value in pairs)
        for pairs in [list(first.items()), *moves]
    )


def isoflops(found: Scheduled) -> tuple[Slice, ...]:
    """The lowest loss of each size at each budget, by the laws of the candidates, and the parabola through them. Empty
    if sizes are not known, or fewer than `FEWEST`."""
    sizes = sorted(set(found.sizes.values()))
    if len(sizes) < FEWEST:
        return ()
    return tuple(_isoflop(found, sizes, row.budget) for row in found.rows)


def _isoflop(found: Scheduled, sizes: Sequence[float], budget: float) -> Slice:
    import numpy as np

    of_size = {each: [shape for shape in found.laws if found.sizes[shape] == each] for each in sizes}
    reached = {shape: found.unit.error(found.laws, shape, budget) for shape in found.laws}
    errors = np.array([min(reached[shape] for shape in shapes) for shapes in of_size.values()])
    # Errors of the candidates may span decades: their logs are nearer to a parabola.
    found_slice = slice_of(budget, np.array(sizes), np.log(errors))
    lowest = None if found_slice.lowest is None else float(np.exp(found_slice.lowest))
    return attrs.evolve(found_slice, error=errors, lowest=lowest)


def scheduled_json(found: Scheduled) -> dict[str, Any]:
    """The comparison as JSON values. Budgets have the name of their unit, `compute` or `seconds`; those by time have
    the cost as well if it has a price, and the FLOPs of each way."""
    unit = found.unit.dimension
    return {
        "metric": found.metric,
        "convention": found.convention,
        **({"unit": unit} if found.unit.timed else {}),
        **({"coin": {"is": found.unit.coin, "per_second": found.unit.price}} if found.unit.coin else {}),
        "unproven": list(unproven(found)),
        "too_far": [{unit: row.budget, "beyond": row.beyond} for row in found.too_far],
        "budgets": [_row_json(found, row) for row in found.rows],
        "slices": [
            {unit: one.compute, "size": one.size.tolist(), "error": one.error.tolist(), "best": one.best}
            for one in isoflops(found)
        ],
    }


def _row_json(found: Scheduled, row: Compared) -> dict[str, Any]:
    def way(one: Way | None) -> dict[str, Any] | None:
        return (
            None
            if one is None
            else {
                "shapes": [each.json() for each in one.shapes],
                "error": one.error,
                "interval": one.interval,
                **({} if one.seconds is None else {"seconds": one.seconds}),
                **({"compute": one.compute} if found.unit.timed else {}),
            }
        )

    ratio = (
        None if row.ratio is None else {k: v if math.isfinite(v) else None for k, v in attrs.asdict(row.ratio).items()}
    )
    return {
        found.unit.dimension: row.budget,
        **({found.unit.coin: row.budget * found.unit.price} if found.unit.coin else {}),
        "fixed": {**(way(row.fixed) or {}), "parameters": found.sizes.get(row.fixed.shapes[0])},
        "scheduled": way(row.scheduled),
        "ratio": ratio,
        "beyond": row.beyond,
        "doubts": list(row.doubts),
        "why": row.why,
    }


def _table(found: Scheduled) -> RenderableType:
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    other = _other(found)
    first = (f" {found.unit.noun}", *([NOUNS[found.unit.coin]] if found.unit.coin else []))
    # An amount of compute is not parted from its unit: the cell has one a line.
    narrow = (*first, *([other] if found.unit.timed else []))
    for heading in (
        *first,
        "best fixed",
        "parameters",
        found.metric,
        "schedule",
        found.metric,
        "fixed /\nscheduled",
        *([other] if other else []),
        "",
    ):
        right = heading in ("parameters", found.metric, "fixed /\nscheduled")
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading in (*narrow, "parameters"))
    for row in found.rows:
        *cells, basis = _cells(found, row)
        budget = [f" {found.unit.written(row.budget)}", *filter(None, [found.unit.cost(row.budget)])]
        taken = [_other_cell(found, row)] if other else []
        table.add_row(*budget, *_fixed_cells(found, row), *cells, *taken, basis)
    return table


def _other(found: Scheduled) -> str:
    """What else than the budget the table has of both ways: the compute of budgets in seconds, and the time of those in
    FLOPs; empty if it is not known."""
    if found.unit.timed:
        return NOUNS["compute"]
    return NOUNS["seconds"] if any(row.fixed.seconds is not None for row in found.rows) else ""


def _fixed_cells(found: Scheduled, row: Compared) -> tuple[str, str, Text]:
    (shape,) = row.fixed.shapes
    count = found.sizes.get(shape)
    return in_brief(row.fixed, found.units), "-" if count is None else size(count), _with_range(found, row.fixed)


def _cells(found: Scheduled, row: Compared) -> tuple[Text, Text, Text, str]:
    if row.scheduled is None:
        return Text(row.why), Text("-"), Text("-"), ""
    ratio = Text("-" if row.ratio is None else "never" if math.isinf(row.ratio.middle) else f"{row.ratio.middle:.3g}")
    if row.ratio is not None and (wide := _wide(row.ratio)):
        ratio.append(f"\n{wide}", style="dim")
    way = Text(in_brief(row.scheduled, found.units) if len(row.scheduled.shapes) > 1 else "the same")
    basis = "" if row.beyond <= 1 else f"extrapolated {row.beyond:.2g} x"
    return way, _with_range(found, row.scheduled), ratio, basis


def _other_cell(found: Scheduled, row: Compared) -> str:
    """The compute or the time of both: the fixed shape, then the schedule."""
    ways = [row.fixed] if row.scheduled is None or len(row.scheduled.shapes) == 1 else [row.fixed, row.scheduled]
    if found.unit.timed:
        return "\n".join("-" if one.compute is None else flops(one.compute) for one in ways)
    return "\n".join("-" if one.seconds is None else duration(one.seconds, 3) for one in ways)


def _with_range(found: Scheduled, way: Way) -> Text:
    cell = Text(error(way.error, found.metric))
    if way.interval is not None:
        cell.append("\n" + " to ".join(error(each, found.metric) for each in way.interval), style="dim")
    return cell


def _error(found: Scheduled, way: Way) -> str:
    return error(way.error, found.metric)


def _notes(found: Scheduled, verbose: bool) -> Iterator[str]:
    """Yield what the figures are and what to doubt."""
    yield f"shapes are listed by {', '.join(next(iter(found.laws)))}; after a switch, only what changes"
    yield CREDITS
    noun = found.unit.noun
    yield f"fixed / scheduled: {noun} that the best fixed shape needs for the error of the schedule, over that of the"
    yield "  schedule; below a number, its 90% interval"
    if other := _other(found):
        yield f"{other}: of the best fixed shape, then of the schedule, at the same {noun}"
    if found.unit.timed and found.laws.joint is not None:
        yield "no best size of any value: a law of size and tokens counts FLOPs, and seconds are known of the"
        yield "  candidates alone; in a file that minimises FLOPs it is shown"
    for doubt in dict.fromkeys(itertools.chain.from_iterable(row.doubts for row in found.rows)):
        yield f"note: whether these schedules pay is not known: {DOUBTS[doubt]}"
    if verbose:
        yield from (_slice(found, one) for one in isoflops(found))


def _slice(found: Scheduled, one: Slice) -> str:
    direct = size(float(one.size[one.error.argmin()]))
    curved = f"{size(one.best)} by a parabola" if one.best is not None else f"no parabola ({one.why})"
    name = "equal time," if found.unit.timed else "isoFLOP"
    return f"{name} {found.unit.written(one.compute, 3)}: best size {direct} among the candidates, {curved}"
