"""Measures held-out metrics, and their standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.events import Evaluation
from shapeflow_torch.data import Data
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.mixture import Corpora
from shapeflow_torch.data.vectors import Vectors
from shapeflow_torch.data.windows import Windows
from shapeflow_torch.losses import logits_of
from shapeflow_torch.models import Net
from shapeflow_torch.models.random_features import RandomFeatures
from shapeflow_torch.team import Team

OWN, LONGEST = "loss@own", "loss@longest"
SQUARED_ERROR = "squared_error"
_FEWSHOT = "fewshot_error@"
_RIDGE = 1e-2
"""Paper A, Section 3: ridge regression with this alpha on one-hot targets."""


def metrics(data: Data, metric: str) -> tuple[str, ...]:
    """Return the names of the metrics that `measure` returns. `metric`: the plan's metric."""
    if isinstance(data, Windows):
        return OWN, LONGEST
    if isinstance(data, Corpora):
        return (OWN, LONGEST, *(f"{LONGEST}/{name}" for name in data.parts))
    if isinstance(data, Vectors):
        return (SQUARED_ERROR,)
    return tuple(dict.fromkeys(("classification_error", "cross_entropy", metric)))


@torch.no_grad()
def measure(net: Net, data: Data, size: int | None, metric: str, team: Team, largest: int | None = None) -> Evaluation:
    """Return held-out metrics of a module in its current reading.

    `size`: tokens per window, or pixels per image side; None: the longest window, or the images' own size. Each process
    evaluates its share of the held-out data, and all return the same values. `largest`: samples of this size that it
    computes at once; None: as many as it reads at once.

    A mixture of corpora: the mean of each loss with their weights, and the loss of each corpus as `loss@longest/NAME`.
    Text: `loss@own` and `loss@longest`, in nats per token over the same targets; their standard errors are those of a
    mean over windows of the longest context, since tokens of one window are not independent. Images:
    `classification_error` and `cross_entropy` (nats), and `fewshot_error@K` if it is the plan's metric, since it needs
    a regression. Vectors: the expected `squared_error`, which has no standard error.
    """
    if isinstance(data, Corpora):
        parts = {name: _text(net, one, size or one.longest, team, largest) for name, one in data.parts.items()}
        return _mean(parts, data.weights)
    if isinstance(data, Windows):
        return _text(net, data, size or data.longest, team, largest)
    if isinstance(data, Vectors):
        return Evaluation({SQUARED_ERROR: data.expected(_linear(net))})
    found = _images(net, data, size, team, largest)
    if metric.startswith(_FEWSHOT):
        # Only the leader computes this value: it may end the run, and rounding may differ between processes.
        wrong, error = team.share(lambda: _fewshot(net, data, size, int(metric.removeprefix(_FEWSHOT))))
        return Evaluation({**found.values, metric: wrong}, {**found.errors, metric: error})
    return found


def _linear(net: Net) -> Tensor:
    """Return the coefficients of a linear model. Raises Refused `no-such-metric` for any other."""
    if not isinstance(net, RandomFeatures):
        message = "the expected squared error is known of `random_features` alone"
        raise Refused(Diagnostic("no-such-metric", message, place="metric"))
    return net.coefficients()


def _text(net: Net, data: Windows, context: int, team: Team, largest: int | None) -> Evaluation:
    tokens = None if largest is None else largest * context
    own = _loss(net, data, context, team, tokens)
    longest = own if context == data.longest else _loss(net, data, data.longest, team, tokens)
    found = {OWN: own, LONGEST: longest}
    errors = {name: error for name, (_, error) in found.items() if error is not None}
    return Evaluation({name: loss for name, (loss, _) in found.items()}, errors)


def _mean(parts: Mapping[str, Evaluation], weights: Sequence[float]) -> Evaluation:
    """Return the mean losses of several corpora, and the loss of each at the longest context."""
    values = {f"{LONGEST}/{name}": one.values[LONGEST] for name, one in parts.items()}
    errors = {f"{LONGEST}/{name}": one.errors[LONGEST] for name, one in parts.items() if LONGEST in one.errors}
    pairs = list(zip(parts.values(), weights, strict=True))
    for loss in (OWN, LONGEST):
        values[loss] = sum(weight * one.values[loss] for one, weight in pairs)
        if all(loss in one.errors for one, _ in pairs):
            errors[loss] = math.hypot(*(weight * one.errors[loss] for one, weight in pairs))
    return Evaluation(values, errors)


