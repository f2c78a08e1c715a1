"""What the name of a column says, in the vocabulary of trainers.

Names are compared by their words: `optim/learning_rate_group0`, `lr-AdamW/pg1` and `LanguageCrossEntropy` are split at
marks, at capitals and before numbers. `role_of` asks the rules of `RULES` in order.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Literal

from shapeflow.laws.logs.finding.multiples import PREFIXES, multiple, of_data, of_flops

Role = Literal[
    "compute", "error", "step", "epochs", "samples", "run", "axis", "learning rate", "parameters", "tokens", "accuracy",
    "time", "rate", "",
]  # fmt: skip
"""The role of a column; empty: unknown, or not used by a fit."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")
_BARE_FLOPS = re.compile(
    r"(?:(?:total|train|training|cumulative|cum)_)*(|[kmgtpez]|mega|giga|tera|peta|exa|zetta)(flops?|flos|macs?|compute)"
    r"(?:_(?:total|so_far|no_emb|non_embedding))?"
)
_WORD_FLOPS = re.compile(r"(?<![a-z0-9])(|[kmgtpez]|mega|giga|tera|peta|exa|zetta)(flops|flos)(?![a-z0-9])")
_DAYS = re.compile(
    r"(?<![a-z0-9])(?:pf|pflops?|petaflops?)(?:/s|ps|[ _]per[ _]sec(?:ond)?|[ _]s)?[ _-]*days?(?![a-z0-9])"
)
"""Petaflop/s-days, the unit of compute of some papers: `pf_days`."""
DAY = 86400.0
_POWER_END = re.compile(r"_(?:x_?)?(?:1e_?|10_|e_?)\d+$")
_LETTER = re.compile(r"([NDC])(?:_([A-Za-z]{1,2}|(?:1e|e|10\^)\+?\d+)| ?[(\[]([^)\]]{1,12})[)\]]| x ?(\S+))?")
LEAST_MULTIPLE = 1e9
"""A letter `C` with a multiple of this or more counts FLOPs."""
_LOGARITHM = re.compile(r"(?:^|_)(?:log(?:2|10|e)?|ln|lg)(?:_|$)")
_ERROR = {"loss", "err", "error", "ce", "nll", "bpb", "bpc", "xent", "crossentropy"}
_DERIVED = {
    "sum", "diff", "difference", "delta", "gap", "change", "count", "var", "variance", "std", "se", "stderr", "sem",
    "slope", "improvement", "scaled",
}  # fmt: skip
"""Words of what is derived from an error and is none."""
_NOT_ERROR = {"scale", "scaler", "aux", "balance", "balancing", "router", "zloss", "z", "ppl", "perplexity"} | _DERIVED
_GOOD = re.compile(r"acc\d?|accuracy|top|precision|recall|miou|iou|f|auc|bleu")
_HELD_OUT = re.compile(r"(val|eval|valid|validation|validate|test|held|heldout|dev|evaluation)")
_SHARE = {"err", "error"}
_STEPS = {"step", "steps", "iteration", "iterations", "iter", "iters", "it", "update", "updates"}
_OF_UPDATES = {
    "global", "train", "training", "trainer", "optimizer", "optim", "optimiser", "opt", "gradient", "grad", "sgd",
    "weight", "parameter", "current", "curr", "cur", "total", "max", "n", "num", "number", "completed", "done", "all",
    "warmup", "cumulative", "cum", "mean", "avg", "last", "final", "batch", "learner", "lr", "run", "base", "min",
    "init", "initial", "peak", "accumulation", "every", "progress", "idx", "index", "count",
}  # fmt: skip
"""Words next to `step` that leave it a step of the optimizer. With others (`eval_step`, `env_steps`, `micro_step`), the
name does not say so."""
_TIMES = {
    "seconds", "sec", "secs", "s", "ms", "time", "hours", "hour", "hrs", "minutes", "wall", "timestamp", "runtime",
    "elapsed", "duration", "dt", "gpuhours", "eta", "latency", "day", "days", "weeks", "mins", "walltime",
}  # fmt: skip
_SPENT = {"clock", "total", "train", "training", "cumulative", "cum", "run", "since", "start", "spent"}
"""Words of a duration, in addition to those of times."""
_PER = {"per", "tps", "mfu", "hfu", "throughput", "speed", "rate", "sps", "qps", "utilization", "utilisation"}
_SAMPLES = {
    "sample", "samples", "example", "examples", "image", "images", "img", "imgs", "sequence", "sequences", "seq",
    "seqs",
}  # fmt: skip
_TOKENS = {"token", "tokens", "tok", "toks", "ntok", "ntoks", "ntokens"}
_DATA = {*_TOKENS, "param", "params", "nparams", "parameter", "parameters"}
_NOT_SPENT = {
    "remaining", "left", "togo", "padded", "padding", "pad", "ignored", "masked", "dropped", "skipped", "saved",
    "wasted", "unique", "vocab", "generated", "prompt", "completion", "special",
}  # fmt: skip
"""Words of amounts that are not those of the training so far: `tokens_remaining`."""
_BYTES = {
    "byte", "bytes", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "memory", "mem", "disk", "storage", "vram", "bits",
}  # fmt: skip
"""Words of the memory that a model takes."""
_SO_FAR = {
    "done", "seen", "completed", "finished", "so", "far", "processed", "consumed", "passed", "idx", "index", "num",
    "number", "count", "current",
}  # fmt: skip
"""Words after `epochs` that leave it a number of epochs."""
_AMOUNT = {"total", "cumulative", "cum", "consumed", "seen", "processed"}
_SETTING = {"total", "max", "num", "warmup", "peak", "base", "min", "init", "initial", "accumulation", "final", "every"}
"""Words of a setting of the run rather than of its progress, unless the values rise."""
_NEVER = {
    "grad", "gradient", "norm", "throughput", "util", "mem", "memory", "temp", "temperature", "weight", "decay",
    "gnorm", "momentum", "beta", "mfu", "gpu", "cpu", "clip",
}  # fmt: skip
_RATE_WORDS = {"lr", "lrm", "lrs", "lrate", "learnrate"}
_MAY_BE_RATE = {
    ("eta",), ("step", "size"), ("stepsize",), ("alpha",), ("opt", "rate"), ("optim", "rate"), ("schedule",),
    ("scheduler",), ("sched",), ("annealing",), ("anneal",), ("decay", "factor"), ("decay", "mult"),
}  # fmt: skip
_COULD_BE_RATE = {("eta",), ("rate",), ("alpha",), ("gamma",), ("decay",), ("step",), ("size",), ("factor",), ("mult",)}
"""Names of a learning rate, or of much else: only a column that falls as one does is one."""
_OF_NOW = {
    "t", "now", "cur", "current", "curr", "last", "train", "training", "opt", "optim", "optimizer", "optimiser", "adam",
    "adamw", "sgd", "muon", "group", "pg", "g", "n", "k", "i", "it", "effective", "eff", "global",
}  # fmt: skip
_SCHEDULES = {"schedule", "scheduler", "sched", "anneal", "annealing", "cosine", "warmup"}
_FACTORS = {
    "factor", "value", "mult", "multiplier", "scale", "coef", "coeff", "ratio", "lambda", "eta", "weight", "scaling",
    "multiple", "frac", "fraction",
}  # fmt: skip
"""Words that call a learning rate, or something else: the values decide."""
_LEARNING = re.compile(r"(?:^| )learn(?:ing|er|ed)? ?r(?:ate)?s?(?: |$)")
_AT = {"step", "steps"}
_NOT_RATE = {"loss", "time", "norm", "grad"} | _AT
PARAMETERS = re.compile(
    r"((n|num|number_of|total|model|trainable|active|non_emb(ed(ding)?)?|nonemb(ed(ding)?)?)_?)*"
    r"(params?|parameters?|model_size)(_(?!norm|groups?$|std|mean).*)?"
)
CONFIGURATION = re.compile(r"^(?:(?:config|cfg|args|hparams|hp|params|model|arch|conf)_)+")
"""What trackers put before the names of settings, in plain names: `config.n_embd`, `args/model.d_model`."""
RUNS = ("run_id", "id", "name", "uuid", "experiment", "trial", "schedule", "record", "model", "tag", "run_uuid")
"""Columns that may separate runs, in addition to those that a fit uses by default."""


