"""torch.compile, block by block."""

from __future__ import annotations

from typing import Literal

import torch

from shapeflow.ir.plan import Plan
from shapeflow_torch.models import Net

Compile = Literal["auto", "on", "off"]

_GRAPHS = 6
"""Graphs of one block in one shape, at most: with and without gradients, each without a mask, with one for all samples,
with one for each."""


def wants_compile(choice: Compile, device: torch.device) -> bool:
    """`auto` is on for CUDA alone: on a CPU compiling takes longer than it saves."""
    return choice == "on" or (choice == "auto" and device.type == "cuda")


def allow_graphs(plan: Plan) -> None:
    """Let torch compile a block for every shape of a plan, blends too. Beyond its own limit of 8 graphs it would go on
    without compiling, slowly."""
    from torch._dynamo import config as dynamo

    shapes = {stage.shape for stage in plan.stages} | {b.shape for stage in plan.stages for b in stage.blends}
    graphs = _GRAPHS * len(shapes)
    dynamo.recompile_limit = max(dynamo.recompile_limit, graphs)
    dynamo.accumulated_recompile_limit = max(dynamo.accumulated_recompile_limit, graphs)


def compile_blocks(net: Net) -> None:
    """Compile every block of a module, for any count of samples and tokens.

    All blocks share one graph. A module that replaces this one must be compiled anew: a compiled wrapper would go on
    running the old one, silently."""
    for block in net.blocks:
        block.compile(dynamic=True)
