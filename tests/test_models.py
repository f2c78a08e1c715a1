"""Parameter tables, sizes and compute of the models, compared with published counts."""

from __future__ import annotations

import math
from typing import Any

import pytest

from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import EditError
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.parameters import DataFacts, Model, Parameter, grid_of, sequences_of, step_compute
from shapeflow.models.transformer import Transformer
from shapeflow.models.vit import Vit

IMAGES = DataFacts(kind="images", image=120, channels=3, classes=1000, batch=256)
BYTES = DataFacts(kind="text", vocabulary=256, batch=512)
BASE = {"patch": 12, "grid": 8}


def count(model: Model, shape: Shape) -> int:
    return sum(
        math.prod(sizes) for sizes in Ledger.of(model.parameters, model.sizes(shape), model.slots).tensors().values()
    )


# Paper A, Fig. 2b: width, depth, heads, GFLOPs (multiply-accumulates of one forward pass) at patch 8 and 24, and the
# parameters in millions. The paper prints 21.8 for V384, which is 21.87 truncated.
FIG_2B = [
    (256, 6, 8, "1.22", "0.120", 5.12),
    (192, 12, 3, "1.43", "0.136", 5.63),
    (256, 12, 4, "2.44", "0.240", 9.86),
    (384, 12, 6, "5.25", "0.538", 21.87),
    (512, 12, 8, "9.13", "0.953", 38.60),
    (640, 12, 10, "14.1", "1.49", 60.04),
    (768, 12, 12, "20.1", "2.14", 86.21),
]


@pytest.mark.parametrize(("width", "depth", "heads", "fine", "coarse", "millions"), FIG_2B)
def test_paper_a_fig_2b(width: int, depth: int, heads: int, fine: str, coarse: str, millions: float) -> None:
    model = Vit(width=width, depth=depth, heads=heads).declare(IMAGES, BASE)
    for patch, printed in ((8, fine), (24, coarse)):
        macs = model.compute(Shape.of(patch=patch), "paper").sample / 3
        assert f"{macs / 1e9:#.3g}" == printed
    assert count(model, Shape.of(patch=8)) / 1e6 == pytest.approx(millions, abs=0.005)


def test_flops_of_vit_count_products_embedding_head_and_resize() -> None:
    model = Vit(width=640, depth=12, heads=10).declare(IMAGES, BASE)
    n, d = 25, 640
    macs = 12 * (n * 12 * d * d + 2 * n * n * d) + 120 * 120 * 3 * d + 1000 * d
    resize = d * (3 * (12 * 12 * 24 + 12 * 24 * 24) + 8 * 8 * 5 + 8 * 5 * 5)
    compute = model.compute(Shape.of(patch=24), "flops")
    assert compute.sample == 6 * macs
    assert compute.step == 4 * resize
    assert step_compute(model, Shape.of(patch=24), "flops") == 256 * 6 * macs + 4 * resize
    assert step_compute(model, Shape.of(patch=24, batch=16), "flops") == 16 * 6 * macs + 4 * resize


@pytest.mark.parametrize(("pool", "registers", "prefix"), [("cls", 0, 1), ("mean", 4, 4), ("cls", 4, 5)])
def test_tokens_before_the_patches_count_in_both_conventions(pool: Any, registers: int, prefix: int) -> None:
    """They add tokens to the blocks; the compute of the patch embedding and of the resize does not change."""
    plain = Vit(width=64, depth=2, heads=2).declare(IMAGES, BASE)
    model = Vit(width=64, depth=2, heads=2, pool=pool, registers=registers).declare(IMAGES, BASE)
    shape, d = Shape.of(patch=24), 64

    def block(n: int) -> int:
        return n * 12 * d * d + 2 * n * n * d

    more, less = (one.compute(shape, "flops") for one in (model, plain))
    assert more.sample - less.sample == 6 * 2 * (block(25 + prefix) - block(25))
    assert more.step == less.step
    paper = model.compute(shape, "paper").sample - plain.compute(shape, "paper").sample
    assert paper == 3 * 2 * (block(25 + prefix) - block(25) + 9 * d * prefix)
    assert count(model, shape) - count(plain, shape) == prefix * d


