"""Puts a report together: what was asked, the answer first, then everything that it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic
from shapeflow.ir.answer import SavedAt
from shapeflow.ir.plan import Plan
from shapeflow.preview.answer import conditions, headline
from shapeflow.report.assumed import assumed_section, commands_section
from shapeflow.report.costs import costs_section
from shapeflow.report.laws import laws_section
from shapeflow.report.markup import NOTHING, Markup, join, node
from shapeflow.report.measured import comparison_section, run_section, state_of, state_of_group, verdict_of
from shapeflow.report.savings import savings_section
from shapeflow.report.screens import paragraph, table
from shapeflow.report.stages import resources_section, stages_section
from shapeflow.report.style import STYLE
from shapeflow.report.traversal import traversal_section
from shapeflow.running.rivals import Compared
from shapeflow.running.standing import Group, Standing

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@attrs.frozen
class Subject:
    """What a report is about. `named`: the path that was given; `options`: the options that change its content."""

    plan: Plan
    named: Path
    options: tuple[str, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    run: Standing | None = None
    """The run of the plan; None for a plan alone."""
    comparison: Compared | None = None
    group: Group | None = None
    """The runs of a folder without a result."""
    other: Plan | None = None
    """The best plan to the same error by FLOPs if the plan is by seconds, and by seconds if it is by FLOPs."""
    saved: tuple[SavedAt, ...] = ()
    """The savings at smaller budgets, with intervals; empty where they are not known."""


def page_of(subject: Subject) -> str:
    """The report as one HTML page. The same subject gives the same text."""
    plan = subject.plan
    title = plan.name or "unnamed plan"
    parts = [
        node("h1", title),
        *_found(subject),
        stages_section(plan),
        traversal_section(plan),
        savings_section(plan, subject.saved),
        costs_section(plan, subject.other),
        laws_section(plan),
        resources_section(plan),
        assumed_section(plan),
        _warnings(subject.warnings),
        _notes(plan.notes),
        commands_section(plan, subject.named, subject.options, version("shapeflow")),
    ]
    return document(title, parts)


def _found(subject: Subject) -> Iterator[Markup]:
    """What was measured, if anything was, then the answer of the plan."""
    if subject.group is not None:
        yield state_of_group(subject.group)
    if subject.comparison is not None:
        yield verdict_of(subject.comparison)
        yield comparison_section(subject.comparison, subject.plan)
    elif subject.run is not None:
        yield state_of(subject.run)
    if subject.run is not None:
        yield run_section(subject.run, first=subject.comparison is not None)
    yield _answer(subject)


def document(title: str, parts: Sequence[Markup]) -> str:
    """A whole page around its parts."""
    head = node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Nothing loads and nothing runs, whatever a file contains.
        node("meta", http_equiv="Content-Security-Policy", content=POLICY),
        node("meta", name="referrer", content="no-referrer"),
        node("title", f"{title} - shapeflow report"),
        node("style", Markup(STYLE)),
    )
    page = node("html", head, node("body", node("main", *parts)), lang="en")
    return f"<!doctype html>\n{page.html}\n"


def _answer(subject: Subject) -> Markup:
    """The answer in one sentence, and what it depends on. What was measured comes before it."""
    plan, found = subject.plan, subject.plan.answer
    title = NOTHING if subject.run is None and subject.group is None else node("h2", "The answer before training")
    if found is None:
        return join(title, node("p", "No answer: the plan has no laws.", class_="answer"))
    rows = [[name, text] for name, text in conditions(plan, found)]
    depends = table("What the answer depends on", [], rows, [False, False]) if rows else NOTHING
    return join(title, node("p", headline(plan, found), class_="answer"), depends)


def _warnings(found: Sequence[Diagnostic]) -> Markup:
    """The warnings of compiling the file."""
    lines = [node("li", f"{one.code}: {one.message}") for one in found]
    return join(node("h3", "Warnings"), node("ul", *lines)) if lines else NOTHING


def _notes(notes: Sequence[str]) -> Markup:
    return join(node("h3", "Notes"), *map(paragraph, notes)) if notes else NOTHING
