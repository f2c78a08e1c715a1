"""The rules of `flexi_resize` against the equivalent functions of timm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peers import timm_layers

from shapeflow.ir.edits import Floats, Resize, matrices


@pytest.mark.parametrize("antialias", [False, True])
def test_kernels_are_resized_as_timm_does(antialias: bool) -> None:
    """Base 12, every patch size from 4 to 60 pixels; timm computes in float32."""
    kernel = np.random.default_rng(0).normal(size=(2, 3, 12, 12))
    for to in range(4, 61):
        value, _ = matrices(Resize(to, "kernel", antialias), 12)
        theirs = timm_layers().resample_patch_embed(torch.from_numpy(kernel).float(), [to, to], "bilinear", antialias)
        assert difference(value @ kernel @ value.T, theirs) < 1e-5, to


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("old", [2, 8])
def test_position_grids_are_resized_as_timm_does(old: int, antialias: bool) -> None:
    grid = np.random.default_rng(0).normal(size=(old, old, 5))
    for to in (1, 2, 3, 4, 5, 8, 10, 12, 15, 30):
        value, _ = matrices(Resize(to, "values", antialias), old)
        ours = np.einsum("ai,bj,ijd->abd", value, value, grid)
        stored = torch.from_numpy(grid).float().reshape(1, old * old, 5)
        theirs = timm_layers().resample_abs_pos_embed(
            stored, [to, to], [old, old], num_prefix_tokens=0, interpolation="bilinear", antialias=antialias
        )
        assert difference(ours.reshape(1, to * to, 5), theirs) < 1e-6, to


def difference(ours: Floats, theirs: torch.Tensor) -> float:
    """The norm of the difference, relative to the norm of `theirs`."""
    wanted = theirs.double().numpy()
    assert ours.shape == wanted.shape
    return float(np.linalg.norm(ours - wanted) / np.linalg.norm(wanted))
