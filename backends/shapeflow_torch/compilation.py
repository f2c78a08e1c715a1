"""Applies torch.compile to each block."""

from __future__ import annotations

import torch

from shapeflow.ir.plan import Plan
from shapeflow.running.options import Compile
from shapeflow_torch.models import Net

_GRAPHS = 6
"""Maximum number of graphs of one block in one shape: with or without gradients, times three kinds of mask (no mask,
one for all samples, one per sample)."""


def wants_compile(choice: Compile, device: torch.device) -> bool:
    """Return whether to compile. `auto` compiles on CUDA only: on a CPU, compiling takes longer than it saves."""
    return choice == "on" or (choice == "auto" and device.type == "cuda")


def allow_graphs(plan: Plan) -> None:
    """Raise torch's recompile limits so that a block can be compiled for every shape of a plan, including blends.

    Beyond the default limit of 8 graphs, torch falls back to slow uncompiled code."""
    from torch._dynamo import config as dynamo

    shapes = {stage.shape for stage in plan.stages} | {b.shape for stage in plan.stages for b in stage.blends}
    graphs = _GRAPHS * len(shapes)
    dynamo.recompile_limit = max(dynamo.recompile_limit, graphs)
    dynamo.accumulated_recompile_limit = max(dynamo.accumulated_recompile_limit, graphs)


def compile_blocks(net: Net) -> None:
    """Compile every block of a module, for any number of samples and tokens. All blocks of a shape share one graph.

    A module that replaces this one must be compiled again: an old compiled wrapper would silently keep running the old
    module."""
    for block in net.blocks:
        block.compile(dynamic=True)
