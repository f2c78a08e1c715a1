"""Measures the coverage of the intervals of fitted laws: how often a nominal 90 % interval contains the true value.

    python benchmarks/coverage.py [--repeats 400] [--resamples 150] [--runs 1] [--exponent own] [--noise 0.7]
        [--method resample]

Three known laws are sampled at 48 points each, with noise of 0.3 % that is independent or first-order autoregressive.
With three runs, the runs share the 48 points and differ by an additional offset of 0.1 %. Each simulated measurement is
fitted and resampled. From each resample the benchmark computes what a plan reports: the saving over the best fixed
shape at an error inside the data, the compute to reach this error, the errors at which to switch, and b and c of each
law. A cell of the table is the share of measurements whose interval (5th to 95th percentile of the resamples) contains
the true value.

`resample` is compared with a moving-block bootstrap (Kuensch 1989) on the same measurements: whole runs are drawn, and
blocks of 4 points inside them, or of 8 if the autocorrelation of the residuals exceeds 0.5.
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
"""Rows (a, b, c, d), in the order in which the cheapest route uses the laws."""
SHARED = 0.45
"""The exponent of all laws if they share one."""
SPANS = ((1e15, 1e18), (2e15, 2e18), (5e15, 5e18))
START, TARGET = 1.2, 0.4
POINTS, SIGMA, APART = 48, 3e-3, 1e-3
CELLS = 400
COLUMNS = ("saving", "compute", "switches", "b", "c")
Exponent = Literal["own", "pooled"]


@attrs.frozen
class Setting:
    """What is simulated, and how it is fitted."""

    runs: int
    exponent: Exponent
    rho: float

    @property
    def laws(self) -> Floats:
        """The true laws, of shape (laws, 4). With a shared exponent, each law keeps its value at the geometric middle
        of its range."""
        if self.exponent == "own":
            return LAWS
        a, b, c, d = LAWS.T
        middle = np.sqrt([low * high for low, high in SPANS]) + d
        return np.stack([a * middle ** (SHARED - b), np.full(len(a), SHARED), c, d], 1)


def measured(setting: Setting, rng: np.random.Generator) -> list[Points]:
    """One simulated measurement: the points of each law."""
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
    """Moving-block bootstrap, for comparison: how often each point is drawn, in blocks of neighbours inside whole
    runs."""
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
    """The resampling that `fit` uses."""
    return resample(points, law, count, seed, held=law.exponent != "own")[0]


METHODS: dict[str, Callable[[Points, Fitted, int, int], Drawn]] = {"resample": ours, "moving blocks": blocks}


def asked(laws: Floats) -> Floats:
    """The quantities that a plan reports, for laws of shape (resamples, laws, 4): saving, compute, the errors of the
    two switches, b and c of each law.

    The cheapest route uses at each error the law with the smallest |dC/dE|, on a fine grid. Compute is counted from
    scratch.
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
    """The highest error at which the next law becomes cheaper, interpolated between the edges of the grid."""
    worse = np.where(np.isnan(worse), 0.0, worse)
    at = np.clip((worse > 0).argmax(1), 1, None)
    rows = np.arange(len(worse))
    before, behind = worse[rows, at - 1], worse[rows, at]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(np.isfinite(behind) & (behind > before), -before / (behind - before), 0.0)
    return np.asarray(edges[at - 1] + np.clip(part, 0.0, 1.0) * (edges[at] - edges[at - 1]))


@attrs.frozen
class Found:
    """The result of one method in one setting."""

    held: Floats
    """The share of intervals that contain the true value, for each of `COLUMNS`."""
    width: float
    """Mean width of the interval of the saving."""
    lost: float
    """The share of resamples in which no law reaches the target."""


def coverage(setting: Setting, methods: Sequence[str], repeats: int, resamples: int) -> Iterator[tuple[str, Found]]:
    """Yield the name and the result of each method."""
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
