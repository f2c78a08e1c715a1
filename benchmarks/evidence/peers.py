"""The modules of other libraries that `variants.py` times, in the sizes of ours. They are optional."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn


class Missing(Exception):  # noqa: N818 - reported, not a bug
    """A library is not installed or cannot be imported. Its text is the reason."""


def _module(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:
        # A library whose own needs are missing or broken raises errors of many kinds while it is imported.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise Missing(f"{package} cannot be imported ({reason})") from None


def timm_vit(width: int, depth: int, heads: int, side: int, patch: int, classes: int) -> nn.Module:
    """timm's VisionTransformer without a class token: like ours, its head reads the mean of the patches. Raises
    Missing."""
    module = _module("timm.models.vision_transformer", "timm")
    net: nn.Module = module.VisionTransformer(
        img_size=side,
        patch_size=patch,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        num_classes=classes,
        class_token=False,
        global_pool="avg",
        fc_norm=False,
    )
    return net


def llama(width: int, depth: int, heads: int, hidden: int, context: int, vocabulary: int) -> nn.Module:
    """Hugging Face's Llama with a tied head. Raises Missing."""
    module = _module("transformers", "transformers")
    config = module.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=width // heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
        use_cache=False,
    )
    net: nn.Module = module.LlamaForCausalLM(config)
    return net
