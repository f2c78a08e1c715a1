"""A config of `transformers` as settings of `transformer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from shapeflow.foreign.adapters import HF_LLAMA
from shapeflow.foreign.folder import Foreign
from shapeflow.foreign.numbers import COUNT, is_count, is_positive, ratio_of
from shapeflow.ir.parameters import DataFacts
from shapeflow.models.transformer import Transformer

TYPES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}
"""`model_type` -> the class whose function `transformer` has."""
WHY_NOT = {
    "qwen2": "its queries, keys and values have biases",
    "qwen3": "it normalises queries and keys",
    "gpt2": "it has learned positions, biases and LayerNorm",
}
WINDOW = {"mistral": 4096}
"""`model_type` -> `sliding_window` of a config that does not state it."""
TRAIN_OTHER = "import a model without it: `transformer` does not compute this"


def model_of(found: Foreign) -> tuple[Transformer, DataFacts]:
    """The model of a folder of `transformers`, and what it needs of data. Raises Refused `cannot-import`, which names
    the key."""
    config, kind = found.config, found.config.get("model_type")
    if not isinstance(kind, str) or kind not in TYPES:
        _no_type(found, kind)
    names = config.get("architectures")
    if names is not None and names != [TYPES[kind]]:
        _refuse(found, "architectures", names, [TYPES[kind]])
    _require_fixed(found, str(kind))
    width, heads = _count(found, "hidden_size"), _count(found, "num_attention_heads")
    shared = _count(found, "num_key_value_heads", heads if kind == "llama" else None)
    head = _count(found, "head_dim", width // heads)
    if head * heads != width:
        _refuse(found, "head_dim", head, width // heads)
    if heads % shared:
        message = f"`num_key_value_heads` is {shared}, which does not divide the number of heads, {heads}"
        found.refuse(message, TRAIN_OTHER, place="num_key_value_heads")
    units = _count(found, "intermediate_size")
    model = Transformer(
        depth=_count(found, "num_hidden_layers"),
        width=width,
        context=_count(found, "max_position_embeddings"),
        head_width=head,
        kv_ratio=heads // shared,
        mlp_ratio=ratio_of(found, units, width, "intermediate_size"),
        tied=_flag(found, "tie_word_embeddings"),
        rope_base=_rope(found),
        norm_eps=_number(found, "rms_norm_eps", config.get("rms_norm_eps")),
    )
    return model, DataFacts(kind="text", vocabulary=_count(found, "vocab_size"))


def _no_type(found: Foreign, kind: Any) -> NoReturn:
    if kind is None:
        found.refuse("its config has no `model_type`", "save the model with `save_pretrained`", place="model_type")
    why = WHY_NOT.get(kind) if isinstance(kind, str) else None
    known = f"the models that `transformer` computes as: {', '.join(TYPES)}"
    message = f"`model_type` is {kind!r}, and `transformer` computes as `llama` does"
    found.refuse(message, TRAIN_OTHER, *((why,) if why else ()), known, place="model_type")


def _require_fixed(found: Foreign, kind: str) -> None:
    config = {"sliding_window": WINDOW.get(kind), **found.config}
    fixed: Mapping[str, tuple[object, ...]] = {
        **HF_LLAMA.fixed,
        "quantization_config": (None,),
        "partial_rotary_factor": (None, 1, 1.0),
    }
    for key, allowed in fixed.items():
        value = config.get(key, allowed[0])
        if not any(value == one and type(value) is type(one) for one in allowed):
            _refuse(found, key, value, allowed[0])


def _rope(found: Foreign) -> float:
    """The base of the rotary positions. Newer configs state it in `rope_parameters`. Raises Refused for positions that
    are scaled."""
    config = found.config
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key)
        if value is None:
            continue
        if not isinstance(value, dict):
            _refuse(found, key, value, None)
        kind = value.get("rope_type", value.get("type", "default"))
        if kind != "default":
            _refuse(found, f"{key}.rope_type", kind, "default")
        for other in sorted(value.keys() - {"rope_type", "type", "rope_theta"}):
            if value[other] is not None and (other, value[other]) != ("partial_rotary_factor", 1.0):
                _refuse(found, f"{key}.{other}", value[other], None)
    newer = config.get("rope_parameters") or {}
    bases = [value for value in (newer.get("rope_theta"), config.get("rope_theta")) if value is not None]
    if any(base != bases[0] for base in bases):
        _refuse(found, "rope_theta", bases[1], bases[0])
    return _number(found, "rope_theta", bases[0]) if bases else 10000.0


def _count(found: Foreign, key: str, default: int | None = None) -> int:
    value = found.config.get(key)
    value = default if value is None else value
    if not is_count(value):
        _refuse(found, key, value, COUNT)
    return value


def _number(found: Foreign, key: str, value: Any) -> float:
    if not is_positive(value):
        _refuse(found, key, value, "a number above 0")
    return float(value)


def _flag(found: Foreign, key: str) -> bool:
    value = found.config.get(key, False)
    if type(value) is not bool:
        _refuse(found, key, value, False)
    return bool(value)


def _refuse(found: Foreign, key: str, value: Any, wanted: Any) -> NoReturn:
    said = "missing" if value is None else repr(value)
    message = f"`{key}` is {said}, and `transformer` computes as with {wanted!r}"
    if isinstance(wanted, str) and " " in wanted:
        message = f"`{key}` is {said}, and must be {wanted}"
    found.refuse(message, TRAIN_OTHER, place=key)
