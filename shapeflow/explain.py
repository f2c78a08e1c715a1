"""Builds the pages of `shapeflow explain` from the code: components, sentences and diagnostic codes."""

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
from shapeflow.base.topics import ALIASES, TOPICS
from shapeflow.base.units import BASE, Amount
from shapeflow.language.parse_errors import EXAMPLES

SENTENCES: Mapping[str, str] = {
    "plan": "The name of the plan.",
    "use": "Imports the `let`s of another file, in the same folder or below, under a name: `imagenet.side`.",
    "let": "Defines a name for a value; `--let longest=1024` on the command line replaces the value.",
    "model": "The model to train. Without one a plan can be compiled and simulated, but not run.",
    "data": "The training data, and how much of it one step takes.",
    "weights": "Changes the weights of the corpora of `data mixture(...)` during the run, for example for a cooldown "
    "on the best text. `from` counts from the start of the run, as a share of the budget or an amount. Several "
    "sentences are listed in order. The run is also evaluated where the weights change; held-out losses keep the "
    "weights of the `data` sentence. Laws do not predict the change: `sweep`, `pilot`, `probe` and `compare` leave it "
    "out.",
    "objective": "The loss that training minimises. If it changes during training, use an axis `loss` instead.",
    "optimizer": "The optimizer; default: `adamw`. The learning rate of a step is a product: the optimizer's `lr`, its "
    "warm-up, the factor of the stage's shape (`batch_resize`, and for matrices `width_expand`), the warm-up after a "
    "switch (`rewarm`), and the `schedule` or `cooldown`. `shapeflow compile` shows the factors of each stage.",
    "metric": "The error that laws and plans predict and runs measure.",
    "axis": "A property that may change during training, its values in order, and the transition that moves along it.",
    "candidates": "The shapes that the plan may use: the product of the axes, filtered by `where`. Default: all.",
    "laws": "The source of the expected error of each candidate: usually `fit`, which fits laws to runs.",
    "law": "States the law of one candidate; it overrides the law from `laws from`.",
    "credits": "A file of credits that `shapeflow probe` measured: the share of a law's descent that survives a "
    "switch. For switches that were not measured, the `credit` setting of the transition is used.",
    "profile": "A file of the seconds that a step takes in each candidate, as `shapeflow profile` measured them on one "
    "machine, or a table of them, such as `seconds.csv`. With it, budgets and other amounts may be in seconds, minutes "
    "or hours.",
    "minimise": "What the plan spends least of: `flops`, `seconds`, `joules`, `carbon` or `dollars`. All but `flops` "
    "need a `profile`. The budget, if there is one, is in the same unit: the plan is then the one with the lowest "
    "error for it. Default: the unit of the budget, or `flops`.",
    "traversal": "The rule that decides which candidate is trained when.",
    "stage": "A part of the run set by hand, instead of a traversal. `until` counts from the start of the run; the "
    "last stage ends with `until end`. A share of its steps may be in other shapes: `with 10% (patch: 8 px)`.",
    "budget": "The length of the run: FLOPs, steps, tokens, samples, epochs, or with a `profile` seconds, minutes "
    "or hours. Only steps of training count: evaluation and checkpoints take time in addition. A run takes the planned "
    "number of steps; it does not stop by the clock.",
    "start": "`start at error 120%`: the error at which planning starts. Needed for stated laws; fitted laws include "
    'it. `start from "first.safetensors"`: the weights that the first stage starts from, a file of `shapeflow export` '
    "or `shapeflow import`. The plan holds its digest, and its sizes must be those of the first stage. Laws are of "
    "training from scratch, so a file that has laws then needs both: each law is entered at that error. `sweep`, "
    "`pilot`, `probe`, `profile` and `compare` train from scratch.",
    "stop": "The error at which the plan may end before its budget.",
    "schedule": "How the learning rate changes over the whole run after the warm-up, counted in steps. Default: "
    "`constant`. A schedule that lowers the rate cannot be combined with a `cooldown`. Laws are for a constant rate: "
    "predictions do not include the schedule, `sweep` and `compare` leave it out, and a fit does not trust runs that "
    "have one beyond what was measured.",
    "cooldown": "The last part of the run, a share of its compute or an amount, over which the learning rate falls to "
    "0, as 1 - sqrt(progress). It is part of the budget. Laws describe runs at a constant rate, so no prediction "
    "includes it; the run is also evaluated where the cooldown begins. `sweep` and `compare` do not cool down. "
    "Default: 0%, no cooldown.",
    "evaluate": "How often the held-out error is measured, in addition to the end of every stage, and on how much "
    "held-out data: `evaluate every 2% on 1_000_000 tokens`. By default every 2%, or less often if that adds more "
    "than 5% to the compute, but at least 20 times even if these add more: the plan then says so. Default size: 32,768 "
    "tokens, or all held-out images. Each value has its standard error.",
    "checkpoint": "How often the run is saved, and which checkpoints are kept; default: every 10%, the newest two. "
    "`keep 3` keeps the newest three, and the last before every switch and before the cooldown, which is then saved in "
    "any case, so that a run can branch there. `keep 3 and best` also keeps the one with the lowest metric, which is "
    "then measured at every checkpoint; `keep all` removes none.",
    "seed": "The seed of all random numbers; default: 0.",
}
"""First word of a sentence -> its help."""


@attrs.frozen
class SettingHelp:
    """One setting of a component. `default` is None if the setting is required."""

    name: str
    value: str
    default: str | None
    limits: str
    help: str
    options: tuple[str, ...] = ()
    """The words that the value may be, if it is one of a list."""


