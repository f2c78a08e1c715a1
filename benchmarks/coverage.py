"""Whether the intervals of fitted laws hold what they promise: how often a nominal 90 % interval holds the truth.

    python benchmarks/coverage.py [--repeats 400] [--resamples 150] [--runs 1] [--exponent own] [--noise 0.7]
        [--method resample]

Three known laws are measured at 48 points each, with noise of 0.3 % that is independent or first-order
autoregressive; three runs share the 48 points and lie apart by 0.1 %. Each measurement is fitted and resampled, and
each resample is asked for what a plan is asked for: the saving against the best fixed shape at an error inside the
data, the compute up to there, the errors at which to switch, and b and c of each law. A cell is the share of
measurements whose interval, the 5th to the 95th percentile of the resamples, holds the truth.

Beside `resample` stands its peer in the same measurements: moving blocks of points (Kuensch 1989), 4 long, or 8 where
residuals are alike by more than 0.5, inside runs drawn whole.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import attrs
import numpy as np
from rich.console import Console
from rich.table import Table

from shapeflow.laws.fitting.resample import Drawn, autocorrelation, resample
from shapeflow.laws.fitting.solver import FitOptions, Fitted, fit_draws, fit_laws
from shapeflow.laws.logs.points import Floats, Points

LAWS = np.array([[4e6, 0.44, 0.42, 3e14], [1.05e7, 0.45, 0.3, 8e14], [2.6e7, 0.46, 0.22, 2.5e15]])
"""Rows (a, b, c, d), in the order in which the cheapest way takes them."""
SHARED = 0.45
"""The exponent of all of them where it is shared."""
SPANS = ((1e15, 1e18), (2e15, 2e18), (5e15, 5e18))
START, TARGET = 1.2, 0.4
POINTS, SIGMA, APART = 48, 3e-3, 1e-3
CELLS = 400
COLUMNS = ("saving", "compute", "switches", "b", "c")
Exponent = Literal["own", "pooled"]


@attrs.frozen
class Setting:
    """What is measured, and how it is fitted."""

    runs: int
    exponent: Exponent
    rho: float

    @property
    def laws(self) -> Floats:
        """The truth: (laws, 4). A shared exponent leaves the middle of each law where it was."""
        if self.exponent == "own":
            return LAWS
        a, b, c, d = LAWS.T
        middle = np.sqrt([low * high for low, high in SPANS]) + d
        return np.stack([a * middle ** (SHARED - b), np.full(len(a), SHARED), c, d], 1)


def measured(setting: Setting, rng: np.random.Generator) -> list[Points]:
    """One measurement of all laws."""
    sets = []
    for (a, b, c, d), span in zip(setting.laws, SPANS, strict=True):
        compute = np.geomspace(*span, POINTS // setting.runs)
        noise = rng.normal(0, SIGMA, (setting.runs, len(compute)))
        for at in range(1, len(compute)):
            noise[:, at] = setting.rho * noise[:, at - 1] + np.sqrt(1 - setting.rho**2) * noise[:, at]
        if setting.runs > 1:
            noise += rng.normal(0, APART, (setting.runs, 1))
        error = (a * (compute + d) ** -b + c) * np.exp(noise)
        run = np.tile(np.arange(setting.runs, dtype=np.intp), len(compute))
        sets.append(Points(np.repeat(compute, setting.runs), error.T.ravel(), run))
    return sets


def blocks(points: Points, law: Fitted, count: int, seed: int) -> Drawn:
    """The peer: how often each point is drawn, in blocks of neighbours inside runs drawn whole."""
    rng = np.random.default_rng(seed)
    residual = np.log((law.a * (points.compute + law.d) ** -law.b + law.c) / points.error)
    block = 8 if autocorrelation(points, residual) > 0.5 else 4
    runs = int(points.run.max()) + 1
    often = rng.multinomial(runs, np.full(runs, 1 / runs), count) if runs > 1 else np.ones((count, 1))
    weight = np.zeros((count, len(points.compute)))
    for run in range(runs):
        own = np.flatnonzero(points.run == run)
        begins = rng.integers(0, len(own), (count, -(-len(own) // block)))
        index = own[((begins[:, :, None] + np.arange(block)) % len(own)).reshape(count, -1)[:, : len(own)]]
        np.add.at(weight, (np.arange(count)[:, None], index), often[:, run, None])
    return Drawn(weight)


def ours(points: Points, law: Fitted, count: int, seed: int) -> Drawn:
    """What `fit` does."""
    return resample(points, law, count, seed, held=law.exponent != "own")[0]


METHODS: dict[str, Callable[[Points, Fitted, int, int], Drawn]] = {"resample": ours, "moving blocks": blocks}


def asked(laws: Floats) -> Floats:
    """What a plan is asked for, of rows (resamples, laws, 4): saving, compute, two switches, b and c of each law.

    The cheapest way takes at each error the law of least |dC/dE|, on a fine grid; compute counts from nothing.
    """
    edges = TARGET - 0.1 + np.geomspace(START - TARGET + 0.1, 0.1, CELLS)
    a, b, c, d = np.moveaxis(laws, -1, 0)[..., None]
    above = edges - c
    with np.errstate(divide="ignore", invalid="ignore"):
        compute = np.where(above > 0, np.exp((np.log(a) - np.log(above)) / b) - d, np.inf)
        rate = np.where(above > 0, -np.log(a * b) - (1 / b + 1) * (np.log(above) - np.log(a)), np.inf)
        piece = np.where(np.isfinite(compute[..., 1:]), np.diff(np.maximum(compute, 0.0)), np.inf)
    entry = np.maximum(np.take_along_axis(compute[..., 0], rate[..., 0].argmin(1)[:, None], 1)[:, 0], 0.0)
    total = entry + piece.min(1).sum(1)
    saving = 1 - total / compute[..., -1].min(1)
    switches = [_switch(edges, rate[:, p] - rate[:, p + 1]) for p in range(laws.shape[1] - 1)]
    return np.stack([saving, total, *switches, *laws[..., 1].T, *laws[..., 2].T], 1)


def _switch(edges: Floats, worse: Floats) -> Floats:
    """The first error from which on the next law is the cheaper one, between the cells of the grid."""
    worse = np.where(np.isnan(worse), 0.0, worse)
    at = np.clip((worse > 0).argmax(1), 1, None)
    rows = np.arange(len(worse))
    before, behind = worse[rows, at - 1], worse[rows, at]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(np.isfinite(behind) & (behind > before), -before / (behind - before), 0.0)
    return np.asarray(edges[at - 1] + np.clip(part, 0.0, 1.0) * (edges[at] - edges[at - 1]))


@attrs.frozen
class Found:
    """How one method did in one setting."""

    held: Floats
    """The share of intervals that hold the truth, for each of `COLUMNS`."""
    width: float
    """Of the saving's interval, in the mean."""
    lost: float
    """The share of resamples in which no law gets to the target."""


