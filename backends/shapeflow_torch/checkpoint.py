"""Checkpoints: a folder of safetensors files and one JSON file. A checkpoint is written completely or not at all.

    step-000001200/model.safetensors       weights by name
                   average.safetensors     averaged weights by name
                   optimizer.safetensors   NAME.PART, the parts of the optimizer's state, of all weights or of none; a
                                          count is one number per tensor or one per entry
                   state.json              format, version, plan, step, age of the average, size and digest of each
                                          file, and a digest of all this; `stage` if it is the one after a switch

Tensor sizes are not stored in `state.json`: they follow from the plan and the step.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import cannot_write, open_regular, read_regular, sync_folder, write_bytes
from shapeflow.base.sealed import Seal, SealError, laid_out
from shapeflow.ir.parameters import Growth
from shapeflow.ir.retention import retained
from shapeflow.running.run_log import removed
from shapeflow_torch.surgery import Kept
from shapeflow_torch.tensor_file import pieces

SEAL = Seal("shapeflow-checkpoint", 2)
_STATE = "state.json"
_CHUNK = 1 << 20
"""Bytes of a file that are read at once."""
_FILES = ("model.safetensors", "average.safetensors", "optimizer.safetensors")
_STATE_KEYS, _OPTIONAL = frozenset({"plan", "step", "average_age", "files"}), frozenset({"stage", "error"})

Retain = Callable[[Mapping[int, float | None]], Collection[int]]
"""Returns the steps of the checkpoints to keep, from the steps and errors of all."""
_DEFAULT: Retain = partial(retained, None, ())

_NAME, _LEFT = re.compile(r"step-\d{9,}"), re.compile(r"\.step-\d{9,}\.\d+")
"""The name of a checkpoint, and of an incomplete one. Other folders, such as a copy, are the user's."""


@attrs.frozen(eq=False)
class State:
    """The contents of a checkpoint."""

    plan: str
    """The plan's digest."""
    step: int
    average_age: int
    kept: Kept
    stage: int | None = None
    """Index of the stage whose sizes the tensors have, if the switch after the last step is made already; None: that of
    the last step."""
    error: float | None = None
    """Value of the plan's metric, if the plan keeps the best checkpoint and it was measured here."""


def save(path: Path, state: State, retain: Retain = _DEFAULT) -> None:
    """Write a checkpoint folder, and then remove those that are not to be kept.

    A failed write leaves older checkpoints in place. Raises Refused `disk-full`, `cannot-write` or `run-removed`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # The folder of the run is not made again: if it was removed, the run has nowhere to go on.
        if not path.parent.is_dir():
            path.parent.mkdir()
            sync_folder(path.parent.parent)
        _clear(path.parent)
        temporary.mkdir()
        files = {}
        for name, tensors in zip(_FILES, _tables(state.kept), strict=True):
            files[name] = _write(temporary / name, pieces(tensors))
        header = {"plan": state.plan, "step": state.step, "average_age": state.average_age, "files": files}
        header |= {} if state.error is None else {"error": state.error}
        header |= {} if state.stage is None else {"stage": state.stage}
        _write(temporary / _STATE, [_sealed(header, state.plan)])
        sync_folder(temporary)
        if path.exists():
            shutil.rmtree(path)
        os.rename(temporary, path)
        sync_folder(path.parent)
        for old in _surplus(path, retain):
            shutil.rmtree(old)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not path.parent.parent.is_dir():
            raise removed(path.parent.parent) from error
        raise cannot_write(path, error) from error


def not_finite(kept: Kept) -> str | None:
    """The name of a tensor with an infinity or NaN; None if there is none."""
    for table in _tables(kept):
        for name, tensor in table.items():
            # The sum of finite numbers may overflow; only then are the entries looked at.
            if not torch.isfinite(tensor.sum()) and not bool(torch.isfinite(tensor).all()):
                return name
    return None


def tidy(folder: Path, found: Path | None, retain: Retain = _DEFAULT) -> None:
    """Remove what a killed process left: incomplete checkpoints, and those that are not to be kept.

    `found`: the checkpoint from which the run resumes. Broken checkpoints of later steps stay until a new one is
    complete. Raises Refused `cannot-write`."""
    try:
        if folder.is_dir():
            _clear(folder)
        if found is not None:
            for old in _forsaken([path for path in _sorted(folder) if step_in(path) <= step_in(found)], retain):
                shutil.rmtree(old)
    except OSError as error:
        raise cannot_write(folder, error) from error


def load(
    path: Path,
    plan: str,
    sizes: Mapping[str, tuple[int, ...]],
    parts: Mapping[str, Mapping[str, Growth]] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> State:
    """Read a checkpoint.

    `plan`: digest of the plan that the checkpoint must belong to; `sizes`: tensor name -> the size it must have;
    `parts`: tensor name -> the parts of its optimizer state, or None to skip the optimizer state.

    Raises Refused `broken-checkpoint` or `foreign-checkpoint`.
    """
    header = _header(path, plan)
    tables = [_table(path, name, header, device) for name in _FILES[: 2 if parts is None else 3]]
    for table in tables[:2]:
        found = {name: tuple(tensor.shape) for name, tensor in table.items()}
        if found != dict(sizes):
            wrong = sorted(n for n in found.keys() | sizes.keys() if found.get(n) != sizes.get(n))
            raise _broken(path, f"`{wrong[0]}` has sizes {found.get(wrong[0])}, the plan says {sizes.get(wrong[0])}")
    states = {} if parts is None else _states(path, tables[2], sizes, parts)
    values, averages = ({name: tensor.to(dtype) for name, tensor in table.items()} for table in tables[:2])
    return State(plan, header["step"], header["average_age"], Kept(values, averages, states), header.get("stage"))


def _states(
    path: Path,
    table: Mapping[str, Tensor],
    sizes: Mapping[str, tuple[int, ...]],
    parts: Mapping[str, Mapping[str, Growth]],
) -> dict[str, dict[str, Tensor]]:
    """Return the optimizer's state by tensor name. Raises Refused `broken-checkpoint`."""
    states: dict[str, dict[str, Tensor]] = {}
    for key, tensor in table.items():
        name, _, part = key.rpartition(".")
        states.setdefault(name, {})[part] = tensor
    lost = {name for name, rules in parts.items() if rules} - states.keys()
    if states and lost:
        raise _broken(path, f"the optimizer's state of `{min(lost)}` is missing")
    for name, entry in states.items():
        if not _fits(entry, parts.get(name, {}), sizes.get(name)):
            raise _broken(path, f"the optimizer's state of `{name}` does not fit the plan")
    return states


