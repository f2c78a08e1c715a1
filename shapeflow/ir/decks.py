"""Decks of steps: which kind of step comes when, where a stage shares its steps among shapes.

A deck is as many steps as it takes to keep shares of whole percents exactly; the order within is shuffled by a key, so
that any step can be asked for alone. Kind 0 is the stage's own shape, the others are its shares in order.
"""

from __future__ import annotations

import functools
import hashlib
import math

DECK = 100
"""Steps of a deck."""


@functools.lru_cache(maxsize=256)
def shuffled(shares: tuple[float, ...], key: str, deck: int) -> tuple[int, ...]:
    """The kinds of one deck, the `deck`-th of its row, in an order drawn from the key alone."""
    own, *others = hand(shares, deck)
    cards = [kind for kind, count in enumerate(others, 1) for _ in range(count)] + [0] * own
    words = hashlib.shake_256(key.encode()).digest(8 * DECK)
    order = sorted(range(DECK), key=lambda i: words[8 * i : 8 * i + 8])
    return tuple(cards[i] for i in order)


def hand(shares: tuple[float, ...], deck: int) -> tuple[int, ...]:
    """How often each kind of step is in a deck: what is due after it less what was due before it, so that no rounding
    is lost over many decks."""
    before, after = (_due(shares, decks) for decks in (deck, deck + 1))
    counts = [max(0, late - early) for early, late in zip(before, after, strict=True)]
    while sum(counts) > DECK:  # a share below 1% was due earlier and is not now
        counts[counts.index(max(counts))] -= 1
    return tuple(counts)


def _due(shares: tuple[float, ...], decks: int) -> list[int]:
    """Steps of each kind in so many decks, whole numbers that add up: the largest fractions are rounded up."""
    exact = [share * DECK * decks for share in (1 - sum(shares), *shares)]
    counts = [math.floor(value + 1e-9) for value in exact]
    order = sorted(range(len(exact)), key=lambda kind: counts[kind] - exact[kind])
    for kind in order[: DECK * decks - sum(counts)]:
        counts[kind] += 1
    return counts
