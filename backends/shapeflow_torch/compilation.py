"""torch.compile, block by block."""

from __future__ import annotations

from typing import Literal

import torch

from shapeflow_torch.models import Net

Compile = Literal["auto", "on", "off"]

_GRAPHS = 64
"""Graphs of one block: a few for each width. Beyond torch's own limit of 8 it falls back to eager without a word."""


def wants_compile(choice: Compile, device: torch.device) -> bool:
    """`auto` is on for CUDA alone: on a CPU compiling takes longer than it saves."""
    return choice == "on" or (choice == "auto" and device.type == "cuda")


def compile_blocks(net: Net) -> None:
    """Compile every block of a module, for any count of samples and tokens.

    All blocks share one graph. A module that replaces this one must be compiled anew: a compiled wrapper would go on
    running the old one, silently."""
    from torch._dynamo import config as dynamo

    dynamo.recompile_limit = max(dynamo.recompile_limit, _GRAPHS)
    for block in net.blocks:
        block.compile(dynamic=True)
