"""The diagnostics of a text in an editor, each with a place in that text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Label, Refused, Report, Source, Span
from shapeflow.base.files import read_text
from shapeflow.compiler import compile_program, profiled, resolved
from shapeflow.language import syntax
from shapeflow.language.parse import parse


@attrs.frozen
class Mistake:
    """A diagnostic at a place of the text that is edited. `others`: the labels of the diagnostic elsewhere, also those
    in other files."""

    diagnostic: Diagnostic
    span: Span
    others: tuple[Label, ...]

    @property
    def text(self) -> str:
        """The message with its reason, its notes and its help, a line each."""
        one = self.diagnostic
        reason = [one.at.text] if one.at is not None and one.at.text else []
        notes = [f"note: {note}" for note in (*one.notes, *one.details)]
        return "\n".join([one.message, *reason, *notes, *([f"help: {one.help}"] if one.help else [])])


def mistakes(
    path: Path, text: str, read: Callable[[Path], str] = read_text, *, laws: bool = False
) -> tuple[Mistake, ...]:
    """What is wrong in a text, in the order in which the command line reports it.

    `path`: the file of the text, which need not exist; `read`: reads a file that a `use` sentence names. The text is
    parsed and resolved, which takes milliseconds. `laws`: compile it as well, as `shapeflow compile` does, which reads
    logs and may take seconds.
    """
    source, report = Source(str(path), text), Report()
    try:
        program = resolved(source, path.parent, (), report, read)
        if laws and program is not None and (program := profiled(program, report)) is not None:
            compile_program(program, report)
    except Refused as refused:
        for each in refused.diagnostics:
            report.add(each)
    return tuple(_placed(each, source) for each in report.diagnostics)


def _placed(told: Diagnostic, source: Source) -> Mistake:
    """A diagnostic at its own place, at the `use` of the file that it is in, or at the first line of the text."""
    if told.at is not None and told.at.span.source is source:
        return Mistake(told, told.at.span, told.also)
    others = told.also if told.at is None else (told.at, *told.also)
    own = [label.span for label in others if label.span.source is source]
    if not own and told.at is not None:
        other, folder = told.at.span.source.name, Path(source.name).parent
        uses = [each for each in parse(source, Report()).sentences if isinstance(each, syntax.Use)]
        own = [use.path.span for use in uses if str(folder / use.path.value) == other]
    first = len(source.text.splitlines()[0]) if source.text else 0
    return Mistake(told, own[0] if own else Span(source, 0, first), others)
