"""What `shapeflow explain` knows: components, sentences and diagnostic codes, read off the things themselves."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Literal

import attrs

from shapeflow import registry
from shapeflow.base.codes import CODES
from shapeflow.base.diagnostics import Diagnostic, Refused, did_you_mean
from shapeflow.base.settings import Limits, limits, name_of, settings_of
from shapeflow.base.shapes import Shape
from shapeflow.base.units import BASE, Amount
from shapeflow.language.parse_errors import EXAMPLES

SENTENCES: Mapping[str, str] = {
    "plan": "What the plan is called.",
    "use": "Brings in the `let`s of another file, in the same folder or below, under a name: `imagenet.side`.",
    "let": "A name for a value; `--let longest=1024` on the command line replaces it.",
    "model": "What is trained. Without it a plan can be compiled and simulated, not run.",
    "data": "What the model sees, and how much of it one step takes.",
    "objective": "What a step minimises. An axis `loss` takes its place where that changes.",
    "optimizer": "How gradients become updates; `adamw` where unsaid. The learning rate of a step is a product: the "
    "optimizer's `lr`, its warm-up, what the stage's shape asks for (`batch_resize`; of matrices `width_expand`, too), "
    "the rise behind a switch (`rewarm`), and the `cooldown`. `shapeflow compile` shows what it is in each stage.",
    "metric": "The error that the laws and the plan speak of, and by which a run is measured.",
    "axis": "A property that may change during training, its values in order, and the transition that moves along it.",
    "candidates": "The shapes that the plan may use: the product of the axes, thinned by `where`. All where unsaid.",
    "laws": "Where the expected error of each candidate comes from: usually from runs, by `fit`.",
    "law": "States the law of one candidate; it overrides what `laws from` says of it.",
    "credits": "What survives a switch, as `shapeflow probe` has measured it; where it has not, the `credit` of the "
    "transition is assumed.",
    "traversal": "The rule that picks which candidate is trained when.",
    "stage": "A stretch of the run set by hand, in place of a traversal. `until` counts from the run's start; the last "
    "one says `until end`. A share of the steps may be taken in other shapes: `with 10% (patch: 8 px)`.",
    "budget": "What the run may spend: FLOPs, steps, tokens, samples or epochs.",
    "start": "The error at which planning starts. Fitted laws know it, stated ones do not.",
    "stop": "The error at which the plan may end before its budget.",
    "cooldown": "The last part of the run, a share of its compute or an amount, over which the learning rate falls to "
    "0, as 1 - sqrt(progress). It is a part of the budget. Laws speak of runs at a constant rate, so no forecast "
    "counts it; the run is measured where it begins, too. Neither `sweep` nor `compare` cools down. 0% is none, as "
    "where unsaid.",
    "evaluate": "How often the held-out error is measured, beside the end of every stage; every 2% where unsaid.",
    "checkpoint": "How often the run is saved; every 10% where unsaid.",
    "seed": "The root of all randomness; 0 where unsaid.",
}
"""What each sentence says, by its opening word."""


@attrs.frozen
class SettingHelp:
    """One setting of a component. `default` is None where the setting must be given."""

    name: str
    value: str
    default: str | None
    limits: str
    help: str


@attrs.frozen
class ComponentHelp:
    kind: str
    name: str
    text: str
    settings: tuple[SettingHelp, ...]
    example: str


@attrs.frozen
class SentenceHelp:
    """A sentence; `components` are those that may stand in it."""

    word: str
    text: str
    example: str
    components: tuple[str, ...]


@attrs.frozen
class KindHelp:
    """A kind of component that no sentence is named after."""

    kind: str
    components: tuple[str, ...]


@attrs.frozen
class CodeHelp:
    code: str
    text: str


Page = ComponentHelp | SentenceHelp | KindHelp | CodeHelp


@attrs.frozen
class Overview:
    """All that may be asked. Components by kind, with the first sentence of their help."""

    sentences: Mapping[str, str]
    components: Mapping[str, Mapping[str, str]]
    codes: tuple[str, ...]


def overview() -> Overview:
    """Everything that `explain` knows, in short."""
    kinds = {kind: {**_broken(kind), **_firsts(kind)} for kind in _kinds()}
    return Overview({word: _first(text) for word, text in SENTENCES.items()}, kinds, tuple(CODES))


def _firsts(kind: str) -> dict[str, str]:
    return {name: _first(_text(cls)) for name, cls in registry.components(kind).items()}


def _broken(kind: str) -> dict[str, str]:
    return {name: f"Cannot be used: {wrong[0].message}." for name, wrong in registry.loaded(kind).broken.items()}


def explain(name: str) -> tuple[Page, ...]:
    """All that has this name. Raises Refused `nothing-to-explain`, and what is wrong with a component of this name."""
    pages = tuple(_pages(name))
    if pages:
        return pages
    names = [*SENTENCES, *(each for kind in _kinds() for each in (kind, *registry.components(kind))), *CODES]
    close = did_you_mean(name, names)
    help_ = f"did you mean `{close}`?" if close else "`shapeflow explain` lists all that may be asked"
    message = f"no component, sentence or diagnostic code is called `{name}`"
    raise Refused(Diagnostic("nothing-to-explain", message, place="the command line", help=help_))


def _pages(name: str) -> Iterator[Page]:
    if name in SENTENCES:
        yield SentenceHelp(name, SENTENCES[name], EXAMPLES[name], _components_of(_OF_SENTENCE.get(name, name)))
    elif name in _kinds():
        yield KindHelp(name, _components_of(name))
    for kind in _kinds():
        loaded = registry.loaded(kind)
        if name in loaded.components:
            yield component_help(kind, loaded.components[name])
        elif name in loaded.broken:
            raise Refused(*loaded.broken[name])
    if name in CODES:
        yield CodeHelp(name, CODES[name])


_OF_SENTENCE = {"laws": "law source"}


def _kinds() -> tuple[str, ...]:
    return tuple(registry.KINDS)


def _components_of(kind: str) -> tuple[str, ...]:
    return tuple(registry.components(kind)) if kind in _kinds() else ()


def component_help(kind: str, cls: Any) -> ComponentHelp:
    """A component's docstring and settings, and a sentence that it may stand in."""
    hints = typing.get_type_hints(cls)
    settings = tuple(_setting(field, hints[name]) for name, field in settings_of(cls).items())
    return ComponentHelp(kind, name_of(cls), _text(cls), settings, _example(kind, cls, hints))


