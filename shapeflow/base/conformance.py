"""Check a component class against the protocol of its kind: finds missing, misspelt and wrongly declared members.

A protocol (`ir/components.py`) declares a member as a class variable, a property or a method. A member is required if
it is a class variable without a value, or abstract; otherwise the protocol defines its default. Without this check,
Python would report a missing member only when it is used, and a misspelt optional member never.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal

import attrs

CLOSE = 0.75
"""Minimum similarity (difflib) at which a public name counts as a misspelt member. Helpers may be public, so the limit
is stricter than in `did_you_mean`: `learning_rates` is rejected, `rotation` is not."""
CLOSE_SETTING = 0.85
"""The same limit for the name of a setting and a member that may be a setting."""


@attrs.frozen
class Fault:
    """An error in a class. `message` is the text after the class's name; `help` says what to write instead."""

    member: str
    message: str
    help: str


@attrs.frozen
class _Member:
    name: str
    kind: Literal["class variable", "value", "method"]
    required: bool
    home: type
    """The protocol that declares it."""
    hint: Any
    """The type of a value."""
    function: Callable[..., Any] | None = None
    """The declaration of a method."""

    @property
    def declaration(self) -> str:
        """The declaration of this member, as a class must write it."""
        if self.function is not None:
            return f"def {self.name}{_signature(self.function)}"
        return f"{self.name}: ClassVar[{_type_name(self.hint)}] = ..."


def faults(cls: Any, protocol: type) -> list[Fault]:
    """The errors of a class with respect to the protocol of its kind; empty if it conforms."""
    if not isinstance(cls, type):
        return [Fault("", f"is not a class but a {type(cls).__name__}", "name the class in the entry point")]
    if "__attrs_attrs__" not in cls.__dict__:
        return [Fault("", "is not an attrs class", f"write `@attrs.frozen` above `class {cls.__name__}`")]
    members = _members(protocol)
    own = {name: value for name in members if (value := _found(cls, name, protocol)) is not _ABSENT}
    found = list(_misspelt(cls, members, own, protocol))
    meant = {fault.member for fault in found}
    found += [fault for fault in _missing(cls, members, own) if fault.member not in meant]
    for name, value in own.items():
        found += _wrong(members[name], value)
    return found + list(_settings(cls))


@functools.cache
def _members(protocol: type) -> Mapping[str, _Member]:
    members: dict[str, _Member] = {}
    for base in _homes(protocol):
        hints = typing.get_type_hints(base)
        for name in base.__annotations__:
            of_class = typing.get_origin(hints[name]) is typing.ClassVar
            kind: Literal["class variable", "value"] = "class variable" if of_class else "value"
            hint = typing.get_args(hints[name])[0] if of_class else hints[name]
            members[name] = _Member(name, kind, name not in vars(base), base, hint)
        for name, value in vars(base).items():
            if name.startswith("_") or name in members:
                continue
            required = getattr(value, "__isabstractmethod__", False)
            if isinstance(value, property):
                hint = typing.get_type_hints(value.fget).get("return", Any)
                members[name] = _Member(name, "value", required, base, hint)
            elif inspect.isfunction(value):
                members[name] = _Member(name, "method", required, base, None, value)
    return members


def _homes(protocol: type) -> list[type]:
    """A protocol and the protocols that it extends."""
    return [base for base in protocol.__mro__ if vars(base).get("_is_protocol") and base is not typing.Protocol]


def _fields(cls: type) -> set[str]:
    return {field.name for field in attrs.fields(cls)}


_FIELD, _ABSENT = object(), object()


def _found(cls: type, name: str, protocol: type) -> Any:
    """A class's own member: a property, a function or a value. `_FIELD` if it is a setting; `_ABSENT` if the class does
    not have it or inherits it from the protocol."""
    if name in _fields(cls):
        return _FIELD
    for base in cls.__mro__:
        if name in vars(base):
            return _ABSENT if base in _homes(protocol) else vars(base)[name]
    return _ABSENT


def _missing(cls: type, members: Mapping[str, _Member], own: Mapping[str, Any]) -> Iterator[Fault]:
    """Required members that a class does not define, and optional ones whose defaults it does not inherit."""
    optional = []
    for name, member in members.items():
        if name in own:
            continue
        if member.required:
            or_setting = ", or a property or setting of this name" if member.kind == "value" else ""
            yield Fault(name, f"lacks `{name}`", f"write `{member.declaration}`{or_setting}")
        elif not hasattr(cls, name):
            optional.append(member)
    if optional:
        names, home = ", ".join(f"`{member.name}`" for member in optional), optional[0].home
        help_ = f"inherit their defaults: `class {cls.__name__}({home.__name__})`, from `{home.__module__}`"
        yield Fault(optional[0].name, f"lacks the optional {names}", help_)


