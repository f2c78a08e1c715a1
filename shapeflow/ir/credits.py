"""Measured credits of switches: the results of `shapeflow probe`, and the file that contains them.

A credit is eta, the share of the loss decrease predicted by a law that survives a switch; `running/transfer.py` defines
its measurement. Like a plan, the file is JSON with a digest of its content. It also describes what was trained, so that
the compiler can reject it for a program that trains something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text, write_text
from shapeflow.base.sealed import Seal, SealError, StructureError, laid_out, structured
from shapeflow.base.shapes import Shape, Value
from shapeflow.ir.measured_json import converter

SEAL = Seal("shapeflow-credits", 2)
MOST = 2.0
"""Largest credit that an answer counts with."""


@attrs.frozen
class Trial:
    """The measurements of one switch with one seed. Compute is in FLOPs, counted from the switch."""

    seed: int
    eta: float | None
    """Mean over the target errors; None if the reference does not reach the errors that are compared."""
    low: float | None
    """Lowest eta over the target errors."""
    high: float | None
    """Highest eta over the target errors."""
    targets: int
    """Number of target errors."""
    at: float
    """FLOPs of the run up to the switch."""
    before: float
    """The error at the switch, in the old shape."""
    after: float
    """The error one step after the switch, in the new shape."""
    end: float
    """The final error of the run that switched."""
    stayed: float
    """The final error of the run that stayed in the old shape."""
    trained: float
    """FLOPs from the switch to the end."""
    recovery: float | None
    """FLOPs until the run that switched reached the error `before` again; None if it never did."""
    seconds: float | None
    """Duration of the edits of the switch."""


@attrs.frozen
class Pair:
    """The measured credit of a switch between two values of an axis. Raises ValueError for a credit without a trial."""

    axis: str
    before: Value
    after: Value
    beside: Shape
    """The values on the other axes."""
    reference: Literal["law", "run"]
    """The reference of the measurement: the law of the new shape, or a run that trains it from scratch."""
    eta: float | None
    """Mean over the seeds; None if the eta of any seed is None. Values above 1 and below 0 are possible."""
    low: float | None
    """Lower end of the 95% interval over the seeds (Student's t); None with fewer than two seeds."""
    high: float | None
    recovery: float | None
    """Mean over the seeds; None if the run of any seed did not recover."""
    seconds: float | None
    """Median over the seeds; None if no duration is known."""
    spent: float
    """FLOPs of all runs of the measurement."""
    trials: tuple[Trial, ...]

    def __attrs_post_init__(self) -> None:
        if self.eta is not None and not self.trials:
            raise ValueError(f"the credit of {self.axis} {self.before} -> {self.after} has no trial")

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(trial.seed for trial in self.trials)

    @property
    def most(self) -> float:
        """The largest credit that counts in an answer. A switch may leave a run better off than a run from scratch at
        the same error, and a run from scratch can show that. A law cannot: its own error looks the same."""
        return MOST if self.reference == "run" else 1.0

    @property
    def used(self) -> float | None:
        """eta clipped to 0 to 1, as traversals use it; None if it was not measured."""
        return None if self.eta is None else min(1.0, max(0.0, self.eta))


@attrs.frozen
class Credits:
    """The content of a file of credits."""

    subject: Mapping[str, Any]
    """What was trained, as given by `Program.subject`: `convention` by name; lists of components with all settings for
    `metric`, `model`, `data`, `optimizer` and `transition` (one per axis); and `objective` as name -> component."""
    pairs: tuple[Pair, ...]

    @property
    def spent(self) -> float:
        """FLOPs of all runs of all measurements."""
        return sum(pair.spent for pair in self.pairs)

    def joined(self, pairs: Sequence[Pair]) -> Credits:
        """The credits with these pairs added; they replace pairs of the same switch."""
        known = {(pair.axis, pair.before, pair.after): pair for pair in (*self.pairs, *pairs)}
        return attrs.evolve(self, pairs=tuple(known.values()))


def save(credits: Credits, path: Path) -> None:
    """Write a file atomically. Raises Refused."""
    write_text(path, laid_out(SEAL.close(as_json(credits))))


def as_json(credits: Credits) -> dict[str, Any]:
    """The credits as JSON values."""
    body: dict[str, Any] = converter().unstructure(credits)
    return body


def load(path: Path) -> Credits:
    """The credits in a file. Raises Refused `cannot-read`, `broken-credits`."""
    try:
        return structured(converter(), SEAL.open(read_text(path)), Credits)
    except SealError as error:
        raise _broken(path, error.reason) from None
    except StructureError as error:
        raise _broken(path, *error.reasons) from None


def _broken(path: Path, *reasons: str) -> Refused:
    message, help_ = "the file does not contain readable credits", "measure them again with `shapeflow probe`"
    return Refused(Diagnostic("broken-credits", message, place=str(path), notes=reasons, help=help_))
