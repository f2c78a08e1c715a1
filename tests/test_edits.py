"""Edits: the numbers of their rules, the order of axes at a switch, and their JSON."""

from __future__ import annotations

import json
import math
import re
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapeflow.ir import noise as random_numbers
from shapeflow.ir.edits import (
    Along,
    Constant,
    Copy,
    Edit,
    EditError,
    Floats,
    Grow,
    Map,
    Mean,
    Normal,
    Resize,
    Scale,
    Swap,
    View,
    edit_from_json,
    edit_to_json,
    gather,
    interpolation,
    is_reversible,
    joined,
    matrices,
    order,
)
from shapeflow.ir.noise import noise, noise_beyond


def resized(values: Floats, rule: Resize) -> Floats:
    """A square array with both axes resized."""
    v, _ = matrices(rule, len(values))
    return np.asarray(v @ values @ v.T)


def test_bilinear_rows_half_pixel() -> None:
    assert interpolation(2, 4, False).tolist() == [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    assert interpolation(4, 2, False).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
    np.testing.assert_allclose(interpolation(4, 2, True), [[3 / 7, 3 / 7, 1 / 7, 0], [0, 1 / 7, 3 / 7, 3 / 7]])


@pytest.mark.parametrize("to", range(1, 61))
@pytest.mark.parametrize("antialias", [False, True])
def test_interpolation_keeps_constants_and_full_rank(to: int, antialias: bool) -> None:
    rows = interpolation(12, to, antialias)
    np.testing.assert_allclose(rows.sum(1), 1)
    assert np.linalg.matrix_rank(rows) == min(12, to)


def test_pseudo_inverse_rows() -> None:
    value, gradient = matrices(Resize(4, "kernel"), 2)
    np.testing.assert_allclose(value.T, [[0.65, 0.45, 0.05, -0.15], [-0.15, 0.05, 0.45, 0.65]], atol=1e-12)
    np.testing.assert_array_equal(gradient, interpolation(2, 4, False))


def test_pi_resize_up_against_frozen_array() -> None:
    got = resized(np.array([[1.0, 2], [3, 4]]), Resize(4, "kernel"))
    want = [
        [0.025, 0.125, 0.325, 0.425],
        [0.225, 0.325, 0.525, 0.625],
        [0.625, 0.725, 0.925, 1.025],
        [0.825, 0.925, 1.125, 1.225],
    ]
    np.testing.assert_allclose(got, want, atol=1e-12)
    assert got.sum() == pytest.approx(10)


def test_pi_resize_down_against_frozen_array() -> None:
    kernel = np.arange(16.0).reshape(4, 4)
    np.testing.assert_allclose(resized(kernel, Resize(2, "kernel")), [[10, 18], [42, 50]], atol=1e-12)
    want = [[-0.211077, 11.398154], [46.225846, 57.835077]]
    np.testing.assert_allclose(resized(kernel, Resize(2, "kernel", antialias=True)), want, atol=1e-6)


def test_position_grid_against_frozen_arrays() -> None:
    grid = np.array([[0.0, 1], [2, 3]])
    want = [[0, 0.25, 0.75, 1], [0.5, 0.75, 1.25, 1.5], [1.5, 1.75, 2.25, 2.5], [2, 2.25, 2.75, 3]]
    np.testing.assert_allclose(resized(grid, Resize(4, "values", True)), want)
    np.testing.assert_allclose(resized(grid, Resize(3, "values", True)), [[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]])
    np.testing.assert_allclose(resized(grid, Resize(1, "values", True)), [[1.5]])


def test_tokens_stay_when_patches_and_kernel_are_enlarged_alike() -> None:
    rng = np.random.default_rng(0)
    patch, kernel = rng.normal(size=(12, 12)), rng.normal(size=(12, 12))
    for to in (15, 20, 24, 30, 60):
        value, resize = matrices(Resize(to, "kernel"), 12)
        token = np.sum((resize @ patch @ resize.T) * (value @ kernel @ value.T))
        assert token == pytest.approx(np.sum(patch * kernel), rel=1e-12)


@pytest.mark.parametrize("to", [15, 20, 24, 30, 60])
def test_enlarged_patches_keep_their_tokens_to_rounding(to: int) -> None:
    """<x, W> = <B x, W pinv(B)>: random, constant and linear patches of 12 pixels, in float64."""
    rng = np.random.default_rng(0)
    kernel, slope = rng.normal(size=(12, 12)), np.arange(12.0)
    value, resize = matrices(Resize(to, "kernel"), 12)
    enlarged = value @ kernel @ value.T
    for patch in (rng.normal(size=(12, 12)), np.ones((12, 12)), np.add.outer(slope, 2 * slope)):
        scale = np.linalg.norm(patch) * np.linalg.norm(kernel)
        assert abs(np.sum((resize @ patch @ resize.T) * enlarged) - np.sum(patch * kernel)) <= 3e-15 * scale


def test_smoothing_of_noise_by_a_larger_grid() -> None:
    """A grid of 8 x 8 independent positions of variance 1, read as 15 x 15, has root mean square 0.7136, both in
    expectation and in a sample."""
    value, _ = matrices(Resize(15, "values", True), 8)
    assert np.square(value).sum(1).mean() == pytest.approx(0.7136, abs=1e-4)
    drawn = np.random.default_rng(0).normal(size=(512, 8, 8))
    assert np.square(value @ drawn @ value.T).mean() ** 0.5 == pytest.approx(0.7136, abs=5e-3)


@pytest.mark.parametrize(("way", "antialias"), [(24, False), (24, True), (8, False), (8, True)])
def test_kernels_must_not_be_rewritten_twice(way: int, antialias: bool) -> None:
    """Resizing a kernel 12 -> 24 -> 12 or 12 -> 8 -> 12 step by step is not the identity. A `View` therefore always
    reads from the stored kernel, and 12 -> 12 is exact."""
    kernel = np.random.default_rng(0).normal(size=(12, 12))
    there = resized(kernel, Resize(way, "kernel", antialias))
    back = resized(there, Resize(12, "kernel", antialias))
    assert np.linalg.norm(back - kernel) > 0.5 * np.linalg.norm(kernel)
    np.testing.assert_array_equal(resized(kernel, Resize(12, "kernel", antialias)), kernel)


def test_resize_to_the_same_size_is_the_identity() -> None:
    for kind in ("kernel", "values"):
        value, gradient = matrices(Resize(5, kind, antialias=True), 5)
        np.testing.assert_array_equal(value, np.eye(5))
        np.testing.assert_array_equal(gradient, np.eye(5))


@pytest.mark.parametrize(
    ("name", "units", "ranks"),
    [("cycle", [0, 1, 2, 0, 1], [0, 0, 0, 1, 1]), ("spread", [0, 0, 1, 1, 2], [0, 1, 0, 1, 0])],
)
def test_order_of_copies(name: Literal["cycle", "spread"], units: list[int], ranks: list[int]) -> None:
    unit, rank, count = order(name, 3, 5)
    assert (unit.tolist(), rank.tolist()) == (units, ranks)
    assert count.tolist() == [units.count(u) for u in units]


@pytest.mark.parametrize("fill", [Constant(), Mean(), Normal()])
def test_gather_keeps_old_entries_and_marks_new_ones(fill: Constant | Mean | Normal) -> None:
    rule = gather(Along("residual", 5, fill), 3)
    assert rule.source.tolist() == [0, 1, 2, -1, -1]
    assert rule.values.tolist() == rule.gradients.tolist() == rule.first.tolist() == [1] * 5


def test_gather_splits_a_copied_unit() -> None:
    rule = gather(Along("hidden", 5, Copy("cycle", values=0.3)), 2)
    assert rule.source.tolist() == [0, 1, 0, 1, 0]
    np.testing.assert_allclose(rule.values, [0.3, 0.3, 0.35, 0.7, 0.35])
    np.testing.assert_array_equal(rule.gradients, np.ones(5))
    for unit in (0, 1):
        assert rule.values[rule.source == unit].sum() == pytest.approx(1)


def test_gather_keeps_whole_heads_and_drops_replicas_momentum() -> None:
    rule = gather(Along("heads", 8, Copy("spread", grain=2, momentum=False)), 4)
    assert rule.source.tolist() == [0, 1, 0, 1, 2, 3, 2, 3]
    assert rule.first.tolist() == [1, 1, 0, 0, 1, 1, 0, 0]


def test_original_keeps_all_is_copyzero() -> None:
    assert gather(Along("depth", 4, Copy("spread", values=1.0)), 2).values.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("along", "code"), [(Along("hidden", 2, Mean()), "one-way"), (Along("heads", 6, Copy(grain=4)), "broken-grain")]
)
def test_gather_refuses(along: Along, code: str) -> None:
    with pytest.raises(EditError) as caught:
        gather(along, 4)
    assert caught.value.code == code


