"""The loss curve of each width, for data, a rule of the step size and a batch."""

from __future__ import annotations

import functools
import math

import attrs

from shapeflow.ir.edits import EditError
from shapeflow.ir.random_features import random_matrix
from shapeflow.laws.random_features.equivalent import Equivalent
from shapeflow.laws.random_features.loss import LossCurve, largest_step, loss_curve
from shapeflow.laws.random_features.problem import STEEPEST, RandomFeatures, outside
from shapeflow.laws.random_features.spectrum import Spectrum, sampled
from shapeflow.laws.random_features.table import MOST, falls

RATIO = 4.0


@attrs.frozen
class Theory:
    """SGD on random features of any width. Raises EditError `outside-theory`, `idle-setting`."""

    alpha: float
    beta: float
    ratio: float | None = None
    """Features of the data per random feature; None: `RATIO`, unless `features` is given."""
    features: int | None = None
    """Features of the data, the same for all widths."""
    step: float | None = None
    """Step size, with gradients summed over the batch."""
    step_times_trace: float | None = None
    """Step size times the summed variance of the data; None: 1 / (batch + 1), unless `step` is given."""
    batch: int = 1
    lr: float | None = None
    """The learning rate that `step` was computed from: messages then advise another one."""
    seed: int | None = None
    """The random features: those of this seed, or None for the average over all."""

    def __attrs_post_init__(self) -> None:
        wrong = outside(self.alpha, self.beta)
        if wrong is not None:
            raise _outside(wrong, self.alpha, self.beta)
        for one, other in (("ratio", "features"), ("step_times_trace", "step")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                message, help = f"`{one}` has no effect next to `{other}`", f"leave one of them out, such as `{one}`"
                raise EditError("idle-setting", message, why="both determine it", help=help, setting=one)

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
        return step, step * self.margin(width)

    def margin(self, width: float) -> float:
        """The largest stable step size at a width, divided by the step size. Raises EditError
        `width-above-features`."""
        model = self.model(width)
        return largest_step(self._spectrum(model), self.batch) / self.step_of(model)

    def curve(self, width: float) -> LossCurve:
        """The loss over steps at a width. Raises EditError `width-above-features`, `unstable-step`,
        `step-too-small`."""
        model = self.model(width)
        step, margin = self.step_of(model), self.margin(width)
        where = f"at width {width:g} and batch {self.batch}"
        if margin <= 1:
            given = "" if self.lr is None else f"`lr: {self.lr:g}`, "
            message = f"{where} SGD diverges with {given}a step size of {step:.4g}"
            raise self._unstable(message, f"the largest stable step size is {step * margin:.4g}", 0.9 * margin, model)
        curve = loss_curve(self._spectrum(model), step, self.batch, width)
        if curve.floor >= model.start:
            message = f"{where} the loss rises from {model.start:.4g} to {curve.floor:.4g}"
            raise self._unstable(message, f"a step size of {step:.4g} adds more noise than it removes loss", 0.5, model)
        if not falls(curve):
            message = f"{where} the loss does not fall within {MOST:g} steps"
            setting, help = self._advised(0.1 * margin, model)
            why = f"a step size of {step:.4g} changes nothing"
            raise EditError("step-too-small", message, why=why, help=help, setting=setting)
        return curve

    def _spectrum(self, model: RandomFeatures) -> Spectrum:
        return _average(model) if self.seed is None else _own(model, self.seed)

    def _unstable(self, message: str, why: str, share: float, model: RandomFeatures) -> EditError:
        setting, help = self._advised(share, model)
        return EditError("unstable-step", message, why=why, help=f"{help} or less", setting=setting)

    def _advised(self, share: float, model: RandomFeatures) -> tuple[str, str]:
        """The setting that gives the step size, and the advice to write a share of it."""
        step, setting = share * self.step_of(model), "step"
        if self.lr is not None:
            step, setting = share * self.lr, "lr"
        elif self.step is None:
            step, setting = step * model.trace, "step_times_trace"
        return setting, f"write `{setting}: {_below(step)}`"


@functools.lru_cache(maxsize=256)
def _average(model: RandomFeatures) -> Spectrum:
    """The spectrum on average over random features."""
    return Equivalent.of(model).spectrum()


@functools.lru_cache(maxsize=256)
def _own(model: RandomFeatures, seed: int) -> Spectrum:
    """The spectrum of the random features of a seed."""
    return sampled(model, random_matrix(seed, model.features, int(model.width)))


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
