"""The rule of an earlier revision on the cases of `answers.py`: which laws and plans it refuses, and what it quotes.

The revision is unpacked with `git archive` into a temporary folder, and each case is compiled there in a process.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs

from answers_cases import Case
from answers_truth import WARMUP, end_of, least_fixed
from shapeflow.base.shapes import Shape
from shapeflow.stages.assess.walked import Piece

ROOT = Path(__file__).parent.parent
LONGEST = 120
"""Seconds for one plan."""


@attrs.frozen(eq=False)
class Former:
    """What the earlier rule makes of a case."""

    laws: int
    refused: int
    """Laws that it does not support beyond the data."""
    quoted: bool
    low: float
    high: float
    saving: float
    """The true saving of its plan against the best fixed shape."""
    switches: int

    @property
    def covers(self) -> bool:
        return self.low <= self.saving <= self.high


@contextmanager
def revision(name: str) -> Iterator[Path]:
    """A folder with the sources of a revision. Raises CalledProcessError if git does not have it."""
    packed = subprocess.run(["git", "archive", name], cwd=ROOT, capture_output=True, check=True).stdout
    with TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(folder, filter="data")
        yield Path(folder)


def former(case: Case, source: Path) -> Former | None:
    """Compile a case with the sources in a folder; None if it makes no plan, no interval, or the truth is not known."""
    with TemporaryDirectory() as folder:
        names = _write(case, Path(folder))
        paths = os.pathsep.join(str(source / part) for part in ("", "grammar", "backends"))
        subprocess.run(
            [sys.executable, "-m", "shapeflow", "compile", "case.shape", "-o", "plan.json"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            timeout=LONGEST,
            check=False,
        )
        made = Path(folder) / "plan.json"
        plan = json.loads(made.read_text(encoding="utf-8")) if made.is_file() else {}
    found = plan.get("uncertainty")
    if not found or found["best_fixed"] is None:
        return None
    pieces = [
        Piece(names[one["shape"]["width"]], one["leave"]["compute"] - one["enter"]["compute"]) for one in plan["stages"]
    ]
    end = end_of(case.truth, pieces)
    fixed = None if end is None else least_fixed(case.truth, end)
    if fixed is None:
        return None
    laws = [one["law"] for one in plan["candidates"]]
    return Former(
        laws=len(laws),
        refused=sum(bool(law["verdict"]) for law in laws),
        quoted=not found["reasons"],
        low=found["best_fixed"][0],
        high=found["best_fixed"][1],
        saving=1 - sum(piece.length for piece in pieces) / fixed,
        switches=len(pieces) - 1,
    )


def _write(case: Case, folder: Path) -> dict[int, Shape]:
    """Write a case as a program and a table. Returns the shape of each width in it."""
    names = dict(enumerate(case.runs, 1))
    rows = ["width,run,compute,loss"]
    for width, shape in names.items():
        first = case.runs[shape][0]
        # `fit` leaves out the first points of a run; the warm-up of these was left out before.
        early = [first.compute * (0.5 + 0.1 * number) for number in range(WARMUP)]
        rows += [f"{width},{width},{compute!r},{first.error!r}" for compute in early]
        rows += [f"{width},{width},{point.compute!r},{point.error!r}" for point in case.runs[shape]]
    (folder / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    sentences = [
        f"axis width in [{', '.join(map(str, names))}] via width_expand",
        "metric loss",
        'laws from fit("runs.csv")',
        "traversal steepest",
        f"budget {case.budget!r} FLOPs".replace("e+", "e"),
    ]
    (folder / "case.shape").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return names
