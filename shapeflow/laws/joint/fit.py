"""From measurements at several sizes to a joint law, with resampled intervals and a hold-out test over size."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.base.shapes import Shape
from shapeflow.ir.joint import JointLaw, PerToken, SizeHoldOut
from shapeflow.ir.law import Law, Provenance, Resampling
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.fitting.resample import Noise, intervals, lay, noise_of
from shapeflow.laws.fitting.verdict import verdict
from shapeflow.laws.joint.per_token import power_law
from shapeflow.laws.joint.solver import JointPoints, directions, fit_joint, fit_joint_draws, predicted
from shapeflow.laws.logs.points import Floats, Points

SIZES = 3
"""Fewest sizes: two of them do not show how the loss bends over size."""
LEAST = 8
"""Fewest points of a joint law, which has five numbers."""
APART = 0.1
"""Smallest scatter of log tokens around their dependence on size. Below it, alpha and beta cannot be separated."""
SPREAD_RUNS = 200
"""Above this number of runs, their points are resampled by whole runs: the noise model needs a matrix of runs by
points."""


def joint_of(points: JointPoints, per_token: PerToken, delta: float, resamples: int) -> JointLaw:
    """Return the joint law of points at `SIZES` sizes or more. `resamples`: 0 for a law without draws."""
    numbers = fit_joint(points, delta)
    residual = np.log(predicted(numbers, points.size, points.tokens)) - np.log(points.error)
    runs = len(np.unique(points.run))
    alone = runs == len(points.run) or runs > SPREAD_RUNS
    E, A, B, alpha, beta = map(_short, numbers)
    compute = np.array([per_token.of(size) for size in points.size]) * points.tokens
    return JointLaw(
        E=E,
        A=A,
        B=B,
        alpha=alpha,
        beta=beta,
        per_token=per_token,
        draws=_draws(points, numbers, delta, resamples, alone) if resamples else None,
        size=_ends(points.size),
        tokens=_ends(points.tokens),
        compute=_ends(compute),
        lowest=float(points.error.min()),
        sizes=len(np.unique(points.size)),
        points=len(points.error),
        runs=runs,
        by="runs" if alone else "noise",
        measured=np.stack([points.size, points.tokens, points.error, points.run.astype(float)], 1),
        rms=_short(float(np.sqrt(np.mean(residual**2)))),
        holdout=_hold_out(points, delta),
    )


def _draws(points: JointPoints, numbers: Floats, delta: float, count: int, alone: bool) -> Floats:
    """Return the numbers of each resample. `alone`: whole runs are drawn with replacement (bootstrap of pairs).
    Otherwise every point gets new noise: a level of its run, and autoregressive noise along it."""
    rng = np.random.Generator(np.random.Philox(0))
    if alone:
        runs, index = np.unique(points.run, return_inverse=True)
        times = rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), count)
        return fit_joint_draws(points, numbers, points.error[None], times[:, index].astype(float), delta)
    curve = predicted(numbers, points.size, points.tokens)
    noise: Noise = noise_of(np.log(points.error / curve), points.run, directions(points, numbers))
    laid = curve * np.exp(np.clip(lay(noise, points.run, count, rng), -1.0, 1.0))
    return fit_joint_draws(points, numbers, laid, np.ones((1, len(curve))), delta)


def _hold_out(points: JointPoints, delta: float) -> SizeHoldOut | None:
    """Fit the smaller sizes, and compare the prediction with the larger ones: those above the middle of log size, but
    at least one, and `SIZES` or more are kept for the fit. None if there are too few sizes or points."""
    every = np.unique(points.size)
    kept = max(int((np.log(every) <= 0.5 * (np.log(every[0]) + np.log(every[-1]))).sum()), SIZES)
    if kept >= len(every):
        return None
    inner: NDArray[np.bool_] = points.size <= every[kept - 1]
    if inner.sum() < LEAST:
        return None
    numbers = fit_joint(points.chosen(inner), delta)
    rest = points.chosen(~inner)
    missed = np.log(predicted(numbers, rest.size, rest.tokens)) - np.log(rest.error)
    return SizeHoldOut(
        below=float(every[kept - 1]),
        sizes=len(every) - kept,
        points=len(missed),
        error=_short(float(np.mean(np.abs(missed)))),
        bias=_short(float(np.mean(missed))),
    )


def joint_laws(
    sets: Mapping[Shape, Points],
    about: Mapping[Shape, Provenance],
    sizes: Mapping[Shape, float],
    per_token: Mapping[Shape, float],
    delta: float,
    resamples: int,
) -> FittedLaws:
    """Return the law of each shape that the joint law gives: c = E + A / N^alpha, b = beta, d = 0 and a = B k^beta,
    where k are the FLOPs of a token. `sizes`, `per_token`: N and k of each shape."""
    joint = joint_of(joint_points(sets, sizes, per_token), formula(sizes, per_token), delta, resamples)
    laws: dict[Shape, Law] = {}
    for shape, points in sets.items():
        numbers = _curve(joint.numbers[None], sizes[shape], per_token[shape])[0]
        draws = None if joint.draws is None else _curve(joint.draws, sizes[shape], per_token[shape])
        residual = np.log(numbers[0] * points.compute ** -numbers[1] + numbers[2]) - np.log(points.error)
        provenance = attrs.evolve(
            about[shape],
            points=len(points.compute),
            compute=(float(points.compute[0]), float(points.compute[-1])),
            error=(float(points.error.max()), float(points.error.min())),
            rms=_short(float(np.sqrt(np.mean(residual**2)))),
            exponent="pooled",
            resampling=None if draws is None else Resampling(by="runs", alike=1, count=len(draws)),
            intervals={} if draws is None else intervals(draws),
        )
        a, b, c, d = map(float, numbers)
        law = Law(a, b, c, d, provenance, draws)
        laws[shape] = attrs.evolve(law, provenance=attrs.evolve(provenance, verdict=verdict(law)))
    return FittedLaws(laws, dict(sets), joint=joint, sizes={shape: sizes[shape] for shape in sets})


def _curve(laws: Floats, size: float, per_token: float) -> Floats:
    """Return (a, b, c, d) of the laws over compute of one size, shape (laws, 4)."""
    E, A, B, alpha, beta = laws.T
    return np.stack([B * per_token**beta, beta, E + A * size**-alpha, np.zeros_like(E)], 1)


def joint_points(
    sets: Mapping[Shape, Points], sizes: Mapping[Shape, float], per_token: Mapping[Shape, float]
) -> JointPoints:
    """Return the points of all shapes, in order of run and compute."""
    parts: list[tuple[Floats, Floats, Floats, NDArray[np.intp]]] = []
    begun = 0
    for shape, points in sets.items():
        order = np.lexsort((points.compute, points.run))
        size = np.full(len(order), sizes[shape])
        tokens, error = points.compute[order] / per_token[shape], points.error[order]
        parts.append((size, tokens, error, points.run[order] + begun))
        begun += int(points.run.max()) + 1
    size, tokens, error, run = (np.concatenate(part) for part in zip(*parts, strict=True))
    return JointPoints(size, tokens, error, run)


def formula(sizes: Mapping[Shape, float], per_token: Mapping[Shape, float]) -> PerToken:
    """Return the FLOPs of a token as a power of the size that passes closest through those of the shapes."""
    return power_law(*(np.array([each[shape] for shape in sizes]) for each in (sizes, per_token)))


def faults(points: JointPoints) -> tuple[str, str] | None:
    """Return why points do not determine a joint law, and what to do about it; None if they do."""
    count = len(np.unique(points.size))
    if count < SIZES or len(points.size) < LEAST:
        many = f"these have {count} size{'s' * (count != 1)} and {len(points.size)} points"
        return many, "add sizes, each a factor of 2 to 4 apart"
    n, d = np.log(points.size), np.log(points.tokens)
    rest = d - np.polyval(np.polyfit(n, d, 1), n)
    if np.std(rest) < APART:
        why = "tokens grow with size in one fixed way, so their effects cannot be separated"
        return why, "add runs of the same sizes with twice and half the tokens"
    return None


def _ends(values: Floats) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _short(value: float) -> float:
    """Round to eight significant digits. The results of a fit are not more precise."""
    return float(f"{value:.8g}")
