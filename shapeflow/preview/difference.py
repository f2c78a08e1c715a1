"""Two plans side by side: which stages moved, and what that costs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.base.units import amount_in
from shapeflow.ir.decay import Decay
from shapeflow.ir.law import Law
from shapeflow.ir.plan import Candidate, Plan, Spec, Stage, Start
from shapeflow.ir.retention import Retention
from shapeflow.preview.charge import charged
from shapeflow.preview.corpora import changes
from shapeflow.preview.numbers import count, duration, error, flops, percent, share
from shapeflow.running.training import training

NONE = "-"
ALIKE = 5e-4
"""Amounts that differ by a smaller share are called equal."""


@attrs.frozen
class Row:
    """What differs, in the first and in the second plan, and by how much; all of it text."""

    what: str
    first: str
    second: str
    change: str = ""


def differences(first: Plan, second: Plan) -> list[Row]:
    """The rows of what differs between two plans: stages, then what they take and reach, then settings."""
    rows = [*_stages(first, second), *_totals(first, second), *_laws(first, second), *_settings(first, second)]
    return [row for row in rows if row.first != row.second or row.change]


def differences_view(first: Plan, second: Plan, names: tuple[str, str]) -> RenderableType:
    """What `shapeflow show PLAN PLAN` prints: the answer first. `names`: of the plans."""
    rows = differences(first, second)
    if not rows:
        if first.digest == second.digest:
            return Text("the plans are the same")
        if training(first) == training(second):
            return Text("the plans train the same; their digests differ by their notes, answers or sources")
        return Text("the plans train differently, by fields that are not listed here: compare their JSON")
    table = Table(box=None, padding=(0, 2))
    for heading in ("", *names, "change"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.what, row.first, row.second, row.change)
    return Group(Text(headline(first, second)), Text(), table)


def headline(first: Plan, second: Plan) -> str:
    """What the second plan takes and reaches, against the first."""
    a, b = first.totals, second.totals
    amounts = [("FLOPs", a.compute, b.compute), ("seconds", a.seconds, b.seconds)]
    taken = [_against(x, y, name) for name, x, y in amounts if x is not None and y is not None]
    said = [f"the second plan takes {' and '.join(taken)}"] if taken else ["the plans have no totals"]
    if first.metric != second.metric:
        said.append(f"they predict different metrics: {first.metric} and {second.metric}")
    elif a.error is not None and b.error is not None:
        ends = [error(each, first.metric) for each in (a.error, b.error)]
        end = f"{ends[1]} instead of {ends[0]}" if ends[0] != ends[1] else f"{ends[0]}, as the first"
        said.append(f"it ends at a predicted {first.metric} of {end}")
    return "; ".join(said)


def _against(first: float, second: float, name: str) -> str:
    """`12.5% more FLOPs`, `2.5 times the FLOPs`, or `as many FLOPs`."""
    if first == 0 or abs(second / first - 1) < ALIKE:
        return f"as many {name}" if first or not second else f"{second:.4g} {name}, where the first takes none"
    ratio = second / first
    if not 0.5 <= ratio <= 2:
        return f"{ratio:.3g} times the {name}"
    return f"{100 * abs(ratio - 1):.3g}% {'more' if ratio > 1 else 'fewer'} {name}"


def _stages(first: Plan, second: Plan) -> Iterator[Row]:
    """The stages of both, those of the same shape side by side; and the switches before them."""
    keys = [[stage.shape for stage in plan.stages] for plan in (first, second)]
    names = {shape: shape.written({**first.units, **second.units}) or "all steps" for shape in (*keys[0], *keys[1])}
    for what, a, b, c, d in difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        if what == "equal":
            for one, other in zip(first.stages[a:b], second.stages[c:d], strict=True):
                yield Row(names[one.shape], _stage(first, one), _stage(second, other), _moved(one, other))
                yield Row(f"  before {names[one.shape]}", _switch(one), _switch(other))
                yield Row(f"  rate in {names[one.shape]}", _rate(one), _rate(other))
            continue
        yield from (Row(names[one.shape], _stage(first, one), NONE, "left out") for one in first.stages[a:b])
        yield from (Row(names[other.shape], NONE, _stage(second, other), "new") for other in second.stages[c:d])


def _switch(stage: Stage) -> str:
    """How the stage is arrived at."""
    one = stage.transition
    if one is None:
        return stage.arrives_by
    warm = f", {count(one.rewarm)} steps of warm-up" if one.rewarm else ""
    return f"{stage.arrives_by}, credit {share(one.credit)}, moments {one.moments}, average {one.average}{warm}"


def _rate(stage: Stage) -> str:
    matrices = "" if stage.matrix_rate == 1 else f", of matrices x {stage.matrix_rate:.4g} more"
    memory = "" if stage.memory == 1 else f", memory ^{stage.memory:.4g}"
    return f"x {stage.learning_rate:.4g}{matrices}{memory}"


def _stage(plan: Plan, stage: Stage) -> str:
    blends = "".join(f" with {blend.share:.3g} {blend.shape.written(plan.units)}" for blend in stage.blends)
    amount = (stage.leave.compute or 0.0) - (stage.enter.compute or 0.0)
    length = f"{count(stage.steps)} steps" if stage.steps is not None else flops(amount)
    start = "" if stage.steps is None or not stage.first_step else f" from step {count(stage.first_step)}"
    return f"{length}{blends}{start}, to {error(stage.leave.error, plan.metric)}"


def _moved(one: Stage, other: Stage) -> str:
    """How many steps more or fewer a stage has, and how much later or earlier it begins."""
    if one.steps is None or other.steps is None:
        return ""
    longer, later = other.steps - one.steps, other.first_step - one.first_step
    said = (
        [f"{count(abs(longer))} step{'s' * (abs(longer) != 1)} {'more' if longer > 0 else 'fewer'}"] if longer else []
    )
    if later:
        said.append(f"begins {count(abs(later))} step{'s' * (abs(later) != 1)} {'later' if later > 0 else 'earlier'}")
    return ", ".join(said)


def _totals(first: Plan, second: Plan) -> Iterator[Row]:
    """What the plans take and reach."""
    a, b = first.totals, second.totals
    yield _amount("steps", a.steps, b.steps, count)
    yield _amount("compute", a.compute, b.compute, flops)
    yield _amount("time", a.seconds, b.seconds, lambda seconds: duration(seconds, 4))
    costs = [None if plan.totals.seconds is None else charged(plan, plan.totals.seconds) for plan in (first, second)]
    yield Row("cost", costs[0] or NONE, costs[1] or NONE)
    if first.metric == second.metric:
        yield Row(f"predicted {second.metric}", error(a.error, first.metric), error(b.error, second.metric))
    for name in ("best_fixed", "last_shape_fixed"):
        ours, theirs = (_saving(plan, getattr(plan.comparison, name).saving) for plan in (first, second))
        yield Row(f"saving over {'the best fixed shape' if name == 'best_fixed' else 'the last shape'}", ours, theirs)


def _saving(plan: Plan, saving: float | None) -> str:
    return NONE if saving is None else f"{percent(saving)} of the {'time' if plan.in_seconds else 'FLOPs'}"


def _minimised(plan: Plan) -> str:
    if plan.charge is not None:
        return _spec(plan.charge.cost)
    return "seconds" if plan.in_seconds else "FLOPs"


def _timed_by(plan: Plan) -> str:
    one = plan.timed_by
    if one is None:
        return "none"
    devices = f"{one.devices} device{'s' * (one.devices != 1)}"
    return f"{one.file}, SHA-256 {one.sha256[:16]}..., {one.machine[:100] or 'stated'}, {devices}"


def _amount(what: str, first: float | None, second: float | None, said: Callable[[Any], str]) -> Row:
    texts = [NONE if value is None else said(value) for value in (first, second)]
    if first is None or second is None or texts[0] == texts[1]:
        return Row(what, texts[0], texts[1])
    if first == 0 or abs(second / first - 1) < ALIKE:
        return Row(what, texts[0], texts[1])
    ratio = second / first
    return Row(what, texts[0], texts[1], percent(ratio - 1) if 0.5 <= ratio <= 2 else f"{ratio:.3g} times")


def _laws(first: Plan, second: Plan) -> Iterator[Row]:
    """Candidates, by their laws and the seconds of their steps."""
    known = [{one.shape: one for one in plan.candidates} for plan in (first, second)]
    units = {**first.units, **second.units}
    for shape in dict.fromkeys([*known[0], *known[1]]):
        one, other = (each.get(shape) for each in known)
        name = shape.written(units) or "the only shape"
        yield Row(f"law of {name}", _law(one), _law(other))
        if one is not None and other is not None:
            yield _amount(f"step in {name}", one.step_seconds, other.step_seconds, lambda seconds: duration(seconds, 3))


def _law(candidate: Candidate | None) -> str:
    """The parameters of a law, as text."""
    if candidate is None:
        return "no candidate"
    law = candidate.law
    if law is None:
        return "none"
    if isinstance(law, Law):
        return f"a {law.a:.4g}, b {law.b:.4g}, c {law.c:.4g}, d {law.d:.4g}"
    return f"a table of {len(law.above)} points, from {law.floor + law.above[0]:.4g} down to {law.floor:.4g}"


def _settings(first: Plan, second: Plan) -> Iterator[Row]:
    """Settings; of one component with other settings, those that differ."""
    yield Row("minimise", _minimised(first), _minimised(second))
    yield Row("profile", _timed_by(first), _timed_by(second))
    for name in _SETTINGS:
        one, other = getattr(first, name), getattr(second, name)
        if isinstance(one, Spec) and isinstance(other, Spec) and one.name == other.name:
            for key in sorted({*one.settings, *other.settings}):
                ours, theirs = (each.settings.get(key) for each in (one, other))
                yield Row(f"{name}, {key}", _value(ours), _value(theirs))
        else:
            yield Row(name, _setting(first, name), _setting(second, name))


def _value(value: Any) -> str:
    """A setting as in a `.shape` file."""
    if (amount := amount_in(value)) is not None:
        return str(amount)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else str(value)


_SETTINGS = (
    "name",
    "convention",
    "metric",
    "model",
    "data",
    "weights",
    "objectives",
    "optimizer",
    "traversal",
    "start",
    "seed",
    "evaluate",
    "held_out",
    "checkpoint",
    "keep",
    "schedule",
    "cooldown",
)


def _setting(plan: Plan, name: str) -> str:
    value = getattr(plan, name)
    if name == "objectives":
        return ", ".join(map(_spec, value.values())) or "none"
    if name == "weights":
        return ", ".join(changes(plan)) or "constant"
    if isinstance(value, Retention):
        newest = "all" if value.newest is None else f"the newest {value.newest}"
        return newest + (" and the best" if value.best else "")
    if isinstance(value, Start):
        return f"from {value.file}, SHA-256 {value.sha256[:16]}..."
    if isinstance(value, Decay):
        return f"{value.form} to {100 * value.final:.4g}%"
    if value is None:
        return "none"
    return _spec(value) if isinstance(value, Spec) else str(value)


def _spec(spec: Spec) -> str:
    return f"{spec.name}({', '.join(f'{key}: {_value(setting)}' for key, setting in sorted(spec.settings.items()))})"
