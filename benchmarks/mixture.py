"""Is the law of a mixture right about schedules, and about full runs, that it has not seen?

    python benchmarks/mixture.py --runs FULL.json --pilots PILOTS.json [--draws 200]

Both files hold runs that mix shapes: JSON lines, or one list, of {"name", "seed", "points" or "pts": [{"C", "n", "E"}]}
with C: compute in G (1e9 multiplications and additions), n: millions of tokens at each shape, the target last, and E:
the loss at the target. `docs/mixtures.md` has the tables and says which runs they are of.

- schedules: one schedule is left out, the law is fitted to all others, and its error at the end of the one left out is
  printed (mnat), next to that of the schedule with the nearest share.
- pilots: the law is fitted to the pilots alone; its best share, its saving, and its error over the full runs.
- times: seconds of a fit, and of all resamples.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from shapeflow.ir.edits import Floats
from shapeflow.ir.two_skills import best, errors, relative_cost
from shapeflow.laws.mixing.fitted import Fitted, draws, fit
from shapeflow.laws.mixing.pilots import Trial
from shapeflow.laws.mixing.reasons import doubts
from shapeflow.stages.assess.mixed import FORM

SEEDS_DIFFER, NOISE = 0.010, 0.004
"""Nats; the values of the notes that the tables reproduce."""
FROM, LATE, TO = 320.0, 880.0, 1045.0
"""G: the part of full runs that is fitted and compared, and their late part."""
CONTEXTS = (16, 32, 64, 128, 256)


@attrs.frozen(eq=False)
class Full:
    """A run with its name: all seeds of a schedule have one."""

    name: str
    trial: Trial

    def cut(self, low: float, high: float) -> Trial:
        rows = (self.trial.compute >= low) & (self.trial.compute <= high)
        one = self.trial
        return attrs.evolve(one, data=one.data[rows], error=one.error[rows], compute=one.compute[rows])

    @property
    def share(self) -> float:
        return self.trial.share(self.trial.data.shape[1] - 1)


def runs_of(path: Path) -> list[Full]:
    text = path.read_text()
    bodies = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
    return [_run(body) for body in bodies]


def _run(body: Mapping[str, Any]) -> Full:
    points = body.get("points") or body["pts"]
    data, error, compute = (np.array([one[key] for one in points]) for key in ("n", "E", "C"))
    return Full(body["name"], Trial(f"{body['name']}-{body['seed']}", data, error, compute, body["seed"]))


def two_shapes(runs: Sequence[Full]) -> list[Full]:
    """Runs that use only the shapes of the second and the last-but-two column (contexts 64 and 256)."""
    used = [set(np.flatnonzero(one.trial.data[-1] > 0).tolist()) for one in runs]
    target = runs[0].trial.data.shape[1] - 1
    return [one for one, shapes in zip(runs, used, strict=True) if shapes <= {2, target} and target in shapes]


def fitted(trials: Sequence[Trial]) -> Fitted:
    return fit(trials, trials[0].data.shape[1] - 1, SEEDS_DIFFER, NOISE)


def fitted_to_points(trials: Sequence[Trial]) -> Fitted:
    """With equal weights of all points, and a soft-L1 scale of 10 mnat: many runs of each share need no caution."""
    return fit(trials, trials[0].data.shape[1] - 1, 0.003, NOISE, values=math.inf)


def predicted(found: Fitted, trial: Trial) -> Floats:
    return np.asarray(errors(found.theta[None], trial.data / found.unit, found.kinds)[0])


def schedules(runs: Sequence[Full]) -> Iterator[str]:
    """Rows: a schedule that was left out, the law's mean error late in it, and that of the nearest share."""
    names = list(dict.fromkeys(one.name for one in runs))
    rows = []
    for name in names:
        rest = [one for one in runs if one.name != name]
        trained = [one.cut(FROM - 1, TO) for one in rest]
        own = [one.cut(LATE, TO) for one in runs if one.name == name]
        missed = [_missed(method(trained), own) for method in (fitted_to_points, fitted)]
        rows.append((name, [*missed, _nearest(rest, [one for one in runs if one.name == name])]))
    yield "| left out | law, all points equal | law, as the product weighs runs | nearest share |"
    yield "|---|---|---|---|"
    for name, values in rows:
        yield f"| {name} | {' | '.join(f'{value:+.1f}' for value in values)} |"
    ends = [
        math.sqrt(float(np.mean(np.square(column)))) for column in zip(*[values for _, values in rows], strict=True)
    ]
    yield f"| rms | {' | '.join(f'{value:.1f}' for value in ends)} |"


