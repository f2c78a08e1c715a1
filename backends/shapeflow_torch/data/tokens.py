"""Tokens from a memory-mapped file written by `shapeflow tokenize`."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shapeflow.base.files import open_regular
from shapeflow.data.bins import Header, broken, check_file, read_header, refused
from shapeflow.data.tokens import check_same, held_out_of
from shapeflow.ir.edits import EditError
from shapeflow_torch.data.windows import Tokens, Windows, gather

SAMPLES, LENGTH = 64, 4_096
"""Number of samples of a file that are checked before a run, and tokens per sample."""


def open_(settings: Mapping[str, Any], root: Path, contexts: Sequence[int], device: torch.device) -> Windows:
    """Open a token file as a memory map. A relative path is resolved against `root`.

    Only a few samples are read and checked. Files small enough to verify the digest are read completely.

    Raises Refused `data-missing`, `broken-tokens`, `other-tokens`, `context-too-long`."""
    path = root / settings["path"]
    try:
        header = read_header(path)
        for name in ("vocabulary", "end_of_document"):
            check_same(settings["path"], name, settings[name], getattr(header, name))
        check_file(path, header)
        text = mapped(path, header)
        _check_samples(path, text, header)
    except EditError as error:
        raise refused(error, "data") from error
    held_out = held_out_of(header, settings["held_out"])
    cut = header.count - held_out
    about = {
        "data": "tokens",
        "path": settings["path"],
        "training_tokens": cut,
        "held_out_tokens": held_out,
        "vocabulary": header.vocabulary,
        "tokenizer": header.tokenizer,
        "tokenizer_sha256": header.tokenizer_sha256,
        "bin_sha256": header.sha256,
        # The header includes the split, because another split gives other windows.
        "sha256": hashlib.sha256(header.json().encode()).hexdigest(),
    }
    return Windows(text[:cut], text[cut:], header.vocabulary, about, contexts, device)


def mapped(path: Path, header: Header) -> Tokens:
    """Return the token ids of a file as a memory-mapped array. Raises EditError `data-missing`."""
    if not header.count:
        return np.zeros(0, header.dtype)
    try:
        with open_regular(path) as file:
            held = mmap.mmap(file.fileno(), header.size, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # the file may have been truncated after its size was checked
        why = str(getattr(error, "strerror", None) or error).lower()
        raise EditError("data-missing", f"cannot read the tokens of `{path}`", why=why) from error
    if hasattr(held, "madvise"):
        # Windows are at random positions, so reading ahead is useless.
        held.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(held, np.dtype(header.dtype).newbyteorder("<"))


def _check_samples(path: Path, text: Tokens, header: Header) -> None:
    """Check that evenly spaced samples of a file contain only ids in its vocabulary. Raises EditError
    `broken-tokens`."""
    length = min(LENGTH, len(text))
    starts = np.linspace(0, len(text) - length, SAMPLES).astype(np.int64)
    highest = int(gather(text, starts, length).max(initial=0))
    if highest >= header.vocabulary:
        raise broken(path, f"it holds the token {highest}, in a vocabulary of {header.vocabulary}")