def _loss(net: Net, data: Windows, context: int, team: Team, tokens: int | None) -> tuple[float, float | None]:
    """Return the loss per token at a context, and its standard error; None if there is one window. `tokens`: number
    that is computed at once, but at least one window."""
    totals = torch.zeros(data.windows, dtype=torch.float64)
    largest = None if tokens is None else max(1, tokens // context)
    for inputs, targets, windows in data.held_out(context, team.rank, team.world):
        pieces = _pieces(inputs, targets, largest)
        nats = [_nats(logits, wanted) for x, y in pieces for logits, wanted in logits_of(net, x, y)]
        rows = torch.cat([one.flatten() for one in nats]).view(targets.shape).sum(-1, dtype=torch.float64)
        totals.index_add_(0, windows, rows.cpu())
    means = team.sum(totals.to(team.device)).cpu() / data.longest
    return float(means.mean()), _standard_error(float(means.var(correction=0)), len(means))


def _pieces(inputs: Tensor, targets: Tensor, largest: int | None) -> Iterable[tuple[Tensor, Tensor]]:
    size = len(inputs) if largest is None else largest
    return zip(torch.split(inputs, size), torch.split(targets, size), strict=True)


def _images(net: Net, data: Images, size: int | None, team: Team, largest: int | None) -> Evaluation:
    # Wrong classes, summed cross-entropy and its squares, number of images.
    totals = torch.zeros(4, dtype=torch.float64)
    for images, classes in data.held_out(size, team.rank, team.world):
        logits = torch.cat([net(piece) for piece, _ in _pieces(images, classes, largest)])
        wrong = float((logits.argmax(-1) != classes).sum())
        nats = _nats(logits, classes).double()
        totals += torch.tensor([wrong, float(nats.sum()), float(nats.square().sum()), len(classes)])
    wrong, nats, squares, count = team.sum(totals.to(team.device)).tolist()
    values = {"classification_error": wrong / count, "cross_entropy": nats / count}
    spreads = {
        "classification_error": values["classification_error"] * (1 - values["classification_error"]),
        "cross_entropy": squares / count - values["cross_entropy"] ** 2,
    }
    errors = {name: _standard_error(spread, int(count)) for name, spread in spreads.items()}
    return Evaluation(values, {name: error for name, error in errors.items() if error is not None})


def _standard_error(variance: float, count: int) -> float | None:
    """Return the standard error of a mean. `variance`: of the `count` values, about their own mean. Values that are not
    finite have none, as has a single one."""
    if count < 2 or not math.isfinite(variance):
        return None
    return math.sqrt(max(0.0, variance) / (count - 1))


def _nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each target, in the shape of `targets`."""
    flat = logits.flatten(0, -2)
    exact = flat if flat.dtype.itemsize > 2 else flat.float()
    return functional.cross_entropy(exact, targets.flatten(), reduction="none").view(targets.shape)


def _fewshot(net: Net, data: Images, size: int | None, shots: int) -> tuple[float, float]:
    """Return the held-out error of a linear classifier fitted to the features of `shots` training images per class, and
    its standard error."""
    from sklearn.linear_model import Ridge

    images, classes = data.shots(shots, size)
    held_out = list(data.held_out(size, 0, 1))
    features = net.features(images).float().cpu().numpy()
    ridge = Ridge(alpha=_RIDGE).fit(features, functional.one_hot(classes).float().cpu().numpy())
    wrong = sum(
        int((ridge.predict(net.features(x).float().cpu().numpy()).argmax(-1) != y.cpu().numpy()).sum())
        for x, y in held_out
    )
    count = sum(len(y) for _, y in held_out)
    error = wrong / count
    return error, _standard_error(error * (1 - error), count) or 0.0
