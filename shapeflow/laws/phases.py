"""`laws from phases(alpha: 1.0, beta: 0.7)`: the exact laws of power-law random features, from theory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from shapeflow.base.bounds import bound
from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.base.threads import one_thread
from shapeflow.ir.components import LawSourceHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.law import Provenance
from shapeflow.ir.random_features import PLAIN_SGD, beyond_plain_sgd
from shapeflow.ir.route import LawRequest, Training
from shapeflow.ir.tabulated import TabulatedLaw
from shapeflow.laws.random_features.loss import LossCurve
from shapeflow.laws.random_features.table import points
from shapeflow.laws.random_features.theory import Theory

FIRST_SEED = 1 << 32
"""The first seed of the random matrices that are drawn for an interval."""
FEWEST = 10
"""Fewest random matrices that show a 90% interval."""
MOST = "SHAPEFLOW_MOST_PRODUCTS"
"""The bound on the products of all matrices: features x (width + `OWN`) squared for each."""
OWN = 30
"""The work for a matrix that does not depend on its width, as an additional width."""
MOST_LAWS = "SHAPEFLOW_MOST_PHASES_LAWS"
"""The bound on the number of candidates."""
CITATION = "Paquette et al. 2024, arXiv 2405.15074"
BY_MODEL = ("alpha", "beta", "ratio", "features", "step", "step_times_trace", "batch")
"""Settings that a file with a model states elsewhere."""


@attrs.frozen
class Phases(LawSourceHooks):
    """The laws of a linear model on random features, trained by one-pass SGD, for any width (Paquette, Paquette, Xiao,
    Pennington 2024, arXiv 2405.15074). They are not fitted to runs and not laws of your model: use them to see how the
    best width, batch and time depend on the data, and to test a plan against a known truth.

    The data has features j = 1 .. v with variance j^(-2 alpha), and the target has the coefficients j^-beta. The model
    sees `width` random combinations of them and trains one parameter for each. The loss is the expected squared error,
    averaged over random features. A step costs batch x width FLOPs, as in the paper.

    Without a `model` in the file, `alpha` and `beta` are needed, and an `axis width`. With the model `random_features`,
    `power_law` data and plain `sgd`, write `laws from phases`: all other settings follow from these, and `batch` may be
    an axis too. `shapeflow phases` shows the phase of alpha and beta, what limits the loss, and the best width of a
    budget."""

    alpha: float | None = setting(
        "number", default=None, help="decay of the data: variances j^(-2 alpha)", example="1.0"
    )
    beta: float | None = setting(
        "number", default=None, help="decay of the target: coefficients j^-beta", example="0.7"
    )
    ratio: float | None = setting(
        "number", default=None, above=1.0, high=10**8, help="features of the data per random feature; 4 by default"
    )
    features: int | None = setting(
        "number", default=None, low=2, help="features of the data, the same for all widths; in place of `ratio`"
    )
    step: float | None = setting(
        "number", default=None, above=0.0, help="the step size of SGD, with gradients summed over the batch"
    )
    step_times_trace: float | None = setting(
        "number",
        default=None,
        above=0.0,
        help="the step size times the summed variance of the features; 1 / (batch + 1) by default",
    )
    batch: int | None = setting("number", default=None, low=1, help="samples of one step; 1 by default")
    matrices: int = setting(
        "number", default=0, low=0, high=400, help="random features to draw: the answer then has an interval over them"
    )
    seed: int | None = setting(
        "number", default=None, low=0, help="the laws of the random features of one seed, not of their average"
    )

    def __attrs_post_init__(self) -> None:
        if self.seed is not None and self.matrices:
            message, help = "`matrices` has no effect next to `seed`", "leave one of them out"
            raise EditError("idle-setting", message, why="the laws are those of one", help=help, setting="matrices")
        if 0 < self.matrices < FEWEST:
            message = f"{self.matrices} random matrices do not show a 90% interval"
            help = f"write `matrices: {2 * FEWEST}`, or leave it out"
            raise EditError(
                "out-of-range", message, why=f"must be 0, or at least {FEWEST}", help=help, setting="matrices"
            )
        if self.alpha is not None and self.beta is not None:
            self.theory()

    def theory(self) -> Theory:
        """The theory with the settings of this source. Raises EditError `missing-setting`, `outside-theory`,
        `idle-setting`."""
        if self.alpha is None or self.beta is None:
            name = "beta" if self.beta is None and self.alpha is not None else "alpha"
            message, help = f"`phases` needs the setting `{name}`", "write `phases(alpha: 1.0, beta: 0.7)`"
            raise EditError("missing-setting", message, why=f"`{name}` is not set", help=help)
        given = {name: value for name, value in attrs.asdict(self).items() if name != "matrices"}
        return Theory(**{**given, "batch": self.batch or 1})

    @one_thread()
    def laws(self, request: LawRequest, report: Report) -> Mapping[Shape, TabulatedLaw]:
        """Return the law of each candidate, from the first step on. Empty after an error.

        Errors: foreign-metric, law-of-other-model, missing-setting, idle-setting, width-alone, width-above-features,
        out-of-range, unstable-step, step-too-small.
        """
        try:
            found = self._asked(request)
            self._check_work(found.values())
            # The shape that allows the smallest step size comes first, so that its bound is the one reported.
            order = sorted(found, key=lambda shape: found[shape][0].margin(found[shape][1]))
            curves = {shape: found[shape][0].curve(found[shape][1]) for shape in order}
        except EditError as error:
            _report(error, request, report)
            return {}
        return {shape: _law(*one, curves[shape], request, shape, self.matrices) for shape, one in found.items()}

    @one_thread()
    def samples(self, request: LawRequest, report: Report) -> Mapping[Shape, tuple[TabulatedLaw, ...]]:
        """The laws of some random matrices, whose seeds no run is likely to have. Empty after an error: unstable-step,
        step-too-small, idle-setting."""
        drawn: dict[Shape, tuple[TabulatedLaw, ...]] = {}
        try:
            for shape, (theory, width) in (self._asked(request) if self.matrices else {}).items():
                seeds = range(FIRST_SEED, FIRST_SEED + self.matrices)
                each = [attrs.evolve(theory, seed=seed) for seed in seeds]
                drawn[shape] = tuple(_law(one, width, one.curve(width), request, shape) for one in each)
        except EditError as error:
            error.notes = (f"so it is for one of the {self.matrices} random matrices, not for their average",)
            _report(error, request, report)
        return drawn

    def _check_work(self, asked: Iterable[tuple[Theory, int]]) -> None:
        """Raise EditError `out-of-range` if the spectra of all random matrices take too long."""
        each = sum(theory.model(width).features * (width + OWN) ** 2 for theory, width in asked)
        drawn, most = self.matrices or int(self.seed is not None), bound(MOST)
        if drawn * each <= most:
            return
        fewer, setting = most // each, "matrices" if self.matrices else "seed"
        help_ = f"write `matrices: {fewer}`" if self.matrices and fewer >= FEWEST else f"leave `{setting}` out"
        raise EditError(
            "out-of-range",
            f"the spectra of {drawn} random matrices for each width take {drawn * each:,} products",
            why=f"at most {most:,} products",
            help=f"{help_}, or set `{MOST}`",
            setting=setting,
        )

    def _asked(self, request: LawRequest) -> dict[Shape, tuple[Theory, int]]:
        """The theory and the width of each candidate. Raises EditError."""
        count, most = len(request.candidates), bound(MOST_LAWS)
        if count > most:
            raise EditError(
                "out-of-range",
                f"`phases` has to compute the laws of {count:,} candidates",
                why=f"at most {most:,} laws",
                help=f"list fewer values on an axis, or set `{MOST_LAWS}`",
            )
        return self._theories(request) if request.training is None else self._trained(request, request.training)

    def _theories(self, request: LawRequest) -> dict[Shape, tuple[Theory, int]]:
        """The theory and the width of each candidate of a file without a model. Raises EditError."""
        _check_metric(request, "loss")
        if any(set(shape) != {"width"} for shape in request.candidates):
            axes = ", ".join(f"`{axis}`" for axis in request.units)
            message = f"`phases` has laws over the width alone, but the axes are {axes}"
            help = "write one axis, such as `axis width in [64, 256, 1024] via width_expand`"
            raise EditError("width-alone", message, why="needs `width`, and no other axis", help=help)
        theory = self.theory()
        return {shape: (theory, shape.number("width")) for shape in request.candidates}

    def _trained(self, request: LawRequest, training: Training) -> dict[Shape, tuple[Theory, int]]:
        """The theory and the width of each candidate of a file that trains random features. Raises EditError."""
        if training.model != "random_features" or training.data != "power_law":
            raise EditError(
                "law-of-other-model",
                "`phases` has laws of linear models on random features, not of the model in this file",
                why="laws of a different model",
                help='leave `model` out, or fit laws to your runs: `laws from fit("runs/*.csv")`',
            )
        given = next((name for name in BY_MODEL if getattr(self, name) is not None), None)
        if given is not None:
            message = f"`{given}` of `phases` has no effect next to a model"
            help = "leave it out: model, data and optimizer determine it"
            raise EditError("idle-setting", message, why="has no effect", help=help, setting=given)
        _check_metric(request, "squared_error")
        _check_plain(training)
        found = {}
        for shape in request.candidates:
            batch = training.batch[shape]
            # The gradient of the mean squared error is 2 / batch times the summed gradient of the theory.
            settings = {name: training.data_settings[name] for name in ("alpha", "beta", "features")}
            step = 2 * training.learning_rate[shape] / batch
            theory = Theory(**settings, step=step, batch=batch, lr=training.optimizer_settings["lr"], seed=self.seed)
            found[shape] = theory, training.sizes[shape]["feature"]
        return found


def _report(error: EditError, request: LawRequest, report: Report) -> None:
    at = request.spans.get(error.setting, request.spans.get(""))
    report.error(error.code, error.message, at, error.why, notes=error.notes, help=error.help)


def _law(
    theory: Theory, width: int, curve: LossCurve, request: LawRequest, shape: Shape, matrices: int = 0
) -> TabulatedLaw:
    """The law of a curve. `matrices`: how many random features were drawn for the interval of the answer."""
    model = theory.model(width)
    compute, above = points(curve, curve.step_compute if request.step_compute is None else request.step_compute[shape])
    about = Provenance(
        source="theory",
        metric=request.metric,
        convention=request.convention,
        data="power-law random features",
        learning_rate="constant",
        citation=CITATION,
        points=len(compute),
        compute=(compute[0], compute[-1]),
        settings={
            "alpha": theory.alpha,
            "beta": theory.beta,
            "features": model.features,
            "step": theory.step_of(model),
            "batch": theory.batch,
            **({} if theory.seed is None else {"seed": theory.seed}),
            **({"matrices": matrices} if matrices else {}),
        },
    )
    return TabulatedLaw(float(f"{curve.floor:.12g}"), compute, above, about)


def _check_metric(request: LawRequest, metric: str) -> None:
    """Raise EditError `foreign-metric` unless the file plans by this metric."""
    if request.metric.partition("@")[0] != metric:
        message = f"`phases` predicts a squared error, but the metric is `{request.metric}`"
        help = "leave the `metric` sentence out"
        raise EditError("foreign-metric", message, why="laws of a different metric", help=help)


def _check_plain(training: Training) -> None:
    """Raise EditError `law-of-other-model` unless the file trains by plain SGD at a constant rate, with the current
    weights."""
    own = training.optimizer_settings
    wrong = beyond_plain_sgd(training.optimizer, own)
    if training.optimizer == "sgd" and own["warmup"] != 0:
        wrong = (*wrong, "warmup")
    if wrong:
        what = ", ".join(f"`{name}`" for name in wrong)
        message = f"`phases` has laws of plain SGD, and the optimizer of the file has {what}"
        if training.optimizer != "sgd":
            message = f"`phases` has laws of plain SGD, and the optimizer of the file is {what}"
        help = f"write `optimizer {PLAIN_SGD}`, with your learning rate"
        raise EditError("law-of-other-model", message, why="laws of a different optimizer", help=help)
