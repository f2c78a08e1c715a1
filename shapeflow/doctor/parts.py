"""Advice on logs of one shape that follow each other, as the parts of one run do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from shapeflow.doctor.curves import Key
from shapeflow.laws.logs.parts import ADVICE, Piece, following
from shapeflow.laws.logs.runs import Run


def advice_of_parts(curves: Mapping[Key, Run]) -> Iterator[str]:
    """Yield which files seem to be parts of one run, and the placeholder that joins them."""
    found: dict[tuple[str, ...], list[Piece]] = defaultdict(list)
    for (shape, (file, *_)), run in curves.items():
        if run.points:
            places = [point.compute for point in run.points.values()]
            found[shape].append(Piece(min(places), max(places), file))
    if (said := following(found.values())) is not None:
        yield f"{said}: {ADVICE}"