def adopt(source: Path, path: Path, heir: str, comparable: bool = True) -> None:
    """Give a checkpoint to another plan, in a new folder. `heir`: digest of that plan; `comparable`: whether its errors
    can be compared with that of the checkpoint, which is left out otherwise.

    Tensors are linked if the file system can, else copied: files of a checkpoint are never changed. The caller must
    ensure that both plans do the same up to the checkpoint. Raises Refused `broken-checkpoint`, `disk-full`,
    `cannot-write`."""
    header = _header(source, None)
    kept = header if comparable else _without_error(header)
    try:
        path.mkdir(parents=True)
        for name in _FILES:
            _verify(source, name, header)
            try:
                os.link(source / name, path / name)
            except OSError:
                with open_regular(source / name) as file:
                    _write(path / name, _chunks(file))
        _write(path / _STATE, [_sealed(kept, heir)])
        sync_folder(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def give(path: Path, heir: str) -> None:
    """Give a checkpoint to another plan, in place and atomically. See `adopt`. Raises Refused `broken-checkpoint`,
    `disk-full`, `cannot-write`."""
    write_bytes(path / _STATE, _sealed(_header(path, None), heir))


def forget_errors(folder: Path) -> None:
    """Remove the errors of all checkpoints in a folder, each atomically, so that none counts as the best one. Broken
    checkpoints stay as they are. Raises Refused `disk-full`, `cannot-write`."""
    for path in _sorted(folder):
        if _error_of(path) is not None:
            header = _header(path, None)
            write_bytes(path / _STATE, _sealed(_without_error(header), header["plan"]))


def _without_error(header: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in header.items() if name != "error"}


def _sealed(header: Mapping[str, Any], plan: str) -> bytes:
    return laid_out(SEAL.close({**header, "plan": plan})).encode()


def step_of(path: Path, plan: str | None) -> int:
    """Return the number of steps done at a checkpoint. `plan`: digest of the plan it must belong to; None: of any.

    Raises Refused `broken-checkpoint`, `foreign-checkpoint`."""
    step: int = _header(path, plan)["step"]
    return step


def owner_of(path: Path) -> str:
    """Return the digest of the plan that a checkpoint belongs to. Raises Refused `broken-checkpoint`."""
    plan: str = _header(path, None)["plan"]
    return plan


def digest_of(path: Path) -> str:
    """Return the digest of a checkpoint, which includes those of its files. Raises Refused `broken-checkpoint`."""
    digest: str = SEAL.close(_header(path, None))["digest"]
    return digest


def saved(folder: Path) -> dict[int, Path]:
    """Return the checkpoints of a folder by step, in order; they may be broken."""
    return {step_in(path): path for path in _sorted(folder)}


def stage_of(path: Path, plan: str | None) -> int | None:
    """Return `State.stage` of a checkpoint. Raises Refused `broken-checkpoint`, `foreign-checkpoint`."""
    stage: int | None = _header(path, plan).get("stage")
    return stage


def newest(folder: Path, warn: Callable[[Diagnostic], None] = lambda diagnostic: None) -> Path | None:
    """Return the newest intact checkpoint of a folder, or None. Broken ones are reported to `warn` and skipped."""
    for path in reversed(_sorted(folder)):
        try:
            header = _header(path, None)
            for name in _FILES:
                _verify(path, name, header)
        except Refused as refused:
            for diagnostic in refused.diagnostics:
                warn(attrs.evolve(diagnostic, severity="warning"))
        else:
            return path
    return None


def _fits(state: Mapping[str, Tensor], rules: Mapping[str, Growth], sizes: tuple[int, ...] | None) -> bool:
    """Return whether a tensor's state has the declared parts, each of the tensor's size. A count may be one number."""
    if state.keys() != rules.keys():
        return False
    shapes = {part: tuple(tensor.shape) for part, tensor in state.items()}
    return all(shape == sizes or (rules[part] == "count" and shape == ()) for part, shape in shapes.items())


def _tables(kept: Kept) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor], Mapping[str, Tensor]]:
    optimizer = {f"{name}.{part}": tensor for name, entry in kept.states.items() for part, tensor in entry.items()}
    return kept.values, kept.averages, optimizer


