"""Write small folders of models of `transformers` and `timm`, without these libraries."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from teachers import write_file

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "vocab_size": 256,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    "tie_word_embeddings": True,
    "hidden_act": "silu",
    "attention_dropout": 0.0,
}
BLOCK = {
    "input_layernorm": [16],
    "self_attn.q_proj": [16, 16],
    "self_attn.k_proj": [8, 16],
    "self_attn.v_proj": [8, 16],
    "self_attn.o_proj": [16, 16],
    "post_attention_layernorm": [16],
    "mlp.gate_proj": [40, 16],
    "mlp.up_proj": [40, 16],
    "mlp.down_proj": [16, 40],
}
TENSORS = {
    "model.embed_tokens.weight": [256, 16],
    "model.norm.weight": [16],
    **{f"model.layers.{at}.{name}.weight": sizes for at in range(2) for name, sizes in BLOCK.items()},
}
VIT: dict[str, Any] = {
    "architecture": "VisionTransformer",
    "model_args": {"img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10, "num_heads": 2},
}
VIT_TENSORS = {
    "patch_embed.proj.weight": [8, 1, 4, 4],
    "patch_embed.proj.bias": [8],
    "cls_token": [1, 1, 8],
    "pos_embed": [1, 5, 8],
    **{f"{name}.{end}": [8] for name in ("norm", "blocks.0.norm1", "blocks.0.norm2") for end in ("weight", "bias")},
    "blocks.0.attn.qkv.weight": [24, 8],
    "blocks.0.attn.qkv.bias": [24],
    "blocks.0.attn.proj.weight": [8, 8],
    "blocks.0.attn.proj.bias": [8],
    "blocks.0.mlp.fc1.weight": [32, 8],
    "blocks.0.mlp.fc1.bias": [32],
    "blocks.0.mlp.fc2.weight": [8, 32],
    "blocks.0.mlp.fc2.bias": [8],
    "head.weight": [10, 8],
    "head.bias": [10],
}


def save(folder: Path, config: dict[str, Any] | None, tensors: dict[str, list[int]], dtype: str = "BF16") -> Path:
    """A folder of a model whose bytes count up, so that no two tensors are alike."""
    folder.mkdir(exist_ok=True)
    header: dict[str, Any] = {}
    at, width = 0, {"BF16": 2, "F32": 4}[dtype]
    for name, sizes in tensors.items():
        end = at + width * math.prod(sizes)
        header[name] = {"dtype": dtype, "shape": sizes, "data_offsets": [at, end]}
        at = end
    write_file(folder / "model.safetensors", header, at)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-at] + bytes(place % 251 for place in range(at)))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder
