"""Import the optional libraries that tests compare with (`transformers`, `timm`, `lightning`, `trl`).

A test is skipped if its library is not installed. With SHAPEFLOW_PEERS=required in the environment it fails instead.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from torch import nn


def lacking(reason: str) -> NoReturn:
    """Skip the test, or fail it if SHAPEFLOW_PEERS=required."""
    if os.environ.get("SHAPEFLOW_PEERS") == "required":
        pytest.fail(f"SHAPEFLOW_PEERS=required, but {reason}", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def transformers() -> ModuleType:
    """Hugging Face's `transformers`. Skips the test if it is not installed."""
    if find_spec("transformers") is None:
        lacking("transformers is not installed: `pip install transformers`")
    return importlib.import_module("transformers")


def hugging_face() -> ModuleType:
    """`transformers` with what its `Trainer` needs. Skips the test if it is not installed."""
    if find_spec("accelerate") is None:
        lacking("accelerate is not installed: `pip install 'shapeflow[hf]'`")
    return transformers()


def trl() -> ModuleType:
    """`trl`, whose trainers inherit that of `transformers`. Skips the test if it is not installed."""
    hugging_face()
    if find_spec("trl") is None or find_spec("datasets") is None:
        lacking("trl or datasets is not installed: `pip install -c constraints.txt trl datasets`")
    return importlib.import_module("trl")


def lightning() -> ModuleType:
    """`lightning.pytorch`. Skips the test if it is not installed."""
    if find_spec("lightning") is None:
        lacking("lightning is not installed: `pip install 'shapeflow[lightning]'`")
    return importlib.import_module("lightning.pytorch")


def timm_layers() -> ModuleType:
    """The module `timm.layers`, without the rest of timm. Skips the test if timm is not installed."""
    return timm_module("timm.layers")


_MEANS = [
    f"{name}_{what}" for name in ("IMAGENET_DEFAULT", "IMAGENET_INCEPTION", "OPENAI_CLIP") for what in ("MEAN", "STD")
]
"""What timm's models import from `timm.data`, which reads images by torchvision."""


@functools.cache
def timm_module(name: str) -> ModuleType:
    """A module of timm, without what it does not import. Skips the test if timm is not installed.

    timm imports torchvision, but its layers only use `FrozenBatchNorm2d`. A stub replaces torchvision during the
    import. It is removed afterwards, so that other libraries do not detect a torchvision that is not installed.
    """
    found = find_spec("timm")
    if found is None or found.origin is None:
        lacking("timm is not installed: `pip install --no-deps timm`")
    data = _module("timm.data", **dict.fromkeys(_MEANS, (0.5, 0.5, 0.5)))
    stand_ins = {
        "torchvision": _module("torchvision"),
        "torchvision.ops": _module("torchvision.ops"),
        "torchvision.ops.misc": _module("torchvision.ops.misc", FrozenBatchNorm2d=nn.Module),
        "timm": _module("timm", folder=str(Path(found.origin).parent), __version__="0"),
        "timm.data": data,
        "timm.models": _module("timm.models", folder=str(Path(found.origin).parent / "models")),
    }
    with pytest.MonkeyPatch.context() as patch:
        for stood, module in stand_ins.items():
            patch.setitem(sys.modules, stood, module)
        made = importlib.import_module(name)
    for each in [each for each in sys.modules if each.split(".")[0] == "timm"]:
        del sys.modules[each]
    return made


def _module(name: str, folder: str | None = None, **names: object) -> ModuleType:
    """A stub module with the given attributes; submodules are imported from `folder`."""
    made = ModuleType(name)
    made.__dict__.update(names)
    made.__path__ = [] if folder is None else [folder]
    made.__spec__ = ModuleSpec(name, None)
    return made
