"""The training text of a trainer's data set, and the collator and the columns that a trainer has for its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow_torch.adopt.sampler import Windows
from shapeflow_torch.adopt.trainers import unfit_trainer

SHOWN = 3
"""Columns that a refusal names."""


GIVEN = ("input_ids", "labels")
"""What the windows of a plan hold."""
IGNORED = frozenset({*GIVEN, "attention_mask", "label", "label_ids"})
"""Columns that `text_of` compares with the tokens, and other names of labels, which the windows have."""


def require_columns(trainer: Any) -> None:
    """Raise Refused unless what a trainer reads of its data are tokens and labels: `unfit-trainer` for a trainer that
    reads no `input_ids`, such as one of preferences; `wrong-data` for data with more columns that reach the loss."""
    trainer._set_signature_columns_if_needed()
    names = [name for name in trainer._signature_columns if isinstance(name, str)]
    # That of `Trainer` are the arguments of the model, which may be any.
    own = type(trainer)._set_signature_columns_if_needed.__module__ != "transformers.trainer"
    if own and GIVEN[0] not in names:
        read = ", ".join(f"`{name}`" for name in names[:SHOWN])
        message = f"`{type(trainer).__name__}` reads {read} of its data, and a plan gives `input_ids` and `labels`"
        raise unfit_trainer(message, "use `Trainer`, or `SFTTrainer` of TRL")
    first = _first(trainer.train_dataset)
    kept = set(names) if trainer.args.remove_unused_columns else {k for k, v in first.items() if not isinstance(v, str)}
    if more := sorted((kept & first.keys()) - IGNORED):
        message = f"the trainer reads the column `{more[0]}` of the data set, and a plan gives `input_ids` and `labels`"
        raise _wrong(message, f"remove `{more[0]}`, or use a loop of your own (`shapeflow.follow`)")


def _first(data: Any) -> Mapping[str, Any]:
    """The first row of a data set of rows; empty for an array of tokens."""
    if isinstance(data, Windows | np.ndarray | Tensor) or not len(data) or not isinstance(data[0], Mapping):
        return {}
    found: Mapping[str, Any] = data[0]
    return found


def text_of(data: Any, wrapped: bool = False) -> Windows:
    """Return windows of a trainer's data set, with labels that the model shifts itself.

    `data`: `Windows` with `labels="same"`; an array or tensor of token ids; or rows with `input_ids`, all equally long,
    which are read one after another and held in memory; `wrapped`: the rows are one text that was cut at a length, and
    may be shorter at the end of what was cut at once. Raises Refused `wrong-data`."""
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
    length = None if wrapped else len(first["input_ids"])
    return Windows(np.concatenate([_row(data[at], at, length) for at in range(len(data))]), labels="same")


def _row(row: Any, at: int, length: int | None) -> Any:
    ids = np.asarray(row["input_ids"])
    pack = "pack the text into rows of equal length, without padding"
    if length is not None and ids.shape != (length,):
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
        """Raises Refused `wrong-data` for a collator that changes tokens, or hides some from the loss or the model."""
        wanted = torch.stack([row["input_ids"] for row in rows]) if self.text else None
        batch = self.collate(rows)
        if wanted is not None:
            _require_kept(batch, wanted)
        return batch


def _require_kept(batch: Any, wanted: Tensor) -> None:
    """Raise Refused `wrong-data` unless a batch has the tokens of its windows, as its inputs and as its labels."""
    ids, labels, mask = (batch.get(name) for name in (*GIVEN, "attention_mask"))
    help_ = "use `default_data_collator` of `transformers`"
    if not isinstance(ids, Tensor) or ids.shape != wanted.shape:
        shape = tuple(ids.shape) if isinstance(ids, Tensor) else "no `input_ids`"
        message = f"the data collator makes {shape} of {len(wanted)} windows of {wanted.shape[1]} tokens"
        raise _wrong(message, help_)
    if not torch.equal(ids, wanted):
        raise _wrong("the data collator changes tokens of the windows", help_)
    # A model shifts its labels, so that it reads no label of the first position.
    if isinstance(labels, Tensor) and not torch.equal(labels[:, 1:], wanted[:, 1:]):
        raise _wrong("the data collator changes labels of the windows, and the plan trains on all tokens", help_)
    if isinstance(mask, Tensor) and not mask.all():
        raise _wrong("the data collator hides tokens of the windows, and the plan trains on all tokens", help_)


def _wrong(message: str, help_: str) -> Refused:
    return Refused(Diagnostic("wrong-data", message, place="train_dataset", help=help_))
