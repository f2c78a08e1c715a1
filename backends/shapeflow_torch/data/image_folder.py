"""A folder of image files with one subfolder per class."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from shapeflow.base.bounds import above
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import write_bytes
from shapeflow.base.walk import Entries
from shapeflow.data.image_folder import SUFFIXES
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.opened import BROKEN, opened
from shapeflow_torch.data.photographs import photographs
from shapeflow_torch.data.random import EPOCHS, generator
from shapeflow_torch.data.windows import missing

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_DEEP = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow modes with more than 8 bits per channel, which a conversion would clip."""
_KEPT = "1"
"""Version of the cache. Increase it when the same files would give other bytes."""
_HELP = "put the images of each class into a sub-folder of its own, or correct `path`"


def open_(settings: Mapping[str, Any], root: Path, contexts: Sequence[int], device: torch.device) -> Images:
    """Read all images from the folder or the cache. Raises Refused `data-missing`, `data-mismatch`, `broken-image`,
    `too-little-held-out`."""
    del contexts
    folder = root / settings["path"]
    names, classes = _listed(folder, settings["classes"])
    _check(folder, len(classes), settings["classes"], "classes")
    order = {name: number for number, name in enumerate(classes)}
    numbers = np.array([order[name.split("/")[0]] for name in names], np.int64)
    held_out = _held_out(numbers, float(settings["held_out"]))
    if not held_out.any():
        message = f"no image of `{folder}` is held out: no class has two images"
        help_ = "add images: one of each class is held out if it has two or more"
        raise Refused(Diagnostic("too-little-held-out", message, place="data", help=help_))
    if settings["samples"] is not None:
        _check(folder, int((~held_out).sum()), settings["samples"], "samples")
    pixels, labels = torch.from_numpy(_pixels(folder, names, settings, root)), torch.from_numpy(numbers)
    parts = [(pixels[torch.from_numpy(part)], labels[torch.from_numpy(part)]) for part in (~held_out, held_out)]
    about = {"data": "image_folder", "path": settings["path"], "classes": classes}
    return photographs(parts[0], parts[1], about, settings, device)


def _listed(folder: Path, said: int) -> tuple[list[str], list[str]]:
    """Return the image files as paths relative to the folder, and the classes, both sorted. `said`: how many classes
    there should be. Raises Refused `data-missing`, `data-mismatch`, `too-many-entries`."""
    if not folder.is_dir():
        raise Refused(missing(folder, "the folder does not exist", help=_HELP))
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(filled := [each for each in classes if _holds_any(folder / each)]) > said:
        # Before all that is in them is looked at: the path may be a whole disk.
        _check(folder, len(filled), said, "classes")
    entries = Entries(str(folder), "data")
    below = [path.relative_to(folder) for path in entries.each(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    seen = [path for path in below if not any(part.startswith(".") for part in path.parts)]
    names = sorted(path.as_posix() for path in seen if len(path.parts) > 1 and (folder / path).is_file())
    if not names:
        raise Refused(missing(folder, "no image files in its sub-folders", help=_HELP))
    with_images = {name.split("/")[0] for name in names}
    empty = [each for each in classes if each not in with_images]
    if empty:
        raise Refused(
            missing(folder / empty[0], "no image files there", help=f"remove `{empty[0]}`, or add images to it")
        )
    return names, classes


def _holds_any(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError:
        return False


def _check(folder: Path, found: int, said: int, setting: str) -> None:
    """Raise Refused `data-mismatch` if a count differs from its setting. `found`: the count; `said`: the setting's
    value."""
    if found != said:
        what = "sub-folders" if setting == "classes" else "images that train"
        message = f"`{folder}` has {found} {what}, but the file says {said}"
        help_ = f"write `{setting}: {found}` in `image_folder`, or correct the folder"
        raise Refused(Diagnostic("data-mismatch", message, place="data", help=help_))


def _held_out(classes: np.ndarray[Any, np.dtype[np.int64]], share: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return a mask of the held-out images: the same share of each class, and at least one image of each class that has
    two or more."""
    chosen = np.zeros(len(classes), np.bool_)
    for each in np.unique(classes):
        rows = np.flatnonzero(classes == each)
        count = min(len(rows) - 1, max(1, round(len(rows) * share)))
        chosen[generator(0, EPOCHS, int(each)).permutation(rows)[:count]] = True
    return chosen


@attrs.frozen
class _Look:
    """Loads images at one size and in one color mode."""

    side: int
    mode: str
    """Pillow mode, `RGB` or `L`."""
    stretch: bool

    def __call__(self, path: Path) -> Bytes:
        """Return the image of a file as bytes (channel, side, side). Raises Refused `broken-image`."""
        try:
            with opened(path) as file:
                if (reason := above("SHAPEFLOW_MOST_PIXELS", "it", file.width * file.height, "pixels")) is not None:
                    raise _broken(path, reason)
                if file.mode in _DEEP:
                    raise _broken(path, f"its pixels are of mode {file.mode}, which has more than 8 bits")
                upright = ImageOps.exif_transpose(file).convert(self.mode)
        except BROKEN as error:
            raise _broken(path, str(error) or "it needs too much memory") from error
        size, how = (self.side, self.side), Image.Resampling.BILINEAR
        seen = upright.resize(size, how) if self.stretch else ImageOps.fit(upright, size, how)
        return np.asarray(seen, np.uint8).reshape(self.side, self.side, -1).transpose(2, 0, 1)


def _broken(path: Path, reason: str) -> Refused:
    help_ = "remove the file from the folder, or save it again as an image with 8 bits per channel"
    message = f"`{path}` cannot be read as an image"
    return Refused(Diagnostic("broken-image", message, place="data", notes=(reason,), help=help_))


def _pixels(folder: Path, names: Sequence[str], settings: Mapping[str, Any], root: Path) -> Bytes:
    """Return the images of all files as bytes (image, channel, side, side), in the order of `names`."""
    look = _Look(settings["image"], "RGB" if settings["colour"] == "rgb" else "L", settings["fit"] == "stretch")
    kept = None if settings["cache"] is None else root / settings["cache"] / f"{_key(folder, names, look)}.safetensors"
    if kept is not None and kept.exists():
        try:
            return np.asarray(load_file(kept)["images"], np.uint8)
        except (SafetensorError, KeyError, OSError):
            pass  # Replace a damaged cache file.
    made = np.empty((len(names), 3 if look.mode == "RGB" else 1, look.side, look.side), np.uint8)
    with ThreadPoolExecutor() as pool:
        for at, image in enumerate(pool.map(look, [folder / name for name in names])):
            made[at] = image
    if kept is not None:
        write_bytes(kept, save({"images": made}))
    return made


def _key(folder: Path, names: Sequence[str], look: _Look) -> str:
    """Return a cache key that depends on the files (names, sizes, modification times) and on how they are loaded."""
    found = [(name, status.st_size, status.st_mtime_ns) for name in names for status in [(folder / name).stat()]]
    said = json.dumps([_KEPT, attrs.astuple(look), found])
    return hashlib.sha256(said.encode()).hexdigest()[:32]
