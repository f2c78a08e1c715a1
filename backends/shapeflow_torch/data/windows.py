"""Text as one sequence of tokens, read in windows of any length."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_regular
from shapeflow.data.bins import HELP
from shapeflow.ir.contexts import block_of, corpora_of, reads_epochs
from shapeflow.ir.memory import HELD_OUT_TOKENS
from shapeflow.ir.parameters import HELD_OUT_TARGETS
from shapeflow.ir.plan import Plan
from shapeflow_torch.data.epochs import Epochs
from shapeflow_torch.data.held_out import too_little
from shapeflow_torch.data.order import Layout, Piece, Position
from shapeflow_torch.data.positions import Positions
from shapeflow_torch.data.random import WINDOWS, generator

TARGETS = HELD_OUT_TARGETS
"""Number of held-out tokens to predict, the same at every context."""

SEARCHED = 1 << 20
"""Tokens per chunk when the text is searched for a token."""


Tokens = npt.NDArray[np.unsignedinteger[Any]]


class Windows:
    """Training and held-out text. Tokens and windows do not depend on the number of processes.

    The training text is read one window at a time without a copy of the whole, so it may be a memory-mapped file."""

    def __init__(
        self,
        training: Tokens,
        held_out: Tokens,
        vocabulary: int,
        about: Mapping[str, Any],
        contexts: Sequence[int],
        device: torch.device,
    ) -> None:
        """`about`: result of `describe`, which must contain `sha256`; `contexts`: all contexts of the plan.

        Raises Refused `context-too-long`, `broken-tokens`."""
        self._about = dict(about)
        self._training, self._vocabulary = training, vocabulary
        self._device = device
        self.longest = max(contexts)
        shortest = min(len(training), len(held_out))
        if shortest < self.longest + 1:
            raise Refused(_too_long(self.longest, len(training), len(held_out)))
        self._text = held_out
        self._epochs: Epochs | None = None
        self._positions: Positions[Position] | None = None
        self._held_out = self._tensor(_spread(held_out, self.longest, TARGETS))

    def describe(self) -> dict[str, Any]:
        """Return a description of the data for the run's `data.json`."""
        return dict(self._about)

    def batch(
        self, seed: int, step: int, before: int, samples: int, context: int | None, part: slice
    ) -> tuple[Tensor, Tensor]:
        """Return inputs and targets (windows, context) of a step. Windows are drawn from (seed, step), or, after
        `follow`, are the next in the order of the plan.

        `part`: the windows of the step that this process takes; `before`: not used."""
        del before
        if context is None:
            raise ValueError("text is read at a context")
        pieces = None if self._positions is None else self._positions.before(step).take(context, samples)
        return self.read(self.starts(seed, step, samples, context, pieces)[part], context)

    def starts(
        self, seed: int, step: int, samples: int, context: int, pieces: Sequence[Piece] | None, corpus: int = 0
    ) -> npt.NDArray[np.int64]:
        """Return the first tokens of the windows of a step. `pieces`: what it reads in the order of `ordered`; None:
        draw the windows. `corpus`: number of this text in a mixture."""
        if pieces is not None and self._epochs is not None:
            return self._epochs.starts(seed, context, pieces)
        return generator(seed, WINDOWS, step, corpus).integers(0, len(self._training) - context, samples)

    def read(self, starts: npt.NDArray[np.int64], context: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of windows."""
        tokens = self._tensor(gather(self._training, starts, context + 1))
        return tokens[:, :-1], tokens[:, 1:]

    def follow(self, plan: Plan) -> None:
        """Read the text in the order that the plan states, in the steps that it has."""
        settings = corpora_of(plan)[0]
        if reads_epochs(settings):
            self._positions = Positions(plan, self.ordered(block_of(plan, settings)))

    def ordered(self, block: int) -> Position:
        """Prepare to read the text without replacement, and return the first position. `block`: tokens of a block."""
        layout = Layout(len(self._training), block if block < len(self._training) else self.longest)
        self._epochs = Epochs(layout)
        return Position.start(layout)

    def hold_out(self, tokens: int) -> None:
        """Evaluate on about this number of held-out tokens, in whole windows of the longest context.

        Raises Refused `too-little-held-out`, `broken-tokens`."""
        least, most = self.can_hold_out
        if not least <= tokens <= most:
            raise Refused(too_little(tokens, most, least, "tokens"))
        self._held_out = self._tensor(_spread(self._text, self.longest, tokens))

    def hold_share(self, share: float) -> None:
        """Evaluate on a share of the usual number of tokens, or on one window if that is more."""
        self._held_out = self._tensor(_spread(self._text, self.longest, max(self.longest, round(TARGETS * share))))

    @property
    def can_hold_out(self) -> tuple[int, int]:
        """The smallest and the largest number of held-out tokens that can be predicted."""
        return self.longest, len(self._text) - 1

    @property
    def tokens(self) -> int:
        """Number of training tokens."""
        return len(self._training)

    @property
    def windows(self) -> int:
        """Number of held-out windows of the longest context."""
        return len(self._held_out)

    def has(self, token: int) -> bool:
        """Return whether a token occurs in the training text."""
        text = self._training
        return any((text[at : at + SEARCHED] == token).any() for at in range(0, len(text), SEARCHED))

    def held_out(self, context: int, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield batches of this process's share of the held-out windows at a context: inputs, targets, and the number
        of the longest window that each row is part of, on the CPU."""
        inputs, targets = self._held_out[:, :-1], self._held_out[:, 1:]
        whole = self.longest // context * context
        of = torch.arange(self.windows)
        cut = of.repeat_interleave(self.longest // context)
        pieces = [(inputs[:, :whole].reshape(-1, context), targets[:, :whole].reshape(-1, context), cut)]
        if whole < self.longest:
            pieces.append((inputs[:, whole:], targets[:, whole:], of))
        rows = max(1, HELD_OUT_TOKENS // context)
        places = [(slice(at, at + rows), piece) for piece in pieces for at in range(0, len(piece[0]), rows)]
        for part, (x, y, window) in places[rank::world]:
            yield x[part], y[part], window[part]

    def _tensor(self, windows: Tokens) -> Tensor:
        """Convert token ids to a tensor. Raises Refused `broken-tokens` for ids outside the vocabulary, before they
        reach the embedding."""
        highest = int(windows.max(initial=0))
        if highest >= self._vocabulary:
            raise Refused(_no_token(highest, self._vocabulary))
        return torch.from_numpy(windows.astype(np.int64)).to(self._device)


def of_bytes(
    training: bytes, held_out: bytes, about: Mapping[str, Any], contexts: Sequence[int], device: torch.device
) -> Windows:
    """Return windows of a text whose tokens are its bytes. Raises Refused `context-too-long`."""
    counts = {"training_bytes": len(training), "held_out_bytes": len(held_out)}
    about = {**about, **counts, "sha256": hashlib.sha256(training + b"\0\0" + held_out).hexdigest()}
    first, last = (np.frombuffer(part, np.uint8) for part in (training, held_out))
    return Windows(first, last, 256, about, contexts, device)


def gather(text: Tokens, starts: npt.NDArray[np.int64], length: int) -> Tokens:
    """Return windows (windows, length) of a text, one for each start, copied."""
    found: Tokens = np.lib.stride_tricks.sliding_window_view(text, length)[starts]
    return found


def _spread(text: Tokens, longest: int, targets: int) -> Tokens:
    """Return windows (windows, longest + 1) spaced evenly over the held-out text, so that no single file dominates.
    `targets`: number of tokens to predict, at most."""
    count = max(1, min(targets, len(text) - 1) // longest)
    starts = np.linspace(0, len(text) - longest - 1, count).astype(np.int64)
    return gather(text, starts, longest + 1)


def read(path: Path) -> bytes:
    """Return the bytes of a file. Raises Refused `data-missing`."""
    try:
        return read_regular(path)
    except OSError as error:
        raise Refused(missing(path, error.strerror or str(error))) from error


def missing(path: Path, why: str, help: str | None = None) -> Diagnostic:
    return Diagnostic("data-missing", f"cannot read the data at `{path}`: {why}", place="data", help=help)


def _too_long(longest: int, training: int, held_out: int) -> Diagnostic:
    shorter = min(training, held_out) - 1
    contexts = f"use contexts up to {shorter} tokens, or " if shorter > 0 else "use "
    return Diagnostic(
        "context-too-long",
        f"the longest context is {longest} tokens, the text is too short for it",
        place="data",
        notes=(f"training text: {training} tokens; held-out text: {held_out} tokens",),
        help=f"{contexts}a longer text" + (", or hold out more of it" if held_out < training and shorter < 1 else ""),
    )


def _no_token(found: int, vocabulary: int) -> Diagnostic:
    return Diagnostic(
        "broken-tokens",
        f"the data has the token {found}, in a vocabulary of {vocabulary}",
        place="data",
        notes=("its header says what the vocabulary is, so the tokens or the header were changed",),
        help=HELP,
    )
