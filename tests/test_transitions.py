"""Transitions: the edits of each one, and the switches it refuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from sources import compiled

from shapeflow.base.shapes import Shape
from shapeflow.ir.components import Transition
from shapeflow.ir.edits import (
    Along,
    Constant,
    Copy,
    Edit,
    EditError,
    Fill,
    Grow,
    Mean,
    Normal,
    Resize,
    Scale,
    Swap,
    View,
    edit_from_json,
    edit_to_json,
    is_reversible,
    joined,
)
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.parameters import DataFacts, Model, Parameter
from shapeflow.models.transformer import Transformer
from shapeflow.models.vit import Vit
from shapeflow.transitions.batch_resize import BatchResize
from shapeflow.transitions.context_grow import ContextGrow
from shapeflow.transitions.depth_expand import DepthExpand
from shapeflow.transitions.flexi_resize import FlexiResize
from shapeflow.transitions.resolution_resize import ResolutionResize
from shapeflow.transitions.width_expand import WidthExpand

IMAGES = DataFacts(kind="images", image=24, channels=1, classes=10, batch=16)
BYTES = DataFacts(kind="text", vocabulary=50, batch=192)
VIT = Vit(depth=2, head_width=8).declare(IMAGES, {"patch": 6, "grid": 4})
LLAMA = Transformer(depth=2, head_width=8).declare(BYTES, {})
GROUPED = Transformer(depth=2, head_width=8, kv_ratio=2, tied=False).declare(BYTES, {})
PAIRS = Transformer(depth=2, head_width=2).declare(BYTES, {})
STRETCHED = ContextGrow(rope="ntk", trained=24, allow_lossy=True)
AT_6 = Shape.of(patch=6, width=32)
AT_24 = Shape.of(context=24, width=32)
FLEXI = FlexiResize(base=6)
SHARPEN = ResolutionResize()
Q = "blocks.{depth}.attn.q.weight"
UP = "blocks.{depth}.mlp.fc1.weight"
DOWN = "blocks.{depth}.mlp.fc2.weight"


def replayed(model: Model, before: Shape, reading: Sequence[Edit], edits: Sequence[Edit]) -> Ledger:
    ledger = Ledger.of(model.parameters, model.sizes(before), model.slots, reading)
    for edit in edits:
        ledger.apply(edit_from_json(edit_to_json(edit)))
    return ledger


def grows(edits: Sequence[Edit]) -> dict[str, Grow]:
    return {edit.parameter: edit for edit in edits if isinstance(edit, Grow)}


def test_flexi_resize_reads_the_stored_kernel_and_grid() -> None:
    edits = FlexiResize(base=6, antialias=False).edits(VIT, AT_6, AT_6.with_({"patch": 12}))
    assert edits == (
        View("patch.weight", "patch", Resize(12, "kernel", antialias=False)),
        View("pos", "grid", Resize(2, "values", antialias=True)),
        Swap("patch", 12),
    )
    assert FLEXI.stored(IMAGES) == {"patch": 6, "grid": 8}


def test_flexi_resize_goes_both_ways() -> None:
    there = AT_6.with_({"patch": 12})
    edits = (*FLEXI.edits(VIT, AT_6, there), *FLEXI.edits(VIT, there, AT_6))
    assert all(map(is_reversible, edits))
    ledger = replayed(VIT, AT_6, FLEXI.reading(VIT, AT_6), edits)
    assert ledger == replayed(VIT, AT_6, FLEXI.reading(VIT, AT_6), ())
    replayed(VIT, AT_6, FLEXI.reading(VIT, AT_6), FLEXI.edits(VIT, AT_6, there)).check(VIT.seen(there))


def test_resolution_resize_reads_the_stored_grid() -> None:
    at_12 = AT_6.with_({"resolution": 12})
    assert SHARPEN.edits(VIT, AT_6.with_({"resolution": 24}), at_12) == (
        View("pos", "grid", Resize(2, "values", antialias=True)),
        Swap("resolution", 12),
    )
    assert SHARPEN.stored(IMAGES) == {"grid": 8}
    ledger = replayed(VIT, AT_6, FLEXI.reading(VIT, AT_6), SHARPEN.edits(VIT, AT_6, at_12))
    ledger.check(VIT.seen(at_12))


def test_patch_and_resolution_ask_for_one_grid() -> None:
    """Patch and resolution both compute the grid from the whole shape, whichever of them changes."""
    at_12 = AT_6.with_({"resolution": 12})
    for patch, side, grid in ((12, 12, 1), (6, 24, 4), (12, 24, 2), (3, 24, 8)):
        shape = at_12.with_({"patch": patch, "resolution": side})
        parts = {"patch": FLEXI.edits(VIT, at_12, shape), "resolution": SHARPEN.edits(VIT, at_12, shape)}
        both = joined(parts.values())
        assert [edit.rule.to for edit in both if isinstance(edit, View) and edit.dim == "grid"] == [grid]
        assert both == joined([FLEXI.reading(VIT, shape), SHARPEN.reading(VIT, shape)])
        replayed(VIT, AT_6, FLEXI.reading(VIT, AT_6), both).check(VIT.seen(shape))


def test_context_grow_is_one_slot() -> None:
    transition = ContextGrow()
    assert transition.edits(LLAMA, AT_24, AT_24.with_({"context": 96})) == (Swap("context", 96),)
    assert transition.edits(LLAMA, AT_24.with_({"context": 96}), AT_24) == (Swap("context", 24),)


ROPE: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"rope": "linear"}, {"rope.rule": "linear", "rope.factor": 1.0}, {"rope.rule": "linear", "rope.factor": 4.0}),
    ({"rope": "ntk"}, {"rope.rule": "ntk", "rope.factor": 1.0}, {"rope.rule": "ntk", "rope.factor": 4.0}),
    (
        {"rope": "yarn"},
        {"rope.rule": "yarn", "rope.factor": 1.0, "rope.trained": 24},
        {"rope.rule": "yarn", "rope.factor": 4.0, "rope.trained": 24},
    ),
    ({"rope": "base", "base": 5e5}, {"rope.base": 1e4}, {"rope.base": 5e5}),
]


@pytest.mark.parametrize(("settings", "near", "far"), ROPE, ids=[settings["rope"] for settings, _, _ in ROPE])
def test_context_grow_says_how_positions_are_read(
    settings: dict[str, Any], near: dict[str, Any], far: dict[str, Any]
) -> None:
    """The reading depends only on the shape, not on earlier shapes: contexts up to the trained one are not scaled."""
    transition = ContextGrow(**settings, trained=24, allow_lossy=True)
    for context, slots in ((12, near), (24, near), (96, far)):
        expected = tuple(Swap(slot, value) for slot, value in {"context": context, **slots}.items())
        shape = AT_24.with_({"context": context})
        assert transition.reading(LLAMA, shape) == transition.edits(LLAMA, AT_24, shape) == expected
    assert (transition.preserves, transition.average, transition.moments) == ("lossy", "restart", "carry")


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        ("rope-base-changed", {"rope": "yarn", "trained": 24}),
        ("rope-base-changed", {"rope": "base", "trained": 24, "base": 5e5, "allow_lossy": False}),
        ("missing-setting", {"rope": "linear", "allow_lossy": True}),
        ("missing-setting", {"rope": "base", "trained": 24, "allow_lossy": True}),
        ("idle-setting", {"trained": 24}),
        ("idle-setting", {"allow_lossy": True}),
        ("idle-setting", {"rope": "yarn", "trained": 24, "base": 5e5, "allow_lossy": True}),
    ],
)
def test_settings_of_rope_that_contradict(code: str, settings: dict[str, Any]) -> None:
    with pytest.raises(EditError) as caught:
        ContextGrow(**settings)
    assert caught.value.code == code


def test_batch_resize_is_one_slot_both_ways() -> None:
    for batch in (48, 192, 384):
        assert BatchResize().edits(LLAMA, AT_24, AT_24.with_({"batch": batch})) == (Swap("batch", batch),)
    assert (BatchResize.preserves, BatchResize.average, BatchResize.one_way) == ("exact", "map", False)


@pytest.mark.parametrize(("rule", "factor"), [("sqrt", 2.8284), ("linear", 8.0), ("keep", 1.0)])
def test_the_learning_rate_follows_the_batch_of_the_data(rule: str, factor: float) -> None:
    settings: dict[str, Any] = {"lr": rule}
    at_256 = attrs.evolve(IMAGES, batch=256)
    rate = BatchResize(**settings).learning_rate
    assert rate(at_256, Shape.of(batch=2048)) == pytest.approx(factor, abs=1e-4)
    assert rate(at_256, Shape.of(batch=256)) == 1
    assert rate(at_256, Shape.of(batch=32)) == pytest.approx(1 / factor, abs=1e-4)


@pytest.mark.parametrize("init", ["normal", "preserve", "net2net"])
@pytest.mark.parametrize("width", [48, 64, 96])
@pytest.mark.parametrize("model", [VIT, LLAMA, GROUPED], ids=["vit", "llama", "grouped"])
def test_width_expand_arrives(model: Model, width: int, init: str) -> None:
    before = AT_6 if model is VIT else AT_24
    after = before.with_({"width": width})
    reading = FLEXI.reading(model, before) if model is VIT else ()
    ledger = replayed(model, before, reading, expand(init).edits(model, before, after))
    ledger.check(model.seen(after))
    eps = 1e-6 if init == "normal" else 1e-6 * 32 / width
    assert ledger.slots["norm.eps"] == pytest.approx(eps)


def expand(init: str) -> WidthExpand:
    settings: dict[str, Any] = {"init": init}
    return WidthExpand(**settings)


N, M, O, R = Normal(1.0), Mean(), Constant(0.0), Constant(math.sqrt(0.5))
PADDED: dict[str, tuple[Fill, ...]] = {
    "patch.weight": (M,),
    "patch.bias": (M,),
    "pos": (M,),
    **dict.fromkeys(("blocks.{depth}.norm1.weight", "blocks.{depth}.norm2.weight", "norm.weight"), (R,)),
    **dict.fromkeys(("blocks.{depth}.norm1.bias", "blocks.{depth}.norm2.bias", "norm.bias"), (O,)),
    **dict.fromkeys((f"blocks.{{depth}}.attn.{part}.weight" for part in "qkv"), (N, N)),
    **dict.fromkeys((f"blocks.{{depth}}.attn.{part}.bias" for part in "qkv"), (O,)),
    "blocks.{depth}.attn.o.weight": (O, M),
    "blocks.{depth}.attn.o.bias": (M,),
    "blocks.{depth}.mlp.fc1.weight": (N, N),
    "blocks.{depth}.mlp.fc1.bias": (O,),
    "blocks.{depth}.mlp.fc2.weight": (O, M),
    "blocks.{depth}.mlp.fc2.bias": (M,),
    "head.weight": (N,),
}
ZEROED: dict[str, tuple[Fill, ...]] = {
    "embed.weight": (O,),
    **dict.fromkeys(("blocks.{depth}.norm1.weight", "blocks.{depth}.norm2.weight", "norm.weight"), (R,)),
    **dict.fromkeys((f"blocks.{{depth}}.attn.{part}.weight" for part in "qkv"), (N, N)),
    "blocks.{depth}.attn.o.weight": (O, O),
    "blocks.{depth}.mlp.gate.weight": (N, N),
    "blocks.{depth}.mlp.up.weight": (N, N),
    "blocks.{depth}.mlp.down.weight": (O, O),
    "head.weight": (N,),
}


@pytest.mark.parametrize(
    ("model", "before", "table"), [(VIT, AT_6, PADDED), (GROUPED, AT_24, ZEROED)], ids=["layer norm", "RMS norm"]
)
def test_width_preserve_fills_every_parameter(model: Model, before: Shape, table: dict[str, tuple[Fill, ...]]) -> None:
    """Heads or hidden units grow first, the residual last."""
    found = grows(WidthExpand().edits(model, before, before.with_({"width": 64})))
    assert {name: tuple(along.fill for along in grow.along) for name, grow in found.items()} == table
    assert {name for name, grow in found.items() if grow.scale != 1} == {
        n for n, fills in table.items() if fills == (R,)
    }


@pytest.mark.parametrize(("model", "before"), [(VIT, AT_6), (GROUPED, AT_24)], ids=["layer norm", "RMS norm"])
def test_width_normal_fills_by_role(model: Model, before: Shape) -> None:
    fills = {"matrix": N, "bias": O, "scale": Constant(1.0), "shift": O}
    edits = WidthExpand(init="normal").edits(model, before, before.with_({"width": 64}))
    found, roles = grows(edits), {parameter.name: parameter.role for parameter in model.parameters}
    assert len(edits) == len(found), "no slot is scaled"
    for name, grow in found.items():
        assert {along.fill for along in grow.along} == {fills[roles[name]]}
        assert grow.scale == 1


def test_width_normal_leaves_the_old_block_and_draws_the_rest() -> None:
    edits = WidthExpand(init="normal", gamma=0.25).edits(VIT, AT_6, AT_6.with_({"width": 64}))
    found = grows(edits)
    assert len(found) == len(edits) == 22
    assert found[Q] == Grow(Q, (Along("heads", 64, Normal(0.25)), Along("residual", 64, Normal(0.25))))
    assert found["norm.weight"].along == (Along("residual", 64, Constant(1.0)),)
    assert found["head.weight"].along == (Along("residual", 64, Normal(0.25)),)
    assert found["patch.bias"].along == (Along("residual", 64, Constant(0.0)),)
    assert all(grow.scale == 1.0 for grow in found.values())


def test_width_preserve_under_layer_norm_pads_with_means() -> None:
    edits = WidthExpand().edits(VIT, AT_6, AT_6.with_({"width": 64}))
    found, ratio = grows(edits), math.sqrt(0.5)
    assert found[DOWN].along == (Along("hidden", 256, Constant(0.0)), Along("residual", 64, Mean()))
    assert found[UP].along == (Along("hidden", 256, Normal(1.0)), Along("residual", 64, Normal(1.0)))
    assert found["pos"].along == (Along("residual", 64, Mean()),)
    assert found["patch.bias"].along == (Along("residual", 64, Mean()),)
    assert found["norm.weight"] == Grow("norm.weight", (Along("residual", 64, Constant(ratio)),), ratio)
    assert found["norm.weight"].scale == pytest.approx(0.707107, abs=1e-6)
    assert found["norm.bias"].along == (Along("residual", 64, Constant(0.0)),)
    assert edits[-1] == Scale("norm.eps", ratio**2)


def test_width_preserve_under_rms_norm_pads_with_zeros() -> None:
    found = grows(WidthExpand().edits(GROUPED, AT_24, AT_24.with_({"width": 64})))
    assert found["embed.weight"].along == (Along("residual", 64, Constant(0.0)),)
    assert found["head.weight"].along == (Along("residual", 64, Normal(1.0)),)
    assert found["blocks.{depth}.attn.k.weight"].along[0] == Along("kv_heads", 32, Normal(1.0))


def test_width_net2net_splits_what_copied_units_send() -> None:
    found = grows(WidthExpand(init="net2net").edits(VIT, AT_6, AT_6.with_({"width": 64})))
    assert found[Q].along[0].fill == Copy("cycle", grain=8, gradients=0.3)
    assert found["blocks.{depth}.attn.o.weight"].along[0].fill == Copy("cycle", grain=8, values=0.3)
    assert found[UP].along[0].fill == Copy("cycle", gradients=0.3)
    assert found[DOWN].along == (Along("hidden", 256, Copy("cycle", values=0.3)), Along("residual", 64, Mean()))


def test_width_to_the_same_width_is_nothing() -> None:
    assert WidthExpand().edits(VIT, AT_6, AT_6) == ()


# depth


SHALLOW_VIT = Vit(head_width=8).declare(IMAGES, {"patch": 6, "grid": 4})
SHALLOW_LLAMA = Transformer(head_width=8, kv_ratio=2).declare(BYTES, {})
DEPTHS = {SHALLOW_VIT: AT_6.with_({"depth": 2}), SHALLOW_LLAMA: AT_24.with_({"depth": 2})}


def deepen(init: str) -> DepthExpand:
    settings: dict[str, Any] = {"init": init}
    return DepthExpand(**settings)


@pytest.mark.parametrize("init", ["copyzero", "zero", "stack", "interleave"])
@pytest.mark.parametrize("depth", [3, 4, 7])
@pytest.mark.parametrize("model", DEPTHS, ids=["vit", "llama"])
def test_depth_expand_arrives(model: Model, depth: int, init: str) -> None:
    before = DEPTHS[model]
    after = before.with_({"depth": depth})
    reading = FLEXI.reading(model, before) if model is SHALLOW_VIT else ()
    ledger = replayed(model, before, reading, deepen(init).edits(model, before, after))
    ledger.check(model.seen(after))
    assert len(ledger.members(Q)) == depth


@pytest.mark.parametrize(("init", "order"), [("copyzero", "spread"), ("stack", "cycle"), ("interleave", "spread")])
def test_depth_copies(init: str, order: str) -> None:
    """Only under `copyzero` does a copied block add zero to the residual stream."""
    before = DEPTHS[SHALLOW_VIT]
    found = grows(deepen(init).edits(SHALLOW_VIT, before, before.with_({"depth": 4})))
    adding = {f"blocks.{{depth}}.{name}" for name in ("attn.o.weight", "attn.o.bias", "mlp.fc2.weight", "mlp.fc2.bias")}
    assert len(found) == 16
    for name, grow in found.items():
        settings: dict[str, Any] = {"order": order, "values": 1.0 if init == "copyzero" and name in adding else None}
        assert grow == Grow(name, (Along("depth", 4, Copy(**settings, momentum=False)),))


def test_depth_zero_makes_new_blocks_that_add_zero() -> None:
    before = DEPTHS[SHALLOW_LLAMA]
    found = grows(deepen("zero").edits(SHALLOW_LLAMA, before, before.with_({"depth": 4})))
    fills = {name.removeprefix("blocks.{depth}."): grow.along[0].fill for name, grow in found.items()}
    assert fills == {
        "norm1.weight": Constant(1.0),
        "norm2.weight": Constant(1.0),
        "attn.o.weight": Constant(0.0),
        "mlp.down.weight": Constant(0.0),
        **dict.fromkeys(("attn.q.weight", "attn.k.weight", "attn.v.weight"), Normal(1.0)),
        **dict.fromkeys(("mlp.gate.weight", "mlp.up.weight"), Normal(1.0)),
    }
    before = DEPTHS[SHALLOW_VIT]
    found = grows(deepen("zero").edits(SHALLOW_VIT, before, before.with_({"depth": 4})))
    biases = [grow.along[0].fill for name, grow in found.items() if name.endswith(".bias")]
    assert biases == [Constant(0.0)] * 8


def test_depth_to_the_same_depth_is_nothing() -> None:
    assert DepthExpand().edits(SHALLOW_VIT, DEPTHS[SHALLOW_VIT], DEPTHS[SHALLOW_VIT]) == ()


def test_depth_and_width_at_one_switch() -> None:
    """New blocks are added first, so the width grows in them too."""
    before = DEPTHS[SHALLOW_LLAMA]
    deep, after = before.with_({"depth": 4}), before.with_({"depth": 4, "width": 64})
    deepened = DepthExpand().edits(SHALLOW_LLAMA, before, deep)
    both = joined([deepened, WidthExpand().edits(SHALLOW_LLAMA, deep, after)])
    assert both[: len(deepened)] == deepened
    replayed(SHALLOW_LLAMA, before, (), both).check(SHALLOW_LLAMA.seen(after))


def test_patch_and_width_at_one_switch() -> None:
    after = AT_6.with_({"width": 64, "patch": 12})
    widen = WidthExpand().edits(VIT, AT_6, AT_6.with_({"width": 64}))
    both = joined([widen, FLEXI.edits(VIT, AT_6.with_({"width": 64}), after)])
    assert both[: len(widen)] == widen
    replayed(VIT, AT_6, FLEXI.reading(VIT, AT_6), both).check(VIT.seen(after))


def test_fused_parameters_grow_inside_their_parts() -> None:
    fused = attrs.evolve(
        LLAMA,
        parameters=(Parameter("qkv.weight", ("part heads", "residual"), "matrix", "heads"),),
        sizes=lambda shape: {"part": 3, "heads": shape.number("width"), "residual": shape.number("width")},
    )
    before, after = Shape.of(width=16), Shape.of(width=24)
    edits = WidthExpand(init="normal").edits(fused, before, after)
    assert replayed(fused, before, (), edits).stored("qkv.weight") == (72, 24)


def test_the_declared_properties_of_transitions() -> None:
    assert (FLEXI.preserves, FLEXI.average, FLEXI.preview, FLEXI.preview_from) == ("lossy", "restart", 0.25, 0.75)
    grow = ContextGrow()
    assert (grow.preserves, grow.average, grow.preview, grow.preview_from) == ("shared-positions", "map", 0.1, 0.0)
    for init, preserves, average in (
        ("normal", "lossy", "restart"),
        ("preserve", "exact", "map"),
        ("net2net", "exact", "map"),
    ):
        assert (expand(init).preserves, expand(init).average, expand(init).moments) == (preserves, average, "fresh")
    for init in ("copyzero", "zero"):
        assert (deepen(init).preserves, deepen(init).average) == ("exact", "map")
    for init in ("stack", "interleave"):
        assert (deepen(init).preserves, deepen(init).average) == ("lossy", "restart")
    assert DepthExpand().init == "copyzero"
    assert (WidthExpand.one_way, FlexiResize.one_way, ContextGrow.one_way) == (True, False, False)
    assert DepthExpand.one_way


def uneven(shape: Shape) -> dict[str, int]:
    """A model whose key and value heads do not grow with the width."""
    return {**LLAMA.sizes(shape), "kv_heads": 16}


@pytest.mark.parametrize(
    ("code", "transition", "model", "before", "moved"),
    [
        ("indivisible-patch", FLEXI, VIT, AT_6, {"patch": 7}),
        ("no-patch", FLEXI, LLAMA, AT_24, {"patch": 6}),
        ("no-patch", SHARPEN, LLAMA, AT_24, {"resolution": 24}),
        ("indivisible-patch", SHARPEN, VIT, AT_6, {"resolution": 20}),
        ("resolution-above-data", SHARPEN, VIT, AT_6, {"resolution": 48}),
        ("one-way-transition", WidthExpand(), VIT, AT_6.with_({"width": 64}), {"width": 32}),
        ("one-way-transition", DepthExpand(), SHALLOW_VIT, AT_6.with_({"depth": 4}), {"depth": 2}),
        ("dead-width", WidthExpand(gamma=0.0), VIT, AT_6, {"width": 64}),
        ("dead-width", WidthExpand(init="normal", gamma=0.0), VIT, AT_6, {"width": 64}),
        ("dead-width", WidthExpand(init="net2net", gamma=0.0), GROUPED, AT_24, {"width": 64}),
        ("head-width-mismatch", WidthExpand(), VIT, AT_6, {"width": 36}),
        ("kv-ratio-changed", WidthExpand(), GROUPED, AT_24, {"width": 40}),
        ("kv-ratio-changed", WidthExpand(), attrs.evolve(LLAMA, sizes=uneven), AT_24, {"width": 64}),
        ("context-needs-rope", ContextGrow(), VIT, AT_6, {"context": 48}),
        ("context-needs-rope", STRETCHED, attrs.evolve(LLAMA, slots={}), AT_24, {"context": 48}),
        ("head-width-mismatch", STRETCHED, PAIRS, AT_24, {"context": 48}),
        ("tokens-per-step-not-integral", ContextGrow(), LLAMA, AT_24, {"context": 100}),
    ],
)
def test_refusals(code: str, transition: Transition, model: Model, before: Shape, moved: dict[str, int]) -> None:
    for way in (transition.check, transition.edits):
        with pytest.raises(EditError) as caught:
            way(model, before, before.with_(moved))
        assert caught.value.code == code


def test_one_way_names_both_widths() -> None:
    with pytest.raises(EditError) as caught:
        WidthExpand().check(VIT, AT_6.with_({"width": 64}), AT_6)
    assert caught.value.message == "`width_expand` cannot go from width 64 to width 32"
    assert caught.value.help == "order the stages from narrow to wide"


def test_one_way_names_both_depths() -> None:
    with pytest.raises(EditError) as caught:
        DepthExpand().check(SHALLOW_VIT, AT_6.with_({"depth": 4}), AT_6.with_({"depth": 2}))
    assert caught.value.message == "`depth_expand` cannot go from depth 4 to depth 2"
    assert caught.value.help == "order the stages from shallow to deep"


STATES = {
    "flexi_resize": ("vit(depth: 1, width: 16, heads: 2)", "patch", ("4 px", "2 px"), "base: 4 px, "),
    "resolution_resize": ("vit(depth: 1, width: 16, heads: 2, patch: 2 px)", "resolution", ("4 px", "8 px"), ""),
    "batch_resize": ("vit(depth: 1, width: 16, heads: 2, patch: 2 px)", "batch", ("64", "128"), ""),
    "context_grow": ("transformer(depth: 1, width: 16, heads: 2)", "context", ("16 tokens", "64 tokens"), ""),
}


@pytest.mark.parametrize("name", STATES)
def test_a_transition_without_growth_may_reset_the_optimizer(name: str, tmp_path: Path) -> None:
    model, axis, (first, second), settings = STATES[name]
    images, text = (
        "digits(batch: 64)\nobjective cross_entropy",
        "python_source(batch: 256 tokens)\nobjective next_token",
    )

    def switch(said: str) -> tuple[str, int]:
        listed = f"[{first.split()[0]}, {second.split()[0]}] {' '.join(first.split()[1:])}"
        plan = compiled(
            tmp_path,
            f"model {model}\ndata {text if axis == 'context' else images}\nbudget 200 steps\n"
            f"axis {axis} in {listed} via {name}({settings}{said})\n"
            f"stage ({axis}: {first}) until 50%\nstage ({axis}: {second}) until end\n",
        )
        transition = plan.stages[1].transition
        assert transition is not None
        return transition.moments, transition.rewarm

    assert switch("credit: 50%") == ("carry", 0)
    assert switch("moments: reset") == ("reset", 50)
    assert switch("moments: reset, rewarm: 7 steps") == ("reset", 7)
