"""JSON lines that are read many at once: the same rows, facts and errors as one by one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shapeflow.laws.logs.readers import Block, Log, Piece, Unreadable, Wanted, lines, number, open_log
from shapeflow.laws.logs.readers.block import Numbers

CELLS = ("1e400", "NaN", "-Infinity", "null", "true", '"2.5"', '"x"', '"a\\"b"', '"\\u00e9"', '"\\ud800"', "[1]",
         '{"loss": 3}', "12345678901234567890", "9007199254740993", "-0.0", '"NA"', '"3,5"', '"a:b"', "0x1",
         "")  # fmt: skip
LINES = ("", " ", "{}", "[]", "1", '{"a": 1', '{"a": 1},{"a": 2}', "\r", "{}}", '{"step": 1, "step": 2}',
         '{"key": "loss", "value": 2.5, "step": 7}', "\ufeff{}")  # fmt: skip


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "FIRST", 1500)
    monkeypatch.setattr(lines, "BLOCK", 2500)


def log(folder: Path, seed: int) -> Log:
    """A log with some odd cells and lines; the first seeds have none."""
    rng = random.Random(seed)
    rows = [
        json.dumps({"run": f"r{at % 3}", "width": 64 << at % 2, "step": at, "loss": 3 - at / 400, "eval": None})
        for at in range(300)
    ]
    for _ in range(min(seed, 4)):
        at = rng.randrange(1, len(rows))
        name = rng.choice(("run", "width", "step", "loss", "more"))
        odd = f'{{"step": {at}, "{name}": {rng.choice(CELLS)}}}'
        rows[at] = rng.choice((odd, rng.choice(LINES)))
    path = folder / "a.jsonl"
    path.write_text("\n".join(rows) + rng.choice(("\n", "", "\n\n")), encoding="utf-8")
    return open_log(path)


def cells(pieces: Iterator[Piece], names: list[str], texts: bool) -> Iterator[list[Any]]:
    """The cells of each row, as numbers where they are, or as texts."""
    for piece in pieces:
        if not isinstance(piece, Block):
            yield [str(piece.get(name)) if texts else repr(number(piece.get(name))) for name in names]
            continue
        columns: list[list[Any]] = []
        for name in names:
            found = piece.cells.get(name)
            if texts and found is not None:
                assert not isinstance(found, Numbers)
                columns.append([found.distinct[code] for code in found.codes])
            elif found is None:
                columns.append(["None" if texts else "'blank'"] * piece.count)
            else:
                values, kinds = piece.numbers(name)
                kind = ("", "'blank'", "'no number'")
                columns.append([kind[k] or repr(v) for v, k in zip(values.tolist(), kinds.tolist(), strict=True)])
        yield from map(list, zip(*columns, strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_the_rows_of_blocks_are_those_of_single_lines(tmp_path: Path, seed: int) -> None:
    one, names = log(tmp_path, seed), ["run", "width", "step", "loss", "eval", "more"]
    try:
        expected = [dict(row) for row in one.rows()]
    except Unreadable as error:
        with pytest.raises(Unreadable, match=str(error)[:10]):
            list(one.pieces())
        return
    facts = one.sha256, one.torn, one.broken
    for wanted, texts in (
        (Wanted(frozenset(names), frozenset()), True),
        (Wanted(frozenset(), frozenset(names)), False),
        (None, False),
    ):
        pieces = list(one.pieces(wanted))
        assert seed or any(isinstance(piece, Block) for piece in pieces)
        assert list(cells(iter(pieces), names, texts)) == list(cells(iter(expected), names, texts))
        assert (one.sha256, one.torn, one.broken) == facts
    # Names in a line that is no row may be among them.
    extra = set(one.columns()) - {name for row in expected for name in row}
    assert extra <= {"more"}
    assert set(one.columns()) - extra == {name for row in expected for name in row}
