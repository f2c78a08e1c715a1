"""Reads files of weights that a plan names: those of teachers, and those that a run starts from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.foreign.weights_at import bytes_at, start_at
from shapeflow.ir.ledger import Ledger
from shapeflow.ir.plan import Start
from shapeflow.ir.weights import Weights, broken, of_start
from shapeflow_torch.surgery import Kept


def read_file(path: Path, sha256: str) -> tuple[Weights, dict[str, Tensor]]:
    """Return what the file or folder of a teacher says of its model, and its tensors. `sha256`: the digest in the plan.

    Raises Refused `teacher-missing`, `teacher-broken`, `teacher-changed`, and for a folder `cannot-import`."""
    weights, data = bytes_at(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _teacher_changed(path, sha256)
    try:
        return weights, read_tensors(data)
    except SafetensorError as error:
        broken(path, str(error))


def first_weights(start: Start, root: Path, ledger: Ledger, device: torch.device, dtype: torch.dtype) -> Kept:
    """Return the tensors that a run starts from, averaged as they are, without optimizer state. `ledger`: that of the
    first stage; `root`: base directory of a relative path.

    Raises Refused `start-missing`, `start-broken`, `start-changed`."""
    path = root / start.file
    try:
        _, tensors = read_file(path, start.sha256)
    except Refused as refused:
        changed = any(one.code == "teacher-changed" for one in refused.diagnostics)
        raise (_start_changed(start, path) if changed else of_start(refused)) from None
    wanted = ledger.tensors()
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != wanted:
        why = "its tensors are not those of the plan's first stage"
        help_ = "compile the plan again, which shows what differs"
        message = f"`{path}` does not fit the plan"
        raise Refused(Diagnostic("start-mismatch", message, place=str(path), notes=(why,), help=help_))
    values = {name: tensors[name].to(device, dtype) for name in wanted}
    return Kept(values, {name: value.clone() for name, value in values.items()}, {})


def require_start(start: Start, root: Path) -> None:
    """Check that the weights that a plan starts from are there and unchanged. Raises Refused `start-missing`,
    `start-broken`, `start-changed`."""
    path = root / start.file
    if start_at(path).sha256 != start.sha256:
        raise _start_changed(start, path)


def _start_changed(start: Start, path: Path) -> Refused:
    message = f"the weights `{path}` are not those that the plan was compiled with"
    return Refused(Diagnostic("start-changed", message, place=str(path), notes=(_digest(start.sha256),), help=_RESTORE))


def _teacher_changed(path: Path, sha256: str) -> Refused:
    message = f"the teacher `{path}` is not the one that the plan was compiled with"
    return Refused(Diagnostic("teacher-changed", message, place=str(path), notes=(_digest(sha256),), help=_RESTORE))


def _digest(sha256: str) -> str:
    return f"the plan's digest: {sha256}"


_RESTORE = "restore that file, or compile the plan again"
