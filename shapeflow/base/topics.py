"""Terms of scaling laws that `shapeflow explain` answers."""

from __future__ import annotations

from collections.abc import Mapping

TOPICS: Mapping[str, str] = {
    "isoflop": "An isoFLOP curve is the loss over the size of models that took the same compute. Its minimum is the "
    "best size for this compute. `shapeflow frontier` fits a parabola to each such slice of at least four"
    " sizes, and compares the minima with those of a joint law.",
    "frontier": "The compute-optimal frontier: for each budget, the size and the number of tokens with the lowest "
    "loss. `shapeflow frontier runs.csv --budget '1 ZFLOPs'` finds them from a table of runs. They hold "
    "for one fixed size; for switching between sizes, compile a plan.",
    "chinchilla": "Two things. A form of law: loss = E + A / N^alpha + B / D^beta for N parameters and D tokens, which "
    '`laws from fit("runs.csv", form: chinchilla)` fits to your runs. And the published constants of that'
    " form: `laws from published(chinchilla)`.",
    "exponent": "b in E = a (C + d)^-b + c: how fast the error falls towards its floor as compute grows. One curve "
    "seldom determines it, so all candidates share one b if there are three or more: `exponent: pooled`. "
    "The exponent of the best size, as in compute^0.5, is another number; `shapeflow frontier` prints it.",
    "floor": "c in E = a (C + d)^-b + c: the error that a shape approaches but never reaches. It is below every "
    "measured error. It trades off against the exponent b, so look at its interval in `shapeflow fit` "
    "before you rely on it.",
    "offset": "d in E = a (C + d)^-b + c, in FLOPs. A negative d is compute that was spent before the curve set in,"
    " as during a warm-up. `offset: nonnegative` forbids it.",
    "intervals": "90% of the laws of the resamples lie within an interval. A resample is the law with new noise, as "
    "strong and as autocorrelated as that of the runs; if every run is one point, whole runs are drawn "
    "again. Intervals do not contain the error of the form of the law: see `shapeflow explain hold-out`.",
    "hold-out": "A part of the data that a fit does not see, to test its extrapolation. Laws over compute: the later "
    "half of log compute. Joint laws: the larger sizes. Laws over ends: the longest third of the runs. "
    "What has too few points is reported as not tested.",
    "convention": "How FLOPs are counted. `flops` counts all matrix products of the model, `paper` the "
    "multiply-accumulates of the blocks only, as Anagnostidis et al. 2024; logs often count 6 x "
    "parameters x tokens. Laws, runs and plans of one file must count alike (`mixed-conventions`).",
    "tokens": "D, the number of training tokens. A joint law takes compute over the compute of a token: that of the"
    " file's model, else 6 x parameters. A table of parameters and tokens has the compute `6 * N * D`.",
    "init": "The fit has no starting values to set: it scans a grid of exponents, solves for the other numbers in"
    " closed form, and descends from the lowest cells. Other optima that are nearly as good are in "
    "`shapeflow fit --json`.",
    "drop": "How far the error falls while the learning rate of a run falls at its end. Runs that were cut at the"
    " fall measure it, and a plan with a `cooldown` predicts it where it is known.",
    "annealed": "The type of laws over the ends of runs that finished their own schedule: `points: ends`. They never "
    "mix with laws of curves at a constant learning rate.",
}
"""Term -> its explanation."""
ALIASES: Mapping[str, str] = {
    "isoflops": "isoflop",
    "holdout": "hold-out",
    "held-out": "hold-out",
    "interval": "intervals",
    "exponents": "exponent",
    "conventions": "convention",
    "compute-optimal": "frontier",
    "ends": "annealed",
    "irreducible": "floor",
}
"""Other word -> the term."""
