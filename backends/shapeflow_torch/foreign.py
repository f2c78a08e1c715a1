"""Exports a run's weights to a folder that `transformers` or `timm` loads. Neither library is imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import save as write_tensors
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import require_empty, write_folder
from shapeflow.foreign.adapters import HF_LLAMA, TIMM_VIT, Adapter
from shapeflow.foreign.cells import cells
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Plan
from shapeflow.ir.weights import Weights
from shapeflow_torch.adopt.cells import joined, sizes_of
from shapeflow_torch.export import Exported, gathered
from shapeflow_torch.reading import Reader

MODELS: Mapping[str, str] = {"hf": "transformer", "timm": "vit"}
"""Target -> the model that its class computes."""
_BATCHED = ("cls_token", "reg_token")
"""Tensors of `timm` with an axis of 1 in front that ours do not have."""

_LOAD_TIMM = """\
# Weights of a run of shapeflow, for timm

`model_args.json` holds the arguments of `VisionTransformer`, and the eps of its norms, which `timm` takes as a class:

```python
import json
from functools import partial
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch.nn import LayerNorm

about = json.load(open("model_args.json"))
net = VisionTransformer(**about["model_args"], norm_layer=partial(LayerNorm, eps=about["norm_eps"]))
net.load_state_dict(load_file("model.safetensors"), strict=True)
```

Scale the pixels of images as the run did.
"""


def export_as(
    plan: Plan, folder: Path, output: Path, target: str, *, raw: bool = False, unfinished: bool = False
) -> Exported:
    """Write a run's weights to a new folder in the format of another library, in float32.

    `hf`: `model.safetensors` and `config.json`, which `AutoModelForCausalLM.from_pretrained` loads as Llama; `timm`:
    `model.safetensors`, `model_args.json` and a `README.md` that shows how to load them. Views are applied to the
    tensors.

    Raises Refused `cannot-export` if the target is unknown, or its model does not compute what the run's does;
    `folder-in-use`, and what `shapeflow_torch.export.gathered` raises."""
    if target not in MODELS:
        _refuse(folder, f"`{target}` is not a target of an export", "`hf`, `timm` or `shapeflow`")
    require_empty(output)
    weights, tensors = gathered(plan, folder, raw=raw, unfinished=unfinished)
    if weights.model != MODELS[target]:
        other = next((name for name, model in MODELS.items() if model == weights.model), "shapeflow")
        _refuse(
            folder, f"`{target}` holds a `{MODELS[target]}`, and the run trained `{weights.model}`", f"`--as {other}`"
        )
    ledger = weights.ledger()
    found = _renamed(HF_LLAMA if target == "hf" else TIMM_VIT, ledger, _seen(ledger, tensors))
    texts = _hf(folder, weights, ledger) if target == "hf" else _timm(weights, ledger)
    header = {"format": "pt", "shapeflow.plan": weights.plan}
    files = {name: text.encode() for name, text in texts.items()}
    write_folder(output, {"model.safetensors": write_tensors(found, header), **files})
    return Exported(weights.step, len(found))


def _seen(ledger: Ledger, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as the model reads them, through their views."""
    cpu = torch.device("cpu")
    readings = Reader().readings(ledger, cpu, torch.float32)
    return {name: readings[name](one) if name in readings else one for name, one in tensors.items()}


def _renamed(adapter: Adapter, ledger: Ledger, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for cell in cells(adapter, ledger):
        parts = [tensors[name] for name in cell.ours]
        # Two layouts never share storage, which safetensors refuses.
        found[cell.theirs] = joined(cell, parts, parts[0].dim() + (cell.theirs in _BATCHED)).clone()
    return found


def _hf(folder: Path, weights: Weights, ledger: Ledger) -> dict[str, str]:
    slots = ledger.slots
    if "attend.separator" in slots:
        message = "`attend: document` restricts attention to a document, and Llama attends to all tokens before one"
        _refuse(folder, message, "`--as shapeflow`")
    if (rule := slots.get("rope.rule", "keep")) != "keep":
        message = f"the run's rotary positions are stretched by the rule `{rule}`, which is not exported"
        _refuse(folder, message, "`--as shapeflow`, or extend the context by `base`")
    theta = slots["rope.base"]
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **{key: rule(sizes_of(ledger)) for key, rule in HF_LLAMA.config.items()},
        "rms_norm_eps": slots["norm.eps"],
        # Older versions of the library read `rope_theta`, newer ones `rope_parameters`.
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "rope_theta": theta,
        "max_position_embeddings": weights.shape.get("context", slots.get("context")),
        "tie_word_embeddings": "head.weight" not in ledger.table,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        # The library's defaults are the ids of Llama's tokenizer.
        "bos_token_id": None,
        "eos_token_id": None,
        "torch_dtype": "float32",
    }
    return {"config.json": _json(config)}


def _timm(weights: Weights, ledger: Ledger) -> dict[str, str]:
    sizes, table = sizes_of(ledger), ledger.table
    facts = weights.facts()
    patch = next((rule.to for dim, rule in ledger.views["patch.weight"].items() if dim == "patch"), sizes["patch"])
    width, units = sizes["residual"], sizes["hidden"]
    ratio = units / width
    arguments = {
        "img_size": facts.image,
        "patch_size": patch,
        "in_chans": sizes["channel"],
        "num_classes": sizes["classes"],
        "embed_dim": width,
        "depth": sizes["depth"],
        "num_heads": sizes["heads"] // sizes["head"],
        # timm truncates `embed_dim * mlp_ratio`.
        "mlp_ratio": ratio if int(width * ratio) == units else (units + 0.5) / width,
        "class_token": "cls" in table,
        "reg_tokens": sizes.get("register", 0),
        "no_embed_class": "cls" in table or "registers" in table,
        "global_pool": "token" if "cls" in table else "avg",
        "fc_norm": False,
    }
    about = {"architecture": "VisionTransformer", "model_args": arguments, "norm_eps": ledger.slots["norm.eps"]}
    return {"model_args.json": _json(about), "README.md": _LOAD_TIMM}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _refuse(folder: Path, message: str, instead: str) -> NoReturn:
    raise Refused(Diagnostic("cannot-export", message, place=str(folder), help=f"use {instead}"))
