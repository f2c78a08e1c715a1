"""One kind of input: its files, which of them is mutated and how, and the commands that read it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

Change = Callable[[bytes, random.Random], bytes]
"""A mutation: the content of a file, and a source of random numbers -> the changed content."""


@attrs.frozen
class Target:
    """Files, of which one is mutated, and the commands that read them. `made`: files and folders that the commands
    write. `fresh`: whether they change other files, so that all are written for every input."""

    name: str
    mutated: str
    change: Change
    files: Mapping[str, bytes]
    commands: tuple[tuple[str, ...], ...]
    made: tuple[str, ...] = ()
    fresh: bool = False

    def mutation(self, draw: random.Random) -> bytes:
        return self.change(self.files[self.mutated], draw)

    def write(self, folder: Path) -> None:
        """Write all files. The mutated one is written for each input."""
        write(self.files, folder)

    @property
    def others(self) -> frozenset[tuple[str, int]]:
        """The files that are not mutated. Targets that share them can share a folder."""
        return frozenset((name, hash(content)) for name, content in self.files.items() if name != self.mutated)

    def clear(self, folder: Path) -> None:
        """Remove what the commands wrote."""
        if self.fresh:
            shutil.rmtree(folder)
            return
        for name in self.made:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def strange(self, folder: Path) -> list[str]:
        """The files that a command changed, removed or wrote although it should not have."""
        if self.fresh:
            return []
        here = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        changed = {
            name
            for name, content in self.files.items()
            if name != self.mutated and (name not in here or here[name].read_bytes() != content)
        }
        return sorted(changed | (here.keys() - self.files.keys()))


def write(files: Mapping[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def replace(path: Path, content: bytes) -> None:
    """Write a file that may exist. To remove it first is many times faster than to truncate it, on ext4."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
