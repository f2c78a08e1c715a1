"""Read and write plans as canonical JSON.

A plan file is sealed (`base/sealed.py`). A file with unknown content is rejected, because a plan must state everything
that will run.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text, write_text
from shapeflow.base.sealed import Seal, SealError, StructureError, laid_out, strict, structured
from shapeflow.base.shapes import Shape
from shapeflow.ir.answer import Answer
from shapeflow.ir.edits import Edit, edit_from_json, edit_to_json
from shapeflow.ir.law_json import any_law_from_json, law_to_json
from shapeflow.ir.parameters import Parameter
from shapeflow.ir.plan import FORMAT, VERSION, Candidate, Comparator, Plan, Point, Spec, Totals, Transition
from shapeflow.ir.plan_check import faults
from shapeflow.ir.tabulated import AnyLaw

SEAL = Seal(FORMAT, VERSION)


def sealed(plan: Plan) -> Plan:
    """The plan with its digest. Converts every number to the type that its field declares, because 0 and 0.0 differ in
    JSON."""
    settled = structured(_converter(), {**_without_seal(_sealed(plan)), "digest": ""}, Plan)
    return attrs.evolve(settled, digest=_sealed(settled)["digest"])


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values, including format, version and digest."""
    return {**_sealed(plan), "digest": plan.digest}


def dumps(plan: Plan) -> str:
    """The text of a plan file: sorted keys, laid out for reading and for diffs."""
    return laid_out(plan_to_json(plan))


def save(plan: Plan, path: Path) -> None:
    """Write a plan file atomically. Raises Refused if it cannot be written."""
    write_text(path, dumps(plan))


def load(path: Path) -> Plan:
    """The plan in a file. Raises Refused if the file is not a plan, has another version, or was edited by hand."""
    return loads(read_text(path), str(path))


def loads(text: str, place: str) -> Plan:
    """The plan in a text; `place` names it in diagnostics. Raises Refused."""
    try:
        fields = SEAL.open(text)
    except SealError as error:
        raise _refused(place, error) from None
    try:
        plan = structured(_converter(), {**fields, "digest": SEAL.close(fields)["digest"]}, Plan)
    except StructureError as error:
        raise Refused(broken(place, *error.reasons)) from None
    wrong = tuple(itertools.islice(faults(plan), 3))
    if wrong:
        raise Refused(broken(place, *wrong))
    return plan


def _refused(place: str, error: SealError) -> Refused:
    if error.what == "version":
        message, help_ = f"the plan {error.reason.removeprefix('it ')}", "compile it again from its `.shape` file"
        return Refused(Diagnostic("plan-version", message, place=place, help=help_))
    if error.what == "digest":
        message = "the plan does not match its digest: it was changed after it was compiled"
        help_ = "change the `.shape` file and compile it again"
        return Refused(Diagnostic("plan-edited", message, place=place, notes=error.notes, help=help_))
    return Refused(broken(place, error.reason))


def broken(place: str, *reasons: str) -> Diagnostic:
    """What is said of a file that is no plan, or one that contradicts itself."""
    help_ = "compile the plan again: `shapeflow compile FILE.shape -o plan.json`"
    return Diagnostic("broken-plan", "the file is not a readable plan", place=place, notes=reasons, help=help_)


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON values, as in a plan file."""
    found: dict[str, Any] = _converter().unstructure(answer)
    return found


def _without_seal(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ("format", "version", "digest")}


def _sealed(plan: Plan) -> dict[str, Any]:
    return SEAL.close(_without_seal(_converter().unstructure(plan)))


@functools.cache
def _converter() -> cattrs.Converter:
    converter = strict(cattrs.Converter(forbid_extra_keys=True))
    converter.register_unstructure_hook(Shape, Shape.json)
    converter.register_structure_hook(Shape, lambda value, _: Shape.from_json(value))
    for form in AnyLaw.__args__:
        converter.register_unstructure_hook(form, law_to_json)
    converter.register_structure_hook(
        AnyLaw | None, lambda value, _: None if value is None else any_law_from_json(_mapping(value))
    )
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
    # Plans without a profile have the same digest as those of versions that did not know profiles.
    absent = cattrs.override(omit_if_default=True)
    converter.register_unstructure_hook(Transition, make_dict_unstructure_fn(Transition, converter, delay=absent))
    for kind in (Point, Totals, Comparator):
        converter.register_unstructure_hook(kind, make_dict_unstructure_fn(kind, converter, seconds=absent))
    converter.register_unstructure_hook(
        Candidate,
        make_dict_unstructure_fn(Candidate, converter, step_compute=absent, step_seconds=absent, seconds_are=absent),
    )
    # As have plans that evaluate on the default number of tokens or images, do not state what is kept, do not change
    # the weights of their corpora, start from new weights, do not state what they minimise, and
    # predict no seconds.
    converter.register_unstructure_hook(
        Plan,
        make_dict_unstructure_fn(
            Plan,
            converter,
            held_out=absent,
            keep=absent,
            weights=absent,
            start=absent,
            charge=absent,
            evaluation=absent,
            timed_by=absent,
        ),
    )
    return converter


def _is_object(kind: Any) -> bool:
    return get_origin(kind) is Mapping


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not an object")
    return value
