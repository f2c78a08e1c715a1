"""The plan as a strip of stages, and its tables: steps, errors, memory and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shapeflow.base.shapes import Shape
from shapeflow.base.units import size
from shapeflow.ir.memory import Choices
from shapeflow.ir.plan import Plan, Stage
from shapeflow.preview.charge import charged
from shapeflow.preview.curves import place, scale_of
from shapeflow.preview.figure import COLORS
from shapeflow.preview.numbers import count, duration
from shapeflow.preview.plan import FIRST, LAST, stage_lines, stage_view, totals_line
from shapeflow.preview.shape_colors import shapes_of
from shapeflow.report.markup import NOTHING, Markup, join, node
from shapeflow.report.screens import html_of, paragraph, table
from shapeflow.running.memory import memories

NARROW = 0.06
"""The share of the strip from which the number of a stage is written into it."""
MOST = 400
"""Stages of a strip."""


def stages_section(plan: Plan) -> Markup:
    """The strip, and the stages in a table."""
    lines = [paragraph(line) for line in stage_lines(plan)]
    head = join(node("h2", "The plan"), paragraph(totals_line(plan)))
    return join(head, _strip(plan), html_of(stage_view(plan), "Stages of the plan"), *lines)


def _strip(plan: Plan) -> Markup:
    """One box for each stage, as wide as its share of the budget, in the colour of its shape."""
    total = place(plan, plan.stages[-1].leave)
    if len(plan.stages) > MOST or total <= 0:
        return NOTHING
    unit, factor = scale_of(plan, total)
    colors = {shape: number % len(COLORS) for number, shape in enumerate(shapes_of(plan))}
    parts = []
    for number, stage in enumerate(plan.stages, 1):
        first, last = (place(plan, point) / total for point in (stage.enter, stage.leave))
        title = node("title", _title(plan, number, stage, unit, factor))
        area = [node("rect", title, x=_percent(first), width=_percent(last - first), height=40, fill="currentColor")]
        if last - first >= NARROW:
            at = _percent((first + last) / 2)
            area.append(node("text", str(number), x=at, y=25, text_anchor="middle", class_="inside"))
        parts.append(node("g", *area, class_=f"k{colors[stage.shape]}"))
    ends = node("p", node("span", "0"), node("span", f"{total / factor:.4g} {unit}"), class_="ends")
    name = f"The {len(plan.stages)} stages of the plan over {unit}, each as wide as its share"
    drawing = node("svg", *parts, role="img", aria_label=name, class_="strip")
    return node("figure", drawing, ends, _key(plan, colors))


def _percent(part: float) -> str:
    """A place in the strip, which is as wide as the page while its letters keep their size."""
    return f"{100 * part:.3f}%"


def _key(plan: Plan, colors: Mapping[Shape, int]) -> Markup:
    used = list(dict.fromkeys(stage.shape for stage in plan.stages))
    entries = []
    for shape in used[:FIRST]:
        mark = node(
            "svg",
            node("rect", x=0, y=0, width=26, height=12, fill="currentColor"),
            viewBox="0 0 26 12",
            aria_hidden="true",
        )
        entries.append(node("li", mark, node("span", shape.written(plan.units)), class_=f"k{colors[shape]}"))
    return node("ul", *entries, class_="key")


def _title(plan: Plan, number: int, stage: Stage, unit: str, factor: float) -> str:
    begin, end = (place(plan, point) / factor for point in (stage.enter, stage.leave))
    steps = "" if stage.steps is None else f", {count(stage.steps)} steps"
    return f"stage {number}: {stage.shape.written(plan.units)}, {begin:.4g} to {end:.4g} {unit}{steps}"


def resources_section(plan: Plan) -> Markup:
    """Memory and time of each stage, where they are known; nothing if neither is."""
    memory = {"CPU": memories(plan, Choices()), "GPU": memories(plan, Choices("cuda"))}
    timed = plan.totals.seconds is not None
    known = {name: found for name, found in memory.items() if found}
    if not known and not timed:
        return NOTHING
    headings = ["stage", "shape", *(f"memory, {name}" for name in known)]
    if timed:
        headings += ["time of a step", *["time of the switch"] * delayed(plan), "time of the stage"]
        headings += ["cost of the stage"] * (charged(plan, 1.0) is not None)
    rows = []
    for index, stage in enumerate(plan.stages):
        if FIRST <= index < len(plan.stages) - LAST:
            continue
        cells = [
            str(index + 1),
            stage.shape.written(plan.units),
            *(size(found[index].peak) for found in known.values()),
        ]
        rows.append([*cells, *(_times(plan, stage) if timed else ())])
    right = [False, False] + [True] * (len(headings) - 2)
    words = ["Memory: the estimated peak of one process on a CPU or a GPU."] * bool(known)
    words += [_basis(plan)] if timed else []
    name = "Memory and time by stage" if known and timed else "Memory by stage" if known else "Time by stage"
    return join(node("h2", name), table(name, headings, rows, right), node("p", " ".join(words), class_="soft"))


def delayed(plan: Plan) -> bool:
    """Whether the seconds of a switch of the plan are known."""
    return any(stage.transition is not None and stage.transition.delay for stage in plan.stages)


ORIGINS = {"stated": "stated in a table", "interpolated": "interpolated"}
"""Where seconds of a step come from that were not measured, in words."""


def _basis(plan: Plan) -> str:
    """What the times are of, and where those of steps come from."""
    origins = {one.seconds_are for one in plan.candidates}
    source = "stated in a table, not measured" if "stated" in origins else "predicted by the profile"
    what = "steps of training, and of switches with their first steps" if delayed(plan) else "steps of training alone"
    return f"Time is {source}, for {what}."


def _times(plan: Plan, stage: Stage) -> Iterator[str]:
    one = next((one for one in plan.candidates if one.shape == stage.shape), None)
    if one is None or one.step_seconds is None:
        yield "-"
    else:
        origin = f", {ORIGINS[one.seconds_are]}" if one.seconds_are in ORIGINS else ""
        yield f"{duration(one.step_seconds, 3)}{origin}"
    if delayed(plan):
        delay = None if stage.transition is None else stage.transition.delay
        yield "-" if delay is None else duration(delay, 3)
    begin, end = stage.enter.seconds, stage.leave.seconds
    yield "-" if begin is None or end is None else duration(end - begin, 3)
    if charged(plan, 1.0) is not None:
        yield "-" if begin is None or end is None else charged(plan, end - begin) or "-"