def test_noise_is_pinned() -> None:
    np.testing.assert_allclose(noise(7, 0, "w", "hidden", 0, 3), [-0.23219178, 0.9375368, -0.12976], atol=1e-8)


def test_noise_is_addressable_and_depends_on_every_name() -> None:
    sheet = noise(7, 0, "w", "hidden", 0, 140_000)
    np.testing.assert_array_equal(sheet[65_530:65_560], noise(7, 0, "w", "hidden", 65_530, 30))
    np.testing.assert_array_equal(sheet[131_070:], noise(7, 0, "w", "hidden", 131_070, 140_000 - 131_070))
    assert noise(7, 0, "w", "hidden", 5, 0).size == 0
    assert abs(sheet.std() - 1) < 0.02
    for other in ((8, 0, "w", "hidden"), (7, 1, "w", "hidden"), (7, 0, "v", "hidden"), (7, 0, "w", "heads")):
        assert not np.array_equal(noise(*other, 0, 3), sheet[:3])


@pytest.mark.parametrize(("axis", "old"), [(0, 200), (0, 0), (1, 150), (2, 1), (2, 3)])
def test_noise_after_old_entries_is_that_of_the_whole_array(axis: int, old: int) -> None:
    sizes = (300, 200, 3)
    whole = noise(7, 0, "w", "hidden", 0, math.prod(sizes)).reshape(sizes)
    found = np.concatenate([np.empty(0), *noise_beyond(7, 0, "w", "hidden", sizes, axis, old)])
    np.testing.assert_array_equal(found, whole.take(range(old, sizes[axis]), axis).reshape(-1))


