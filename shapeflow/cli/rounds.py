"""Trains the runs that answer a question, and prints a line after each round."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.files import real
from shapeflow.base.printing import say

if TYPE_CHECKING:
    from shapeflow.running.ask import Question, Round
    from shapeflow.running.pool import Job
    from shapeflow.running.runs import Run


def absolute(file: Path) -> Path:
    """The file in its real folder. If the file is a link, paths in it are relative to the folder of the link."""
    return real(file.parent) / file.name


def inside(folder: Path, file: Path, option: str) -> Path:
    """The folder, absolute. Raises Refused `path-outside` if it is not below the folder of the file, since laws could
    not be fitted to it, and BadParameter if the sentence that fits them cannot name it."""
    found = real(folder)
    if not found.is_relative_to(absolute(file).parent):
        message, help_ = f"`{folder}` is not below the folder of `{file}`", "leave out `-o`, or name a folder there"
        raise Refused(Diagnostic("path-outside", message, place=option, help=help_))
    if re.search(r'["\n\r]', str(found.relative_to(absolute(file).parent))):
        message = f"`{folder}` contains a double quote or a line break: name a folder that a `.shape` file can name"
        raise click.BadParameter(message, param_hint=option)
    return found


def rounds_of(question: Question) -> tuple[list[Round], list[Diagnostic]]:
    """Train until the answer is settled, or the allowance is spent. Returns all rounds, and the warnings of the last
    plan. Raises Refused."""
    from shapeflow.preview.jobs import watched
    from shapeflow.running.ask import ask

    report, rounds = Report(), list["Round"]()
    with question.pool.kept() as pool:

        def train(todo: Sequence[Job]) -> list[Run]:
            with watched(todo) as watch:
                return pool.run(todo, watch)

        for each in ask(question, report, train):
            rounds.append(each)
            say(_line(len(rounds), each), err=True)
    return rounds, report.diagnostics


def _line(number: int, one: Round) -> str:
    from shapeflow.preview.numbers import flops

    runs = f"{len(one.jobs)} run{'s' * (len(one.jobs) != 1)}"
    length = f"up to {one.length:.3g} times the budget"
    return f"round {number}: {runs} {length}, {flops(one.compute)}, {one.seconds:.0f} s: {one.say}"
