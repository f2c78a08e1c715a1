"""What pilots show without a law."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from shapeflow.ir.answer import Against, Range
from shapeflow.laws.mixing.fitted import Fitted
from shapeflow.laws.mixing.pilots import ALIKE, Trial
from shapeflow.laws.mixing.reasons import SEEDS

SIGMA = 2.0
"""How many standard errors a mixture has to be worse by, in the pilots, for the answer no."""


def worse(found: Fitted) -> float | None:
    """By how much, at least, every mixture ends the pilots with a higher error than the target alone at equal compute;
    None if one does not, beyond the noise. Then no mixture pays, whatever the form of the law."""
    at = min(float(one.compute[-1]) for one in found.trials)
    ends: dict[float, list[float]] = {}
    for one in found.trials:
        share = one.share(found.kinds.target)
        group = next((other for other in ends if abs(math.log(other / share)) < ALIKE), share)
        ends.setdefault(group, []).append(float(np.interp(math.log(at), np.log(one.compute), one.error)))
    alone = next((levels for share, levels in ends.items() if share > 1 - ALIKE), None)
    mixed = [levels for share, levels in ends.items() if share <= 1 - ALIKE]
    if alone is None or not mixed:
        return None
    gaps = []
    for levels in mixed:
        deviation = max(found.seed_deviation, _between_seeds([levels, alone]))
        gaps.append(float(np.mean(levels) - np.mean(alone)))
        if gaps[-1] <= SIGMA * deviation * math.sqrt(1 / len(levels) + 1 / len(alone)):
            return None
    return float(f"{min(gaps):.2g}")


def measured(trials: Sequence[Trial], target: int) -> Against | None:
    """The share that reached the final error of the target alone with the least compute in the pilots, in pairs of one
    seed; None with less than two seeds of the target, or if no share reached it with every seed."""
    alone = {one.seed: one for one in trials if one.share(target) > 1 - ALIKE and one.seed is not None}
    if len(alone) < SEEDS:
        return None
    savings: dict[tuple[float, ...], list[float | None]] = {}
    for one in trials:
        if one.share(target) <= 1 - ALIKE and one.seed in alone:
            # Equal pilots mix the same shapes with the same shares, to a percent.
            key = tuple((one.data[-1] / one.data[-1].sum()).round(2).tolist())
            savings.setdefault(key, []).append(_saved(one, alone[one.seed]))
    found = [
        (key[target], values) for key, values in savings.items() if len(values) == len(alone) and None not in values
    ]
    known = [(share, [value for value in values if value is not None]) for share, values in found]
    if not known:
        return None
    share, values = max(known, key=lambda pair: float(np.mean(pair[1])))
    low, middle, high = (float(f"{value:.4g}") for value in (min(values), float(np.mean(values)), max(values)))
    return Against(share=share, saving=Range(low=low, middle=middle, high=high))


def _saved(one: Trial, alone: Trial) -> float | None:
    """1 - the compute at which a pilot first reached the final error of another one, over that of the other; None if it
    did not."""
    reached = np.flatnonzero(one.error <= alone.error[-1])
    if not len(reached) or reached[0] == 0:
        return None
    before, after = reached[0] - 1, reached[0]
    part = (one.error[before] - alone.error[-1]) / (one.error[before] - one.error[after])
    compute = math.exp((1 - part) * math.log(one.compute[before]) + part * math.log(one.compute[after]))
    return 1 - compute / float(alone.compute[-1])


def _between_seeds(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation of the errors of equal pilots, pooled over some shares; 0 without a second seed."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(np.sum((np.array(group) - np.mean(group)) ** 2)) for group in groups)
    return math.sqrt(squares / freedom) if freedom else 0.0
