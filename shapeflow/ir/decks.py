"""Decks: the order of steps in a stage that divides its steps among several shapes.

A deck is a block of 100 steps, so that shares of whole percents are exact. A key determines the order within a deck, so
that the kind of any step can be computed without the steps before it. Kind 0 is the stage's own shape; the other kinds
are its shares in order.
"""

from __future__ import annotations

import functools
import hashlib
import math

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
BLOCK = 1 << 14
"""Decks that are summed at once."""
DECK = 100
"""Number of steps in a deck."""


@functools.lru_cache(maxsize=256)
def shuffled(shares: tuple[float, ...], key: str, deck: int) -> tuple[int, ...]:
    """The kind of each step in the `deck`-th deck. The counts are those of `hand`; the order depends on the key."""
    own, *others = hand(shares, deck)
    cards = [kind for kind, count in enumerate(others, 1) for _ in range(count)] + [0] * own
    words = hashlib.shake_256(key.encode()).digest(8 * DECK)
    order = sorted(range(DECK), key=lambda i: words[8 * i : 8 * i + 8])
    return tuple(cards[i] for i in order)


def hand(shares: tuple[float, ...], deck: int) -> tuple[int, ...]:
    """The number of steps of each kind in the `deck`-th deck. Computed as a difference of totals, so that rounding
    errors do not accumulate over many decks."""
    before, after = (_due(shares, decks) for decks in (deck, deck + 1))
    counts = [max(0, late - early) for early, late in zip(before, after, strict=True)]
    while sum(counts) > DECK:  # The total of a share below 1% can decrease; its count was raised to 0 above.
        counts[counts.index(max(counts))] -= 1
    return tuple(counts)


def _due(shares: tuple[float, ...], decks: int) -> list[int]:
    """Total steps of each kind in the first `decks` decks. The largest fractions are rounded up, so that the totals
    add up to all steps."""
    exact = [share * DECK * decks for share in (1 - sum(shares), *shares)]
    counts = [math.floor(value + 1e-9) for value in exact]
    order = sorted(range(len(exact)), key=lambda kind: counts[kind] - exact[kind])
    for kind in order[: DECK * decks - sum(counts)]:
        counts[kind] += 1
    return counts


def sum_of_decks(shares: tuple[float, ...], costs: tuple[float, ...], decks: int, total: float) -> float:
    """A total plus the cost of the first `decks` decks, added deck by deck: the same number for any number at once.
    `costs`: of a step of each kind."""
    for first in range(0, decks, BLOCK):
        dealt = _hands(shares, np.arange(first, min(first + BLOCK, decks)))
        each = np.zeros(len(dealt))
        for kind, cost in enumerate(costs):
            each += dealt[:, kind] * cost
        total = float(np.add.accumulate(np.concatenate([[total], each]))[-1])
    return total


def next_mixed(shares: tuple[float, ...], deck: int, end: int) -> int:
    """The first deck from `deck` up to `end` (exclusive) with a step of another kind than 0; `end` if there is none."""
    size = 16
    while deck < end:
        dealt = _hands(shares, np.arange(deck, min(deck + size, end)))
        mixed = np.flatnonzero(dealt[:, 1:].any(axis=1))
        if len(mixed):
            return deck + int(mixed[0])
        deck, size = deck + len(dealt), min(2 * size, BLOCK)
    return end


def _hands(shares: tuple[float, ...], decks: Ints) -> Ints:
    """`hand` of many decks, one a row."""
    due = _dues(shares, np.append(decks, decks[-1] + 1))
    counts = np.zeros((0, len(shares) + 1), np.int64) if due is None else np.maximum(0, np.diff(due, axis=0))
    if due is None or (counts.sum(axis=1) > DECK).any():
        return np.array([hand(shares, deck) for deck in decks.tolist()], np.int64)
    return counts


def _dues(shares: tuple[float, ...], decks: Ints) -> Ints | None:
    """`_due` of many numbers of decks, one a row; None if rounding gives some more steps than there are."""
    exact = np.array([(1 - sum(shares)) * DECK, *(share * DECK for share in shares)]) * decks[:, None]
    counts = np.floor(exact + 1e-9).astype(np.int64)
    missing = DECK * decks - counts.sum(axis=1)
    if (missing < 0).any():
        return None
    rank = np.argsort(np.argsort(counts - exact, axis=1, kind="stable"), axis=1, kind="stable")
    found: Ints = counts + (rank < missing[:, None])
    return found
