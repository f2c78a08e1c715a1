"""Lists the file operations of this process below a folder, and kills the process at one of them.

An operation is a call that changes files or makes a change durable: opening a file for writing, writing, `fsync`,
closing a file that was open for writing, and `chmod`, `mkdir`, `rename`, `replace`, `unlink`, `rmdir`, `link`,
`symlink`, `truncate`. `shutil.rmtree` is a series of them. Files are written through Python or `os.write`; a library
that writes files itself is not seen.
"""

from __future__ import annotations

import builtins
import io
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import attrs

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_OF_A_PATH = ("mkdir", "rmdir", "unlink", "remove", "chmod", "truncate", "rename", "replace", "link", "symlink")
_OF_A_FILE = ("fsync", "fdatasync", "ftruncate", "fchmod")


@attrs.frozen
class Operation:
    """One operation: the name of the call, and the path below the folder."""

    call: str
    path: str

    def __str__(self) -> str:
        return f"{self.call} {self.path}"


@attrs.frozen
class Point:
    """Where a process dies: just before an operation, counted from 0, or after half of the bytes that it writes."""

    number: int
    within: bool = False


def die() -> None:
    """Kill this process with SIGKILL: nothing is flushed, closed or cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


@attrs.define(eq=False)
class Watch:
    """Sees every operation below a folder once it is installed. It stays installed until the process ends."""

    folder: str
    """An absolute path."""
    point: Point | None = None
    seen: list[Operation] = attrs.field(factory=list, init=False)
    _paths: dict[int, str] = attrs.field(factory=dict, init=False)
    """Path of every descriptor that was opened below the folder."""
    _written: set[int] = attrs.field(factory=set, init=False)
    """Those of the descriptors that are open for writing."""

    def install(self) -> None:
        """Replace the functions of `os` and `open`."""
        originals = {name: getattr(os, name) for name in (*_OF_A_PATH, *_OF_A_FILE) if hasattr(os, name)}
        for name, original in originals.items():
            setattr(os, name, (self._path_call if name in _OF_A_PATH else self._file_call)(name, original))
        self._replace_descriptors()
        self._replace_open()

    def _place(self, path: Any, folder: int | None = None) -> str | None:
        """The path of a file or descriptor; None outside the folder. `folder`: descriptor of what it is relative to."""
        if isinstance(path, int):
            return self._paths.get(path)
        name = os.fsdecode(path)
        if folder is not None and not os.path.isabs(name):
            if folder not in self._paths:
                return None
            name = os.path.join(self._paths[folder], name)
        name = os.path.abspath(name)
        return name if name == self.folder or name.startswith(self.folder + os.sep) else None

    def _meet(self, call: str, path: str) -> bool:
        """Note an operation, and die if it is the one. Returns whether the process dies within it."""
        self.seen.append(Operation(call, os.path.relpath(path, self.folder)))
        here = self.point is not None and self.point.number == len(self.seen) - 1
        within = self.point is not None and self.point.within
        if here and not within:
            die()
        return here and within

    def _path_call(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def called(path: Any, *more: Any, **options: Any) -> Any:
            place = self._place(path, options.get("dir_fd", options.get("src_dir_fd")))
            if place is not None:
                self._meet(name, place)
            return original(path, *more, **options)

        return called

    def _file_call(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def called(file: Any, *more: Any) -> Any:
            place = self._paths.get(file if isinstance(file, int) else file.fileno())
            if place is not None:
                self._meet(name, place)
            return original(file, *more)

        return called

    def _replace_descriptors(self) -> None:
        open_, write, close = os.open, os.write, os.close

        def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            place = self._place(path, dir_fd)
            if place is not None and flags & _WRITES:
                self._meet("open", place)
            descriptor = open_(path, flags, mode, dir_fd=dir_fd)
            if place is not None:
                self.hold(descriptor, place, bool(flags & _WRITES))
            return descriptor

        def written(descriptor: int, data: Any) -> int:
            return self.write(descriptor, data, lambda part: write(descriptor, part))

        def closed(descriptor: int) -> None:
            self.let_go(descriptor)
            close(descriptor)

        for name, function in {"open": opened, "write": written, "close": closed}.items():
            setattr(os, name, function)

    def _replace_open(self) -> None:
        original = io.open

        def opened(file: Any, mode: str = "r", buffering: int = -1, *text: Any, **options: Any) -> Any:
            place = self._place(file)
            if place is None or not set(mode) & set("wxa+"):
                return original(file, mode, buffering, *text, **options)
            if not isinstance(file, int):
                self._meet("open", place)
            plain: dict[str, Any] = {name: options.pop(name) for name in ("closefd", "opener") if name in options}
            return self._wrapped(_Raw(self, place, file, mode, plain), mode, buffering, text, options)

        builtins.open = io.open = opened

    @staticmethod
    def _wrapped(raw: _Raw, mode: str, buffering: int, text: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """A file as `open` returns it."""
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **options)

    def hold(self, descriptor: int, path: str, writes: bool) -> None:
        """Remember a descriptor. `writes`: whether it is open for writing."""
        self._paths[descriptor] = path
        if writes:
            self._written.add(descriptor)

    def let_go(self, descriptor: int) -> None:
        """Forget a descriptor that is about to be closed."""
        path, writes = self._paths.get(descriptor), descriptor in self._written
        if path is not None and writes:
            self._meet("close", path)
        self._paths.pop(descriptor, None)
        self._written.discard(descriptor)

    def write(self, descriptor: int, data: Any, write: Callable[[Any], int]) -> int:
        """Write to a descriptor by `write`."""
        path = self._paths.get(descriptor)
        if path is not None and self._meet("write", path):
            write(memoryview(data)[: len(data) // 2])
            die()
        return write(data)


class _Raw(io.FileIO):
    """A file whose writes and whose end are operations of a watch."""

    def __init__(self, watch: Watch, path: str, file: Any, mode: str, options: Mapping[str, Any]) -> None:
        super().__init__(file, mode.replace("t", ""), **options)
        self._watch = watch
        watch.hold(self.fileno(), path, True)

    def write(self, data: Any, /) -> int:
        return self._watch.write(self.fileno(), data, super().write)

    def close(self) -> None:
        if not self.closed:
            self._watch.let_go(self.fileno())
        super().close()
