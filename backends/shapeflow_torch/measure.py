"""Measures held-out metrics."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow_torch.data import Data
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.vectors import Vectors
from shapeflow_torch.data.windows import Windows
from shapeflow_torch.losses import logits_of
from shapeflow_torch.models import Net
from shapeflow_torch.models.random_features import RandomFeatures
from shapeflow_torch.team import Team

SQUARED_ERROR = "squared_error"
_FEWSHOT = "fewshot_error@"
_RIDGE = 1e-2
"""Paper A, Section 3: ridge regression with this alpha on one-hot targets."""


def metrics(data: Data, metric: str) -> tuple[str, ...]:
    """Return the names of the metrics that `measure` returns. `metric`: the plan's metric."""
    if isinstance(data, Windows):
        return "loss@own", "loss@longest"
    if isinstance(data, Vectors):
        return (SQUARED_ERROR,)
    return tuple(dict.fromkeys(("classification_error", "cross_entropy", metric)))


@torch.no_grad()
def measure(
    net: Net, data: Data, size: int | None, metric: str, team: Team, largest: int | None = None
) -> dict[str, float]:
    """Return held-out metrics of a module in its current reading, by name.

    `size`: tokens per window, or pixels per image side; None: the longest window, or the images' own size. Each process
    evaluates its share of the held-out data, and all return the same values. `largest`: samples of this size that it
    computes at once; None: as many as it reads at once.

    Text: `loss@own` and `loss@longest`, in nats per token over the same targets. Images: `classification_error` and
    `cross_entropy` (nats), and `fewshot_error@K` if it is the plan's metric, since it needs a regression. Vectors: the
    expected `squared_error`.
    """
    if isinstance(data, Windows):
        return _text(net, data, size or data.longest, team, largest)
    if isinstance(data, Vectors):
        return {SQUARED_ERROR: data.expected(_linear(net))}
    values = _images(net, data, size, team, largest)
    if metric.startswith(_FEWSHOT):
        # Only the leader computes this value: it may end the run, and rounding may differ between processes.
        values[metric] = team.share(lambda: _fewshot(net, data, size, int(metric.removeprefix(_FEWSHOT))))
    return values


def _linear(net: Net) -> Tensor:
    """Return the coefficients of a linear model. Raises Refused `no-such-metric` for any other."""
    if not isinstance(net, RandomFeatures):
        message = "the expected squared error is known of `random_features` alone"
        raise Refused(Diagnostic("no-such-metric", message, place="metric"))
    return net.coefficients()


def _text(net: Net, data: Windows, context: int, team: Team, largest: int | None) -> dict[str, float]:
    tokens = None if largest is None else largest * context
    own = _loss(net, data, context, team, tokens)
    longest = data.longest
    return {"loss@own": own, "loss@longest": own if context == longest else _loss(net, data, longest, team, tokens)}


def _loss(net: Net, data: Windows, context: int, team: Team, tokens: int | None) -> float:
    """Return the held-out loss at a context. `tokens`: number that is computed at once, but at least one window."""
    total = torch.zeros((), dtype=torch.float64)
    for chunk in data.held_out(context, team.rank, team.world):
        for inputs, targets in _pieces(*chunk, None if tokens is None else max(1, tokens // context)):
            for logits, wanted in logits_of(net, inputs, targets):
                total += _summed(logits, wanted)
    return float(team.sum(total.to(team.device))) / data.targets


def _pieces(inputs: Tensor, targets: Tensor, largest: int | None) -> Iterable[tuple[Tensor, Tensor]]:
    size = len(inputs) if largest is None else largest
    return zip(torch.split(inputs, size), torch.split(targets, size), strict=True)


def _images(net: Net, data: Images, size: int | None, team: Team, largest: int | None) -> dict[str, float]:
    # Wrong classes, summed cross-entropy, number of images.
    totals = torch.zeros(3, dtype=torch.float64)
    for images, classes in data.held_out(size, team.rank, team.world):
        logits = torch.cat([net(piece) for piece, _ in _pieces(images, classes, largest)])
        wrong = float((logits.argmax(-1) != classes).sum())
        totals += torch.tensor([wrong, _summed(logits, classes), len(classes)], dtype=torch.float64)
    wrong, nats, count = team.sum(totals.to(team.device)).tolist()
    return {"classification_error": wrong / count, "cross_entropy": nats / count}


def _summed(logits: Tensor, targets: Tensor) -> float:
    flat = logits.flatten(0, -2)
    exact = flat if flat.dtype.itemsize > 2 else flat.float()
    return float(functional.cross_entropy(exact, targets.flatten(), reduction="sum"))


def _fewshot(net: Net, data: Images, size: int | None, shots: int) -> float:
    """Return the held-out error of a linear classifier fitted to the features of `shots` training images per class."""
    from sklearn.linear_model import Ridge

    images, classes = data.shots(shots, size)
    held_out = list(data.held_out(size, 0, 1))
    features = net.features(images).float().cpu().numpy()
    ridge = Ridge(alpha=_RIDGE).fit(features, functional.one_hot(classes).float().cpu().numpy())
    wrong = sum(
        int((ridge.predict(net.features(x).float().cpu().numpy()).argmax(-1) != y.cpu().numpy()).sum())
        for x, y in held_out
    )
    return wrong / sum(len(y) for _, y in held_out)
