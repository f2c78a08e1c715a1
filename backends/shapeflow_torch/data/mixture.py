"""Several corpora of text, read in fixed shares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.data.mixture import check_alike
from shapeflow.ir.contexts import block_of, corpora_of, reads_epochs, weights_of
from shapeflow.ir.corpora import normal
from shapeflow.ir.edits import EditError
from shapeflow.ir.plan import Plan
from shapeflow_torch.data.held_out import shares_of
from shapeflow_torch.data.positions import Positions, stretches
from shapeflow_torch.data.shares import Shares
from shapeflow_torch.data.windows import Windows

MANY = 4.0
"""Epochs of a corpus beyond which a run warns (Muennighoff et al. 2023, arXiv 2305.16264)."""

_FACTS = {"vocabulary": "vocabulary", "tokenizer": "tokenizer", "tokenizer_sha256": "digest of the tokenizer"}
"""Field of a corpus's description -> its words in a message."""


class Corpora:
    """Several texts, of which every step reads a share. Windows do not depend on the number of processes."""

    def __init__(self, names: Sequence[str], parts: Sequence[object], weights: Sequence[float]) -> None:
        """Raises Refused `corpora-differ`."""
        texts = [one for one in parts if isinstance(one, Windows)]
        if len(texts) < len(parts):
            raise Refused(Diagnostic("corpora-differ", "a mixture is of corpora of text", place="data"))
        self.parts = dict(zip(names, texts, strict=True))
        self.weights = normal(weights)
        """Of the held-out losses."""
        self.longest = max(one.longest for one in self.parts.values())
        self._positions: Positions[Shares] | None = None
        self._drawn = [True] * len(names)
        """Whether the windows of each corpus are drawn."""
        facts = [one.describe() for one in self.parts.values()]
        try:
            check_alike(names, [{said: fact[of] for of, said in _FACTS.items() if of in fact} for fact in facts])
        except EditError as error:
            raise Refused(Diagnostic(error.code, error.message, place="data", help=error.help)) from error
        for one, weight in zip(self.parts.values(), self.weights, strict=True):
            one.hold_share(weight)

    def describe(self) -> dict[str, Any]:
        """Return a description of the data for the run's `data.json`."""
        parts = {name: one.describe() for name, one in self.parts.items()}
        digests = [about["sha256"] for about in parts.values()]
        return {"data": "mixture", "of": parts, "sha256": hashlib.sha256(json.dumps(digests).encode()).hexdigest()}

    def follow(self, plan: Plan) -> None:
        """Read the corpora in the orders and with the weights that the plan states, in the steps that it has."""
        told = zip(self.parts.values(), corpora_of(plan), strict=True)
        self._drawn = [not reads_epochs(settings) for settings in corpora_of(plan)]
        positions = [one.ordered(block_of(plan, settings)) for one, settings in told]
        self._positions = Positions(plan, Shares.start(weights_of(plan), positions))

    def batch(
        self, seed: int, step: int, before: int, samples: int, context: int | None, part: slice
    ) -> tuple[Tensor, Tensor]:
        """Return inputs and targets (windows, context) of a step, corpus by corpus. Only after `follow`.

        `part`: the windows of the step that this process takes; `before`: not used."""
        del before
        if context is None or self._positions is None:
            raise ValueError("text is read at a context, in the steps of a plan")
        taken = self._positions.before(step).take(context, samples)
        found: list[tuple[Tensor, Tensor]] = []
        for number, (one, pieces) in enumerate(zip(self.parts.values(), taken, strict=True)):
            count = sum(piece.last - piece.first for piece in pieces)
            starts = one.starts(seed, step, count, context, None if self._drawn[number] else pieces, number)
            found.append(one.read(starts, context))
        inputs, targets = (torch.cat(side)[part] for side in zip(*found, strict=True))
        return inputs, targets

    def hold_out(self, tokens: int) -> None:
        """Evaluate on about this number of held-out tokens, split by the weights. Raises Refused
        `too-little-held-out`."""
        ranges = {name: one.can_hold_out for name, one in self.parts.items()}
        for one, own in zip(self.parts.values(), shares_of(tokens, ranges, self.weights), strict=True):
            one.hold_out(own)

    def has(self, token: int) -> bool:
        """Return whether a token occurs in the training text of every corpus."""
        return all(one.has(token) for one in self.parts.values())

    def repeated(self, plan: Plan) -> Diagnostic | None:
        """Return a warning if a plan reads a corpus many times."""
        read, weights = [0.0] * len(self.parts), weights_of(plan)
        for one, end in zip(weights, [*(later.first for later in weights[1:]), plan.steps], strict=True):
            total = sum(steps * context * windows for steps, context, windows in stretches(plan, one.first, end))
            read = [before + share * total for before, share in zip(read, one.shares, strict=True)]
        epochs = {name: own / part.tokens for (name, part), own in zip(self.parts.items(), read, strict=True)}
        most = max(epochs, key=lambda name: epochs[name])
        if epochs[most] <= MANY:
            return None
        message = f"the run reads the corpus `{most}` {epochs[most]:.1f} times"
        notes = [f"epochs of each corpus: {', '.join(f'{name} {count:.2g}' for name, count in epochs.items())}"]
        help_ = "give it a smaller weight, shorten the run, or add text"
        return Diagnostic("many-epochs", message, place="data", notes=tuple(notes), help=help_, severity="warning")
