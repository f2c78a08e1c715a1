"""Shapes and seeds in the names of files."""

from __future__ import annotations

from itertools import product

import pytest

from shapeflow.doctor.places import places_of, short_in


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("w{w}-s{k}.csv", "w{width}-s{run}.csv"),
        ("w{w}_seed{k}.csv", "w{width}_seed{run}.csv"),
        ("w{w}s{k}.csv", "w{width}s{run}.csv"),
        ("run_w{w}_{k}.csv", "run_w{width}_{run}.csv"),
        ("s{k}/w{w}/log.csv", "s{run}/w{width}/log.csv"),
        ("exp{k}_w{w}_lr3e-4.csv", "exp{run}_w{width}_lr3e-4.csv"),
        ("w{w}/version_{k}/metrics.csv", "w{width}/version_{run}/metrics.csv"),
        ("w{w}_s{k}_try{k}.csv", "w{width}_s*_try*.csv"),
        ("w{w}_lr{k}e-3.csv", "w{width}_lr{peak_lr}.csv"),
        ("lr=0.00{k},width={w}.csv", "lr={peak_lr},width={width}.csv"),
        ("wd0.{k}-w{w}/log.csv", "wd{wd}-w{width}/log.csv"),
        ("w{w}/part{k}.csv", "w{width}/part{part}.csv"),
        ("chunk_{k}/n_embd={w}.csv", "chunk_{part}/n_embd={width}.csv"),
        ("w{w}-a{k}.csv", None),
        ("{w}_{k}.csv", None),
    ],
)
def test_seeds_are_told_from_shapes(name: str, template: str | None) -> None:
    texts = [name.format(w=width, k=seed) for width, seed in product((64, 128), (0, 1, 2))]
    found = places_of(texts)
    assert (found and found.template) == template
    assert found is None or found.axes == {"width"}
    if found is not None and "{run}" in found.template:
        assert {values["run"] for values in found.values.values()} == {"0", "1", "2"}


def test_a_letter_before_sizes_is_no_seed() -> None:
    assert places_of([f"w{width}-s{size}.csv" for width, size in product((64, 128), (16, 32))]) is None
    assert places_of([f"w{width}-s{seed}.csv" for width, seed in product((64, 128), (42, 1337))]) is not None
    assert list(short_in("w{width}-s{run}.csv")) == [("w", "width"), ("s", "run")]
    assert list(short_in("w{width}_{run}.csv")) == [("w", "width"), ("", "run")]
