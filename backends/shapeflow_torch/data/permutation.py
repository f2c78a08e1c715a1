"""Permutations of any length whose entries are computed one by one, in memory that does not depend on the length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ROUNDS = 8
"""Rounds of the Feistel network. Four make a permutation that looks random to any fast test (Luby and Rackoff 1988);
more are needed for short permutations, whose halves have a few bits only."""

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def permuted(places: Ints, count: int, key: Words) -> Ints:
    """Return the images of places in 0 .. count - 1 under a permutation of these numbers. `key`: ROUNDS random words.

    A Feistel network permutes the next power of 4; a number outside the range is permuted again until it is inside
    (Black and Rogaway 2002)."""
    half = max(1, -(-(count - 1).bit_length() // 2))
    values = places.astype(np.uint64)
    outside = np.arange(len(values))
    while len(outside):
        values[outside] = _network(values[outside], half, key)
        outside = outside[values[outside] >= count]
    return values.astype(np.int64)


def _network(values: Words, half: int, key: Words) -> Words:
    """Permute numbers of 2 * `half` bits."""
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = values >> bits, values & mask
    for word in key:
        left, right = right, left ^ (_mixed(right ^ word) & mask)
    return (left << bits) | right


def _mixed(values: Words) -> Words:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): each bit of the input changes about half of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
