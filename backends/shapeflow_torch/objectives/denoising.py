"""A mixture of denoisers for a decoder. The hidden tokens are predicted after the corrupted text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shapeflow.ir.decks import DECK, shuffled
from shapeflow.objectives.denoising import MODES, Layout
from shapeflow.objectives.denoising import Denoising as Declared
from shapeflow_torch.data.random import SPANS, generator
from shapeflow_torch.objectives.parts import IGNORED, Asked, Objective, cross_entropy

Ints = npt.NDArray[np.int64]


class Denoising(Objective):
    """See the component of the same name.

    The denoiser of a step depends on (seed, step) only, even if other steps use other objectives. The spans depend on
    (seed, step, sample). All samples of a step have the same number of targets, so the mean over processes equals the
    mean over the step."""

    def __init__(self, settings: Mapping[str, Any], vocabulary: int) -> None:
        """`vocabulary`: size of the model's vocabulary, whose last ids are reserved."""
        self._declared = Declared(**settings)
        self._vocabulary = vocabulary

    def asked(self, inputs: Tensor, targets: Tensor, seed: int, step: int, part: slice) -> Asked:
        mode = self.mode(seed, step)
        if mode is None:
            return Asked(inputs, targets)
        context = inputs.shape[1]
        text = torch.cat((inputs, targets[:, -1:]), 1)
        if mode == "sequential":
            asked = self._ending(context, generator(seed, SPANS, step))
            places = np.concatenate(([self.mark(mode)], np.arange(context)))[None].repeat(len(inputs), 0)
        else:
            layout = self._declared.layouts(context)[mode]
            asked = layout.asked
            samples = range(part.start, part.stop, part.step or 1)
            places = np.stack([self._corrupted(layout, mode, generator(seed, SPANS, step, n)) for n in samples])
        window = filled(text, torch.from_numpy(places).to(text.device))
        wanted = window[:, 1:].clone()
        wanted[:, : context - asked] = IGNORED
        prefix = context - asked + 1 if self._declared.prefix == "full" else 0
        return Asked(window[:, :-1], wanted, prefix, masked=True)

    def loss(self, logits: Tensor, asked: Asked) -> Tensor:
        return cross_entropy(logits, asked.targets)

    def mode(self, seed: int, step: int) -> str | None:
        """Return the denoiser of a step, or None for plain next-token prediction."""
        shares = (self._declared.regular, self._declared.extreme, self._declared.sequential)
        deck, at = divmod(step, DECK)
        kind = shuffled(shares, f"{seed}/denoising/{deck}", deck)[at]
        return None if kind == 0 else MODES[kind - 1]

    def mark(self, which: str | int) -> int:
        """Return a reserved id as a place (see `filled`), for a mode name or a sentinel number.

        Reserved ids are counted from the end of the vocabulary, so they do not depend on other objectives."""
        behind = MODES.index(which) if isinstance(which, str) else len(MODES) + which
        return behind - self._vocabulary

    def _ending(self, context: int, random: np.random.Generator) -> int:
        """Draw how many tokens at the end of a window are targets, uniformly from a range around the mean."""
        mean = max(1, round(context * self._declared.sequential_rate))
        return int(random.integers(max(1, 2 * mean - context), min(context, 2 * mean - 1), endpoint=True))

    def _corrupted(self, layout: Layout, mode: str, random: np.random.Generator) -> Ints:
        """Return the places (see `filled`) of one corrupted window."""
        marks = np.array([self.mark(number) for number in range(layout.spans + 1)])
        lengths = parted(layout.hidden, layout.spans, random)
        # Spans are not adjacent to each other, but may be at the start or end of the text.
        gaps = parted(layout.text - layout.hidden + 2, layout.spans + 1, random)
        gaps[[0, -1]] -= 1
        runs = np.empty(2 * layout.spans + 1, np.int64)
        runs[0::2], runs[1::2] = gaps, lengths
        hidden = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        text, starts = np.arange(layout.text), runs.cumsum()[0:-1:2]
        shown = text.copy()
        shown[starts] = marks[:-1]
        shown = shown[~hidden | (shown < 0)]
        wanted = np.insert(text[hidden], lengths.cumsum() - lengths, marks[:-1])
        return np.concatenate(([self.mark(mode)], shown, wanted, marks[-1:]))


def parted(total: int, parts: int, random: np.random.Generator) -> Ints:
    """Split an integer into `parts` positive integers, drawn uniformly from all such splits."""
    cuts = np.sort(random.choice(total - 1, parts - 1, replace=False)) + 1
    return np.diff(cuts, prepend=0, append=total)


def filled(text: Tensor, places: Tensor) -> Tensor:
    """Return token ids (samples, n). A place p >= 0 becomes the text's token at p, and p < 0 becomes the id -p - 1."""
    return torch.where(places < 0, -places - 1, text.gather(1, places.clamp_min(0)))