def _missed(found: Fitted, own: Sequence[Trial]) -> float:
    """The mean error of the law, in mnat."""
    return 1e3 * float(np.mean(np.concatenate([one.error - predicted(found, one) for one in own])))


def _nearest(rest: Sequence[Full], own: Sequence[Full]) -> float:
    """The mean late difference between a schedule and the one with the nearest share, in mnat."""
    grid = np.arange(LATE, TO, 40.0)

    def mean(runs: Sequence[Full]) -> Floats:
        curves = [np.interp(np.log(grid), np.log(one.trial.compute), one.trial.error) for one in runs]
        return np.asarray(np.mean(curves, axis=0))

    other = min(rest, key=lambda one: abs(math.log(one.share / own[0].share)))
    return 1e3 * float(np.mean(mean(own) - mean([one for one in rest if one.name == other.name])))


def pilot_sets(pilots: Sequence[Full], count: int) -> Iterator[tuple[str, Sequence[Full]]]:
    """Each seed alone, and all together."""
    seeds = sorted({one.trial.seed for one in pilots if one.trial.seed is not None})
    for size in range(1, count + 1):
        for chosen in itertools.combinations(seeds, size):
            yield " + ".join(map(str, chosen)), [one for one in pilots if one.trial.seed in chosen]


def pilots_table(pilots: Sequence[Full], full: Sequence[Full], prices: Floats, count: int) -> Iterator[str]:
    """Rows: what each set of pilots says, and how far it is off over the full runs."""
    yield "| seeds of the pilots | window, G | best share | saving | 90% | late rms, mnat | reasons |"
    yield "|---|---|---|---|---|---|---|"
    for name, chosen in pilot_sets(pilots, 2):
        for low, high in ((100, 401), (140, 401), (100, 271)):
            found = fitted([one.cut(low, high) for one in chosen])
            shares, cost = best(found.theta[None], prices, found.kinds)
            theta = draws(found, count)
            form = np.random.default_rng(3).normal(0, FORM, (count, 20))
            saving = 1 - np.exp(np.log(relative_cost(theta, shares[0], prices, found.kinds))[:, None] + form)
            ends = np.quantile(saving, [0.05, 0.95])
            own = np.quantile(best(theta, prices, found.kinds)[0][:, -1], [0.05, 0.95])
            said = "; ".join(one.text for one in doubts(found, prices)[0]) or "none"
            yield (
                f"| {name} | {low} to {high - 1} | {shares[0, -1]:.3f} ({own[0]:.3f} to {own[1]:.3f}) | "
                f"{1 - cost[0]:.3f} | {ends[0]:.2f} to {ends[1]:.2f} | {_late(found, full):.1f} | {said} |"
            )


def _late(found: Fitted, full: Sequence[Full]) -> float:
    """Root mean square over the schedules of the law's mean error late in them, in mnat."""
    by_name: dict[str, list[float]] = {}
    for one in full:
        cut = one.cut(LATE, TO)
        if len(cut.error):
            by_name.setdefault(one.name, []).append(float(np.mean(cut.error - predicted(found, cut))))
    means = [float(np.mean(values)) for values in by_name.values()]
    return 1e3 * math.sqrt(float(np.mean(np.square(means))))


def times(pilots: Sequence[Full], count: int) -> Iterator[str]:
    cut = [one.cut(100, 401) for one in pilots]
    begin = time.perf_counter()
    found = fitted(cut)
    middle = time.perf_counter()
    draws(found, count)
    end = time.perf_counter()
    yield f"{len(cut)} pilots: {middle - begin:.3f} s for the fit, {end - middle:.3f} s for {count} resamples"


def prices_of(contexts: Sequence[int]) -> Floats:
    """Multiplications and additions per token of training, in millions: depth 2, width 64, MLP 192, 256 bytes."""
    return np.array([3 * (2 * (4 * 64 * 64 + 3 * 64 * 192 + 2 * one * 64) + 64 * 256) for one in contexts]) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--pilots", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=200)
    given = parser.parse_args()
    full, pilots = two_shapes([one for one in runs_of(given.runs) if "@" not in one.name]), runs_of(given.pilots)
    full = [one for one in full if ":" not in one.name]
    prices = prices_of(CONTEXTS)
    print("### Schedules left out\n", *schedules(full), sep="\n")
    print("\n### Pilots\n", *pilots_table(pilots, full, prices, given.draws), sep="\n")
    print("\n### Times\n", *times(pilots, given.draws), sep="\n")


if __name__ == "__main__":
    main()
