"""The memory that training needs, estimated without torch: a pure function of a plan and of choices of hardware.

Weights are float32. On a CPU all numbers are; on a GPU most of what is kept for the backward pass is bfloat16.
`docs/memory.md` compares the estimates with measured peaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from shapeflow.ir.edits import SlotValue

Device = Literal["cpu", "cuda"]

LARGE = 1 << 22
"""Logits of text (tokens x vocabulary) from which a loss is computed in parts: 16 MiB in float32. Fewer fit in the
cache and are computed at once, which is simpler and as fast."""
PART = 1 << 21
"""Logits of one part of a loss."""
ROWS = {"cpu": 64, "cuda": 1024}
"""Least tokens of one part, so that its matrix products stay efficient."""
HELD_OUT_TOKENS, HELD_OUT_IMAGES = 8_192, 512
"""Tokens, or images, that an evaluation computes at once: few enough for a laptop, many enough for a large machine."""


def integer(slots: Mapping[str, SlotValue], name: str, instead: int | None = None) -> int:
    """The whole number that a slot holds; `instead` if it holds none. Raises KeyError if `instead` is None."""
    value = slots.get(name)
    if isinstance(value, int):
        return value
    if instead is None:
        raise KeyError(name)
    return instead


def rows_of_part(vocabulary: int, device: str) -> int:
    """Tokens of one part of a loss."""
    return max(PART // vocabulary, ROWS.get(device, ROWS["cuda"]))


@attrs.frozen
class Activations:
    """What a step keeps for its backward pass, in bytes for one sample (an image, a window of text)."""

    block: float
    """Kept by one block."""
    entry: float
    """The input of a block: all that is kept of it if blocks are computed again in the backward pass."""
    rest: float
    """Kept by what comes before and after the blocks, without logits."""
    working: float
    """The gradients that are alive at once during the backward pass of a block, in addition to what it kept."""
    forward: float
    """What a block needs while it computes a sample without gradients, as in an evaluation."""
    logits: int
    """Logits of a sample."""
    rows: int
    """Tokens that have logits: 1 for an image, all of a window of text."""
    head: float = 0.0
    """Bytes of the weights of the head, whose gradient is made first."""
    fixed: float = 0.0
    """Bytes that do not depend on the number of samples and are neither weights nor state."""
    casts: float = 0.0
    """Bytes of the copies of weights in bfloat16 that are kept during a step."""


@attrs.frozen
class Choices:
    """How a step is made. `micro_batch`: samples that a process computes at once; None: all of its samples."""

    device: Device = "cpu"
    processes: int = 1
    micro_batch: int | None = None
    recompute: bool = False
    """Whether blocks are computed again in the backward pass (`--checkpoint-activations`)."""


@attrs.frozen
class Memory:
    """Estimated bytes on one process. `peak`: the most that is in use at once, during a step or an evaluation. It is
    less than the sum of the parts, because gradients appear while activations disappear."""

    weights: float
    gradients: float
    optimizer: float
    average: float
    activations: float
    """Kept for the backward pass of a micro-batch, without logits."""
    logits: float
    """Logits and what a loss makes of them."""
    data: float
    step: float
    """The most that is in use at once during a step, all of the above included."""
    evaluation: float
    """The same during an evaluation."""
    micro_batch: int
    """Samples that a process computes at once."""

    @property
    def peak(self) -> float:
        return max(self.step, self.evaluation)


@attrs.frozen
class Need:
    """What determines the memory of training in one shape."""

    samples: int
    """Samples of a step, of all processes together."""
    depth: int
    weights: float
    """Bytes of all weights, in float32."""
    state: float
    """Bytes of the optimizer's state."""
    stored: float
    """Bytes of the data that stay in memory for the whole run."""
    sample: float
    """Bytes of one sample of the data while a step uses it."""
    per_logit: float
    """Bytes for each logit when a loss is at its peak."""
    activations: Activations
    held_out: int
    """Samples that an evaluation reads, and without a micro-batch computes, at once."""

    def share(self, choices: Choices) -> int:
        """Samples of a step on one process."""
        return max(1, self.samples // choices.processes)

    def memory(self, choices: Choices) -> Memory:
        """The estimate for some choices."""
        share = self.share(choices)
        count = min(share, choices.micro_batch or share)
        made = self.activations
        kept = (made.entry if choices.recompute else made.block) * self.depth
        again = made.block if choices.recompute else 0.0
        loss, after = self._loss(count, choices.device)
        first = count * (kept + again + made.working) + after + made.casts
        last = count * (again or made.block) + count * made.working + self.weights
        whole = count * (kept + made.rest) + made.casts
        step = max(whole + loss, first, last)
        if count < share:
            # The gradients of earlier micro-batches are there from the start.
            step = max(whole + loss, first) + self.weights
        buckets = self.weights if choices.processes > 1 else 0.0
        data = self.stored + share * self.sample
        fixed = 2 * self.weights + self.state + self.stored + made.fixed + buckets
        return Memory(
            weights=self.weights,
            gradients=self.weights + buckets,
            optimizer=self.state,
            average=self.weights,
            activations=whole + again * count,
            logits=loss,
            data=data,
            step=fixed + step + share * self.sample,
            evaluation=fixed + self._evaluation(choices),
            micro_batch=count,
        )

    def _loss(self, count: int, device: str) -> tuple[float, float]:
        """Bytes of a loss at its peak, and of what stays of it during the backward pass of the blocks."""
        made = self.activations
        rows, vocabulary = count * made.rows, made.logits // max(1, made.rows)
        width = made.head / vocabulary
        if made.rows == 1 or rows * vocabulary < LARGE:
            return rows * vocabulary * self.per_logit, made.head + rows * width
        found = rows * width + made.head
        part = min(rows, rows_of_part(vocabulary, device)) * vocabulary
        return found + part * (self.per_logit + 4), found

    def _evaluation(self, choices: Choices) -> float:
        """Bytes that an evaluation needs in addition to weights, their average and the state."""
        made, count = self.activations, min(self.held_out, choices.micro_batch or self.held_out)
        rows, vocabulary = count * made.rows, made.logits // max(1, made.rows)
        large = made.rows > 1 and rows * vocabulary >= LARGE
        part = min(rows, rows_of_part(vocabulary, choices.device)) if large else rows
        # Logits, and their log-softmax, are there after the blocks: the features alone are left of these.
        after = rows * made.head / vocabulary + 8.0 * part * vocabulary
        return max(count * made.forward, after) + self.held_out * self.sample


def largest_micro_batch(need: Need, choices: Choices, available: float) -> int | None:
    """The largest micro-batch whose estimate fits in `available` bytes; None if a single sample does not fit."""

    def fits(count: int) -> bool:
        return need.memory(attrs.evolve(choices, micro_batch=count)).peak <= available

    low, high = 0, need.share(choices)
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low or None