def _setting(field: attrs.Attribute[Any], hint: Any) -> SettingHelp:
    bounds = limits(field)
    default = None if field.default is attrs.NOTHING else _written(_default(field), bounds)
    return SettingHelp(field.name, _value(hint, bounds), default, _bounds(bounds), bounds.help)


def _text(cls: Any) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _first(text: str) -> str:
    """The first sentence of a text, on one line."""
    line = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z`])", line, maxsplit=1)[0]


def _default(field: attrs.Attribute[Any]) -> Any:
    default: Any = field.default
    return default.factory() if hasattr(default, "factory") else default


def _value(hint: Any, bounds: Limits) -> str:
    """What kind of value a setting takes, and in which units."""
    if typing.get_origin(hint) in (typing.Union, UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    origin = typing.get_origin(hint)
    if bounds.kind is not None:
        one = f"{'an' if bounds.kind[0] in 'aeiou' else 'a'} {bounds.kind}"
        return f"{one}, or a list of them" if origin is tuple else one
    if origin is Literal:
        return " | ".join(typing.get_args(hint))
    if origin is tuple:
        return f"{_value(typing.get_args(hint)[0], bounds)}, or a list of them"
    if hint is Shape or origin is not None:
        return "shape"
    named = {bool: "true | false", str: "text"}
    if hint in named:
        return named[hint]
    units = [BASE[unit] for unit in bounds.units if BASE[unit]]
    bare = "whole number" if hint is int else "number"
    return " | ".join(([bare] if not units or "number" in bounds.units else []) + units)


def _bounds(bounds: Limits) -> str:
    """The limits in words, in the unit that is shown first."""
    said = (("at least", bounds.low), ("above", bounds.above), ("at most", bounds.high), ("below", bounds.below))
    return ", ".join(f"{words} {_number(value, bounds)}" for words, value in said if value is not None)


def _number(value: float, bounds: Limits) -> str:
    first = bounds.units[0] if bounds.units else "number"
    return Amount(value, first).said if first in ("ratio", "length") or value else f"{value:g}"


def _written(value: Any, bounds: Limits) -> str:
    """A default as a file would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(Amount(value, bounds.units[0])) if bounds.units else f"{value:g}"
    if isinstance(value, tuple):
        return f"[{', '.join(_written(item, bounds) for item in value)}]"
    if isinstance(value, str):
        return value or '""'
    return name_of(value) if attrs.has(type(value)) and not isinstance(value, Amount) else str(value)


_FRAMES: Mapping[str, str] = {
    "law source": "laws from {}",
    "law": "law for (width: 384) is {}",
    "transition": "axis {axis} in {values} via {}",
    "axis": "axis {name} in {values} via {mover}",
}


def _example(kind: str, cls: Any, hints: Mapping[str, Any]) -> str:
    """A sentence with the component in it, its necessary settings filled in."""
    axes, movers = registry.components("axis"), registry.components("transition")
    axis = cls.axis if kind == "transition" else name_of(cls)
    mover = next((transition for transition in movers.values() if transition.axis == axis), None)
    moved_by = "a_transition" if mover is None else _call("transition", mover, typing.get_type_hints(mover))
    values = axes[axis].example if axis in axes else "[1, 2]"
    call = _call(kind, cls, hints)
    return _FRAMES.get(kind, f"{kind} {{}}").format(call, name=axis, axis=axis, values=values, mover=moved_by)


def _call(kind: str, cls: Any, hints: Mapping[str, Any]) -> str:
    needed = [field for field in settings_of(cls).values() if field.default is attrs.NOTHING]
    given = [_sample(field, hints[field.name], kind) for field in needed]
    return f"{name_of(cls)}({', '.join(given)})" if given else name_of(cls)


def _sample(field: attrs.Attribute[Any], hint: Any, kind: str) -> str:
    bounds = limits(field)
    if bounds.example:
        sample = bounds.example
    elif bounds.kind is not None:
        names = tuple(registry.components(bounds.kind))[:2]
        sample = f"[{', '.join(names)}]" if typing.get_origin(hint) is tuple else names[0]
    elif typing.get_origin(hint) is tuple and typing.get_args(hint)[0] is float:
        sample = "[0.5, 0.5]"
    elif hint is str or typing.get_origin(hint) is tuple:
        sample = '"runs/*.csv"' if kind == "law source" else f'"my.{field.name}"'
    elif hint is Shape:
        sample = "(patch: 8 px)"
    elif hint is float:
        sample = str(Amount(0.1, bounds.units[0])) if bounds.units else "0.5"
    else:
        sample = str(Amount(8, bounds.units[0])) if bounds.units else "12"
    return sample if bounds.first else f"{field.name}: {sample}"
