"""`laws from phases(alpha: 1.0, beta: 0.7)`: the exact laws of power-law random features, from theory."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import LawSourceHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.law import Provenance
from shapeflow.ir.route import LawRequest
from shapeflow.ir.tabulated import TabulatedLaw
from shapeflow.laws.random_features.equivalent import Equivalent
from shapeflow.laws.random_features.loss import LossCurve, largest_step, loss_curve
from shapeflow.laws.random_features.problem import STEEPEST, RandomFeatures, outside
from shapeflow.laws.random_features.spectrum import Spectrum
from shapeflow.laws.random_features.table import points

CITATION = "Paquette et al. 2024, arXiv 2405.15074"
RATIO = 4.0


@attrs.frozen
class Phases(LawSourceHooks):
    """The laws of a linear model on random features, trained by one-pass SGD, for any width (Paquette, Paquette, Xiao,
    Pennington 2024, arXiv 2405.15074). They are not fitted to runs and not laws of your model: use them to see how the
    best width, batch and time depend on the data, and to test a plan against a known truth.

    The data has features j = 1 .. v with variance j^(-2 alpha), and the target has the coefficients j^-beta. The model
    sees `width` random combinations of them and trains one parameter for each. The loss is the expected squared error,
    averaged over random features. A step costs batch x width FLOPs, as in the paper.

    `shapeflow phases` shows the phase of alpha and beta, what limits the loss, and the best width of a budget. Needs an
    `axis width` and no model.
    """

    alpha: float = setting("number", help="decay of the data: variances j^(-2 alpha)", example="1.0")
    beta: float = setting("number", help="decay of the target: coefficients j^-beta", example="0.7")
    ratio: float | None = setting(
        "number", default=None, above=1.0, help="features of the data per random feature; 4 by default"
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
    batch: int = setting("number", default=1, low=1, help="samples of one step")

    def __attrs_post_init__(self) -> None:
        wrong = outside(self.alpha, self.beta)
        if wrong is not None:
            raise _outside(wrong, self.alpha, self.beta)
        for one, other in (("ratio", "features"), ("step_times_trace", "step")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                message, help = f"`{one}` has no effect next to `{other}`", f"leave one of them out, such as `{one}`"
                raise EditError("idle-setting", message, why="both determine it", help=help, setting=one)

    def laws(self, request: LawRequest, report: Report) -> Mapping[Shape, TabulatedLaw]:
        """Return the law of each candidate, from the first step on. Empty after an error.

        Errors: foreign-metric, law-of-other-model, width-alone, width-above-features, unstable-step.
        """
        widths = {shape: shape.number("width") for shape in request.candidates if "width" in shape}
        try:
            _check(request)
            # The width that allows the smallest step size comes first, so that its bound is the one reported.
            curves = {width: self.curve(width) for width in sorted(widths.values(), key=self._margin)}
        except EditError as error:
            at = request.spans.get(error.setting, request.spans.get(""))
            report.error(error.code, error.message, at, error.why, notes=error.notes, help=error.help)
            return {}
        return {shape: self._law(width, curves[width], request) for shape, width in widths.items()}

    def model(self, width: float) -> RandomFeatures:
        """The model of a width. Raises EditError `width-above-features`."""
        features = self.features or math.ceil((self.ratio or RATIO) * width)
        if not width < features:
            raise EditError(
                "width-above-features",
                f"a width of {width:g} is not below the {features} features of the data",
                why="the theory needs more features than width",
                help=f"write `features: {math.ceil(RATIO * width)}`, or use narrower models",
                setting="features",
            )
        return RandomFeatures(self.alpha, self.beta, width, features)

    def step_of(self, model: RandomFeatures) -> float:
        """The step size at the model's width."""
        return self.step if self.step is not None else (self.step_times_trace or 1 / (self.batch + 1)) / model.trace

    def steps_of(self, width: float) -> tuple[float, float]:
        """The step size at a width, and that at which SGD diverges. Raises EditError `width-above-features`."""
        step = self.step_of(self.model(width))
        return step, step * self._margin(width)

    def curve(self, width: float) -> LossCurve:
        """The loss over steps at a width. Raises EditError `width-above-features`, `unstable-step`."""
        model = self.model(width)
        step, margin = self.step_of(model), self._margin(width)
        where = f"at width {width:g} and batch {self.batch}"
        if margin <= 1:
            message = f"{where} SGD diverges with a step size of {step:.4g}"
            raise self._unstable(message, f"the largest stable step size is {step * margin:.4g}", 0.9 * margin, model)
        curve = loss_curve(_average(model), step, self.batch, width)
        if curve.floor >= model.start:
            message = f"{where} the loss rises from {model.start:.4g} to {curve.floor:.4g}"
            raise self._unstable(message, f"a step size of {step:.4g} adds more noise than it removes loss", 0.5, model)
        return curve

    def _unstable(self, message: str, why: str, share: float, model: RandomFeatures) -> EditError:
        """The refusal of a step size. `share`: the part of it that the help advises."""
        step, setting = share * self.step_of(model), "step"
        if self.step is None:
            step, setting = step * model.trace, "step_times_trace"
        help = f"write `{setting}: {_below(step)}` or less"
        return EditError("unstable-step", message, why=why, help=help, setting=setting)

    def _margin(self, width: float) -> float:
        """The largest stable step size at a width, divided by the step size. Raises EditError
        `width-above-features`."""
        model = self.model(width)
        return largest_step(_average(model), self.batch) / self.step_of(model)

    def _law(self, width: int, curve: LossCurve, request: LawRequest) -> TabulatedLaw:
        compute, above = points(curve)
        model = self.model(width)
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
                "alpha": self.alpha,
                "beta": self.beta,
                "features": model.features,
                "step": self.step_of(model),
                "batch": self.batch,
            },
        )
        return TabulatedLaw(float(f"{curve.floor:.12g}"), compute, above, about)


