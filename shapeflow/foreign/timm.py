"""A config of `timm` as settings of `vit`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import attrs

from shapeflow.foreign.folder import Foreign, Piece
from shapeflow.foreign.numbers import COUNT, is_count, is_positive, ratio_of
from shapeflow.ir.parameters import DataFacts
from shapeflow.ir.tensor_table import WIDTHS
from shapeflow.models.vit import Vit

NAMED = re.compile(r"vit_(tiny|small|base|large|huge)_patch(\d{1,3})_(\d{1,4})")
"""Names of models of `timm` that are plain vision transformers."""
HEADS = {"tiny": 3, "small": 6, "base": 12, "large": 16, "huge": 16}
DEFAULTS: Mapping[str, Any] = {
    "img_size": 224,
    "patch_size": 16,
    "in_chans": 3,
    "num_classes": 1000,
    "global_pool": "token",
    "num_heads": 12,
    "class_token": True,
    "reg_tokens": 0,
    "no_embed_class": False,
    "fc_norm": None,
    "qkv_bias": True,
    "qk_norm": False,
    "init_values": None,
    "pre_norm": False,
    "dynamic_img_size": False,
    "pos_embed": "learn",
}
"""Argument of `VisionTransformer` -> its default there."""
ALLOWED: Mapping[str, tuple[Any, ...]] = {
    "fc_norm": (None, False),
    "qkv_bias": (True,),
    "qk_norm": (False,),
    "init_values": (None,),
    "pre_norm": (False,),
    "dynamic_img_size": (False, True),
    "pos_embed": ("learn",),
}
"""Argument -> the values with which `VisionTransformer` computes what `vit` does."""
OF_TENSORS = frozenset({"embed_dim", "depth", "mlp_ratio"})
"""Arguments that the sizes of the tensors state too."""
OF_TRAINING = frozenset(
    {"drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate"}
    | {"weight_init", "fix_init"}
)
"""Arguments that do not change the function of trained weights."""
INSTEAD = "import a model without it: `vit` does not compute this"


def model_of(found: Foreign) -> tuple[Vit, DataFacts, Foreign]:
    """The model of a folder of `timm`, what it needs of data, and its tensors with the positions of class token and
    registers added to these. Raises Refused `cannot-import`, which names the key or the tensor."""
    given = _arguments(found)
    for key, allowed in ALLOWED.items():
        if not any(given[key] == one and type(given[key]) is type(one) for one in allowed):
            _refuse(found, key, given[key], f"`vit` computes as with {allowed[0]!r}")
    patch, classes = _count(found, given, "patch_size"), _count(found, given, "num_classes")
    image, heads, registers = _count(found, given, "img_size"), _count(found, given, "num_heads"), given["reg_tokens"]
    if type(registers) is not int or not 0 <= registers <= 1024:
        _refuse(found, "reg_tokens", registers, "must be a whole number from 0 to 1024")
    token, pool = given["class_token"], given["global_pool"]
    if (token, pool) not in ((True, "token"), (False, "avg")):
        _refuse(found, "global_pool", pool, "`vit` reads a class token, or the mean over all patches without one")
    if image % patch:
        _refuse(found, "img_size", image, f"must be a multiple of the patch size, {patch}")
    width, units, depth = _sizes(found)
    if width % heads:
        _refuse(found, "num_heads", heads, f"must divide the width, {width}")
    model = Vit(
        depth=depth,
        width=width,
        patch=patch,
        head_width=width // heads,
        mlp_ratio=ratio_of(found, units, width, "mlp_ratio"),
        pool="cls" if token else "mean",
        registers=registers,
        norm_eps=_eps(found),
    )
    facts = DataFacts(kind="images", image=image, channels=_count(found, given, "in_chans"), classes=classes)
    return model, facts, _folded(found, (image // patch) ** 2, int(token) + registers, registers)


def _arguments(found: Foreign) -> dict[str, Any]:
    """The arguments of `VisionTransformer`. Raises Refused for a model that is not known, or an unknown argument."""
    config, named = found.config, found.config.get("architecture")
    given = config.get("model_args", {})
    if not isinstance(given, dict):
        _refuse(found, "model_args", given, "must be an object")
    known = NAMED.fullmatch(named) if isinstance(named, str) else None
    if known is None and named != "VisionTransformer":
        _refuse(found, "architecture", named, "must be a plain `vit_..._patch..._...`, or `VisionTransformer`")
    own: dict[str, Any] = {}
    if known is not None:
        own = {"num_heads": HEADS[known[1]], "patch_size": int(known[2]), "img_size": int(known[3])}
        own |= {key: config[key] for key in ("num_classes", "global_pool") if key in config}
    for key in sorted(given.keys() - DEFAULTS.keys() - OF_TENSORS - OF_TRAINING):
        _refuse(found, key, given[key], "no model of ours has this argument")
    return {**DEFAULTS, **own, **given}


def _sizes(found: Foreign) -> tuple[int, int, int]:
    """Width, hidden units and blocks, by the tensors. Raises Refused."""
    depth = sum(re.fullmatch(r"blocks\.\d+\.norm1\.weight", name) is not None for name in found.tensors)
    for name in ("norm.weight", "blocks.0.mlp.fc1.bias"):
        if name not in found.tensors or len(found.tensors[name].stored.sizes) != 1:
            found.refuse(f"`{name}` is missing, and `vit` has it", INSTEAD, place=name)
    width, units = (found.tensors[name].stored.sizes[0] for name in ("norm.weight", "blocks.0.mlp.fc1.bias"))
    if not width or not units:
        found.refuse("it has tensors without entries", "save it again")
    return width, units, depth


def _eps(found: Foreign) -> float:
    """The eps of the norms: that of our own export, or the one of `timm`."""
    eps = found.config.get("norm_eps", 1e-6)
    if not is_positive(eps):
        _refuse(found, "norm_eps", eps, "must be a number above 0")
    return float(eps)


def _folded(found: Foreign, patches: int, prefix: int, registers: int) -> Foreign:
    """The model with positions of patches alone: those of class token and registers are added to these tokens, which
    is the same function."""
    positions = found.tensors.get("pos_embed")
    if positions is None or prefix == 0 or positions.stored.sizes[1:2] != (patches + prefix,):
        return found
    stored, width = positions.stored, positions.stored.sizes[-1]
    row = width * WIDTHS[stored.dtype]
    tensors = dict(found.tensors)
    rest = attrs.evolve(stored, sizes=(1, patches, width), begin=stored.begin + prefix * row)
    tensors["pos_embed"] = Piece(positions.file, rest)
    at = 0
    for name, count in (("cls_token", prefix - registers), ("reg_token", registers)):
        if name in tensors and count:
            begin = stored.begin + at * row
            own = attrs.evolve(stored, sizes=(count, width), begin=begin, end=begin + count * row)
            tensors[name] = attrs.evolve(tensors[name], plus=Piece(positions.file, own))
        at += count
    return attrs.evolve(found, tensors=tensors)


def _count(found: Foreign, given: Mapping[str, Any], key: str) -> int:
    value = given[key]
    if not is_count(value):
        _refuse(found, key, value, f"must be {COUNT}")
    return value


def _refuse(found: Foreign, key: str, value: Any, why: str) -> NoReturn:
    found.refuse(f"`{key}` is {value!r}: {why}", INSTEAD, place=key)
