"""Logs of one shape that follow each other, as the parts of one run do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

from shapeflow.doctor.curves import Key
from shapeflow.laws.logs.runs import Run


def advice_of_parts(curves: Mapping[Key, Run]) -> Iterator[str]:
    """Yield which files seem to be parts of one run, and the placeholder that joins them."""
    found: dict[tuple[object, ...], list[tuple[float, float, str]]] = defaultdict(list)
    for (shape, (file, *_)), run in curves.items():
        if run.points:
            places = [point.compute for point in run.points.values()]
            found[shape].append((min(places), max(places), file))
    apart = [each for each in found.values() if 1 < len(each) == len({file for *_, file in each})]
    follow = [sorted(each) for each in apart]
    follow = [each for each in follow if all(before[1] < after[0] for before, after in pairwise(each))]
    if follow and 2 * len(follow) > len(found):
        first, second = follow[0][:2]
        others = ", and so do the files of other shapes" if len(follow) > 1 else ""
        yield (
            f"`{second[2]}` begins where `{first[2]}` ends{others}: if they are parts of one run, write `{{part}}` in "
            "the paths in place of what differs between them"
        )