def test_the_grid_follows_the_resolution() -> None:
    model = Vit(width=64, depth=2, heads=2, upsample=True).declare(IMAGES, BASE)
    plain = Vit(width=64, depth=2, heads=2).declare(IMAGES, BASE)
    for patch, side, grid in ((12, 60, 5), (24, 120, 5), (12, 120, 10), (12, 240, 20)):
        shape = Shape.of(patch=patch, resolution=side)
        assert (model.seen(shape)["grid"], model.sizes(shape)["grid"]) == (grid, 8)
    assert plain.seen(Shape.of(patch=12)) == plain.seen(Shape.of(patch=12, resolution=120))
    small, large = (plain.compute(Shape.of(patch=12, resolution=side), "paper").sample for side in (60, 120))
    block = [n * (12 * 64 * 64 + 9 * 64) + 2 * n * n * 64 for n in (25, 100)]
    assert (small, large) == (6 * block[0], 6 * block[1])
    fixed = Vit(width=64, depth=2, heads=2, patch=12, resolution=60).declare(IMAGES, {})
    assert fixed.sizes(Shape.of())["grid"] == 5
    assert (fixed.slots["resolution"], "resolution" in plain.slots) == (60, False)


def test_paper_a_language_model_has_137_841_408_parameters() -> None:
    model = Transformer(width=768, depth=12, heads=12, mlp_ratio=4, context=1024).declare(
        DataFacts(kind="text", vocabulary=32000, batch=500_000), {}
    )
    assert count(model, Shape.of(width=768)) == 137_841_408


@pytest.mark.parametrize(
    ("context", "macs"), [(16, 380_928), (32, 393_216), (64, 417_792), (128, 466_944), (256, 565_248)]
)
def test_training_compute_of_a_token(context: int, macs: int) -> None:
    """Multiply-accumulates are 3 (L (4 d^2 + 3 d m + 2 n d) + d V) with d = 64, L = 2, m = 3 d, V = 256."""
    model = Transformer(width=64, depth=2, heads=2).declare(BYTES, {})
    shape = Shape.of(context=context)
    assert model.compute(shape, "flops").sample == 2 * macs * context
    assert model.compute(shape, "paper").sample == (macs - 3 * 64 * 256) * context
    assert step_compute(model, shape, "flops") == 2 * macs * 512


def test_compute_follows_the_depth() -> None:
    """The compute of blocks is proportional to the depth; embedding, head and resize do not depend on it."""
    vit = Vit(width=64, heads=2).declare(IMAGES, BASE)
    shapes = [Shape.of(depth=depth, patch=24) for depth in (2, 4)]
    paper = [vit.compute(shape, "paper").sample for shape in shapes]
    assert paper[1] == 2 * paper[0]
    shallow, deep = (vit.compute(shape, "flops") for shape in shapes)
    n, d = 25, 64
    assert deep.sample - shallow.sample == 6 * 2 * (n * 12 * d * d + 2 * n * n * d)
    assert deep.step == shallow.step
    llama = Transformer(width=64, heads=2).declare(BYTES, {})
    for context in (16, 256):
        fixed = Transformer(width=64, depth=4, heads=2).declare(BYTES, {})
        deep = llama.compute(Shape.of(context=context, depth=4), "flops")
        assert deep == fixed.compute(Shape.of(context=context), "flops")


def test_shared_key_and_value_heads() -> None:
    model = Transformer(width=64, depth=2, head_width=8, kv_ratio=4, tied=False).declare(BYTES, {})
    shape = Shape.of(context=64)
    sizes = model.sizes(shape)
    assert (sizes["heads"], sizes["kv_heads"]) == (64, 16)
    ledger = Ledger.of(model.parameters, sizes, model.slots)
    assert ledger.stored("blocks.{depth}.attn.k.weight") == (16, 64)
    assert ledger.tensors()["head.weight"] == (256, 64)
    full = Transformer(width=64, depth=2, head_width=8).declare(BYTES, {})
    saved = 6 * 2 * 64 * 2 * 64 * 48  # FLOPs of k and v: blocks, tokens, d (d - kv)
    assert full.compute(shape, "flops").sample - model.compute(shape, "flops").sample == saved


def test_tables_name_every_tensor_once() -> None:
    for model in (
        Vit(width=64, depth=2, heads=2).declare(IMAGES, {}),
        Vit(width=64, depth=2, heads=2, pool="cls", registers=4).declare(IMAGES, {}),
        Transformer(width=64, depth=2, heads=2).declare(BYTES, {}),
    ):
        names = [parameter.name for parameter in model.parameters]
        assert len(names) == len(set(names))
        assert all(parameter.writes in parameter.logical for parameter in model.parameters)
    assert "blocks.{depth}.attn.q.bias" not in names


def test_a_fixed_patch_is_what_is_stored() -> None:
    model = Vit(width=64, depth=2, heads=2, patch=15).declare(IMAGES, {})
    sizes = model.sizes(Shape.of(width=64))
    assert (sizes["patch"], sizes["grid"]) == (15, 8)
    assert model.seen(Shape.of(width=64)) == sizes
    assert model.slots["patch"] == 15
    assert model.compute(Shape.of(width=64), "flops").step == 0


