"""Sealed files: JSON with a format, a version, and a digest of everything else in it.

Plans, credits and laws are kept in such files. The digest is the SHA-256 of the canonical form (sorted keys, no spaces,
no `digest` key, UTF-8), so that the file itself may be laid out for reading.
"""

from __future__ import annotations

import hashlib
import json
import math
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs

from shapeflow.base.json_text import parse_json

if TYPE_CHECKING:
    import cattrs

T = TypeVar("T")

LONGEST = 2**63
"""Whole numbers in a file are below this."""


class SealError(ValueError):
    """A text that is not a sealed file of the expected format and version, or was changed after it was written."""

    def __init__(self, what: Literal["format", "version", "digest"], reason: str, *notes: str) -> None:
        super().__init__(reason)
        self.what, self.reason, self.notes = what, reason, notes


@attrs.frozen
class Seal:
    """The format and version of one kind of file."""

    format: str
    version: int

    def close(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The complete content of a file: the fields as JSON values, with format, version and digest. Raises ValueError
        for numbers that JSON does not support, such as NaN."""
        # Convert to JSON and back, so that the digest is that of the values that are read: tuples become lists.
        body = json.loads(json.dumps({**fields, "format": self.format, "version": self.version}, allow_nan=False))
        return {**body, "digest": digest_of(body)}

    def open(self, text: str) -> dict[str, Any]:
        """The fields in the text of a file, without format, version and digest. Raises SealError."""
        try:
            body = parse_json(text)
        except ValueError as error:
            raise SealError("format", f"it is not JSON: {error}") from None
        if not isinstance(body, dict) or body.get("format") != self.format:
            raise SealError("format", f'it does not contain `"format": "{self.format}"`')
        if body.get("version") != self.version:
            reason = f"it has version {body.get('version')!r}; this version of shapeflow reads version {self.version}"
            raise SealError("version", reason)
        digest = digest_of(body)
        if body.get("digest") != digest:
            notes = (f"digest in the file: {body.get('digest')}", f"digest of its content: {digest}")
            raise SealError("digest", "it does not match its digest: it was changed after it was written", *notes)
        return {key: value for key, value in body.items() if key not in ("format", "version", "digest")}


def digest_of(body: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical form of JSON values, without the key `digest`."""
    rest = {key: value for key, value in body.items() if key != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def laid_out(body: Mapping[str, Any]) -> str:
    """The text of a file for reading and for diffs: sorted keys, one value a line."""
    return json.dumps(body, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


class StructureError(ValueError):
    """Fields that do not describe a value of the requested class. `reasons`: the first three errors, one line each."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def strict(converter: cattrs.Converter) -> cattrs.Converter:
    """The converter, made to refuse values of another type: the text "nan" and `true` are not numbers, and 5 is not a
    text."""
    converter.register_structure_hook(float, lambda value, _: _float(value))
    converter.register_structure_hook(int, lambda value, _: _int(value))
    for kind in (bool, str):
        converter.register_structure_hook(kind, _exactly)
    return converter


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= LONGEST:
        raise TypeError
    return value


def _exactly(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError
    return value


def structured(converter: cattrs.Converter, fields: Mapping[str, Any], kind: type[T]) -> T:
    """The value of a class that JSON values describe. Raises StructureError."""
    import cattrs

    refusals = (ValueError, TypeError, KeyError, ArithmeticError, AttributeError)
    try:
        return converter.structure(fields, kind)
    except cattrs.BaseValidationError as error:
        reasons = cattrs.transform_error(error, path="", format_exception=_reason)
        raise StructureError(*map(_placed, reasons[:3])) from None
    except (cattrs.errors.ForbiddenExtraKeysError, *refusals) as error:
        raise StructureError(_reason(error, None)) from None


_EXPECTED = {"float": "a number", "int": "a whole number", "str": "a text", "bool": "true or false"}


def _reason(error: BaseException, kind: type | None) -> str:
    """What is wrong with one field, as it follows the field's name. `kind`: what its value should be."""
    extra = getattr(error, "extra_fields", None)
    if extra:
        return f"has unknown fields: {', '.join(f'`{name}`' for name in sorted(extra))}"
    if isinstance(error, KeyError):
        return "is missing"
    if typing.get_origin(kind) is Literal:
        return f"is not one of {', '.join(map(str, typing.get_args(kind)))}"
    if isinstance(error, AttributeError):
        return "is not an object"
    if isinstance(error, TypeError) and "not iterable" in str(error):
        return "is not a list"
    name = getattr(kind, "__name__", "")
    if name in _EXPECTED:
        return f"is not {_EXPECTED[name]}"
    return f"is not a valid value: {error}" if str(error) else "is not a valid value"


def _placed(reason: str) -> str:
    """A reason of cattrs (`REASON @ .stages[0].shape`), with the field first."""
    text, _, place = reason.rpartition(" @ ")
    return f"`{place.lstrip('.')}` {text}" if place.lstrip(".") else f"the file {text}"