def test_only_blocks_with_new_entries_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    whole = random_numbers.noise
    monkeypatch.setattr(random_numbers, "noise", lambda *at: drawn.append(at[4] >> 16) or whole(*at))
    assert sum(len(part) for part in noise_beyond(7, 0, "w", "hidden", (512, 1024), 0, 400)) == 112 * 1024
    assert drawn == [6, 7], "of eight"


def test_joined_follows_the_order_and_refuses_a_contested_slot() -> None:
    grow = Grow("w", (Along("residual", 4, Mean()),))
    assert joined([(grow,), (Swap("patch", 6),)]) == (grow, Swap("patch", 6))
    assert joined([(Swap("batch", 8),), (Swap("batch", 8),)]) == (Swap("batch", 8),)
    with pytest.raises(EditError, match="slot-contested"):
        joined([(Swap("batch", 8),), (Swap("batch", 16),)])


def test_joined_makes_a_view_once_and_refuses_two_views_of_one_grid() -> None:
    view = View("pos", "grid", Resize(4, "values", True))
    other = View("pos", "grid", Resize(2, "values", True))
    both = joined([(view, Swap("patch", 6)), (view, Swap("resolution", 24))])
    assert both == (view, Swap("patch", 6), Swap("resolution", 24))
    with pytest.raises(EditError, match=r"slot-contested: .* set `pos along grid`"):
        joined([(view,), (other,)])