@attrs.frozen
class ComponentHelp:
    kind: str
    name: str
    text: str
    settings: tuple[SettingHelp, ...]
    example: str


@attrs.frozen
class SentenceHelp:
    """A sentence of the language. `components`: the components that it may contain."""

    word: str
    text: str
    example: str
    components: tuple[str, ...]


@attrs.frozen
class KindHelp:
    """A kind of component that does not have a sentence of the same name."""

    kind: str
    components: tuple[str, ...]


@attrs.frozen
class CodeHelp:
    code: str
    text: str


@attrs.frozen
class TopicHelp:
    """A term of scaling laws."""

    name: str
    text: str


Page = ComponentHelp | SentenceHelp | KindHelp | CodeHelp | TopicHelp


@attrs.frozen
class Overview:
    """The list of all pages. Components are listed by kind, with the first sentence of their help."""

    sentences: Mapping[str, str]
    components: Mapping[str, Mapping[str, str]]
    codes: tuple[str, ...]
    topics: tuple[str, ...]


def overview() -> Overview:
    """A short list of everything that `explain` describes."""
    kinds = {kind: {**_broken(kind), **_firsts(kind)} for kind in _kinds()}
    return Overview({word: _first(text) for word, text in SENTENCES.items()}, kinds, tuple(CODES), tuple(TOPICS))


def _firsts(kind: str) -> dict[str, str]:
    return {name: _first(_text(cls)) for name, cls in registry.components(kind).items()}


def _broken(kind: str) -> dict[str, str]:
    return {name: f"Cannot be used: {wrong[0].message}." for name, wrong in registry.loaded(kind).broken.items()}


def explain(name: str) -> tuple[Page, ...]:
    """The pages with this name. Raises Refused `nothing-to-explain` if there are none."""
    pages = tuple(_pages(name))
    if pages:
        return pages
    names = [
        *SENTENCES,
        *TOPICS,
        *ALIASES,
        *(each for kind in _kinds() for each in (kind, *registry.components(kind))),
        *CODES,
    ]
    close = did_you_mean(name, names)
    help_ = f"did you mean `{close}`?" if close else "`shapeflow explain` lists all names"
    message = f"no component, sentence or diagnostic code is called `{name}`"
    raise Refused(Diagnostic("nothing-to-explain", message, place="the command line", help=help_))


def _topics(name: str) -> Iterator[str]:
    """Yield the terms that a name means, in any spelling: `hold out`, `learning-rate`, and each of `E/A/B`."""
    for part in (name, *(name.split("/") if "/" in name else ())):
        text = " ".join(part.lower().replace("-", " ").replace("_", " ").split())
        for spelled in (text, text.replace(" ", "-"), text.replace(" ", "")):
            if (topic := ALIASES.get(spelled, spelled)) in TOPICS:
                yield topic
                break


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
    for topic in dict.fromkeys(_topics(name)):
        yield TopicHelp(topic, TOPICS[topic])
    if name in CODES:
        yield CodeHelp(name, CODES[name])


_OF_SENTENCE = {"laws": "law source", "minimise": "cost"}


def _kinds() -> tuple[str, ...]:
    return tuple(registry.KINDS)


def _components_of(kind: str) -> tuple[str, ...]:
    return tuple(registry.components(kind)) if kind in _kinds() else ()


def component_help(kind: str, cls: Any) -> ComponentHelp:
    """The help of a component: docstring, settings, and a sentence that uses it."""
    hints = typing.get_type_hints(cls)
    settings = tuple(_setting(field, hints[name]) for name, field in settings_of(cls).items())
    return ComponentHelp(kind, name_of(cls), _text(cls), settings, _example(kind, cls, hints))


def _setting(field: attrs.Attribute[Any], hint: Any) -> SettingHelp:
    bounds = limits(field)
    default = None if field.default is attrs.NOTHING else _written(_default(field), bounds)
    return SettingHelp(field.name, _value(hint, bounds), default, _bounds(bounds), bounds.help, _options(hint, bounds))


def _options(hint: Any, bounds: Limits) -> tuple[str, ...]:
    """The words that a setting may have as its value: components of a kind, or the names of a list."""
    if bounds.kind is not None:
        return _components_of(bounds.kind)
    if hint is bool:
        return "true", "false"
    if typing.get_origin(hint) is Literal:
        return tuple(map(str, typing.get_args(hint)))
    return tuple(option for part in typing.get_args(hint) for option in _options(part, bounds))


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
    """The type of the value of a setting in words, with its units."""
    if typing.get_origin(hint) in (typing.Union, UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if len(options) > 1:
            return " | ".join(_value(option, bounds) for option in options)
        hint = options[0]
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
    """The limits of a setting in words, in its first unit."""
    said = (("at least", bounds.low), ("above", bounds.above), ("at most", bounds.high), ("below", bounds.below))
    return ", ".join(f"{words} {_number(value, bounds)}" for words, value in said if value is not None)


def _number(value: float, bounds: Limits) -> str:
    first = bounds.units[0] if bounds.units else "number"
    return Amount(value, first).said if first in ("ratio", "length") or value else f"{value:g}"


def _written(value: Any, bounds: Limits) -> str:
    """A default in the syntax of a `.shape` file."""
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
    "cost": "minimise {}",
    "law": "law for (width: 384) is {}",
    "transition": "axis {axis} in {values} via {}",
    "axis": "axis {name} in {values} via {mover}",
}


def _example(kind: str, cls: Any, hints: Mapping[str, Any]) -> str:
    """A sentence that uses the component with its required settings."""
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
