"""The ledger, which applies edits to tensor sizes only: the resulting sizes, and edits that it refuses."""

from __future__ import annotations

import pytest

from shapeflow.ir.edits import Along, Copy, Edit, EditError, Grow, Map, Mean, Resize, Scale, Swap, View
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.parameters import Parameter

TABLE = (
    Parameter("patch.weight", ("residual", "channel", "patch", "patch"), "matrix", "residual"),
    Parameter("pos", ("one", "grid grid", "residual"), "matrix", "residual"),
    Parameter("blocks.{depth}.qkv.weight", ("part heads", "residual"), "matrix", "heads"),
    Parameter("norm.weight", ("residual",), "scale", "residual"),
)
SIZES = {"depth": 2, "residual": 32, "channel": 3, "patch": 6, "grid": 4, "one": 1, "part": 3, "heads": 32}
BLOCK = "blocks.{depth}.qkv.weight"


def fresh(*reading: Edit) -> Ledger:
    return Ledger.of(TABLE, SIZES, {"norm.eps": 1e-6, "loss": "cross_entropy"}, reading)


def widened(*, forget: str = "") -> Ledger:
    ledger = fresh()
    for parameter in TABLE:
        if parameter.name != forget:
            dims = [dim for dim in ("heads", "residual") if dim in parameter.logical]
            ledger.apply(Grow(parameter.name, tuple(Along(dim, 64, Mean()) for dim in dims)))
    return ledger


def test_tensors_are_named_and_fused_dims_multiplied() -> None:
    assert fresh().tensors() == {
        "patch.weight": (32, 3, 6, 6),
        "pos": (1, 16, 32),
        "blocks.0.qkv.weight": (96, 32),
        "blocks.1.qkv.weight": (96, 32),
        "norm.weight": (32,),
    }
    assert fresh().members(BLOCK) == ["blocks.0.qkv.weight", "blocks.1.qkv.weight"]


def test_growing_reaches_the_new_sizes() -> None:
    ledger = widened()
    ledger.check({**SIZES, "residual": 64, "heads": 64})
    assert ledger.stored(BLOCK) == (192, 64)


def test_growing_along_depth_makes_tensors() -> None:
    ledger = fresh()
    ledger.apply(Grow(BLOCK, (Along("depth", 4, Copy("spread", momentum=False)),)))
    assert ledger.members(BLOCK) == [f"blocks.{block}.qkv.weight" for block in range(4)]


def test_a_view_changes_what_is_seen_and_not_what_is_stored() -> None:
    ledger = fresh(View("patch.weight", "patch", Resize(12, "kernel")), View("pos", "grid", Resize(2, "values")))
    ledger.check({**SIZES, "patch": 12, "grid": 2})
    assert ledger.stored("patch.weight") == (32, 3, 6, 6)


def test_a_map_changes_what_is_stored_and_ends_the_view() -> None:
    ledger = fresh(View("patch.weight", "patch", Resize(12, "kernel")))
    ledger.apply(Map("patch.weight", "patch", Resize(8, "kernel")))
    assert ledger.views["patch.weight"] == {}
    assert ledger.stored("patch.weight") == (32, 3, 8, 8)


def test_slots() -> None:
    ledger = fresh(Swap("patch", 6))
    ledger.apply(Swap("loss", "distill"))
    ledger.apply(Scale("norm.eps", 0.5))
    assert ledger.slots == {"norm.eps": 5e-7, "loss": "distill", "patch": 6}


def test_the_view_of_another_dim_does_not_hinder_growth() -> None:
    ledger = fresh(View("pos", "grid", Resize(2, "values")))
    ledger.apply(Grow("pos", (Along("residual", 64, Mean()),)))
    assert ledger.stored("pos") == (1, 16, 64)


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        ("unknown-parameter", Grow("gate", (Along("residual", 64, Mean()),))),
        ("unknown-parameter", Map("gate", "residual", Resize(4, "values"))),
        ("unknown-dim", Grow("norm.weight", (Along("hidden", 64, Mean()),))),
        ("unknown-dim", View("norm.weight", "grid", Resize(4, "values"))),
        ("grow-under-view", Grow("pos", (Along("grid", 8, Mean()),))),
        ("one-way", Grow("norm.weight", (Along("residual", 16, Mean()),))),
        ("broken-grain", Grow(BLOCK, (Along("heads", 40, Copy(grain=16)),))),
        ("no-slot", Scale("rope.base", 2.0)),
        ("no-slot", Scale("loss", 2.0)),
    ],
)
def test_refused_edits(code: str, edit: Edit) -> None:
    ledger = fresh(View("pos", "grid", Resize(2, "values")))
    with pytest.raises(EditError) as caught:
        ledger.apply(edit)
    assert caught.value.code == code


@pytest.mark.parametrize("forgotten", [parameter.name for parameter in TABLE])
def test_a_forgotten_parameter_has_not_arrived(forgotten: str) -> None:
    with pytest.raises(EditError, match="not-arrived") as caught:
        widened(forget=forgotten).check({**SIZES, "residual": 64, "heads": 64})
    assert f"`{forgotten}`" in caught.value.message


def test_a_dim_without_a_size_is_refused() -> None:
    with pytest.raises(EditError, match="unknown-dim"):
        Ledger.of(TABLE, {"depth": 2, "residual": 32}, {})
