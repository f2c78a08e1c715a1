"""The training text of a trainer's data set, and the collator that a trainer has for its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow_torch.adopt.sampler import Windows


def text_of(data: Any) -> Windows:
    """Return windows of a trainer's data set, with labels that the model shifts itself.

    `data`: `Windows` with `labels="same"`; an array or tensor of token ids; or rows with `input_ids`, all equally long,
    which are read one after another and held in memory. Raises Refused `wrong-data`."""
    if isinstance(data, Windows):
        if data.labels != "same":
            raise _wrong("the labels of the windows are shifted, and the model shifts them", 'use `labels="same"`')
        return data
    if isinstance(data, np.ndarray | Tensor):
        return Windows(data, labels="same")
    if not len(data):
        raise _wrong("the data set has no rows", "give rows of tokens")
    first = data[0]
    if isinstance(first, int | np.integer):
        return Windows(np.asarray(data), labels="same")
    if not isinstance(first, Mapping) or "input_ids" not in first:
        raise _wrong("the rows of the data set have no `input_ids`", "tokenize the text, and pack it into rows")
    return Windows(np.stack([_row(data[at], at, len(first["input_ids"])) for at in range(len(data))]), labels="same")


def _row(row: Any, at: int, length: int) -> Any:
    ids = np.asarray(row["input_ids"])
    pack = "pack the text into rows of equal length, without padding"
    if ids.shape != (length,):
        raise _wrong(f"row {at} of the data set has {ids.size} tokens, and the first has {length}", pack)
    if "attention_mask" in row and not np.asarray(row["attention_mask"]).all():
        raise _wrong(f"row {at} of the data set has padding", pack)
    if "labels" in row and not np.array_equal(row["labels"], ids):
        message = f"the labels of row {at} are not its tokens, and the plan trains on all tokens"
        raise _wrong(message, "leave `labels` out, or use a loop of your own (`shapeflow.follow`)")
    return ids


class Checked:
    """A collator, and the check that it keeps the windows of a plan as they are."""

    def __init__(self, collate: Callable[[list[Any]], Any], text: bool) -> None:
        self.collate, self.text = collate, text

    def __call__(self, rows: list[Any]) -> Any:
        """Raises Refused `wrong-data` for a collator that adds or removes tokens."""
        batch = self.collate(rows)
        if self.text:
            wanted = (len(rows), len(rows[0]["input_ids"]))
            found = tuple(batch["input_ids"].shape)
            if found != wanted:
                message = f"the data collator makes {found} of {wanted[0]} windows of {wanted[1]} tokens"
                raise _wrong(message, "use `default_data_collator` of `transformers`")
        return batch


def _wrong(message: str, help_: str) -> Refused:
    return Refused(Diagnostic("wrong-data", message, place="train_dataset", help=help_))