@functools.lru_cache(maxsize=256)
def _average(model: RandomFeatures) -> Spectrum:
    """The spectrum on average over random features."""
    return Equivalent.of(model).spectrum()


def _check(request: LawRequest) -> None:
    """Raise EditError for a file that these laws do not describe."""
    if request.metric.partition("@")[0] != "loss":
        message = f"`phases` predicts a squared error, but the metric is `{request.metric}`"
        help = "leave the `metric` sentence out"
        raise EditError("foreign-metric", message, why="laws of a different metric", help=help)
    if request.step_compute is not None:
        raise EditError(
            "law-of-other-model",
            "`phases` has laws of linear models on random features, not of the model in this file",
            why="laws of a different model",
            help='leave `model` out, or fit laws to your runs: `laws from fit("runs/*.csv")`',
        )
    if any(set(shape) != {"width"} for shape in request.candidates):
        axes = ", ".join(f"`{axis}`" for axis in request.units)
        message = f"`phases` has laws over the width alone, but the axes are {axes}"
        help = "write one axis, such as `axis width in [64, 256, 1024] via width_expand`"
        raise EditError("width-alone", message, why="needs `width`, and no other axis", help=help)


def _outside(wrong: str, alpha: float, beta: float) -> EditError:
    """The refusal of exponents, with the nearest ones that the theory covers."""
    message = f"the theory of random features does not cover alpha {alpha:g} and beta {beta:g}: {wrong}"
    if wrong.startswith("2"):
        why = "the variance of the target has no limit for many features"
        help = f"write `alpha: {0.55 - beta:.2g}` or more, or `beta: {0.55 - alpha:.2g}` or more"
        return EditError("outside-theory", message, why=why, help=help, setting="alpha")
    setting = "beta" if 0 < alpha <= STEEPEST else "alpha"
    help = "write `beta: 0` or more" if beta < 0 else f"write a number above 0, at most {STEEPEST:g}"
    return EditError("outside-theory", message, why="outside the theory", help=help, setting=setting)


def _below(value: float) -> str:
    """A number rounded down to three digits."""
    digits = 2 - math.floor(math.log10(value))
    return f"{math.floor(value * 10**digits) / 10**digits:.3g}"
