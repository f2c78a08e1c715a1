"""Terms of scaling laws that `shapeflow explain` answers."""

from __future__ import annotations

from collections.abc import Mapping

TOPICS: Mapping[str, str] = {
    "isoflop": "An isoFLOP curve is the loss over the size of models that took the same compute. Its minimum is the "
    "best size for this compute. `shapeflow frontier runs.csv` fits a parabola to each such slice of at least four "
    "sizes, and compares the minima with those of a joint law. `shapeflow frontier FILE.shape --plot isoflop.png` "
    "draws these curves for the candidates of a file.",
    "frontier": "The compute-optimal frontier: for each budget, the size and the number of tokens with the lowest "
    "loss. `shapeflow frontier runs.csv --budget '1 ZFLOPs'` finds them from a table of runs, for one fixed size. "
    "`shapeflow frontier FILE.shape --plot frontier.png` compares, for each budget, the best fixed shape with the best "
    "schedule over the candidates: their errors, and the ratio of compute at equal error.",
    "chinchilla": "Two things. A form of law: loss = E + A / N^alpha + B / D^beta for N parameters and D tokens, which "
    '`laws from fit("runs.csv", form: chinchilla)` and `shapeflow frontier runs.csv` fit to your runs. And the '
    "published constants of that form, of Hoffmann et al. 2022: `laws from published(chinchilla)`. Its rule of thumb "
    "of 20 tokens per parameter holds for their data; yours may differ by a factor of several.",
    "kaplan": "Kaplan et al. 2020: loss = (N_c / N)^alpha_N + (S_c / S)^alpha_S for N parameters without embeddings "
    "and S steps. They found that the best size grows as compute^0.73, and Hoffmann et al. 2022 about compute^0.5. "
    "Parameters and compute that were left out at small sizes, and warm-ups too long for short runs, explain most of "
    "that (Pearce and Song 2024, Porian et al. 2024). `laws from published(kaplan)` uses their constants.",
    "6nd": "The compute of training, 6 x parameters x tokens: two FLOPs for each parameter and token in the forward "
    "pass, four in the backward pass. It leaves out attention over the context. A table of N and D is read so: "
    '`compute: "6 * N * D"`. A file with a model counts its own matrix products instead; see '
    "`shapeflow explain convention`.",
    "exponent": "b in E = a (C + d)^-b + c: how fast the error falls towards its floor as compute grows. One curve "
    "seldom determines it, so all candidates share one b if there are three or more: `exponent: pooled`. In a joint "
    "law, alpha is the exponent of size and beta that of tokens. The exponents of the best size and of its tokens, as "
    "in compute^0.5, are other numbers; `shapeflow frontier` prints both with their intervals.",
    "floor": "c in E = a (C + d)^-b + c: the error that a shape approaches but never reaches. It is below every "
    "measured error. It trades off against the exponent b, so look at its interval in `shapeflow fit` before you rely "
    "on it. In a joint law the floor of a size is E + A / N^alpha, and E alone that of any size.",
    "offset": "d in E = a (C + d)^-b + c, in FLOPs. A negative d is compute that was spent before the curve set in, "
    "as during a warm-up; a positive one shifts the start of the law. `offset: nonnegative` forbids a negative d. "
    "Joint laws and laws over ends have no offset.",
    "intervals": "90% of the laws of the resamples lie within an interval. A resample is the law with new noise, as "
    "strong and as autocorrelated as that of the runs; if every run is one point, whole runs are drawn again. "
    "`resamples` sets their number. Intervals do not contain the error of the form of the law: see "
    "`shapeflow explain hold-out`. Whether a plan pays is counted over draws of whole curves instead, which do.",
    "hold-out": "A part of the data that a fit does not see, to test its extrapolation. Laws over compute: the later "
    "half of log compute. Joint laws: the larger sizes. Laws over ends: the longest third of the runs. "
    "`shapeflow fit` prints the mean error there, and for curves the predicted over the actual compute. "
    "What has too few points is reported as not tested.",
    "convention": "How FLOPs are counted. `flops` counts all matrix products of the model, `paper` the "
    "multiply-accumulates of the blocks only, as Anagnostidis et al. 2024; logs often count 6 x parameters x tokens. "
    "Laws, runs and plans of one file must count alike (`mixed-conventions`). `convention` is a setting of the model.",
    "tokens": "D, the number of training tokens. A joint law takes compute over the compute of a token: that of the "
    "file's model, else 6 x parameters. A table of parameters and tokens has the compute `6 * N * D`. A log that "
    'counts tokens and no steps is read by `step: "tokens", step_unit: 1 tokens`; a budget may be in tokens.',
    "epochs": "Passes over the training data. A budget may be in epochs if the size of the data is known: "
    '`budget 3 epochs`. A log that counts epochs is read by their length: `step: "epoch", step_unit: 40 steps`. '
    "Laws count compute, and take every token as new: data that is repeated more than about four times teaches less "
    "(Muennighoff et al. 2023), so fit laws to runs that repeat it as often as the plan does.",
    "mup": "Maximal update parametrization (Yang et al. 2022): the learning rate of matrices whose inputs grow with "
    "the width falls as 1 / width, so that a rate tuned at a small width holds at a large one. "
    "`width_expand(lr: mup, tuned_at: 192)` does this for Adam. Runs of a width ladder that each have a tuned rate, by "
    "either way, lie on one law; runs with one rate for all widths may not.",
    "init": "The fit has no starting values to set: it scans a grid of exponents, solves for the other numbers in "
    "closed form, and descends from the lowest cells. Other optima that are nearly as good are in "
    "`shapeflow fit --json`. The initial values of the new channels after a switch are a setting of the transition: "
    "`shapeflow explain width_expand`.",
    "ends": "The last points of runs that each finished their own learning rate schedule. They lie on one law, "
    'although their curves do not: `laws from fit("runs.csv", points: ends)`. Each shape needs runs of three '
    'lengths. Where a row is a whole run, as in a table of W&B runs, name a column that differs: `run: "Name"`. The '
    "laws are of the type `annealed`.",
    "drop": "How far the error falls while the learning rate of a run falls at its end. Runs that were cut at the"
    " fall measure it, and a plan with a `cooldown` predicts it where it is known.",
    "learning rate": "Laws over compute need runs at a constant learning rate after the warm-up: an early point of "
    "a run whose rate falls has a higher error than a shorter run would reach, so such laws are "
    "refused (`falling-rate`). A run that is constant and then falls is cut where it falls. Runs "
    "that each finished their own schedule give laws over their ends: `points: ends`. `rate` "
    "names the column of a log; where no log shows the rate, `learning_rate: constant` states it. "
    "For a plan, the rate is `lr` of the optimizer, and `schedule` or `cooldown` lower it.",
    "cosine": "A learning rate that falls over the whole run along half a cosine: `schedule cosine`. Its "
    "early points do not show what shorter runs reach, so no law is fitted along such a run "
    "(`falling-rate`). If several runs of a shape, of different lengths, each finished their own "
    "cosine, fit their ends: `points: ends`.",
    "wsd": "Warmup, stable, decay: a constant learning rate that falls at the end alone. `cooldown 20%` "
    "plans it. A log of such a run is cut where the rate falls: its constant part gives the law "
    "over compute, its end the `drop`. The ends of runs of several lengths give laws over ends: "
    "`points: ends`.",
    "annealed": "The type of laws over the ends of runs that finished their own schedule: `points: ends`. They never "
    "mix with laws of curves at a constant learning rate.",
}
"""Term -> its explanation."""
ALIASES: Mapping[str, str] = {
    "lr": "learning rate",
    "constant": "learning rate",
    "decay": "learning rate",
    "falling": "learning rate",
    "warmup": "learning rate",
    "annealing": "annealed",
    "anneal": "annealed",
    "e": "floor",
    "c": "floor",
    "a": "chinchilla",
    "b": "exponent",
    "d": "offset",
    "n": "chinchilla",
    "parameters": "chinchilla",
    "size": "chinchilla",
    "asymptote": "floor",
    "entropy": "floor",
    "resamples": "intervals",
    "resampling": "intervals",
    "uncertainty": "intervals",
    "error-bars": "intervals",
    "extrapolation": "hold-out",
    "test": "hold-out",
    "flops": "convention",
    "compute": "convention",
    "parabola": "isoflop",
    "isoflop-curves": "isoflop",
    "token": "tokens",
    "starting-values": "init",
    "initialisation": "init",
    "initial": "init",
    "joint": "chinchilla",
    "stable": "wsd",
    "cooldowns": "wsd",
    "isoflops": "isoflop",
    "holdout": "hold-out",
    "held-out": "hold-out",
    "interval": "intervals",
    "exponents": "exponent",
    "conventions": "convention",
    "compute-optimal": "frontier",
    "optimal": "frontier",
    "scheduled": "frontier",
    "hoffmann": "chinchilla",
    "6n": "6nd",
    "epoch": "epochs",
    "end": "ends",
    "maximal-update": "mup",
    "irreducible": "floor",
    "alpha": "exponent",
    "beta": "exponent",
    "bootstrap": "intervals",
    "confidence": "intervals",
    "initialization": "init",
}
"""Other word -> the term."""
