"""Shows the result of `shapeflow doctor`: the contents of logs, and the sentences that fit laws to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from shapeflow.base.safe import safe
from shapeflow.doctor import ColumnFacts, CurveFacts, Examined, FileFacts, Table
from shapeflow.preview.numbers import count, flops

SHOWN = 40
"""The maximum number of columns that are listed; `--json` lists all."""
FILES = 8


def doctor_view(examined: Examined, laid_out: Sequence[str]) -> RenderableType:
    """The output of `shapeflow doctor`. `laid_out`: the formatted sentences of each table."""
    views: list[RenderableType] = []
    for table, text in zip(examined.tables, laid_out, strict=True):
        views += [Text(), _view(table, text)] if views else [_view(table, text)]
    if examined.passed:
        many = f"{count(examined.passed)} files are not logs, and are"
        what = "1 file is not a log, and is" if examined.passed == 1 else many
        views += [Text(), _line(f"of these folders, {what} passed over")]
    return Group(*views)


def _view(table: Table, text: str) -> RenderableType:
    parts: list[RenderableType] = [*_files(table.files)]
    if table.curves is not None:
        parts += (Text(f"  {line}") for line in _curves(table))
    if text:
        parts += [Text(), *(Text(safe(line), style="cyan") for line in _sentences(table, text))]
    parts += [Text(), _columns(table.columns)]
    if len(table.columns) > SHOWN:
        parts.append(Text(f"  and {len(table.columns) - SHOWN} more columns; `--json` lists all"))
    if table.advice:
        parts += [Text(), *(_line(line) for line in table.advice)]
    return Group(*parts)


def _line(text: str) -> RenderableType:
    """A note, indented."""
    return Padding(Text(safe(f"note: {text}")), (0, 0, 0, 2))


def _files(files: Sequence[FileFacts]) -> Iterator[RenderableType]:
    for one in files[:FILES]:
        facts = ", ".join([one.format, f"{count(one.rows)} row{'s' * (one.rows != 1)}", *_faults(one)])
        yield Text.assemble((safe(one.name), "bold"), f"  {facts}")
        yield from (Text(safe(f"  {note}")) for note in one.notes)
    if len(files) > FILES:
        yield Text(f"and {len(files) - FILES} more files with the same columns")


def _faults(one: FileFacts) -> Iterator[str]:
    if one.torn:
        yield "the last row is cut off"
    if one.broken:
        yield f"{count(one.broken)} rows cannot be read"


def _columns(columns: Sequence[ColumnFacts]) -> Grid:
    grid = Grid(box=None, padding=(0, 2), collapse_padding=True, pad_edge=True)
    for heading in ("column", "holds", "from", "to", "values", "read as"):
        right = heading in ("from", "to", "values")
        grid.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for column in columns[:SHOWN]:
        grid.add_row(*(Text(safe(cell)) for cell in _row(column)))
    return grid


def _row(column: ColumnFacts) -> Iterator[str]:
    yield column.name
    yield ", ".join([column.kind, *_odd(column)])
    if column.low is None or column.high is None:
        yield from ("", "")
    else:
        yield from (f"{column.low:.6g}", f"{column.high:.6g}")
    yield "many" if column.distinct is None else count(column.distinct) if column.distinct else ""
    yield _role(column)


def _role(column: ColumnFacts) -> str:
    if column.role == "axis":
        return f"axis `{column.why}`"
    if not column.role:
        return column.why
    return column.role if column.why in ("", "its name") else f"{column.role}: {column.why}"


def _odd(column: ColumnFacts) -> Iterator[str]:
    if column.not_finite:
        yield f"{count(column.not_finite)} NaN or infinite"
    if column.odd:
        yield f"{count(column.odd)} not numeric"
    if column.blank and column.kind != "empty":
        yield f"{count(column.blank)} blank"


def _curves(table: Table) -> Iterator[str]:
    facts = table.curves
    assert facts is not None
    few, most = facts.points
    points = count(most) if few == most else f"{count(few)} to {count(most)}"
    yield (
        f"{count(facts.runs)} run{'s' * (facts.runs != 1)} of {count(facts.shapes)} shape{'s' * (facts.shapes != 1)}, "
        f"{points} point{'s' * (most != 1)} each"
    )
    decades = _range(facts.decades)
    errors = f"errors {facts.error[1]:.4g} to {facts.error[0]:.4g}"
    yield f"{_span(table, facts)}, {decades} decade{'s' * (decades != '1')}; {errors}"
    if facts.learning_rate is not None:
        rise = f", after a warm-up of {facts.warmup:.0f} steps" if facts.warmup else ""
        yield f"learning rate: {facts.learning_rate}{rise}"


def _span(table: Table, facts: CurveFacts) -> str:
    first, last = facts.compute
    if any(column.role == "compute" for column in table.columns) or _product(table):
        return f"{flops(first)} to {flops(last)}"
    unit = "steps" if table.counts is None else table.counts
    return f"{unit} {first:.6g} to {last:.6g}"


def _product(table: Table) -> bool:
    """Whether compute is the product of two columns."""
    return not table.needs_model and {"parameters", "tokens"} <= {column.role for column in table.columns}


def _range(pair: tuple[float, float]) -> str:
    first, last = (f"{value:.2g}" for value in pair)
    return first if first == last else f"{first} to {last}"


def _sentences(table: Table, text: str) -> Iterator[str]:
    where = "this folder" if table.folder == "." else f"the folder {table.folder}"
    model = " with a model (which gives the FLOPs per step)" * table.needs_model
    yield f"# for a .shape file{model} in {where}"
    yield from text.rstrip().splitlines()
