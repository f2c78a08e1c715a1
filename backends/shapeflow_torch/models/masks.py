"""Attention masks. An entry is True if the token of the row attends to the token of the column."""

from __future__ import annotations

import torch
from torch import Tensor


def within_documents(tokens: Tensor, separator: int) -> Tensor:
    """Return a mask (samples, 1, tokens, tokens): each token attends to itself and to earlier tokens of its document.

    `tokens`: token ids (samples, tokens); `separator`: the token that ends a document and belongs to it."""
    ends = (tokens == separator).long()
    document = ends.cumsum(1) - ends
    alike = document[:, None, :, None] == document[:, None, None, :]
    return alike & causal(tokens.shape[1], tokens.device)


def with_prefix(tokens: int, prefix: int, device: torch.device) -> Tensor:
    """Return a mask (tokens, tokens): the first `prefix` tokens attend to each other; other tokens are causal."""
    return causal(tokens, device) | (torch.arange(tokens, device=device) < prefix)


def added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask as an additive float mask of 0 and minus infinity, in the precision of attention.

    With a boolean mask, attention does this conversion in every block and keeps each result for the backward pass.
    Converting once before the first block saves that memory."""
    if torch.is_autocast_enabled(mask.device.type):
        dtype = torch.get_autocast_dtype(mask.device.type)
    return torch.zeros((), dtype=dtype, device=mask.device).where(mask, -torch.inf)


def causal(tokens: int, device: torch.device) -> Tensor:
    """Return a causal mask (tokens, tokens): each token attends to itself and to earlier tokens."""
    return torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
