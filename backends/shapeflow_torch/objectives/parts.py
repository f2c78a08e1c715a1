"""Base classes and functions of all objectives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100
"""Target of positions that do not count in the loss."""


@attrs.frozen
class Site:
    """The information about a run that is needed to create its objectives."""

    root: Path
    """Base directory of relative paths."""
    device: torch.device
    dtype: torch.dtype
    """Data type of the weights."""
    vocabulary: int | None = None
    """Vocabulary size of a language model, including reserved ids."""
    teachers: dict[str, Any] = attrs.field(factory=dict, eq=False, repr=False)
    """Loaded teachers by the SHA-256 of their files, so that each is loaded only once."""


@attrs.frozen(eq=False)
class Asked:
    """Inputs and targets of a step.

    `inputs`: images (samples, channels, side, side) at the data's own size, which each model resizes to its resolution,
    token ids (samples, tokens), or vectors (samples, features); `targets`: class ids (samples), token ids (samples,
    tokens), IGNORED at positions that do not count, or numbers (samples)."""

    inputs: Tensor
    targets: Tensor
    prefix: int | None = None
    """Number of tokens at the start that attend to each other; all others attend to earlier tokens. This replaces the
    model's own mask. None: use the model's own mask."""
    answers: dict[str, Tensor] = attrs.field(factory=dict, repr=False)
    """Logits of teachers by the SHA-256 of their files, so that each teacher runs only once per step."""
    masked: bool = False
    """Whether some targets may be IGNORED. Each sample has at least one target that counts."""
    whole: Asked | None = None
    """The samples that this is a part of: the targets at `rows`, counted over all positions of all samples. `inputs`
    are those of the whole. None: all positions."""
    rows: Tensor | None = None


class Objective:
    """Base class of training objectives, with one subclass for each component of `shapeflow/objectives/`."""

    def asked(self, inputs: Tensor, targets: Tensor, seed: int, step: int, part: slice) -> Asked:
        """Return the inputs and targets made from the data's samples; default: the samples unchanged.

        A pure function of its arguments. `part`: which of the step's samples these are, so that random draws do not
        depend on the number of processes."""
        return Asked(inputs, targets)

    def loss(self, logits: Tensor, asked: Asked) -> Tensor:
        """Return the mean loss over the targets, in nats, in float32 or higher precision. `asked`: the samples of this
        process, a micro-batch of them, or some of their tokens (`Asked.rows`)."""
        raise NotImplementedError


def exact(logits: Tensor) -> Tensor:
    """Return logits with all axes but the last flattened, in float32 or higher precision."""
    flat = logits.flatten(0, -2)
    return flat if flat.dtype.itemsize > 2 else flat.float()


def cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy over the last axis of the logits, averaged over all targets that are not IGNORED."""
    return functional.cross_entropy(
        exact(logits), targets.flatten(), ignore_index=IGNORED, label_smoothing=label_smoothing
    )