def _write(path: Path, data: Iterable[bytes | memoryview]) -> dict[str, int | str]:
    """Write the pieces of a file. Return its size and digest, as they stand in `state.json`."""
    digest, count = hashlib.sha256(), 0
    with path.open("xb") as file:
        for piece in data:
            file.write(piece)
            digest.update(piece)
            count += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": count, "sha256": digest.hexdigest()}


def _chunks(file: io.BufferedReader) -> Iterator[bytes]:
    """The rest of a file in pieces, so that the largest file needs little memory."""
    while piece := file.read(_CHUNK):
        yield piece


def _clear(folder: Path) -> None:
    """Remove temporary folders of processes that were killed while writing."""
    for left in folder.iterdir():
        if _LEFT.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)


def _sorted(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder by step. A link is not one: what it leads to is not removed."""
    found: Iterable[Path] = folder.iterdir() if folder.is_dir() else ()
    ours = (path for path in found if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink())
    return sorted(ours, key=step_in)


def step_in(path: Path) -> int:
    """The step that the name of a checkpoint states."""
    return int(path.name.removeprefix("step-"))


def _surplus(path: Path, retain: Retain = _DEFAULT) -> list[Path]:
    """Return the checkpoints to remove after `path` was written. Those of later steps are broken, since the run resumed
    from an earlier step."""
    there = _sorted(path.parent)
    until = [each for each in there if step_in(each) <= step_in(path)]
    return [*there[len(until) :], *_forsaken(until, retain)]


def _forsaken(paths: Sequence[Path], retain: Retain) -> list[Path]:
    """Return those of the checkpoints that are not to be kept. The last one always is."""
    kept = retain({step_in(path): _error_of(path) for path in paths})
    return [path for path in paths[:-1] if step_in(path) not in kept]


def _error_of(path: Path) -> float | None:
    """Return the error at a checkpoint, or None if it is unknown."""
    try:
        error = _header(path, None).get("error")
    except Refused:
        return None
    return error if isinstance(error, float) and math.isfinite(error) else None


def _header(path: Path, plan: str | None) -> dict[str, Any]:
    try:
        header = SEAL.open(read_regular(path / _STATE).decode())
    except SealError as error:
        if error.what == "version":
            raise _foreign(path, error.reason) from None
        raise _broken(path, f"`{_STATE}`: {error.reason}", *error.notes) from None
    except (OSError, ValueError) as error:
        raise _broken(path, f"`{_STATE}` cannot be read: {error}") from error
    counts = [header.get(key) for key in ("step", "average_age")] + [header.get("stage", 0)]
    known = header.keys() - _OPTIONAL == _STATE_KEYS
    if not known or not all(type(count) is int and count >= 0 for count in counts):
        raise _broken(path, f"`{_STATE}` is incomplete")
    if plan is not None and header["plan"] != plan:
        raise _foreign(path, f"it belongs to plan {header['plan']}, not to {plan}")
    return header


def _verify(path: Path, name: str, header: Mapping[str, Any]) -> None:
    """Raise Refused `broken-checkpoint` if a file is not the one that was written."""
    digest, count = hashlib.sha256(), 0
    try:
        with open_regular(path / name) as file:
            for piece in _chunks(file):
                digest.update(piece)
                count += len(piece)
    except OSError as error:
        raise _broken(path, f"`{name}` cannot be read: {error.strerror}") from error
    entry = {"bytes": count, "sha256": digest.hexdigest()}
    if not isinstance(header["files"], dict) or header["files"].get(name) != entry:
        raise _broken(path, f"`{name}` was changed after it was written: it has {count} bytes and another digest")


def _table(path: Path, name: str, header: Mapping[str, Any], device: torch.device) -> dict[str, Tensor]:
    _verify(path, name, header)
    try:
        # The file is mapped: only what is copied out of it takes memory.
        return {key: tensor.to(device, copy=True) for key, tensor in load_file(path / name).items()}
    except (SafetensorError, OSError) as error:
        raise _broken(path, f"`{name}` contains no readable tensors: {error}") from error


def _broken(path: Path, *why: str) -> Refused:
    help_ = "remove this folder to resume from the previous checkpoint"
    return Refused(
        Diagnostic("broken-checkpoint", f"the checkpoint `{path}` is damaged", place=str(path), notes=why, help=help_)
    )


def _foreign(path: Path, why: str) -> Refused:
    return Refused(
        Diagnostic(
            "foreign-checkpoint", f"the checkpoint `{path}` belongs to another plan", place=str(path), notes=(why,)
        )
    )
