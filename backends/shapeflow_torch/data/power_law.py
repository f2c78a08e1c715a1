"""Random vectors with a power-law spectrum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from shapeflow_torch.data.vectors import Vectors


def open_(settings: Mapping[str, Any], root: Path, contexts: Sequence[int], device: torch.device) -> Vectors:
    """Return vectors with deviations j^-alpha and coefficients j^-beta of the target, in float64."""
    del root, contexts
    about = {"data": "power_law", **{name: settings[name] for name in ("alpha", "beta", "features")}}
    about["sha256"] = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    j = torch.arange(1, settings["features"] + 1, dtype=torch.float64)
    return Vectors(j ** -settings["alpha"], j ** -settings["beta"], about, device)
