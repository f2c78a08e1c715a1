"""One shape's law: the error that a number of FLOPs buys, and where its four numbers come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import attrs

Pair = tuple[float, float]


@attrs.frozen(kw_only=True)
class Provenance:
    """Where a law comes from; what a reader needs to judge it, or to fit it again.

    The list is the reporting checklist of Li, Kudugunta and Zettlemoyer, "(Mis)Fitting scaling laws" (2025), as far as
    it concerns one curve.
    """

    source: Literal["stated", "fit"]
    metric: str
    convention: str
    """How compute was counted: `flops` or `paper`."""
    files: tuple[tuple[str, str], ...] = ()
    """Name relative to the folder of the file that asked, and SHA-256 of the content."""
    runs: int = 0
    points: int = 0
    """Points the fit used."""
    dropped: Mapping[str, int] = attrs.field(factory=dict)
    """Reason -> points that were read and not used."""
    compute: Pair | None = None
    """First and last compute of the points used, in FLOPs."""
    error: Pair | None = None
    """Highest and lowest error of the points used."""
    rms: float | None = None
    """Root mean square of the residuals log(law) - log(measured)."""
    exponent: Literal["own", "pooled", "fixed"] | None = None
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    """The fit's options."""
    spent: float | None = None
    """FLOPs of all the runs that were read for this law: what finding it cost."""


def _finite(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"a law's {attribute.name} must be finite, not {value}")


def _positive(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"a law's {attribute.name} must be above 0, not {value}")


@attrs.frozen
class Law:
    """E = a (C + d)^-b + c: the expected error E of one shape after C FLOPs (paper A, eq. 1).

    `a` is in error times FLOPs^b, `c` in units of the error, `d` in FLOPs. A negative `d` says that |d| FLOPs were
    spent before the curve set in (warm-up). Raises ValueError unless a and b are above 0 and all four are finite.
    """

    a: float = attrs.field(converter=float, validator=_positive)
    b: float = attrs.field(converter=float, validator=_positive)
    c: float = attrs.field(converter=float, validator=_finite)
    d: float = attrs.field(converter=float, validator=_finite)
    provenance: Provenance

    @property
    def floor(self) -> float:
        """The error below which the law never gets."""
        return self.c

    @property
    def measured(self) -> Pair | None:
        """The highest and the lowest error of the points it was fitted to; None for a stated law."""
        return self.provenance.error

    def error(self, compute: float) -> float:
        """The error after `compute` FLOPs (paper A, eq. 1); infinite where the law has not set in yet."""
        moved = compute + self.d
        if moved <= 0:
            return math.inf
        return _exp(math.log(self.a) - self.b * math.log(moved)) + self.c

    def compute(self, error: float) -> float:
        """The FLOPs at which the law passes an error: the inverse of eq. 1; infinite at and below the floor."""
        if error <= self.c:
            return math.inf
        return _exp((math.log(self.a) - math.log(error - self.c)) / self.b) - self.d

    def slope(self, compute: float) -> float:
        """dE/dC after `compute` FLOPs, in error per FLOP: below 0; minus infinity where the law has not set in yet."""
        moved = compute + self.d
        if moved <= 0:
            return -math.inf
        return -_exp(math.log(self.a) + math.log(self.b) - (self.b + 1) * math.log(moved))

    def log_rate(self, error: float) -> float:
        """log |dC/dE| at an error: what a unit of error costs here; infinite at and below the floor.

        Paper A's eq. 2 maximises dC/dE, which is negative: the same as minimising this.
        """
        if error <= self.c:
            return math.inf
        s = 1 / self.b + 1
        return -math.log(self.a) - math.log(self.b) - s * (math.log(error - self.c) - math.log(self.a))

    def json(self) -> dict[str, Any]:
        """The law as one flat JSON object."""
        flat = {"a": self.a, "b": self.b, "c": self.c, "d": self.d}
        return {**flat, **{key: _json(value) for key, value in attrs.asdict(self.provenance, recurse=False).items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Law:
        """The law that `json()` wrote. Raises ValueError on a missing or unknown key or a non-finite number."""
        names = ["a", "b", "c", "d", *(field.name for field in attrs.fields(Provenance))]
        if missing := [name for name in names if name not in data]:
            raise ValueError(f"the law lacks {', '.join(missing)}")
        if unknown := [str(name) for name in data if name not in names]:
            raise ValueError(f"the law has unknown keys: {', '.join(unknown)}")
        provenance = Provenance(
            source=_one_of(data, "source", ("stated", "fit")),
            metric=_text(data, "metric"),
            convention=_text(data, "convention"),
            files=_files(data["files"]),
            runs=_count(data, "runs"),
            points=_count(data, "points"),
            dropped=_counts(data["dropped"]),
            compute=_pair(data, "compute"),
            error=_pair(data, "error"),
            rms=_number_or_none(data, "rms"),
            exponent=_one_of(data, "exponent", ("own", "pooled", "fixed", None)),
            settings=_mapping(data, "settings"),
            spent=_number_or_none(data, "spent"),
        )
        a, b, c, d = (_number(data[name], name) for name in "abcd")
        return cls(a, b, c, d, provenance)


def _exp(power: float) -> float:
    return math.exp(power) if power < 709 else math.inf


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return float(value)


def _number_or_none(data: Mapping[str, Any], name: str) -> float | None:
    return None if data[name] is None else _number(data[name], name)


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a count, not {value!r}")
    return value


def _text(data: Mapping[str, Any], name: str) -> str:
    if not isinstance(data[name], str):
        raise ValueError(f"{name} must be a text, not {data[name]!r}")
    return str(data[name])


def _one_of(data: Mapping[str, Any], name: str, known: tuple[str | None, ...]) -> Any:
    if data[name] not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, not {data[name]!r}")
    return data[name]


def _pair(data: Mapping[str, Any], name: str) -> Pair | None:
    value = data[name]
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"{name} must be a pair of numbers, not {value!r}")
    return _number(value[0], name), _number(value[1], name)


def _mapping(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(data[name], Mapping):
        raise ValueError(f"{name} must be an object, not {data[name]!r}")
    return dict(data[name])


def _counts(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise ValueError(f"dropped must be an object, not {value!r}")
    return {str(reason): _count(value, reason) for reason in value}


def _files(value: Any) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for pair in value if isinstance(value, list | tuple) else [value]:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise ValueError(f"files must be a list of [name, sha256], not {value!r}")
        found.append((pair[0], pair[1]))
    return tuple(found)
