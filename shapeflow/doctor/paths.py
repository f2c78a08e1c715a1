"""Names logs as a `.shape` file does: by its own folder, and a pattern that matches these logs and no other files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from shapeflow.base.diagnostics import Refused
from shapeflow.doctor.facts import FileFacts
from shapeflow.laws.logs.matches import matches

METRICS, EVENTS = "metrics/**/*", "**/events.out.tfevents*"
"""Patterns of the files that are the log of a run together, below its folder: of MLflow and of TensorBoard."""
_SIGNS = '*?[{"\\'


def folder_of(files: Sequence[FileFacts]) -> str:
    """The folder for a `.shape` file that reads these files: the current one if it contains all of them."""
    paths = [os.path.realpath(one.name) for one in files]
    here = os.path.realpath(".")
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    return "." if os.path.commonpath([here, common]) == here else os.path.relpath(common)


def paths_of(files: Sequence[FileFacts], folder: str) -> list[str]:
    """The paths of files, relative to a folder."""
    root = os.path.realpath(folder)
    return [Path(os.path.relpath(os.path.realpath(one.name), root)).as_posix() for one in files]


def pattern_of(files: Sequence[FileFacts], folder: str) -> str | None:
    """A pattern that matches these files of a folder and no others; None if there is no such pattern."""
    paths = paths_of(files, folder)
    if len(paths) == 1:
        return None if any(sign in paths[0] for sign in _SIGNS) else paths[0]
    return next((pattern for pattern in _patterns(paths) if only(pattern, paths, folder)), None)


def _patterns(paths: Sequence[str]) -> Iterator[str]:
    """Candidate patterns, the simplest first."""
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    lead = f"{common}/" if common else ""
    names, suffixes = {os.path.basename(path) for path in paths}, {Path(path).suffix for path in paths}
    if len(suffixes) == 1:
        yield f"{lead}*{next(iter(suffixes))}"
    yield f"{lead}*"
    if len(names) == 1:
        yield from (f"{lead}{way}/{next(iter(names))}" for way in ("*", "*/*", "**"))
    if len(suffixes) == 1 and suffixes != {""}:
        yield f"{lead}**/*{next(iter(suffixes))}"
    yield f"{lead}*/*"
    yield from (f"{lead}*/{tail}" for tail in (METRICS, EVENTS))


LOOKED_AT = 1000
"""Files and folders that a proposed pattern may look at, in addition to ten for each that it is for."""


def only(pattern: str, paths: Sequence[str], folder: str) -> bool:
    """Whether a pattern matches these paths and no others."""
    if any(sign in path for sign in _SIGNS for path in paths):
        return False
    try:
        matched = matches(pattern, folder, LOOKED_AT + 10 * len(paths))
    except Refused:
        # It looks at much more than these paths.
        return False
    return {path for path in matched if "**" not in pattern or os.path.isfile(os.path.join(folder, path))} == set(paths)
