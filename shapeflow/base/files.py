"""Read and write files: diagnostics for errors, and atomic writes."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from shapeflow.base.bounds import above
from shapeflow.base.diagnostics import Diagnostic, Refused

_TAKEN = "choose another name: a file and a folder cannot have the same"
_FORBIDDEN = "choose a folder that you may write in, or change its permissions"
_REMEDIES = {
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: "choose another folder: the file system of this one is read-only",
    errno.EFBIG: "allow larger files: `ulimit -f unlimited`",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EEXIST: _TAKEN,
    errno.EISDIR: _TAKEN,
    errno.ENOTDIR: _TAKEN,
}
"""Error of the system -> what to do when a file cannot be written."""


def read_text(path: Path) -> str:
    """The text of a file. Raises Refused `cannot-read`."""
    try:
        require_readable(path)
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 text (byte {error.start})"
    except OSError as error:
        reason = (error.strerror or str(error)).lower() if error.errno else str(error.strerror)
    raise Refused(Diagnostic("cannot-read", f"`{path}` cannot be read", place=str(path), notes=(reason,)))


def open_regular(path: Path) -> io.BufferedReader:
    """A file, open to be read as bytes. Raises OSError, also for what is not a regular file, which is not opened: a
    device may have no end, and a pipe may never be written to."""
    _require_regular(path)
    return path.open("rb")


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file. Raises OSError."""
    with open_regular(path) as file:
        return file.read()


def _require_regular(path: Path) -> os.stat_result:
    status = path.stat()
    # To open a folder is an error of its own.
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "it is not a regular file")
    return status


def require_readable(path: Path) -> None:
    """Raise OSError for what is not a regular file, and for a file that is too large to be read whole as text."""
    status = _require_regular(path)
    if (reason := above("SHAPEFLOW_MOST_TEXT_BYTES", "it", status.st_size, "bytes")) is not None:
        raise OSError(0, reason)


def real(path: Path) -> Path:
    """A path as absolute and without links. Links in a circle stay: `Path.resolve` fails at them."""
    return Path(os.path.realpath(path))


def named(path: Path) -> Path:
    """A path that ends in a name: files next to it can be named after it. `.` and `..` become absolute paths."""
    return path if path.name not in ("", "..") else real(path)


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: a temporary file next to it, fsync, rename. Raises Refused."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically. Raises Refused `disk-full` or `cannot-write`; the old file is then unchanged."""
    write_pieces(path, (data,))


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file atomically, piece by piece. Raises Refused `disk-full` or `cannot-write`, and what the iterator
    raises; the old file is then unchanged."""
    temporary = ""
    try:
        # Write to the target of a link, but show the user's own path in diagnostics.
        target = real(path)
        if target.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.exists() and not target.is_file():
            # A device or a pipe is written to directly; it must not be replaced by a file.
            with target.open("wb") as file:
                file.writelines(pieces)
            return
        make_folder(target.parent)
        descriptor, temporary = temporary_for(target)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, rights())
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        # It was renamed, unless writing failed or a signal ended the command.
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def require_writable(path: Path) -> None:
    """Raise Refused `disk-full` or `cannot-write` if a file cannot be written, before time is spent on its content."""
    try:
        target = real(path)
        if target.exists() and not target.is_file():
            return
        make_folder(target.parent)
        descriptor, temporary = temporary_for(target)
        os.close(descriptor)
        os.unlink(temporary)
    except OSError as error:
        raise cannot_write(path, error) from error


def require_empty(folder: Path) -> None:
    """Raise Refused `folder-in-use` if a folder has anything in it."""
    there = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else [folder.name] * folder.exists()
    if there:
        message = f"`{folder}` has `{there[0]}`, and nothing is written over"
        raise Refused(Diagnostic("folder-in-use", message, place=str(folder), help="name a new or an empty folder"))


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder of files atomically: all of them, or nothing. Raises Refused `folder-in-use`, `disk-full` or
    `cannot-write`."""
    require_empty(folder)
    made = None
    try:
        target = real(folder)
        make_folder(target.parent)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=target.parent))
        made.chmod(rights() | (rights() & 0o444) >> 2)
        for name, data in files.items():
            write_bytes(made / name, data)
        made.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        if made is not None and made.exists():
            shutil.rmtree(made, ignore_errors=True)


def temporary_for(target: Path) -> tuple[int, str]:
    """Make a temporary file next to a file. Returns its descriptor and path. Removes those of killed processes. Raises
    OSError."""
    remove_temporary(target, own=False)
    return tempfile.mkstemp(prefix=f"{_prefix(target)}{os.getpid()}.", suffix=".tmp", dir=target.parent)


def _prefix(target: Path) -> str:
    """How the names of temporary files of this machine for a file begin."""
    return f".{target.name[:100]}.{socket.gethostname()[:50]}-"


def remove_temporary(target: Path, own: bool = True) -> None:
    """Remove the temporary files for a file that are left from killed processes of this machine.

    `own`: also those with the id of this process, which no other thread may be writing. In a container, a process often
    has the id that the killed one had."""
    left = re.compile(re.escape(_prefix(target)) + r"(\d+)\.\w+\.tmp")
    # A folder that may be written may still not be listed.
    with contextlib.suppress(OSError):
        for path in target.parent.iterdir():
            found = left.fullmatch(path.name)
            if found is None:
                continue
            process = int(found[1])
            if (own and process == os.getpid()) or not runs(process):
                path.unlink()


def runs(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # It belongs to another user.
    return True


def rights() -> int:
    """The mode of new files. The umask can be read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they do not exist, durably. Raises OSError."""
    there = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
    folder.mkdir(parents=True, exist_ok=True)
    for one in (folder, *folder.parents):
        if one == there:
            return
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder durable, where the system allows it: a folder may be written and not read, and some
    file systems do not sync folders. Raises OSError for a disk that fails."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> Refused:
    """The error for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        help_ = "free some space, then continue with `--resume`; what was saved before is intact"
        return Refused(Diagnostic("disk-full", f"no space left to write `{path}`", place=str(path), help=help_))
    reason = (error.strerror or str(error)).lower()
    message, remedy = f"`{path}` cannot be written", _REMEDIES.get(error.errno or 0)
    return Refused(Diagnostic("cannot-write", message, place=str(path), notes=(reason,), help=remedy))
