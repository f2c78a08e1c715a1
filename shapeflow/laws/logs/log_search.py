"""The state that the readers of tables and of run folders share: the query, and the results so far."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.columns import Finder
from shapeflow.laws.logs.query import Query
from shapeflow.laws.logs.readers import Log, same
from shapeflow.laws.logs.runs import Logs
from shapeflow.laws.logs.series import Series

OTHER_SHAPES = 1000
"""Maximum number of non-candidate shapes that are counted separately."""


@attrs.frozen
class LogSearch:
    """The query, and the logs that have been read so far."""

    query: Query
    request: LawRequest
    report: Report
    logs: Logs
    finder: Finder
    matched: Sequence[Path] = ()
    """All files that match the pattern."""
    parts: dict[Path, list[Path]] = attrs.field(factory=dict)
    """Run -> the files that are its log together."""
    reported: set[str] = attrs.field(factory=set)
    """Keys of errors that were reported, so that each is reported once."""

    def name(self, path: Path) -> str:
        """Return a path as in messages and provenance: relative to the folder of the `.shape` file."""
        return Path(os.path.relpath(path, self.request.folder or ".")).as_posix()

    def counter(self, series: Series) -> str | None:
        """Return the column that is taken for steps of the file's own batch, although no setting says so. None if
        compute does not follow from it."""
        step = series.step if series.compute is None and self.query.step_unit is None else None
        return None if step is None or step.data or step.unit != 1 or step.source else step.column

    def close(self, log: Log) -> None:
        """Record the facts of a file that was read to its end."""
        name = self.name(log.path)
        self.logs.hashes[name] = log.sha256
        if log.torn:
            self.logs.torn.append(name)
        if log.broken:
            self.logs.broken[name] += log.broken
        self.logs.unfinished.update(log.unfinished)
        if log.sampled:
            self.logs.sampled.append(name)

    def candidate(self, values: Mapping[str, Any]) -> Shape | None:
        """Return the candidate with these values of axes, or None."""
        for shape in self.request.candidates:
            if all(same(value, shape[axis]) for axis, value in values.items()):
                return shape
        return None

    def other_shape(self, values: Mapping[str, Any], times: int = 1) -> None:
        """Count rows whose shape is not a candidate."""
        written = ", ".join(f"{axis}: {str(value)[:40]}" for axis, value in values.items())
        known = len(self.logs.other_shapes) < OTHER_SHAPES or written in self.logs.other_shapes
        self.logs.other_shapes[written if known else "others"] += times

    def other_convention(self, name: str, theirs: object) -> None:
        """Report compute in another convention (`mixed-conventions`), once."""
        if "convention" in self.reported:
            return
        self.reported.add("convention")
        self.report.error(
            "mixed-conventions",
            f"`{name}` counts compute by `{theirs}`, but this file by `{self.request.convention}`",
            self.request.at("paths"),
            "FLOPs that are counted differently cannot be compared",
            help=f"sweep again with `convention: {self.request.convention}`, or set `convention: {theirs}` in the "
            "model",
        )
