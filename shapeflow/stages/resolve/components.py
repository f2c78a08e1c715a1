"""Build components: from a name and settings in a file to an instance of the registered class."""

from __future__ import annotations

import itertools
import typing
from collections.abc import Mapping
from typing import Any

import attrs

from shapeflow import registry
from shapeflow.base.diagnostics import Label, Report, Span, did_you_mean
from shapeflow.base.settings import limits, settings_of
from shapeflow.ir.edits import EditError
from shapeflow.language import syntax
from shapeflow.stages.resolve.values import Names, Unsettled, bare, items, settle


@attrs.frozen
class Built:
    """A component and the spans of its settings. "" is the span of its name. Settings of nested components have dotted
    names, such as `of.0.teacher`."""

    component: Any
    spans: Mapping[str, Span]


def build(kind: str, written: syntax.Value, names: Names, report: Report, within: tuple[str, ...] = ()) -> Built:
    """The component of a value. `within`: names of the components that contain it. Raises Unsettled after reporting all
    errors."""
    if (name := bare(written)) in names.lets and name is not None:
        if name in within:
            names.circular(name, within, written.span, report)
        within = (*within, name)
    expanded = names.expand(written, report)
    if not isinstance(expanded, syntax.Component):
        one = f"{article(kind)} {kind}"
        report.error("wrong-kind", f"`{written.span.text}` is not {one}", written.span, f"must be {one}")
        raise Unsettled
    cls = _find(kind, expanded, names, report)
    known = settings_of(cls)
    given = _given(expanded, known, kind, report)
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    spans = {"": expanded.name_span, **{name: value.span for name, value in given.items()}}
    failed = False
    for name, value in given.items():
        bounds = limits(known[name])
        try:
            if bounds.kind is None:
                values[name] = settle(value, hints[name], bounds, names, report)
            else:
                values[name], inner = _parts(value, hints[name], bounds.kind, names, report, within)
                spans |= {f"{name}.{place}": span for place, span in inner.items()}
        except Unsettled:
            failed = True
    for name, field in known.items():
        if name not in given and field.default is attrs.NOTHING:
            failed = True
            report.error(
                "missing-setting",
                f"`{expanded.name}` needs the setting `{name}`",
                expanded.name_span,
                f"`{name}` is not set",
                notes=[f"{name}: {limits(field).help}"] if limits(field).help else (),
            )
    if failed:
        raise Unsettled
    try:
        return Built(cls(**values), spans)
    except EditError as error:
        at = spans.get(error.setting, expanded.name_span)
        report.error(error.code, error.message, at, error.why, notes=error.notes, help=error.help)
        raise Unsettled from error


def _parts(
    value: syntax.Value, hint: Any, kind: str, names: Names, report: Report, within: tuple[str, ...]
) -> tuple[Any, dict[str, Span]]:
    """The component, or tuple of components, in a setting, and the spans of their settings. Raises Unsettled."""
    if typing.get_origin(hint) is not tuple:
        built = build(kind, value, names, report, within)
        return built.component, dict(built.spans)
    listed = names.expand(value, report)
    parts = items(listed) if isinstance(listed, syntax.Listing) else [value]
    made = [build(kind, part, names, report, within) for part in parts]
    spans = {f"{number}.{place}": span for number, one in enumerate(made) for place, span in one.spans.items()}
    return tuple(one.component for one in made), spans


def article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def usable(kind: str, name: str, at: Span, report: Report) -> Mapping[str, Any]:
    """Name -> component class of a kind, for a file that uses `name` at the span `at`. For a component that cannot be
    loaded: reports an error and raises Unsettled if it is `name`, otherwise reports a warning."""
    loaded = registry.loaded(kind)
    wanted = loaded.broken.get(name, ()) if name not in loaded.components else ()
    for one in itertools.chain.from_iterable(loaded.broken.values()):
        if one not in wanted:
            report.add(attrs.evolve(one, severity="warning"))
    for one in wanted:
        notes = (*one.notes, *((one.place,) if one.place else ()))
        report.add(attrs.evolve(one, at=Label(at, "cannot be used"), place=None, notes=notes))
    if wanted:
        raise Unsettled
    return loaded.components


def _find(kind: str, written: syntax.Component, names: Names, report: Report) -> Any:
    known = usable(kind, written.name, written.name_span, report)
    if written.name in known:
        return known[written.name]
    lets = (name for name, value in names.lets.items() if isinstance(value, syntax.Component))
    close = did_you_mean(written.name, [*known, *lets])
    other = [other for other in registry.kinds_of(written.name) if other != kind]
    report.error(
        "unknown-component",
        f"no {kind} is called `{written.name}`",
        written.name_span,
        f"{article(other[0])} {other[0]}, not {article(kind)} {kind}" if other else f"not {article(kind)} {kind}",
        notes=[f"known: {', '.join(known)}"],
        help=f"did you mean `{close}`?" if close else None,
    )
    raise Unsettled


def _given(
    written: syntax.Component, known: Mapping[str, attrs.Attribute[Any]], kind: str, report: Report
) -> dict[str, syntax.Value]:
    """Field name -> the value in the file, including a value without a name."""
    first = [name for name, field in known.items() if limits(field).first]
    given = dict(zip(first, written.arguments, strict=False))
    for value in written.arguments[len(first) :]:
        report.error(
            "unnamed-setting",
            f"`{written.name}` takes {len(first) or 'no'} value{'s' * (len(first) != 1)} without a name",
            value.span,
            "needs the name of a setting",
            notes=[f"settings: {', '.join(known)}"] if known else ["it has no settings"],
        )
        raise Unsettled
    places: dict[str, Span] = {name: value.span for name, value in given.items()}
    for setting in written.settings:
        if setting.name not in known:
            close = did_you_mean(setting.name, known)
            report.error(
                "unknown-setting",
                f"`{written.name}` has no setting `{setting.name}`",
                setting.name_span,
                f"not a setting of this {kind}",
                notes=[f"settings: {', '.join(known)}"] if known else ["it has no settings"],
                help=f"did you mean `{close}`?" if close else None,
            )
            raise Unsettled
        if setting.name in given:
            other = (Label(places[setting.name], "first set here"),)
            report.error("repeated-setting", f"`{setting.name}` is set twice", setting.name_span, "again", also=other)
            raise Unsettled
        given[setting.name], places[setting.name] = setting.value, setting.name_span
    return given
