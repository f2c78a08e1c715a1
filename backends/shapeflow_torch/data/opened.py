"""Opens image files that other people made."""

from __future__ import annotations

import contextlib
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from shapeflow.base.files import open_regular

# `SHAPEFLOW_MOST_PIXELS` is the limit, and it is checked before an image is unpacked.
Image.MAX_IMAGE_PIXELS = None

BROKEN = (OSError, ValueError, SyntaxError, EOFError, MemoryError, zlib.error, struct.error)
"""What Pillow raises for a file that is not an image, or a broken one."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The formats of the suffixes that `image_folder` reads. Pillow would try all that it knows, in the order in which they
were imported: one of them seeks past the end of a small file, another starts a program."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The image of a file, not yet unpacked. Raises those of `BROKEN`."""
    with _held(path) as held:
        try:
            image = Image.open(held, formats=_FORMATS)  # type: ignore[arg-type]
        except UnidentifiedImageError:
            raise ValueError(f"its format is none of {', '.join(_FORMATS)}") from None
        with image:
            yield image


@contextlib.contextmanager
def _held(path: Path) -> Iterator[mmap.mmap]:
    # A mapped file never returns more than it has. Of a file on disk, Pillow asks for as much as a header says.
    with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        yield held
