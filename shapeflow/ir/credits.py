"""Measured credits of switches: what `shapeflow probe` found, and the file it keeps that in.

A credit is eta, the share of a law's descent that survives a switch; `transfer.py` says how it is measured. The file is
JSON with a digest of all it says, as a plan is; it also says what was trained, so that a plan of something else is
refused.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import cattrs

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text, write_text
from shapeflow.base.sealed import Seal, SealError, StructureError, laid_out, structured
from shapeflow.base.shapes import Shape, Value

SEAL = Seal("shapeflow-credits", 2)


@attrs.frozen
class Trial:
    """One seed's probe of a switch. Compute in FLOPs, counted from the switch."""

    seed: int
    eta: float | None
    """None where the reference never stood at the errors that were compared."""
    low: float | None
    """The least eta of all targets along the curve."""
    high: float | None
    targets: int
    at: float
    """FLOPs of the run up to the switch."""
    before: float
    """The error at the switch, in the shape before."""
    after: float
    """The error one step behind it, in the shape after."""
    end: float
    """The error at the end, switched."""
    stayed: float
    """The error at the end, had the run gone on in the shape before."""
    trained: float
    """FLOPs from the switch to that end."""
    recovery: float | None
    """FLOPs until the switched run was back at the error before; None where it never was."""
    seconds: float | None
    """What the edits of the switch took."""


@attrs.frozen
class Pair:
    """A switch between two values of an axis, as it was measured."""

    axis: str
    before: Value
    after: Value
    beside: Shape
    """The values on the other axes."""
    reference: Literal["law", "run"]
    """What the switched run is compared with: the law of the shape after, or a run in it from nothing."""
    eta: float | None
    """The mean over the seeds; above 1 and below 0 are possible."""
    low: float | None
    """95% interval over the seeds (Student's t); None with fewer than two."""
    high: float | None
    recovery: float | None
    """The mean; None where a seed's run never was back."""
    seconds: float | None
    """The median."""
    spent: float
    """FLOPs of all runs that were made for it."""
    trials: tuple[Trial, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(trial.seed for trial in self.trials)

    @property
    def used(self) -> float | None:
        """eta as a traversal takes it: what lies outside of 0 to 1 counts as the nearer end."""
        return None if self.eta is None else min(1.0, max(0.0, self.eta))


@attrs.frozen
class Credits:
    """All of a file."""

    subject: Mapping[str, Any]
    """What was trained: `convention` by name; `metric`, `model`, `data`, `optimizer` and `transition` (one an axis) as
    components with all their settings; `objective` as name -> component, as `loss` has them (`Program.subject`)."""
    pairs: tuple[Pair, ...]

    @property
    def spent(self) -> float:
        """FLOPs of all runs behind them."""
        return sum(pair.spent for pair in self.pairs)

    def joined(self, pairs: Sequence[Pair]) -> Credits:
        """With these pairs measured anew, and the others kept."""
        known = {(pair.axis, pair.before, pair.after): pair for pair in (*self.pairs, *pairs)}
        return attrs.evolve(self, pairs=tuple(known.values()))


def save(credits: Credits, path: Path) -> None:
    """Write a file, whole or not at all. Raises Refused."""
    write_text(path, laid_out(SEAL.close(as_json(credits))))


def as_json(credits: Credits) -> dict[str, Any]:
    """The credits as JSON values."""
    body: dict[str, Any] = _converter().unstructure(credits)
    return body


def load(path: Path) -> Credits:
    """The credits in a file. Raises Refused `cannot-read`, `broken-credits`."""
    try:
        return structured(_converter(), SEAL.open(read_text(path)), Credits)
    except SealError as error:
        raise _broken(path, error.reason) from None
    except StructureError as error:
        raise _broken(path, *error.reasons) from None


def _broken(path: Path, *reasons: str) -> Refused:
    message, help_ = "the file does not contain readable credits", "measure them again with `shapeflow probe`"
    return Refused(Diagnostic("broken-credits", message, place=str(path), notes=reasons, help=help_))


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Shape, Shape.json)
    converter.register_structure_hook(Shape, lambda value, _: Shape.from_json(value))
    converter.register_structure_hook(Value, _value)
    converter.register_structure_hook_func(lambda kind: kind == Mapping[str, Any], _subject)
    return converter


def _value(value: Any, _: Any) -> Value:
    if type(value) not in (int, str):
        raise ValueError(f"{value!r} is not a value of an axis")
    return value  # type: ignore[no-any-return]


def _subject(value: Any, _: Any) -> Mapping[str, Any]:
    """The subject as it is written: components, each with what it is and settings, in lists or by name."""
    parts = [each for part in value.values() if isinstance(part, list) for each in part]
    parts += [each for part in value.values() if isinstance(part, dict) for each in part.values()]
    if not all(set(each) == {"is", "settings"} and isinstance(each["settings"], dict) for each in parts):
        raise ValueError("`subject` contains something that is not a component")
    return dict(value)
