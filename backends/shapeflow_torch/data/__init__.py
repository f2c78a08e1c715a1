"""Data readers. Each component of `shapeflow/data/` has a file of the same name here."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import torch

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.data.mixture import names_of
from shapeflow.ir.contexts import MIXTURE, contexts_of, parts_of
from shapeflow.ir.plan import Plan, Spec
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.mixture import Corpora
from shapeflow_torch.data.vectors import Vectors
from shapeflow_torch.data.windows import Windows
from shapeflow_torch.plugins import plugin

Data = Windows | Corpora | Images | Vectors

_OWN = frozenset({"cifar10", "digits", "fashion_mnist", "image_folder", "power_law", "python_source", "text", "tokens"})


def open_data(plan: Plan, root: Path, device: torch.device) -> Data:
    """Open a plan's data. Token files are memory-mapped; all other data is loaded into memory. Relative paths are
    resolved against `root`.

    Raises Refused `data-missing`, `data-mismatch`, `broken-image`, `broken-tokens`, `other-tokens`, `context-too-long`,
    `no-such-data`, `no-document-ends`, `too-little-held-out`, `corpora-differ`.
    """
    if plan.data is None:
        raise Refused(_unknown(plan.data))
    opened = _open(plan.data, root, contexts_of(plan) or [1], device)
    if plan.held_out is not None and not isinstance(opened, Vectors):
        opened.hold_out(plan.held_out)
    if isinstance(opened, Windows | Corpora):
        opened.follow(plan)
    separator = plan.slots.get("attend.separator")
    if isinstance(separator, int) and isinstance(opened, Windows | Corpora) and not opened.has(separator):
        raise Refused(_endless(separator))
    return opened


def _open(spec: Spec, root: Path, contexts: Sequence[int], device: torch.device) -> Data:
    if spec.name == MIXTURE:
        parts = [_open(part, root, contexts, device) for part in parts_of(spec)]
        return Corpora(names_of(spec.settings["of"]), parts, spec.settings["weights"])
    if spec.name in _OWN:
        open_ = importlib.import_module(f"shapeflow_torch.data.{spec.name}").open_
    else:
        open_ = plugin("data", spec.name)
    if open_ is None:
        raise Refused(_unknown(spec))
    opened: Data = open_(spec.settings, root, contexts, device)
    return opened


def _unknown(spec: Spec | None) -> Diagnostic:
    name = "nothing" if spec is None else f"`{spec.name}`"
    return Diagnostic("no-such-data", f"the plan trains on {name}, which this backend cannot read", place="data")


def _endless(separator: int) -> Diagnostic:
    message = f"the model attends within documents, but the data contains no token {separator} to end a document"
    help_ = "use a folder with one document a file, or remove `attend` from the model's settings"
    return Diagnostic("no-document-ends", message, place="data", help=help_)
