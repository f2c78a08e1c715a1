"""Where the tensors of a plan stand in a module of another library. An adapter is data, and names no tensor library."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.plan import Plan

Sizes = Mapping[str, int]
"""Size of each dim of the plan's parameters, and `head`, the channels of a head."""
Rule = Callable[[Sizes], object]

TABLE = "table"
"""Name of the adapters that `table_adapter` makes."""


@attrs.frozen
class Layout:
    """One tensor of the module, or one of each block, and the tensors of the plan that it holds."""

    theirs: str
    """Name in the module's `named_parameters()`. `{depth}` is the number of a block."""
    ours: tuple[str, ...]
    """Names in the plan's table. Several are fused along the first axis, as queries, keys and values are."""
    transposed: bool = False
    """Whether the module stores (inputs, outputs), as the Conv1D of GPT-2 does."""


@attrs.frozen
class Adapter:
    """How a module of another library follows the sizes of a plan."""

    name: str
    layouts: tuple[Layout, ...]
    blocks: str
    """Path of the module's list of blocks."""
    attributes: Mapping[str, Mapping[str, Rule]] = attrs.field(factory=dict)
    """Path of a module (`{depth}`: in each block) -> attribute -> its value, for what it keeps next to tensors. Sizes
    are those that the module computes with: a dim that is read through a view has the size that is read."""
    eps: str | None = None
    """Attribute of each norm that holds its eps; None if it cannot be changed."""
    index: Mapping[str, str] = attrs.field(factory=dict)
    """Path in a block -> attribute that holds the number of the block."""
    config: Mapping[str, Rule] = attrs.field(factory=dict)
    """Key of the module's `config` -> its value. They are compared before a switch, and set after it."""
    config_eps: str | None = None
    fixed: Mapping[str, tuple[object, ...]] = attrs.field(factory=dict)
    """Key of the module's `config` -> values with which the module computes what the plan's model does."""
    classes: tuple[str, ...] = ()
    """Names of the classes that compute what the plan's model does; classes that inherit one do too. Empty: any class
    with these tensors."""


def table_adapter(
    plan: Plan,
    *,
    attributes: Mapping[str, Mapping[str, Rule]] | None = None,
    eps: str | None = None,
    index: Mapping[str, str] | None = None,
    config: Mapping[str, Rule] | None = None,
) -> Adapter:
    """The adapter of a module whose parameters have the names of the plan's, as for the model `external`.

    The other arguments are those of `Adapter`. Raises Refused `unfit-model` if the blocks are not in one list."""
    lists = {one.name.partition(".{depth}.")[0] for one in plan.parameters if one.listed}
    if len(lists) != 1:
        found = " and ".join(f"`{each}`" for each in sorted(lists)) or "none"
        help_ = "give `grow` an `Adapter` that names the list of blocks"
        message = f"the plan's parameters are in blocks of one list, and its names have {found}"
        raise Refused(Diagnostic("unfit-model", message, place="model", help=help_))
    layouts = tuple(Layout(one.name, (one.name,)) for one in plan.parameters)
    return Adapter(TABLE, layouts, lists.pop(), attributes or {}, eps, index or {}, config or {})


def _in_blocks(theirs: str, pairs: Mapping[str, str | tuple[str, ...]], ends: tuple[str, ...]) -> tuple[Layout, ...]:
    """The layouts of the tensors in blocks. `ends`: `weight`, and `bias` if there is one."""
    found = []
    for own, plans in pairs.items():
        names = (plans,) if isinstance(plans, str) else plans
        found += [
            Layout(f"{theirs}{own}.{end}", tuple(f"blocks.{{depth}}.{name}.{end}" for name in names)) for end in ends
        ]
    return tuple(found)


HF_LLAMA = Adapter(
    name="hf.llama",
    layouts=(
        Layout("model.embed_tokens.weight", ("embed.weight",)),
        *_in_blocks(
            "model.layers.{depth}.",
            {
                "input_layernorm": "norm1",
                "self_attn.q_proj": "attn.q",
                "self_attn.k_proj": "attn.k",
                "self_attn.v_proj": "attn.v",
                "self_attn.o_proj": "attn.o",
                "post_attention_layernorm": "norm2",
                "mlp.gate_proj": "mlp.gate",
                "mlp.up_proj": "mlp.up",
                "mlp.down_proj": "mlp.down",
            },
            ("weight",),
        ),
        Layout("model.norm.weight", ("norm.weight",)),
        Layout("lm_head.weight", ("head.weight",)),
    ),
    blocks="model.layers",
    classes=("LlamaForCausalLM", "MistralForCausalLM"),
    eps="variance_epsilon",
    index={"self_attn": "layer_idx"},
    config={
        "hidden_size": lambda sizes: sizes["residual"],
        "num_hidden_layers": lambda sizes: sizes["depth"],
        "num_attention_heads": lambda sizes: sizes["heads"] // sizes["head"],
        "num_key_value_heads": lambda sizes: sizes["kv_heads"] // sizes["head"],
        "head_dim": lambda sizes: sizes["head"],
        "intermediate_size": lambda sizes: sizes["hidden"],
        "vocab_size": lambda sizes: sizes["vocabulary"],
    },
    config_eps="rms_norm_eps",
    fixed={
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "qk_norm": (False, None),
        "hidden_act": ("silu", "swish"),
        "sliding_window": (None,),
        "pretraining_tp": (1,),
        "logit_scale": (None, 1.0),
    },
)
"""`LlamaForCausalLM` of `transformers`, and `MistralForCausalLM` without a sliding window, for `transformer`."""


def _pair(side: int) -> tuple[int, int]:
    return side, side


_QKV = ("attn.q", "attn.k", "attn.v")

TIMM_VIT = Adapter(
    name="timm.vit",
    layouts=(
        Layout("patch_embed.proj.weight", ("patch.weight",)),
        Layout("patch_embed.proj.bias", ("patch.bias",)),
        Layout("pos_embed", ("pos",)),
        Layout("cls_token", ("cls",)),
        Layout("reg_token", ("registers",)),
        *_in_blocks(
            "blocks.{depth}.",
            {
                "norm1": "norm1",
                "attn.qkv": _QKV,
                "attn.proj": "attn.o",
                "norm2": "norm2",
                "mlp.fc1": "mlp.fc1",
                "mlp.fc2": "mlp.fc2",
            },
            ("weight", "bias"),
        ),
        Layout("norm.weight", ("norm.weight",)),
        Layout("norm.bias", ("norm.bias",)),
        Layout("head.weight", ("head.weight",)),
        Layout("head.bias", ("head.bias",)),
    ),
    blocks="blocks",
    attributes={
        "blocks.{depth}.attn": {
            "num_heads": lambda sizes: sizes["heads"] // sizes["head"],
            "head_dim": lambda sizes: sizes["head"],
            "attn_dim": lambda sizes: sizes["heads"],
        },
        "": dict.fromkeys(("num_features", "head_hidden_size", "embed_dim"), lambda sizes: sizes["residual"]),
        "patch_embed.proj": dict.fromkeys(("kernel_size", "stride"), lambda sizes: _pair(sizes["patch"])),
        "patch_embed": {
            "patch_size": lambda sizes: _pair(sizes["patch"]),
            "grid_size": lambda sizes: _pair(sizes["grid"]),
            "num_patches": lambda sizes: sizes["grid"] ** 2,
            "img_size": lambda sizes: _pair(sizes["patch"] * sizes["grid"]),
        },
    },
    eps="eps",
)
"""`VisionTransformer` of `timm`, with `no_embed_class=True` if it has a class token or registers, for `vit`."""
