"""Read and write a law as one flat JSON object. Reading is strict."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from shapeflow.ir.law import FLOOR, OFFSET, Drop, HoldOut, Law, MeasuredCurve, Provenance, Resampling
from shapeflow.ir.tabulated import AnyLaw, TabulatedLaw

_NUMBERS = ("a", "b", "c", "d")
_TABLE = ("floor", "table")
_LATER = {"drop": None, "averaged": False, "held_out_error": None}
"""Fields that the JSON of a law lacks if they have these values."""


def law_to_json(law: AnyLaw) -> dict[str, Any]:
    """The law without its draws: `a`, `b`, `c` and `d`, or `floor` and a `table` of [compute, error above the
    floor]."""
    flat: dict[str, Any]
    if isinstance(law, TabulatedLaw):
        flat = {"floor": law.floor, "table": [list(point) for point in zip(law.compute_points, law.above, strict=True)]}
    else:
        flat = {name: getattr(law, name) for name in _NUMBERS}
    about = {key: _plain(value) for key, value in attrs.asdict(law.provenance).items()}
    # Laws without these have the same digest as those of versions that did not know them.
    return {**flat, **{key: value for key, value in about.items() if key not in _LATER or value != _LATER[key]}}


def any_law_from_json(data: Mapping[str, Any]) -> AnyLaw:
    """The law of either form that `law_to_json` wrote. Raises ValueError as `law_from_json` does, and for a table that
    is not a law."""
    if "table" not in data:
        return law_from_json(data)
    about = _provenance(data, _TABLE)
    table = _list_of(_pair)(data["table"], "table")
    compute, above = zip(*table, strict=True) if table else ((), ())
    return TabulatedLaw(_number(data["floor"], "floor"), compute, above, about)


def law_from_json(data: Mapping[str, Any]) -> Law:
    """The power law that `law_to_json` wrote. Raises ValueError on a missing or unknown key or a number that is not
    finite."""
    about = _provenance(data, _NUMBERS)
    a, b, c, d = (_number(data[name], name) for name in _NUMBERS)
    return Law(a, b, c, d, about)


def _provenance(data: Mapping[str, Any], numbers: tuple[str, ...]) -> Provenance:
    """The provenance in the JSON of a law that has these other keys."""
    names = [*numbers, *_READ]
    if missing := [name for name in names if name not in data and name not in _LATER]:
        raise ValueError(f"the law lacks {', '.join(missing)}")
    if unknown := [str(name) for name in data if name not in names]:
        raise ValueError(f"the law has unknown keys: {', '.join(unknown)}")
    return Provenance(**{name: read(data[name], name) for name, read in _READ.items() if name in data})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


_Read = Callable[[Any, str], Any]


def _maybe(read: _Read) -> _Read:
    return lambda value, name: None if value is None else read(value, name)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return float(value)


def _deviation(value: Any, name: str) -> float:
    if (found := _number(value, name)) < 0:
        raise ValueError(f"{name} must be 0 or more, not {value!r}")
    return found


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a count, not {value!r}")
    return value


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, not {value!r}")
    return value


def _one_of(*known: str | None) -> _Read:
    def read(value: Any, name: str) -> Any:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, not {value!r}")
        return value

    return read


def _numbers(count: int, what: str) -> _Read:
    def read(value: Any, name: str) -> tuple[float, ...]:
        if not isinstance(value, list | tuple) or len(value) != count:
            raise ValueError(f"{name} must be {what}, not {value!r}")
        return tuple(_number(each, name) for each in value)

    return read


_pair = _numbers(2, "a pair of numbers")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be an object, not {value!r}")
    return {str(key): each for key, each in value.items()}


def _object_of(read: _Read) -> _Read:
    return lambda value, name: {key: read(each, key) for key, each in _object(value, name).items()}


def _list_of(read: _Read) -> _Read:
    def read_all(value: Any, name: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} must be a list, not {value!r}")
        return tuple(read(each, name) for each in value)

    return read_all


def _file(value: Any, name: str) -> tuple[str, str]:
    if not (isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(text, str) for text in value)):
        raise ValueError(f"{name} must be a list of [name, sha256], not {value!r}")
    if "\0" in value[0]:
        raise ValueError(f"{name} contains {value[0]!r}, which is not a possible file name")
    return value[0], value[1]


def _record(kind: type, fields: Mapping[str, _Read]) -> _Read:
    def read(value: Any, name: str) -> Any:
        found = _object(value, name)
        if set(found) != set(fields):
            raise ValueError(f"{name} must have {', '.join(fields)}, not {', '.join(found)}")
        return kind(**{key: one(found[key], f"{name}.{key}") for key, one in fields.items()})

    return read


_read_curve = _record(
    MeasuredCurve,
    {"compute": _list_of(_number), "error": _list_of(_number), "noise": _number, "runs": _count, "spread": _number},
)


def _curve(value: Any, name: str) -> MeasuredCurve:
    curve: MeasuredCurve = _read_curve(value, name)
    if not curve.compute or len(curve.compute) != len(curve.error) or curve.runs < 1:
        raise ValueError(f"{name} must have runs, and an error for each compute")
    if min(*curve.compute, *curve.error) <= 0 or any(one >= two for one, two in itertools.pairwise(curve.compute)):
        raise ValueError(f"{name} must have compute that rises, and errors above 0")
    if curve.compute[-1] > OFFSET or max(curve.error) > FLOOR:
        raise ValueError(f"{name} has numbers that no training run has")
    if curve.noise <= 0 or curve.spread < 0:
        raise ValueError(f"{name} must have noise above 0 and a spread of 0 or more")
    return curve


_READ: Mapping[str, _Read] = {
    "source": _one_of("stated", "fit", "published", "theory"),
    "metric": _text,
    "convention": _text,
    "unit": _maybe(_text),
    "evaluation": _maybe(_text),
    "data": _maybe(_text),
    "learning_rate": _one_of("constant", "falling", "annealed", None),
    "averaged": _flag,
    "citation": _maybe(_text),
    "files": _list_of(_file),
    "runs": _count,
    "points": _count,
    "dropped": _object_of(_count),
    "compute": _maybe(_pair),
    "error": _maybe(_pair),
    "rms": _maybe(_number),
    "objective": _maybe(_number),
    "autocorrelation": _maybe(_number),
    "exponent": _one_of("own", "pooled", "fixed", None),
    "settings": _object,
    "optima": _list_of(_numbers(4, "four numbers")),
    "holdout": _maybe(
        _record(HoldOut, {"points": _count, "error": _number, "last": _number, "factor": _maybe(_number)})
    ),
    "resampling": _maybe(
        _record(Resampling, {"by": _one_of("runs", "noise", "ends"), "alike": _count, "count": _count})
    ),
    "intervals": _object_of(_pair),
    "verdict": _list_of(_text),
    "curve": _maybe(_curve),
    "spent": _maybe(_number),
    "drop": _record(Drop, {"value": _number, "compute": _number, "share": _number, "runs": _count}),
    "held_out_error": _deviation,
}
"""Field of `Provenance` -> the function that reads and checks it."""
