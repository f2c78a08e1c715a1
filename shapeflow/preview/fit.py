"""Shows a fit: the law of each shape with its intervals, its quality and its verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import HoldOut, Law, Pair, Provenance
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.fitting.verdict import notes
from shapeflow.preview.numbers import count, error, flops, longest, scale

ROOM = 20
"""The maximum width of shapes, of 80 columns, in a table with other columns. Wider shapes are listed in a separate
table, and the other tables identify them by a number."""
LEVEL = "90%"


def fit_view(name: str, units: Mapping[str, str], found: FittedLaws) -> RenderableType:
    """The output of `shapeflow fit`. `units`: axis -> unit, in file order. `verbose`: list the reasons for each law."""
    laws, numbered = found.laws, _numbered(units, found.laws)
    parts: list[RenderableType] = [_title(name, laws), Text()]
    if numbered:
        parts += [_shapes(units, laws), Text()]
    parts += [_numbers(units, laws, numbered), Text(), _worth(units, laws, numbered), Text()]
    about = [indented(line) for line in lines_about(units, laws, numbered)]
    parts += [*about, *[Text()] * bool(about)]
    parts += [indented(line) for line in words(laws, found.summary, found.held_out)]
    return Group(*parts)


def refused(law: Law) -> bool:
    """Whether the law does not describe the state of a run: its learning rate falls."""
    return bool(law.provenance.verdict)


def factor(held: HoldOut) -> str:
    """Predicted over actual compute of the final losses, such as `x 1.11`."""
    return "never" if held.factor is None else f"x {held.factor:.{2 if held.factor < 100 else 0}f}"


def decades(law: Law) -> float | None:
    """The number of decades of compute that the points span."""
    span = law.provenance.compute
    return None if span is None else math.log10(span[1] / span[0])


def _title(name: str, laws: Mapping[Shape, Law]) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right")
    kinds = f"{len(laws)} law{'s' * (len(laws) != 1)}"
    wrong = sum(map(refused, laws.values()))
    unknown = sum(law.provenance.holdout is None for law in laws.values())
    grid.add_row(
        Text(name or "unnamed plan", style="bold"),
        kinds + f", {wrong} refused" * bool(wrong) + f", {unknown} not tested" * bool(unknown),
    )
    return grid


def indented(line: str) -> RenderableType:
    """A line indented by two columns. Continuation lines of a list item are indented like its text."""
    text = line.lstrip()
    shown: RenderableType = Text(text)
    if text.startswith("- "):
        shown = Table.grid()
        shown.add_row("- ", Text(text.removeprefix("- ")))
    return Padding(shown, (0, 0, 0, 2 + len(line) - len(text)))


def _numbered(units: Mapping[str, str], laws: Mapping[Shape, Law]) -> bool:
    """Whether the shapes are too wide (see `ROOM`), so that tables identify them by a number."""
    return sum(longest([axis, *(_value(shape, axis, units) for shape in laws)]) + 2 for axis in units) > ROOM


def _value(shape: Shape, axis: str, units: Mapping[str, str]) -> str:
    return f"{shape[axis]} {units[axis]}".rstrip()


def _table(units: Mapping[str, str], numbered: bool) -> Table:
    """A table whose first columns identify the law."""
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    for heading in ["law"] if numbered else units:
        table.add_column(f" {heading}", no_wrap=True)
    return table


def _which(units: Mapping[str, str], number: int, shape: Shape, numbered: bool) -> list[str]:
    return [f" {number}"] if numbered else [f" {_value(shape, axis, units)}" for axis in units]


def _shapes(units: Mapping[str, str], laws: Mapping[Shape, Law]) -> Table:
    table = _table(units, numbered=True)
    for axis in units:
        table.add_column(axis, overflow="fold")
    for number, shape in enumerate(laws, 1):
        table.add_row(f" {number}", *(_value(shape, axis, units) for axis in units))
    return table


def _numbers(units: Mapping[str, str], laws: Mapping[Shape, Law], numbered: bool) -> RenderableType:
    """A table of a, b, c and d of each law, each with its interval below."""
    provenance = next(iter(laws.values())).provenance
    prefix, size = scale(max(abs(law.d) for law in laws.values()))
    metric = provenance.metric
    shown: dict[str, Callable[[float], str]] = {
        "b": _writer([law.b for law in laws.values()], 3),
        "c": _errors([law.c for law in laws.values()], metric),
        "d": _writer([law.d / size for law in laws.values()], 3, size),
        "a": _short,
    }
    form, below = f"{metric} = a (FLOPs + d)^-b + c", []
    if len(laws) > 1 and provenance.exponent in ("pooled", "fixed") and len({law.b for law in laws.values()}) == 1:
        write, law = shown.pop("b"), next(iter(laws.values()))
        wide = " to ".join(map(write, provenance.intervals.get("b", ())))
        form += f", b = {write(law.b)}{f' ({wide})' * bool(wide)} in all laws"
    if any(law.provenance.intervals for law in laws.values()):
        below = [f"below each number: the range of {LEVEL} of the resampled laws"]
    table = _table(units, numbered)
    for key in shown:
        table.add_column(f"d, {prefix}FLOPs" if key == "d" else key, justify="right", no_wrap=True)
    for number, (shape, law) in enumerate(laws.items(), 1):
        table.add_row(
            *_which(units, number, shape, numbered),
            *(_ranged(getattr(law, key), law.provenance.intervals.get(key), write) for key, write in shown.items()),
        )
    return Group(*map(indented, [form, *below]), Text(), table)


def _ranged(value: float, interval: Pair | None, write: Callable[[float], str]) -> Text:
    cell = Text(write(value))
    if interval is not None:
        cell.append(f"\n{write(interval[0])} to {write(interval[1])}", style="dim")
    return cell


def _writer(values: Sequence[float], digits: int, size: float = 1.0) -> Callable[[float], str]:
    """A function that formats the numbers of a column such that the largest has the given number of digits."""
    largest = max(map(abs, values))
    decimals = max(0, digits - 1 - math.floor(math.log10(largest))) if largest > 0 else 0
    return lambda value: f"{value / size:.{decimals}f}"


def _errors(values: Sequence[float], metric: str) -> Callable[[float], str]:
    """A function that formats errors: shares in percent, losses in nats."""
    if "error" not in metric:
        return _writer(values, 4)
    write = _writer([100 * value for value in values], 4, 0.01)
    return lambda value: f"{write(value)}%"


def _short(value: float) -> str:
    """A number with two digits, such as `3.2e5`."""
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}e{int(power)}"


def _worth(units: Mapping[str, str], laws: Mapping[Shape, Law], numbered: bool) -> RenderableType:
    """A table of points, runs, decades, scatter, and how well a fit to the first half of log compute predicts the
    rest."""
    table = _table(units, numbered)
    for heading in ("points", "runs", "decades", "rms", "held-out\nerror", "held-out\ncompute"):
        table.add_column(heading, justify="right", no_wrap=True, vertical="bottom")
    for number, (shape, law) in enumerate(laws.items(), 1):
        table.add_row(*_which(units, number, shape, numbered), *_fit_cells(law), style="red" if refused(law) else "")
    return table


def _fit_cells(law: Law) -> Iterator[str]:
    about, wide = law.provenance, decades(law)
    yield count(about.points)
    yield count(about.runs)
    yield "-" if wide is None else f"{wide:.2f}"
    yield "-" if about.rms is None else f"{100 * about.rms:.2f}%"
    held = about.holdout
    yield "not tested" if held is None else f"{100 * held.error:.2f}%"
    yield "-" if held is None else factor(held)


def lines_about(units: Mapping[str, str], laws: Mapping[Shape, Law], numbered: bool = False) -> Iterator[str]:
    """What is wrong with laws, and what to know about them: each line once, with its laws. `numbered`: a table names
    each law by its number."""
    groups: dict[str, list[str]] = {}
    for number, (shape, law) in enumerate(laws.items(), 1):
        name = f"law {number}" if numbered else shape.written(units)
        for line in (*(f"refused: {reason}" for reason in law.provenance.verdict), *notes(law)):
            groups.setdefault(line, []).append(name)
    for line, names in groups.items():
        yield f"{line} ({'all laws' if len(names) == len(laws) > 1 else '; '.join(names)})"


def words(laws: Mapping[Shape, Law], summary: str, held_out: str) -> Iterator[str]:
    """Yield how the laws were found, how they were tested, and the runs that they were fitted to."""
    about = [law.provenance for law in laws.values()]
    yield from _method(about, summary)
    if any(one.holdout is not None for one in about):
        yield f"held out: {held_out}"
    yield from _resampling(about)
    yield from runs_of(about)


def runs_of(about: Sequence[Provenance]) -> Iterator[str]:
    """Yield the points that were left out, what is known about the runs, and their compute."""
    yield from _points(about)
    known = {
        "data": _each(one.data for one in about),
        "errors": _each(one.evaluation for one in about),
        "learning rate": _each(one.learning_rate for one in about),
    }
    parts = [f"{what}: {value}" for what, value in known.items() if value]
    yield f"compute counted by `{about[0].convention}`" + "".join(f"; {part}" for part in parts)
    if (same := held_out_error(about)) is not None:
        yield same
    files = {name for one in about for name, _ in one.files}
    spent = [one.spent for one in about if one.spent is not None]
    cost = f"; the runs took {flops(sum(spent))}" if spent else ""
    yield f"read {len(files)} file{'s' * (len(files) != 1)}{cost}"


def held_out_error(about: Sequence[Provenance]) -> str | None:
    """What the choice of the held-out set does to the laws, if runs state its standard error."""
    deviations = [one.held_out_error for one in about if one.held_out_error]
    if not deviations:
        return None
    low, high = (error(value, about[0].metric) for value in (min(deviations), max(deviations)))
    size = low if low == high else f"{low} to {high}"
    return f"standard error of the held-out set: {size}, the same at all points; intervals hold for this set"


def _each(values: Iterator[str | None]) -> str:
    """The distinct values, in order."""
    return ", ".join(dict.fromkeys(value for value in values if value))


_EXPONENTS = {"own": "each law has its own b", "pooled": "all laws share one b", "fixed": "b was given"}


def _method(about: Sequence[Provenance], summary: str) -> Iterator[str]:
    exponents = _each(_EXPONENTS[one.exponent] for one in about if one.exponent is not None)
    if said := "; ".join(part for part in (exponents, summary) if part):
        yield said


def _resampling(about: Sequence[Provenance]) -> Iterator[str]:
    """Yield how the intervals were computed, and what they apply to."""
    ways = [one.resampling for one in about if one.resampling is not None]
    if not ways:
        yield "no intervals: the fit was not resampled"
        return
    kinds = {way.by for way in ways}
    parts = {
        "runs": "between the runs of a shape and along each run",
        "noise": "along its one run",
        "ends": "from the scatter of all ends",
    }
    drawn = ", or ".join(text for kind, text in parts.items() if kind in kinds)
    yield f"intervals: {count(ways[0].count)} resamples, each the law with new noise {drawn}"
    if "noise" in kinds:
        yield "  with one run of a shape, the spread between runs is not known and not in its intervals"
    alike = max(way.alike for way in ways)
    if alike > 1:
        yield f"  noise is autocorrelated: up to {alike} neighbouring points count as one"


_DROPPED = {"resampling": "to space points evenly", "warm-up": "at the start of runs"}


def _points(about: Sequence[Provenance]) -> Iterator[str]:
    dropped: Counter[str] = Counter()
    for one in about:
        dropped.update(one.dropped)
    parts = ", ".join(f"{count(number)} {_DROPPED.get(why, why)}" for why, number in sorted(dropped.items()))
    yield f"points left out: {parts}" if parts else "no points were left out"
