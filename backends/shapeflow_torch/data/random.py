"""Counter-based random numbers. They depend on their purpose and index, not on earlier draws."""

from __future__ import annotations

import numpy as np

WINDOWS, EPOCHS, CROPS, SHOTS, PROBE, SPANS, WEIGHTS, VECTORS, HELD_OUT, BLOCKS, TURNS = range(11)
"""Purposes of random numbers. Each has its own streams."""


def generator(seed: int, purpose: int, index: int, within: int = 0) -> np.random.Generator:
    """Return a random stream for a purpose. `index`: for example, the step, epoch or sample; `within`: for example, the
    sample within a step."""
    return np.random.Generator(np.random.Philox(key=[seed % 2**64, purpose], counter=[0, 0, within, index]))