def test_only_views_and_swaps_are_reversible() -> None:
    rule = Resize(4, "values")
    assert is_reversible(View("pos", "grid", rule))
    assert is_reversible(Swap("patch", 4))
    lasting: list[Edit] = [Map("pos", "grid", rule), Scale("norm.eps", 2.0), Grow("pos", ())]
    assert not any(is_reversible(edit) for edit in lasting)


WORDS = st.text("abcdefg.{}_", min_size=1, max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SIZES = st.integers(1, 10**6)
SHARES = st.none() | st.floats(0, 1)
FILLS = st.one_of(
    st.builds(Constant, NUMBERS),
    st.builds(Mean),
    st.builds(Normal, NUMBERS),
    st.builds(Copy, st.sampled_from(["cycle", "spread"]), st.integers(1, 64), SHARES, SHARES, st.booleans()),
)
RULES = st.builds(Resize, SIZES, st.sampled_from(["kernel", "values"]), st.booleans())
ALONG = st.builds(Along, WORDS, SIZES, FILLS)
EDITS = st.one_of(
    st.builds(Grow, WORDS, st.lists(ALONG, max_size=3).map(tuple), NUMBERS),
    st.builds(Map, WORDS, WORDS, RULES),
    st.builds(View, WORDS, WORDS, RULES),
    st.builds(Swap, WORDS, st.none() | st.booleans() | st.integers() | NUMBERS | st.text()),
    st.builds(Scale, WORDS, NUMBERS),
)


@settings(derandomize=True, deadline=None)
@given(EDITS)
def test_json_round_trip(edit: Edit) -> None:
    back = edit_from_json(json.loads(json.dumps(edit_to_json(edit))))
    assert back == edit
    assert hash(back) == hash(edit)


def test_json_writes_every_field() -> None:
    edit = Grow("w", (Along("heads", 8, Copy(grain=4)),))
    copy = {"is": "copy", "order": "cycle", "grain": 4, "values": None, "gradients": None, "momentum": True}
    along = [{"is": "along", "dim": "heads", "to": 8, "fill": copy}]
    assert edit_to_json(edit) == {"is": "grow", "parameter": "w", "along": along, "scale": 1.0}


RESIZE = {"is": "resize", "to": 4, "kind": "kernel", "antialias": True}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "expected one of grow, map, view, swap, scale"),
        ({"is": "rename"}, "found 'rename'"),
        ({"is": "mean"}, "expected one of grow"),
        ({"is": ["grow"]}, "expected one of grow"),
        ({"is": "scale", "slot": "norm.eps"}, "`scale` has the fields slot, by"),
        ({"is": "scale", "slot": "norm.eps", "by": 0.5, "at": 3}, "`scale` has the fields slot, by"),
        ({"is": "scale", "slot": "norm.eps", "by": "0.5"}, "found '0.5'"),
        ({"is": "scale", "slot": 3, "by": 0.5}, "found 3"),
        ({"is": "swap", "slot": "loss", "to": {"a": 1}}, "found {'a': 1}"),
        ({"is": "grow", "parameter": "w", "along": "ab", "scale": 1.0}, "found 'ab'"),
        ({"is": "grow", "parameter": "w", "along": [{"is": "mean"}], "scale": 1.0}, "expected one of along"),
        ({"is": "view", "parameter": "w", "dim": "a", "rule": RESIZE | {"kind": "cubic"}}, "found 'cubic'"),
        ({"is": "view", "parameter": "w", "dim": "a", "rule": RESIZE | {"to": True}}, "found True"),
    ],
)
def test_json_refuses(data: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        edit_from_json(data)