def test_stored_and_seen_sizes_differ_under_a_view() -> None:
    model = Vit(width=64, depth=2, heads=2).declare(IMAGES, BASE)
    assert (model.sizes(Shape.of(patch=24))["patch"], model.sizes(Shape.of(patch=24))["grid"]) == (12, 8)
    assert (model.seen(Shape.of(patch=24))["patch"], model.seen(Shape.of(patch=24))["grid"]) == (24, 5)
    assert "patch" not in model.slots


def test_settings_make_a_candidate_whole() -> None:
    assert Vit(depth=2, width=64, heads=2).shape({"patch": 8}) == Shape.of(depth=2, patch=8, width=64)
    assert Vit(width=64, heads=2, patch=8).shape({"depth": 6}) == Shape.of(depth=6, patch=8, width=64)
    fixed = Vit(depth=2, width=64, heads=2, resolution=60)
    assert fixed.shape({"patch": 8}) == Shape.of(depth=2, patch=8, resolution=60, width=64)
    assert Transformer(depth=2, context=64).shape({"width": 32, "loss": "kl"}) == Shape.of(
        context=64, depth=2, width=32, loss="kl"
    )


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("missing-setting", lambda: Vit(depth=2, heads=2).shape({"patch": 8})),
        ("missing-setting", lambda: Transformer(depth=2, width=8, heads=2).shape({})),
        ("missing-setting", lambda: Vit(width=64, heads=2).shape({"patch": 8})),
        ("missing-setting", lambda: sized(Transformer(head_width=32), width=64)),
        ("missing-setting", lambda: Vit(depth=2, width=64).declare(IMAGES, {})),
        ("missing-setting", lambda: Vit(depth=2, heads=2).declare(IMAGES, {})),
        ("setting-and-axis", lambda: Vit(depth=2, width=64, patch=8).shape({"patch": 12})),
        ("setting-and-axis", lambda: Transformer(depth=2, width=64, context=64).shape({"depth": 4})),
        ("wrong-data", lambda: Vit(depth=2, width=64, heads=2).declare(BYTES, {})),
        ("wrong-data", lambda: Transformer(depth=2, width=64, heads=2).declare(IMAGES, {})),
        ("head-width-mismatch", lambda: Vit(depth=2, width=64, heads=3).declare(IMAGES, {})),
        ("head-width-mismatch", lambda: sized(Vit(depth=2, head_width=32), patch=8, width=80)),
        ("head-width-mismatch", lambda: sized(Transformer(depth=2, head_width=7), width=14, context=64)),
        ("head-width-mismatch", lambda: sized(Vit(depth=2, head_width=32, heads=2), patch=8, width=96)),
        ("no-document-ends", lambda: sized(Transformer(depth=2, head_width=8, attend="document"), width=64)),
        ("kv-ratio-changed", lambda: sized(Transformer(depth=2, head_width=8, kv_ratio=4), width=48, context=64)),
        ("fractional-mlp", lambda: sized(Transformer(depth=2, head_width=4, mlp_ratio=2.7), width=4, context=64)),
        ("indivisible-patch", lambda: sized(Vit(depth=2, width=64, heads=2), patch=16)),
        ("indivisible-patch", lambda: sized(Vit(depth=2, width=64, heads=2), patch=12, resolution=100)),
        ("resolution-above-data", lambda: sized(Vit(depth=2, width=64, heads=2), patch=12, resolution=144)),
        ("resolution-above-data", lambda: sized(Vit(depth=2, width=64, heads=2, resolution=144), patch=12)),
        ("setting-and-axis", lambda: Vit(depth=2, width=64, patch=8, resolution=64).shape({"resolution": 32})),
        ("tokens-per-step-not-integral", lambda: sequences_of(512, 100)),
        ("unknown-role", lambda: Parameter("gate", ("residual",), "layerscale", "residual")),  # type: ignore[arg-type]
    ],
)
def test_refusals(code: str, make: object) -> None:
    assert callable(make)
    with pytest.raises(EditError) as caught:
        make()
    assert caught.value.code == code


def sized(component: Vit | Transformer, **values: int) -> dict[str, int]:
    return component.declare(IMAGES if isinstance(component, Vit) else BYTES, {}).sizes(Shape.of(values))


@pytest.mark.parametrize(("patch", "help"), [(16, "15 px or 20 px"), (7, "6 px or 8 px"), (150, "120 px")])
def test_indivisible_patch_names_the_nearest_legal_sizes(patch: int, help: str) -> None:
    with pytest.raises(EditError) as caught:
        grid_of(120, patch)
    assert f"use {help}, the nearest" in str(caught.value.help)
    assert caught.value.message == f"patches of {patch} px do not tile an image of 120 px"
