"""Random numbers that depend on keys alone: not on torch, the device or the number of processes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FRESH = -1
"""The switch number of what is drawn before the first step."""

_BLOCK = 1 << 16
"""Number of normals drawn for one counter value. Changing it changes the random numbers of every seed."""


def noise(seed: int, switch: int, parameter: str, dim: str, start: int, count: int) -> Floats:
    """`count` standard normals, from index `start` of an infinite sequence that depends only on the other arguments.

    `parameter` is the name of one tensor, with the depth filled in. Any slice can be drawn without the others, so a
    rank draws only its shard. The numbers do not depend on torch, the device or the number of ranks.
    """
    digest = hashlib.sha256(f"{seed}/{switch}/{parameter}/{dim}".encode()).digest()
    key = np.frombuffer(digest[:16], "<u8")
    first, last = start // _BLOCK, -(-(start + count) // _BLOCK)
    streams = [np.random.Philox(key=key, counter=[0, 0, 0, block]) for block in range(first, last)]
    sheet = [np.random.Generator(stream).standard_normal(_BLOCK) for stream in streams]
    return np.concatenate([np.empty(0), *sheet])[start - first * _BLOCK :][:count]


def noise_beyond(
    seed: int, switch: int, parameter: str, dim: str, sizes: Sequence[int], axis: int, old: int
) -> Iterator[Floats]:
    """Yield the normals for the new entries of a tensor, in order, in pieces.

    The sequence of `noise` fills a tensor of shape `sizes` in row-major order. The new entries are those with an index
    of `old` or more along `axis`. Blocks without new entries are not drawn."""
    behind = math.prod(sizes[axis + 1 :])
    row, count = sizes[axis] * behind, math.prod(sizes)
    for start in range(0, count, _BLOCK):
        wanted = np.arange(start, min(start + _BLOCK, count)) % row >= old * behind
        if wanted.any():
            yield noise(seed, switch, parameter, dim, start, len(wanted))[wanted]
