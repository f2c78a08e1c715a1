"""Plans as canonical JSON, and back.

The digest is the SHA-256 of the canonical form (sorted keys, no spaces, no digest key) of all the rest; a file may be
laid out for reading without changing it. Whatever is not understood is refused: a plan is a promise of what will run.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text, write_text
from shapeflow.base.json_text import parse_json
from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import Edit, edit_from_json, edit_to_json
from shapeflow.ir.law import Law
from shapeflow.ir.law_json import law_from_json, law_to_json
from shapeflow.ir.parameters import Parameter
from shapeflow.ir.plan import FORMAT, VERSION, Plan, Spec
from shapeflow.ir.plan_check import faults


def sealed(plan: Plan) -> Plan:
    """The plan with its digest, every number of the kind that its field declares: 0 and 0.0 are written differently."""
    settled = _converter().structure({**_without_format(_body(plan)), "digest": ""}, Plan)
    return attrs.evolve(settled, digest=digest_of(_body(settled)))


def digest_of(body: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical form of a plan's JSON without its digest."""
    rest = {key: value for key, value in body.items() if key != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values, format, version and digest included."""
    return {**_body(plan), "digest": plan.digest}


def dumps(plan: Plan) -> str:
    """The text of a plan file: sorted keys, laid out for reading and for diffs."""
    return json.dumps(plan_to_json(plan), sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def save(plan: Plan, path: Path) -> None:
    """Write a plan file, whole or not at all. Raises Refused where that cannot be done."""
    write_text(path, dumps(plan))


def load(path: Path) -> Plan:
    """The plan in a file. Raises Refused for what is no plan, a plan of another version, or one edited by hand."""
    return loads(read_text(path), str(path))


def loads(text: str, place: str) -> Plan:
    """The plan in a text; `place` names it in diagnostics. Raises Refused."""
    try:
        body = parse_json(text)
    except ValueError as error:
        raise _broken(place, f"it is no JSON: {error}") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise _broken(place, f'it has no `"format": "{FORMAT}"`')
    if body.get("version") != VERSION:
        message = f"the plan has version {body.get('version')!r}, and this shapeflow reads version {VERSION}"
        raise Refused(
            Diagnostic("plan-version", message, place=place, help="compile the plan again from its `.shape` file")
        )
    if body.get("digest") != digest_of(body):
        raise Refused(
            Diagnostic(
                "plan-edited",
                "the plan is not what its digest says: it was changed after it was compiled",
                place=place,
                notes=(f"digest inside: {body.get('digest')}", f"digest of the rest: {digest_of(body)}"),
                help="change the `.shape` file and compile it again",
            )
        )
    try:
        plan: Plan = _converter().structure(_without_format(body), Plan)
    except (
        cattrs.BaseValidationError,
        cattrs.errors.ForbiddenExtraKeysError,
        ValueError,
        TypeError,
        KeyError,
        ArithmeticError,
        AttributeError,
    ) as error:
        reasons = cattrs.transform_error(error) if isinstance(error, cattrs.BaseValidationError) else [str(error)]
        raise _broken(place, *reasons[:3]) from None
    wrong = tuple(itertools.islice(faults(plan), 3))
    if wrong:
        raise _broken(place, *wrong)
    return plan


def _broken(place: str, *reasons: str) -> Refused:
    help_ = "compile the plan again: `shapeflow compile FILE.shape -o plan.json`"
    return Refused(
        Diagnostic("broken-plan", "this is no plan that can be read", place=place, notes=reasons, help=help_)
    )


def _without_format(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ("format", "version")}


def _body(plan: Plan) -> dict[str, Any]:
    fields: dict[str, Any] = _converter().unstructure(plan)
    fields.pop("digest")
    # Through JSON once, so that a plan made here and one read back have the same values (tuples are lists).
    return dict(json.loads(json.dumps({**fields, "format": FORMAT, "version": VERSION}, allow_nan=False)))


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Shape, Shape.json)
    converter.register_structure_hook(Shape, lambda value, _: Shape.from_json(value))
    converter.register_unstructure_hook(Law, law_to_json)
    converter.register_structure_hook(Law, lambda value, _: law_from_json(_mapping(value)))
    for kind in Edit.__args__:
        converter.register_unstructure_hook(kind, edit_to_json)
    converter.register_structure_hook(Edit, lambda value, _: edit_from_json(value))
    converter.register_unstructure_hook(Edit, edit_to_json)
    converter.register_structure_hook_func(_is_object, lambda value, _: _mapping(value))
    converter.register_structure_hook_func(
        lambda kind: kind == Mapping[str, Spec],
        lambda value, _: {name: converter.structure(spec, Spec) for name, spec in _mapping(value).items()},
    )
    name = cattrs.override(rename="is")
    converter.register_unstructure_hook(Spec, make_dict_unstructure_fn(Spec, converter, name=name))
    converter.register_structure_hook(
        Spec, make_dict_structure_fn(Spec, converter, _cattrs_forbid_extra_keys=True, name=name)
    )
    converter.register_unstructure_hook(Parameter, attrs.asdict)
    return converter


def _is_object(kind: Any) -> bool:
    return get_origin(kind) is Mapping


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is no object")
    return value