def coverage(setting: Setting, methods: Sequence[str], repeats: int, resamples: int) -> Iterator[tuple[str, Found]]:
    """How each method does, by name."""
    options = FitOptions(exponent=setting.exponent)
    truth = asked(setting.laws[None])[0]
    held = {name: np.zeros(len(truth)) for name in methods}
    width, lost = dict.fromkeys(methods, 0.0), dict.fromkeys(methods, 0.0)
    for repeat in range(repeats):
        sets = measured(setting, np.random.default_rng((repeat, setting.runs)))
        fitted = fit_laws(sets, options)
        for name in methods:
            each = enumerate(zip(sets, fitted, strict=True))
            drawn = [METHODS[name](points, law, resamples, 3 * repeat + i) for i, (points, law) in each]
            answers = asked(fit_draws(sets, drawn, fitted, options).swapaxes(0, 1))
            lost[name] += float(np.mean(~np.isfinite(answers[:, 1]))) / repeats
            answers[~np.isfinite(answers[:, 1]), 0] = 0.0
            low, high = np.quantile(answers, [0.05, 0.95], axis=0, method="inverted_cdf")
            held[name] += (low <= truth) & (truth <= high)
            width[name] += float(high[0] - low[0]) / repeats
    groups = ([0], [1], [2, 3], [4, 5, 6], [7, 8, 9])
    for name in methods:
        yield name, Found(np.array([held[name][group].mean() for group in groups]) / repeats, width[name], lost[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=400, help="measurements of each setting")
    parser.add_argument("--resamples", type=int, default=150, help="resamples of each measurement")
    parser.add_argument("--runs", type=int, nargs="*", default=[1, 3], help="runs of each shape")
    parser.add_argument("--exponent", nargs="*", choices=("own", "pooled"), default=["own", "pooled"])
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 0.4, 0.7], help="autocorrelations")
    parser.add_argument("--method", nargs="*", choices=METHODS, default=list(METHODS), help="what draws the resamples")
    given = parser.parse_args()
    table = Table(box=None, padding=(0, 2))
    for name in ("runs", "exponent", "rho", "drawn by"):
        table.add_column(name)
    for name in (*COLUMNS, "width, pp", "lost, %"):
        table.add_column(name, justify="right")
    begun = time.perf_counter()
    for setting in (Setting(r, e, rho) for r in given.runs for e in given.exponent for rho in given.noise):
        for name, found in coverage(setting, given.method, given.repeats, given.resamples):
            table.add_row(
                str(setting.runs), setting.exponent, f"{setting.rho:g}", name, *(f"{x:.3f}" for x in found.held),
                f"{100 * found.width:.2f}", f"{100 * found.lost:.1f}",
            )  # fmt: skip
    Console(highlight=False, width=120).print(table)
    savings = [float(asked(Setting(1, exponent, 0).laws[None])[0, 0]) for exponent in given.exponent]
    print(
        f"\n  true savings {', '.join(f'{100 * saving:.1f} %' for saving in savings)}; standard error of a share "
        f"{np.sqrt(0.09 / given.repeats):.3f}; {time.perf_counter() - begun:.0f} s"
    )


if __name__ == "__main__":
    main()
