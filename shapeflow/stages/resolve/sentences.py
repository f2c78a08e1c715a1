"""Collect the sentences of a file, check those that may appear only once, and resolve the names of `let` and `use`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs

from shapeflow.base.diagnostics import Label, Report, Span, did_you_mean, leaves_folder
from shapeflow.language import syntax
from shapeflow.stages.resolve.values import Names

Opener = Callable[[str, str], "syntax.Document | None"]
"""Function (path as written, folder) -> the document in that file, or None after an error was reported."""

WORDS: Mapping[type, str] = {
    syntax.PlanName: "plan",
    syntax.Model: "model",
    syntax.Data: "data",
    syntax.Objective: "objective",
    syntax.Optimizer: "optimizer",
    syntax.Metric: "metric",
    syntax.Candidates: "candidates",
    syntax.LawsFrom: "laws",
    syntax.CreditsFrom: "credits",
    syntax.ProfileFrom: "profile",
    syntax.Minimise: "minimise",
    syntax.Traversal: "traversal",
    syntax.Budget: "budget",
    syntax.StartAt: "start",
    syntax.StartFrom: "start from",
    syntax.StopWhen: "stop",
    syntax.Schedule: "schedule",
    syntax.Cooldown: "cooldown",
    syntax.Evaluate: "evaluate",
    syntax.Checkpoint: "checkpoint",
    syntax.Seed: "seed",
}
"""Kind of sentence that a file may have at most once -> its reserved word."""

_S = TypeVar("_S")


@attrs.frozen
class Sentences:
    """The sentences of a file by kind. Sentences of the command line replace those of the file."""

    once: Mapping[type, syntax.Sentence]
    many: tuple[syntax.Sentence, ...]

    def get(self, kind: type[_S]) -> _S | None:
        found = self.once.get(kind)
        return found if isinstance(found, kind) else None

    def all(self, kind: type[_S]) -> tuple[_S, ...]:
        return tuple(sentence for sentence in self.many if isinstance(sentence, kind))

    def spans(self) -> dict[str, Span]:
        return {WORDS[kind]: sentence.span for kind, sentence in self.once.items()}


def collect(document: syntax.Document, overrides: tuple[syntax.Document, ...], report: Report) -> Sentences:
    """The sentences of a file. Reports repeated sentences. Sentences of the command line replace those of the file."""
    once: dict[type, syntax.Sentence] = {}
    many: list[syntax.Sentence] = []
    for sentence in document.sentences:
        kind = type(sentence)
        if kind not in WORDS:
            many.append(sentence)
        elif kind in once:
            other = (Label(once[kind].span, "the first one"),)
            word = WORDS[kind]
            report.error(
                "repeated-sentence",
                f"a second `{word}` sentence",
                sentence.span,
                "repeated here",
                also=other,
                help=f"keep one `{word}` sentence",
            )
        else:
            once[kind] = sentence
    for override in overrides:
        for sentence in override.sentences:
            if type(sentence) in WORDS:
                once[type(sentence)] = sentence
            else:
                _known_let(sentence, many, report)
                many = [old for old in many if not _replaces(sentence, old)] + [sentence]
    said = [sentence for override in overrides for sentence in override.sentences]
    by_hand = [sentence for sentence in said if isinstance(sentence, syntax.Stage)]
    picked = any(isinstance(sentence, syntax.Traversal) for sentence in said)
    if by_hand and not picked:
        once.pop(syntax.Traversal, None)
    if any(isinstance(sentence, syntax.Weights) for sentence in said):
        many = [sentence for sentence in many if not isinstance(sentence, syntax.Weights) or sentence in said]
    if by_hand or picked:
        kept = {id(sentence) for sentence in by_hand}
        many = [sentence for sentence in many if not isinstance(sentence, syntax.Stage) or id(sentence) in kept]
    _no_twins(many, report)
    return Sentences(once, tuple(many))


def _known_let(sentence: syntax.Sentence, many: list[syntax.Sentence], report: Report) -> None:
    """Report a `let` of the command line that does not replace one of the file: its name is probably misspelt."""
    if not isinstance(sentence, syntax.Let):
        return
    known = [old.name for old in many if isinstance(old, syntax.Let)]
    if sentence.name not in known:
        close = did_you_mean(sentence.name, known)
        report.error(
            "unknown-name",
            f"the file has no `let` called `{sentence.name}`",
            sentence.name_span,
            "replaces nothing",
            notes=[f"known names: {', '.join(known)}" if known else "the file has no `let`"],
            help=f"did you mean `{close}`?" if close else None,
        )


def _replaces(new: syntax.Sentence, old: syntax.Sentence) -> bool:
    if isinstance(new, syntax.LawFor) and isinstance(old, syntax.LawFor):
        return new.shape == old.shape
    named = syntax.Let | syntax.Axis
    return isinstance(new, named) and isinstance(old, type(new)) and old.name == new.name


def _no_twins(many: list[syntax.Sentence], report: Report) -> None:
    """Report axes, `let`s and `use`s with the same name."""
    seen: dict[str, Span] = {}
    for sentence in many:
        if isinstance(sentence, syntax.Let | syntax.Axis | syntax.Use):
            what = "axis" if isinstance(sentence, syntax.Axis) else "name"
            key = f"{what} {sentence.name}"
            if key in seen:
                other = (Label(seen[key], "the first one"),)
                message = f"a second {what} called `{sentence.name}`"
                report.error("repeated-name", message, sentence.name_span, "repeated here", also=other)
            seen.setdefault(key, sentence.name_span)


def names(sentences: Sentences, folder: str, open_document: Opener, report: Report) -> Names:
    """The names that the `let`s of a file define, and as `alias.name` those of the files that it uses."""
    lets = {sentence.name: sentence.value for sentence in sentences.all(syntax.Let)}
    for use in sentences.all(syntax.Use):
        path = use.path.value
        if leaves_folder(path, folder, "the file", use.path.span, report):
            continue
        used = open_document(path, folder)
        if used is None:
            report.error("no-such-file", f"there is no file `{path}`", use.path.span, "not found next to the file")
            continue
        own = frozenset(sentence.name for sentence in used.sentences if isinstance(sentence, syntax.Let))
        for sentence in used.sentences:
            if isinstance(sentence, syntax.Let):
                lets[f"{use.name}.{sentence.name}"] = _qualified(sentence.value, use.name, own)
            elif not isinstance(sentence, syntax.PlanName):
                other = (Label(use.span, "used here"),)
                message = "a used file may contain only `let` sentences"
                report.error("not-a-let", message, sentence.span, "not a `let`", also=other)
    return Names(lets)


def _qualified(value: syntax.Value, alias: str, own: frozenset[str]) -> syntax.Value:
    """A value of a used file, with references to that file's `let`s prefixed by the alias."""

    def settings(listed: tuple[syntax.Setting, ...]) -> tuple[syntax.Setting, ...]:
        return tuple(attrs.evolve(each, value=_qualified(each.value, alias, own)) for each in listed)

    def values(listed: tuple[syntax.Value, ...]) -> tuple[syntax.Value, ...]:
        return tuple(_qualified(each, alias, own) for each in listed)

    match value:
        case syntax.Component(name=name, called=False) if name in own:
            return syntax.Reference((alias, name), span=value.span)
        case syntax.Component():
            return attrs.evolve(value, settings=settings(value.settings), arguments=values(value.arguments))
        case syntax.Listing():
            return attrs.evolve(value, items=values(value.items))
        case syntax.ShapeLiteral():
            return attrs.evolve(value, settings=settings(value.settings))
    return value
