"""Write tables of synthetic pilots of a mixture: errors by the two-skill form, computed here by its definition."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

FILE = """
plan "mixture"
model      transformer(depth: 2, width: 64, head_width: 32, mlp_ratio: 3)
data       python_source(batch: 512 tokens)
objective  next_token
optimizer  adamw(lr: 2e-3)
metric     loss(context: longest)
axis context in [16, 64, 256] tokens via context_grow
laws       from mixture("pilots.csv")
traversal  mixture(target: (context: 256 tokens))
budget     2 TFLOPs
"""
SHARES = (1.0, 0.5, 0.1, 0.03)
METRIC = "loss@longest"


@attrs.frozen(kw_only=True)
class Truth:
    """The law that the pilots follow: data in tokens, `unit` of them count as 1."""

    c: float = 1.14
    a: float = 0.4
    b: float = 0.6
    lam: float = 0.014
    k: float = 1.7
    unit: float = 1e6

    def error(self, target: np.ndarray, cheap: np.ndarray) -> np.ndarray:
        u, v = (target + self.k * cheap) / self.unit, target / self.unit
        return np.asarray(self.c + self.a * (u**-self.b + self.lam * v**-self.b))


@attrs.frozen
class Pilot:
    """One pilot: data at each measurement, its errors."""

    name: str
    seed: int
    data: dict[str, np.ndarray]
    compute: np.ndarray
    error: np.ndarray


def pilots(
    truth: Truth | None = None,
    *,
    shares: Sequence[float] = SHARES,
    seeds: Sequence[int] = (0, 1),
    end: float = 0.7e12,
    begin: float = 0.1,
    count: int = 12,
    level: float = 0.008,
    noise: float = 0.003,
    prices: tuple[float, float] = (417_792, 565_248),
    columns: tuple[str, str] = ("context=64", "context=256"),
    random: int = 0,
) -> list[Pilot]:
    """Pilots that end at `end` multiply-adds, of two FLOPs each, measured `count` times from `begin` of
    that. `prices`: of a token at the cheap shape and at the target, in the same unit; `level`, `noise`: standard
    deviations of a run and of a measurement."""
    truth, draw, found = truth or Truth(), np.random.default_rng(random), []
    for seed in seeds:
        for share in shares:
            compute = np.geomspace(begin * end, end, count)
            tokens = compute / ((1 - share) * prices[0] + share * prices[1])
            error = truth.error(tokens * share, tokens * (1 - share))
            error = error + level * draw.normal() + noise * draw.normal(size=count)
            data = {columns[0]: tokens * (1 - share), columns[1]: tokens * share}
            found.append(Pilot(f"{share:g}-seed{seed}", seed, data, 2 * compute, error))
    return found


def write(path: Path, runs: Sequence[Pilot], metric: str = METRIC) -> None:
    """The table that `laws from mixture` reads."""
    columns = list(dict.fromkeys(name for run in runs for name in run.data))
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["run", "seed", "compute", *columns, metric])
        for run in runs:
            zero = np.zeros(len(run.error))
            rows = zip(run.compute, *(run.data.get(name, zero) for name in columns), run.error, strict=True)
            table.writerows([run.name, run.seed, *(f"{value:.8g}" for value in row)] for row in rows)