def _misspelt(cls: type, members: Mapping[str, _Member], own: Mapping[str, Any], protocol: type) -> Iterator[Fault]:
    """Public names that are similar to a member that the class does not define itself."""
    known, fields, homes = [name for name in members if name not in own], _fields(cls), _homes(protocol)
    names = dict.fromkeys(
        name for base in cls.__mro__ if base not in homes and base is not object for name in vars(base)
    )
    for name in names:
        if name.startswith("_") or name in fields or name in members:
            continue
        for meant in get_close_matches(name, known, n=1, cutoff=CLOSE):
            what = f"has `{name}`, which nothing reads"
            yield Fault(meant, what, f"did you mean `{meant}`? If it is a helper, call it `_{name}`")
    # A class may have other settings, so the limit of similarity is higher.
    values = [name for name in known if members[name].kind == "value" and not members[name].required]
    for name in sorted(fields - members.keys()):
        for meant in get_close_matches(name, values, n=1, cutoff=CLOSE_SETTING):
            what = f"has a setting `{name}`, and does not have `{meant}`"
            yield Fault(meant, what, f"did you mean `{meant}`? Another setting needs a name that differs more")


def _wrong(member: _Member, value: Any) -> Iterator[Fault]:
    """Errors in the declaration of a member."""
    name = member.name
    is_method = isinstance(value, staticmethod | classmethod) or (callable(value) and value is not _FIELD)
    if member.kind == "method":
        if not is_method:
            is_ = "a setting" if value is _FIELD else "a property" if isinstance(value, property) else repr(value)
            yield Fault(name, f"declares `{name}` as {is_}, not as a method", f"write `{member.declaration}`")
        elif not _takes(value, member):
            what = f"declares `{name}` with the parameters {_parameters(value)}, not {_parameters(member.function)}"
            yield Fault(name, what, f"write `{member.declaration}`")
    elif is_method:
        help_ = "write `@property` above it" if member.kind == "value" else f"write `{member.declaration}`"
        yield Fault(name, f"declares `{name}` as a method, not as a value", help_)
    elif member.kind == "class variable" and (value is _FIELD or isinstance(value, property)):
        is_ = "a setting" if value is _FIELD else "a property"
        what = f"declares `{name}` as {is_}, not as a class variable"
        yield Fault(name, what, f"write `{member.declaration}`")
    elif value is not _FIELD and not hasattr(type(value), "__get__") and not _fits(value, member.hint):
        what = f"sets `{name}` to {value!r}, which is not of type {_type_name(member.hint)}"
        yield Fault(name, what, f"write `{member.declaration}`")


def _takes(method: Any, member: _Member) -> bool:
    """Whether a method can be called like that of the protocol, by position and by name. The name of an unused
    parameter may begin with `_`."""
    given = _own_parameters(method)
    kinds = inspect.Parameter
    places = [each for each in given if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    rest = any(each.kind is kinds.VAR_POSITIONAL for each in given)
    wanted = _own_parameters(member.function)
    for place, parameter in enumerate(wanted):
        if place >= len(places):
            return rest
        same = places[place].name.lstrip("_") == parameter.name or places[place].kind is kinds.POSITIONAL_ONLY
        if not same or (parameter.default is not kinds.empty and places[place].default is kinds.empty):
            return False
    more = [*places[len(wanted) :], *(each for each in given if each.kind is kinds.KEYWORD_ONLY)]
    return all(each.default is not kinds.empty for each in more)


def _own_parameters(method: Any) -> list[inspect.Parameter]:
    """The parameters after `self`."""
    function = method.__func__ if isinstance(method, staticmethod | classmethod) else method
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        # Some builtins do not have a signature. Treat them as methods without parameters.
        return []
    return parameters if isinstance(method, staticmethod) else parameters[1:]


def _parameters(method: Any) -> str:
    """The parameters after `self` as text in parentheses, without their types."""
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in _own_parameters(method)]
    return str(inspect.Signature(bare))


def _signature(function: Callable[..., Any]) -> str:
    # Annotations are strings, which `inspect` shows in quotes.
    return str(inspect.signature(function)).replace("'", "")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has a type. Checks only the outermost type, not the types of elements."""
    origin = typing.get_origin(hint) or hint
    if origin is Any:
        return True
    if origin is Literal:
        return value in typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if origin in (int, float):
        return isinstance(value, (int, float) if origin is float else int) and not isinstance(value, bool)
    return isinstance(value, origin) if isinstance(origin, type) else True


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")


def _settings(cls: type) -> Iterator[Fault]:
    """Settings whose type is missing or cannot be evaluated."""
    for field in attrs.fields(cls):
        if field.type is None:
            what = f"has a setting `{field.name}` without a type"
            yield Fault(field.name, what, f"write its type: `{field.name}: float = setting(...)`")
    try:
        typing.get_type_hints(cls)
    except Exception as error:
        what = f"has type hints that cannot be read: {error}"
        yield Fault("", what, "import the names at the top of the module, outside `if TYPE_CHECKING`")
