"""The batches of a plan for torch's `DataLoader`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed
from torch.utils.data import Dataset, Sampler

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.contexts import MIXTURE, block_of, contexts_of, corpora_of, reads_epochs
from shapeflow.ir.plan import Plan
from shapeflow.ir.steps import Step, Steps
from shapeflow.ir.workload import check_shares
from shapeflow_torch.data.epochs import Epochs
from shapeflow_torch.data.order import Layout, Position
from shapeflow_torch.data.positions import Positions
from shapeflow_torch.data.random import EPOCHS, WINDOWS, generator

Ints = npt.NDArray[np.int64]
Item = int | tuple[int, int]
"""The number of an image, or the first token and the number of tokens of a window."""


class PlanSampler(Sampler[list[Item]]):
    """A `batch_sampler` whose batches are the micro-batches of a plan's steps, in order.

    For images an item is a number of the data set; for text it is (first token, tokens), which `Windows` reads. The
    samples of a step are those that `shapeflow run` takes: they depend on the plan and the step alone, so neither the
    number of processes nor the accumulation nor a resume changes them. Give the `DataLoader` no sampler and no batch
    size, and do not let a trainer shard it again: this sampler has shared each step already.
    """

    def __init__(
        self,
        plan: Plan,
        size: int,
        *,
        rank: int | None = None,
        world: int | None = None,
        accumulation: int = 1,
        done: int | Callable[[], int] = 0,
        order: Literal["epochs", "plan"] = "epochs",
    ) -> None:
        """`size`: images, or tokens of the training text; `rank`, `world`: default: those of `torch.distributed`;
        `accumulation`: micro-batches of each step in each process; `done`: steps that are done, or a function that
        returns them whenever the sampler is iterated, as trainers need that iterate it twice on a resume; `order`:
        `epochs`: each image and each token once an epoch; `plan`: text in the order of the plan's data, which may draw
        windows with replacement.

        Raises Refused `no-model`, `batch-not-divisible`, `context-too-long`, `other-world`, `no-such-step`,
        `wrong-data`."""
        self._steps = Steps(plan)
        own_rank, own_world = _joined()
        self.plan, self.size = plan, size
        self.rank = own_rank if rank is None else rank
        self.world = own_world if world is None else world
        self.accumulation, self._done = accumulation, done
        self._check_world()
        if isinstance(accumulation, bool) or not isinstance(accumulation, int) or accumulation < 1:
            help_ = "use a whole number from 1 on: a plan changes the micro-batch, not the accumulation"
            raise Refused(_wrong("batch-not-divisible", f"the accumulation is {accumulation!r}", help_))
        parts = self.world * accumulation
        check_shares(plan, parts, "parts (processes x accumulation)", "PlanSampler", self.world)
        self._text = _Text(plan, size, order) if contexts_of(plan) else None
        if size < 1:
            raise Refused(_wrong("wrong-data", f"the data set has {size} samples", "give the number of samples"))
        self._epoch: tuple[int, Ints] | None = None
        if not callable(done):
            self._begin()

    @property
    def done(self) -> int:
        """The number of steps that are done when the sampler is iterated."""
        return self._done() if callable(self._done) else self._done

    @property
    def counts(self) -> bool:
        """Whether `done` is a function, which a trainer needs that iterates its sampler again after a resume."""
        return callable(self._done)

    def __len__(self) -> int:
        """Micro-batches that are left; with a function as `done`, those of the whole plan, as a trainer counts them."""
        return (self.plan.steps - (0 if callable(self._done) else self._done)) * self.accumulation

    def __iter__(self) -> Iterator[list[Item]]:
        """Yield this process's items of each micro-batch. Raises Refused `other-world`, `no-such-step`."""
        self._check_world()
        for n in range(self._begin(), self.plan.steps):
            step = self._steps.at(n)
            items = self._items(step)[self.rank :: self.world]
            each = len(items) // self.accumulation
            for micro in range(self.accumulation):
                yield items[micro * each : (micro + 1) * each]

    def _begin(self) -> int:
        """The steps that are done. Raises Refused `no-such-step`."""
        done = self.done
        if done != self.plan.steps:
            self._steps.at(done)
        return done

    def _items(self, step: Step) -> list[Item]:
        """All items of a step, in every process."""
        if self._text is not None and step.context is not None:
            starts, context = self._text.starts(step), step.context
            return [(start, context) for start in starts.tolist()]
        numbers = np.arange(step.before, step.before + step.samples, dtype=np.int64)
        epochs, places = np.divmod(numbers, self.size)
        rows = [self._shuffled(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
        found: list[Item] = np.concatenate(rows).tolist()
        return found

    def _shuffled(self, epoch: int) -> Ints:
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, generator(self.plan.seed, EPOCHS, epoch).permutation(self.size)
        return self._epoch[1]

    def _check_world(self) -> None:
        """Raise Refused `other-world` unless rank and world are those of the processes that run."""
        _, found = _joined()
        if not 0 <= self.rank < self.world:
            message = f"rank {self.rank} is not one of {self.world} processes"
            raise Refused(Diagnostic("other-world", message, help=f"use a rank from 0 to {self.world - 1}"))
        if found not in (1, self.world):
            message = f"the sampler shares each step among {self.world} processes, and {found} are running"
            help_ = "make the sampler again in the new processes, with `done` set to the steps that are done"
            raise Refused(Diagnostic("other-world", message, help=help_))


class _Text:
    """Where the windows of each step begin in a text."""

    def __init__(self, plan: Plan, tokens: int, order: Literal["epochs", "plan"]) -> None:
        if plan.data is not None and plan.data.name == MIXTURE:
            message = "the plan reads a mixture of texts, and the sampler has one"
            raise Refused(_wrong("wrong-data", message, "use `shapeflow run`, or a plan with one text"))
        settings = corpora_of(plan)[0]
        longest, block = contexts_of(plan)[-1], block_of(plan, settings)
        if tokens < longest + 1:
            message = f"the longest context is {longest} tokens, and the text has {tokens}"
            help_ = f"use a text of {longest + 1} tokens or more: `size` counts tokens, not windows"
            raise Refused(_wrong("context-too-long", message, help_))
        self._seed, self._tokens = plan.seed, tokens
        layout = Layout(tokens, block if block < tokens else longest)
        drawn = order == "plan" and not reads_epochs(settings)
        self._epochs = Epochs(layout)
        self._positions = None if drawn else Positions(plan, Position.start(layout))

    def starts(self, step: Step) -> Ints:
        assert step.context is not None
        if self._positions is not None:
            pieces = self._positions.before(step.index).take(step.context, step.samples)
            return self._epochs.starts(self._seed, step.context, pieces)
        drawn = generator(self._seed, WINDOWS, step.index, 0)
        return drawn.integers(0, self._tokens - step.context, step.samples)


class Windows(Dataset[dict[str, Tensor]]):
    """Windows of a text, for the items of a `PlanSampler`: `input_ids` and `labels`, int64, as long as the step's
    context."""

    def __init__(self, tokens: Sequence[int] | Ints | Tensor, labels: Literal["next", "same"] = "next") -> None:
        """`tokens`: one array of tokens, such as a `numpy.memmap`, or rows of equal length that are read one after
        another; `labels`: `next`: the token that follows each input; `same`: the inputs, for models that shift them
        themselves, such as those of `transformers`.

        Raises Refused `wrong-data`."""
        found: Any = tokens if isinstance(tokens, np.ndarray | Tensor) else np.asarray(tokens)
        if labels not in ("next", "same"):
            raise Refused(_wrong("wrong-data", f"`labels` is {labels!r}", "use `next` or `same`"))
        if (found.is_floating_point() if isinstance(found, Tensor) else found.dtype.kind not in "iu") or not len(found):
            raise Refused(_wrong("wrong-data", "the text is not an array of token ids", "give whole numbers"))
        self.tokens, self.labels = found.reshape(-1), labels

    def __len__(self) -> int:
        """The number of tokens: the `size` of a `PlanSampler`."""
        return len(self.tokens)

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Tensor]:
        first, length = item
        window = self.tokens[first : first + length + 1]
        if len(window) <= length:
            message = f"the text has no {length + 1} tokens from token {first} on"
            raise Refused(_wrong("wrong-data", message, "give the sampler `size=len(windows)`"))
        whole = window.long() if isinstance(window, Tensor) else torch.from_numpy(window.astype(np.int64))
        inputs = whole[:-1]
        return {"input_ids": inputs, "labels": whole[1:] if self.labels == "next" else inputs.clone()}


def _joined() -> tuple[int, int]:
    """Rank and number of the processes of `torch.distributed`."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _wrong(code: str, message: str, help_: str) -> Diagnostic:
    return Diagnostic(code, message, place="PlanSampler" if code != "wrong-data" else "data", help=help_)