_ROW_NUMBER = re.compile(
    r"(?:unnamed|index|idx|row|line|record|entry|nr|no)?(?:_?(?:number|num|no|id|index|idx|\d++))*"
)


def numbers_rows(name: str) -> bool:
    """Whether a column of this name may number the rows of a table, as the index that pandas writes does, which has no
    name: `Unnamed: 0`, `index`, `row_id`."""
    return _ROW_NUMBER.fullmatch(plain(name)) is not None


def plain(name: str) -> str:
    """A name in lower case with underscores between its words; the group before a slash is removed."""
    return re.sub(r"[^a-z0-9@]+", "_", name.rpartition("/")[2].lower()).strip("_")


_OTHER_LETTERS = {"η": "eta", "学习率": "learning rate", "损失": "loss", "步": "step"}


@functools.lru_cache(100_000)
def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, including the group before a slash. Numbers at the end of words are
    dropped."""
    for letters, meaning in _OTHER_LETTERS.items() if not name.isascii() else ():
        name = name.replace(letters, f" {meaning} ")
    parts = re.split(r"[^A-Za-z0-9]+", _CAMEL.sub(" ", name))
    return tuple(bare.lower() for part in parts if (bare := part.rstrip("0123456789")))


def _has(name: str, some: set[str]) -> bool:
    return not some.isdisjoint(words(name))


def _slashed(name: str) -> str:
    """The words around a slash that means `per`: `tok/sec`."""
    return plain(name) if name.count("/") == 1 else ""


def is_rate_of(name: str) -> bool:
    """Whether this is an amount per time or a share of a peak, never an amount."""
    if _slashed(name) in ("s", "sec", "second", "hour") or re.search(r"_s$|/s$", name.lower()):
        return True
    parts = words(name)
    if "throughput" in parts and not _AMOUNT.isdisjoint(parts):
        return "per" in parts
    return not _PER.isdisjoint(parts)


def rate_in(names: Sequence[str]) -> str | None:
    """Return the factor of a product that is an amount per time, unless another one is a duration; else None."""
    return None if any(map(is_duration, names)) else next((name for name in names if is_rate_of(name)), None)


def is_apart(name: str) -> bool:
    """Whether this is an amount by its words that a training has not spent: `eval_tokens` and `tokens_remaining`."""
    return is_held_out(name) or _has(name, _NOT_SPENT)


def is_duration(name: str) -> bool:
    """Whether this is a time and nothing else: `elapsed_s`, and not `tokens_s`."""
    return _has(name, _TIMES) and set(words(name)) <= _TIMES | _SPENT


def is_learning_rate(name: str) -> bool:
    """Whether the words hold `lr` or `learning rate`, and nothing that has a rate of its own."""
    text = " ".join(words(name))
    named = _has(name, _RATE_WORDS) or _LEARNING.search(text) is not None
    return named and not _has(name, _NOT_RATE)


def may_be_learning_rate(name: str) -> bool:
    """Whether a column of this name may be a learning rate or something else: `eta`, `sched_mult` and `step_lr`."""
    parts = words(re.split(r"[/.]", name)[-1])
    factor = parts[-1:] != () and parts[-1] in _FACTORS and not _SCHEDULES.isdisjoint(parts)
    at_step = (
        _has(name, _RATE_WORDS) and _has(name, {"step", "steps"}) and not _has(name, _NOT_RATE - {"step", "steps"})
    )
    return factor or at_step or parts in _MAY_BE_RATE or parts[-2:] in _MAY_BE_RATE


def could_be_learning_rate(name: str) -> bool:
    """Whether a column of this name is a learning rate if its values fall as one does: `eta_t`, `rate`, `alpha_t`."""
    return tuple(part for part in words(name) if part not in _OF_NOW) in _COULD_BE_RATE


def is_setting(name: str) -> bool:
    """Whether a name is that of a setting of the run, such as `peak_lr` or `total_steps`."""
    return _has(name, _SETTING)


def flops_of(name: str) -> float | None:
    """FLOPs per unit of a column whose name says that it counts compute; None for other names. `C_no_emb` and `C` are
    known by their values only."""
    if _DAYS.search(name.lower()):
        return 1e15 * DAY
    letter = letter_of(name)
    if letter is not None and letter[0] == "C" and letter[1] >= LEAST_MULTIPLE:
        return letter[1]
    # `compute_e18`
    bare = _POWER_END.sub("", plain(name))
    found = _BARE_FLOPS.fullmatch(bare) or _WORD_FLOPS.search(plain(name))
    if found is None or _has(name, {"forward", "fwd", "inference"}) or is_rate_of(name) or is_apart(name):
        return None
    known = [part for part in words(name) if part not in _AMOUNT | _SO_FAR]
    return PREFIXES[found[1][:1]] * (2.0 if found[2].startswith("mac") else 1.0) * of_flops(name, known)


def letter_of(name: str) -> tuple[str, float] | None:
    """The letter of papers on scaling laws in a name, and its multiple: `N`, `D (B)`, `C_1e18`; None for others."""
    found = _LETTER.fullmatch(name.strip())
    return None if found is None else (found[1], multiple(found[2] or found[3] or found[4] or ""))


def may_be_flops_per_second(name: str) -> bool:
    """Whether trainers also log FLOPs per second by such a name: `tflops`, and not `total_tflops`."""
    found = _WORD_FLOPS.search(plain(name))
    return found is not None and bool(found[1]) and not _has(name, _AMOUNT)


def count_of(name: str) -> float:
    """The number that one unit of a column of tokens, samples or parameters stands for: 1e9 for `tokens_b`."""
    if (letter := letter_of(name)) is not None:
        return letter[1]
    # `tokens_seen_k`
    known = [part for part in words(name) if part not in _AMOUNT | _SO_FAR]
    joined = [PREFIXES[part[0]] if part[0] != "b" else 1e9 for part in known if _is_multiple(part)]
    # `model_size_m`
    sized = "size" if "model" in known else ""
    return next(iter(joined), of_data(name, known, lambda part: _is_data(part) or part == sized))


def is_logarithm(name: str) -> bool:
    """Whether this is the logarithm of a number by its name: `log10_flops`."""
    return _LOGARITHM.search(plain(re.split(r"[/.]", name)[-1])) is not None


def _is_data(word: str) -> bool:
    return word in _DATA or word in _SAMPLES


def _is_multiple(word: str) -> bool:
    """Whether this is a word of data after the letter of a multiple: `mtokens`, `kimg`."""
    return word[:1] in ("k", "m", "b", "t") and (word[1:] == "tokens" or word[1:] in _SAMPLES) and word not in _SAMPLES


def is_tokens(name: str) -> bool:
    """Whether this counts tokens: `tokens`, `consumed tokens`, `time/token`, `throughput/total_tokens`."""
    joined = any(part.endswith("tokens") and _is_multiple(part) for part in words(name))
    return (_has(name, _TOKENS) or joined) and not is_rate_of(name) and not is_apart(name)


def is_samples(name: str) -> bool:
    """Whether this counts samples: `consumed samples`, `time/sample`, `images_seen`, `kimg`."""
    parts = words(name)
    named = any(part in _SAMPLES or (_is_multiple(part) and "token" not in part) for part in parts)
    return named and parts[-1] not in ("len", "length", "size") and not is_rate_of(name) and not is_apart(name)


def is_epochs(name: str) -> bool:
    """Whether this counts epochs."""
    parts = [part for part in words(name) if part not in _SO_FAR]
    return parts[-1:] in (["epoch"], ["epochs"]) and not is_rate_of(name) and not _has(name, _NOT_SPENT)


def is_step(name: str) -> bool:
    """Whether this counts updates of the optimizer: `global_step`, `iter_num`, `time/batch`, `current_steps`."""
    parts = [part for part in words(name) if part not in ("num", "idx", "index", "count", "number")]
    named = bool(parts) and (parts[-1] in _STEPS or parts == ["time", "batch"]) and not is_rate_of(name)
    return named and not counts_otherwise(name)


def counts_otherwise(name: str) -> bool:
    """Whether this counts other steps than those of the optimizer, as far as it says: `micro_step`, `env_steps`."""
    return not set(words(re.split(r"[/.]", name)[-1])) <= _OF_UPDATES | _STEPS


def is_time(name: str) -> bool:
    """Whether this is the name of a time."""
    counts = is_tokens(name) or is_samples(name) or is_epochs(name) or words(name) == ("time", "batch")
    return _has(name, _TIMES) and not counts


def is_held_out(name: str) -> bool:
    """Whether this is the name of a value measured on held-out data."""
    return any(_HELD_OUT.fullmatch(word) for word in words(name))


def is_training(name: str) -> bool:
    """Whether this is the name of a value measured on the training data."""
    return _has(name, {"train", "training"})


def is_parameters(name: str) -> bool:
    """Whether this is a number of parameters of a model."""
    ends = (plain(name), setting(name))
    return not _has(name, _BYTES) and any(PARAMETERS.fullmatch(end) for end in ends)


def setting(name: str) -> str:
    """A plain name without what trackers put before the names of settings: `world_size` for `config/world_size`."""
    return CONFIGURATION.sub("", plain(name))


def is_active(name: str) -> bool:
    """Whether this counts the parameters that a token passes through, in a mixture of experts."""
    return _has(name, {"active", "activated"})


def may_be_error(name: str) -> bool:
    """Whether a column of this name may be an error if its values fall during runs."""
    return not _has(name, _NEVER | _DERIVED) and not is_perplexity(name)


def is_error(name: str) -> bool:
    """Whether this is the name of a value where lower is better."""
    crossed = "cross entropy" in " ".join(words(name)) or "bits per" in " ".join(words(name))
    return (_has(name, _ERROR) or crossed) and not _has(name, _NOT_ERROR) and not _has(name, _NEVER)


SCALED = "`{}` is the loss times the scale of mixed precision"
"""What is said of a loss that was scaled."""


def is_scaled(name: str) -> bool:
    """Whether this is a loss that was scaled for mixed precision: `scaled_loss`."""
    return _has(name, {"scaled"}) and _has(name, _ERROR)


def is_perplexity(name: str) -> bool:
    """Whether this is the name of a perplexity, whose natural logarithm is the loss."""
    return _has(name, {"ppl", "perplexity"}) and not {"log", "ln"} & set(words(name))


UNITS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("bits_per_byte", re.compile(r"\bbpb\b|\bbits? per byte\b")),
    ("bits_per_character", re.compile(r"\bbpc\b|\bbits? per char(?:acter)?\b")),
    ("bits_per_token", re.compile(r"\bbpt\b|\bbits?\b|\bbpw\b|\blog2\b")),
    ("nats", re.compile(r"\bnats?\b")),
)
"""Unit of an error -> what states it in the words of a name."""


def unit_of(name: str) -> str | None:
    """The unit of an error that its name states: `val_bpb` is in bits per byte. None: it states none."""
    said = " ".join(words(name))
    return next((unit for unit, pattern in UNITS if pattern.search(said)), None)


def is_share(name: str) -> bool:
    """Whether an error of this name is a share of wrong answers."""
    return _has(name, _SHARE)


def is_good(name: str) -> bool:
    """Whether this is the name of a value where higher is better."""
    return any(_GOOD.fullmatch(word) for word in words(name))


RULES: tuple[tuple[Role, Callable[[str], bool]], ...] = (
    ("learning rate", is_learning_rate),
    ("compute", lambda name: flops_of(name) is not None),
    ("error", is_error),
    ("accuracy", is_good),
    ("rate", is_rate_of),
    ("parameters", is_parameters),
    ("tokens", is_tokens),
    ("samples", is_samples),
    ("epochs", is_epochs),
    ("time", is_time),
    ("step", is_step),
)
"""Role of a column of numbers -> whether a name says so. The first that does decides."""


@functools.lru_cache(100_000)
def role_of(name: str) -> Role:
    """The role that the name of a column of numbers says; empty if it says none."""
    return next((role for role, says in RULES if says(name)), "")
