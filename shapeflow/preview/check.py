"""Shows the result of `shapeflow check`: for each switch, what its transition declares and what it does."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.ir.plan import Plan
from shapeflow.preview.numbers import count, share
from shapeflow.running.verdicts import EXACT, Checked, Verdict


def check_view(plan: Plan, checked: Checked) -> RenderableType:
    """The output of `shapeflow check`."""
    title = Text(f"{plan.name or 'unnamed plan'}{_outcome(checked)}", style="bold")
    lines = (Text(f"  {line}") for line in _words(checked))
    if not checked.switches:
        return Group(title, Text(), Text("  the plan has no switches: all stages have the same shape"), *lines)
    return Group(title, Text(), _table(plan, checked), Text(), *lines)


def _outcome(checked: Checked) -> str:
    """The end of the title, such as `: 2 switches, none wrong`."""
    switches, wrong = len(checked.switches), sum(bool(verdict.faults) for verdict in checked.switches)
    return f": {switches} switch{'es' * (switches != 1)}, {wrong or 'none'} wrong" if switches else ""


def _table(plan: Plan, checked: Checked) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=True)
    # On narrow screens, fold numbers before names.
    widths = {
        "switch": max(len(line) for verdict in checked.switches for line in _switch(plan, verdict)),
        "declared": max(len("declared"), *(len(verdict.says) for verdict in checked.switches)),
    }
    for heading in ("stage", "switch", "declared", "logits", "averaged", "loss", "new entries", ""):
        right = heading in ("logits", "averaged", "new entries")
        table.add_column(heading, justify="right" if right else "left", overflow="fold", width=widths.get(heading))
    for verdict in checked.switches:
        table.add_row(*_row(plan, verdict))
    return table


def _row(plan: Plan, verdict: Verdict) -> Iterator[str]:
    yield str(verdict.stage)
    yield "\n".join(_switch(plan, verdict))
    yield verdict.says
    yield f"{verdict.logits:.2g}"
    yield f"{verdict.averaged:.2g}"
    yield " - ".join(f"{loss:.3g}" for loss in verdict.losses)
    yield "-" if verdict.reached is None else f"{count(verdict.new)}, {share(verdict.reached)}"
    yield "wrong" if verdict.faults else "lossy" if verdict.says == "lossy" else "kept"


def _switch(plan: Plan, verdict: Verdict) -> Iterator[str]:
    """Yield the names of the transitions, then the change of each axis: `width 32 to 48`, `patch 4 to 2 px`."""
    yield from verdict.transitions
    for axis in plan.axes:
        before, after = verdict.before[axis.name], verdict.after[axis.name]
        if before != after:
            yield f"{axis.name} {before} to {after} {axis.unit}".rstrip()


def _words(checked: Checked) -> Iterator[str]:
    size = "a scaled-down model of the plan" if checked.reduced else "the plan's own model"
    yield f"on {size} ({count(checked.entries)} parameters at the end), random weights, float64"
    yield from (f"not scaled down: {note}" for note in checked.notes)
    if checked.switches:
        yield "logits, averaged: largest change relative to the largest logit, with the weights and with their average"
    if any(verdict.new for verdict in checked.switches):
        yield "new entries: their number, and the share that has received a gradient by the second step"
    if any(verdict.says != "lossy" for verdict in checked.switches):
        yield f"kept: the transition declares that it preserves the function, and the change is below {EXACT:g}"
    if any(verdict.says == "lossy" for verdict in checked.switches):
        yield "lossy: the change with random weights does not predict the change with trained weights"
    for verdict in checked.switches:
        if verdict.says == "lossy" and verdict.logits == 0:
            yield (
                f"switch {verdict.stage - 1} is declared lossy, but no logit changes: check that the model reads what "
                "the transition sets"
            )
    if checked.blends:
        yield f"{count(checked.blends)} blend{'s' * (checked.blends != 1)} entered and left"
