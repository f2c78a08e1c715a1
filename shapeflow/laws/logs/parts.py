"""Logs of one shape that follow each other, as the parts of one run do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import attrs

ADVICE = "if they are parts of one run, write `{part}` in the paths in place of what differs between them"


@attrs.frozen
class Piece:
    """What one log has of a shape. `first`, `last`: FLOPs."""

    first: float
    last: float
    file: str


def following(pieces: Collection[Sequence[Piece]]) -> str | None:
    """Which logs seem to be parts of one run, as a sentence; None if most shapes have none that follow each other.
    `pieces`: what the logs have of each shape."""
    several = [sorted(each, key=lambda one: one.first) for each in pieces if len(each) > 1]
    apart = [each for each in several if len({one.file for one in each}) == len(each)]
    follow = [each for each in apart if all(before.last < after.first for before, after in pairwise(each))]
    if 2 * len(follow) <= len(pieces):
        return None
    first, second = follow[0][:2]
    others = ", and so do the files of other shapes" if len(follow) > 1 else ""
    return f"`{second.file}` begins where `{first.file}` ends{others}"
