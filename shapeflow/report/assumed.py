"""What a report rests on: notes, settings, sources of laws with digests, and the commands that make it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from shapeflow.base.safe import safe_json
from shapeflow.ir.law import Provenance
from shapeflow.ir.plan import Plan, Spec
from shapeflow.preview.numbers import duration, flops, share
from shapeflow.report.markup import NOTHING, Markup, join, node
from shapeflow.report.screens import table
from shapeflow.report.stages import delayed

FILES = 400
"""Files of laws that are listed."""


def assumed_section(plan: Plan) -> Markup:
    """Everything that the plan takes for granted."""
    parts = [node("h2", "What it assumes"), table("The plan's identity", [], _identity(plan), [False, False])]
    return join(*parts, _switches(plan), _sources(plan), _settings(plan))


def _identity(plan: Plan) -> Iterator[list[str]]:
    yield ["plan", plan.digest or "not digested"]
    yield [".shape file", plan.source]
    yield ["metric", plan.metric]
    yield ["compute", f"counted by `{plan.convention}`"]
    if timed := [one.seconds_are for one in plan.candidates if one.step_seconds is not None]:
        counts = {origin: timed.count(origin) for origin in dict.fromkeys(timed)}
        parts = [origin if count == len(timed) else f"{origin} for {count}" for origin, count in counts.items()]
        yield ["seconds of a step", f"{', '.join(parts)} of {len(timed)} candidates" if parts[1:] else parts[0]]
    yield ["seed", str(plan.seed)]
    if plan.answer is not None:
        yield ["laws", "stated: taken as exact" if plan.answer.stated else "with their uncertainty"]


def _switches(plan: Plan) -> Markup:
    rows, known = [], delayed(plan)
    for number, stage in enumerate(plan.stages[:FILES], 1):
        if stage.transition is not None:
            one = stage.transition
            basis = "measured" if one.credits else "assumed"
            row = [f"to stage {number}", " + ".join(one.names), share(one.credit), basis, one.preserves, one.moments]
            takes = "-" if one.delay is None else duration(one.delay, 3)
            rows.append([*row, *[takes] * known])
    if not rows:
        return NOTHING
    headings = ["switch", "transition", "progress that survives", "basis", "preserves", "optimizer state"]
    headings += ["takes"] * known
    right = [False, False, True, False, False, False, *[True] * known]
    return join(node("h3", "Switches"), table("Switches", headings, rows, right))


def _sources(plan: Plan) -> Markup:
    """Where laws come from: each citation, data set and file once, with its digest."""
    about = [one.law.provenance for one in plan.candidates if one.law is not None]
    if not about:
        return _timed_by(plan)
    files = dict.fromkeys(pair for one in about for pair in one.files)
    rows = [[name, digest] for name, digest in list(files)[:FILES]]
    more = [node("p", f"{len(files) - FILES} more files are not listed.")] if len(files) > FILES else []
    listed = [table("Files of the laws", ["file", "SHA-256"], rows, [False, False]), *more] if rows else []
    return join(node("h3", "Sources of the laws"), node("ul", *_facts(about)), *listed, _timed_by(plan))


def _timed_by(plan: Plan) -> Markup:
    """The file of the predicted seconds, with its digest."""
    one = plan.timed_by
    if one is None:
        return NOTHING
    row = [one.file, one.machine or "stated, not measured", str(one.devices), one.sha256]
    headings = ["file", "machine", "devices that share a step", "SHA-256"]
    return table("Seconds of steps", headings, [row], [False, False, True, False])


def _facts(about: Sequence[Provenance]) -> Iterator[Markup]:
    facts: dict[str, list[str | None]] = {
        "source": [one.source for one in about],
        "citation": [one.citation for one in about],
        "data": [one.data for one in about],
        "errors": [one.evaluation for one in about],
        "learning rate": [one.learning_rate for one in about],
        "refused": [reason for one in about for reason in one.verdict],
    }
    for what, values in facts.items():
        if known := ", ".join(dict.fromkeys(value for value in values if value)):
            yield node("li", f"{what}: {known}")
    spent = sum(one.spent or 0.0 for one in about)
    if spent:
        yield node("li", f"the runs of the laws took {flops(spent)}")


def _settings(plan: Plan) -> Markup:
    specs = {
        "model": plan.model,
        "data": plan.data,
        **{f"objective {name}": spec for name, spec in plan.objectives.items()},
        "optimizer": plan.optimizer,
        "traversal": plan.traversal,
    }
    rows = [[what, spec.name, _written(spec)] for what, spec in specs.items() if spec is not None]
    if not rows:
        return NOTHING
    shown = table("Settings", ["part", "name", "settings"], rows, [False, False, False])
    return node("details", node("summary", "All settings of the plan"), shown)


def _written(spec: Spec) -> str:
    return ", ".join(f"{key}: {safe_json(spec.settings[key])}" for key in sorted(spec.settings)) or "-"


def commands_section(plan: Plan, named: Path, options: Sequence[str], version: str) -> Markup:
    """The commands that make the plan, its numbers and this page again. `named`: what the report was asked of."""
    what = shlex.quote(str(named))
    asked = "".join(f" {shlex.quote(one)}" for one in options)
    lines = [f"shapeflow report {what}{asked} -o report.html"]
    if named.suffix == ".shape":
        lines = [f"shapeflow compile {what}{asked} -o plan.json", f"shapeflow simulate {what}{asked}", *lines]
    elif named.suffix == ".json":
        lines = [f"shapeflow simulate {what}", *lines]
    else:
        lines = [f"shapeflow show {what}", *lines]
    text = "\n".join(lines)
    made = f"Made by shapeflow {version}. The same command makes the same page from the same files."
    return join(node("h2", "Make it again"), node("pre", text, tabindex="0"), node("p", made, class_="soft"))
