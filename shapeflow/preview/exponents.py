"""Shows the result of `shapeflow phases --fit`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shapeflow.laws.exponents.estimate import Estimate
from shapeflow.laws.exponents.measure import Findings, Predicted
from shapeflow.laws.exponents.resemblance import Resemblance
from shapeflow.laws.exponents.slopes import Change
from shapeflow.laws.random_features.phase import phase_of
from shapeflow.laws.random_features.problem import outside
from shapeflow.preview.numbers import flops

Decays = tuple[float | None, float | None]


def exponents_view(found: Findings, notes: Sequence[str], decays: Decays = (None, None)) -> RenderableType:
    """Both exponents in one sentence, what they resemble, whether they may be extrapolated, and tables. `decays`: alpha
    and beta, if they are known."""
    parts: list[RenderableType] = [Text(headline(found), style="bold")]
    facts = [*_facts(found, decays), *(("beware", note) for note in notes)]
    parts += [_fact(name, text) for name, text in facts]
    if found.predicted:
        parts += [Text(), _budgets(found)]
    return Group(*parts, Text(), _crossings(found))


def headline(found: Findings) -> str:
    """Both exponents with their intervals."""
    above = "" if found.floor is None else " above its floor"
    return (
        f"the best width grows as compute^{_spread(found.xi)},\n"
        f"and the loss{above} falls as compute^-{_spread(found.eta)}"
    )


def _fact(name: str, text: str) -> RenderableType:
    line = Table.grid(padding=(0, 1))
    line.add_column(width=10, no_wrap=True)
    line.add_column()
    line.add_row(name, text)
    return Padding(line, (0, 0, 0, 2))


def _facts(found: Findings, decays: Decays) -> Iterator[tuple[str, str]]:
    yield from _resembles(found, decays)
    yield from _extrapolation(found)
    first, last = found.compute
    widths = [one.width for one in found.family.members]
    yield (
        "measured",
        f"{len(widths)} widths, {widths[0]} to {widths[-1]}; the best width changes {len(found.crossings)} times "
        f"over {math.log10(last / first):.2g} decades, {flops(first)} to {flops(last)}",
    )
    yield "floor", _floor(found)
    yield from _assumed(found)


def _resembles(found: Findings, decays: Decays) -> Iterator[tuple[str, str]]:
    alpha, beta = decays
    if alpha is not None and beta is not None and outside(alpha, beta) is None:
        phase = phase_of(alpha, beta)
        fits = "agrees" if found.resembles else "does not agree"
        yield (
            "theory",
            f"alpha {alpha:g} and beta {beta:g} are phase {phase.name}, with compute^{phase.width_exponent:.3g} and "
            f"compute^-{phase.loss_exponent:.3g}: it {fits} with these runs",
        )
        return
    named = [one for one in found.resembles if one.practical]
    hidden = [one for one in found.resembles if not one.practical]
    for index, one in enumerate(named):
        yield "" if index else "resembles", _phase(one)
    if hidden:
        names = " or ".join(one.phase for one in hidden)
        lead = "phase " if not named else "not ruled out: phase "
        yield (
            "" if named else "resembles",
            f"{lead}{names}, below 2 alpha = 1, where exponents do not hold at practical widths",
        )
    if not found.resembles:
        known = ", with this alpha" if alpha is not None else ", with this beta" if beta is not None else ""
        yield "resembles", f"none of the seven phases of random features{known}"
    else:
        yield "", "a resemblance is not a proof: other losses have the same exponents"


def _phase(one: Resemblance) -> str:
    return f"phase {one.phase}, with alpha {_range(*one.alpha)} and beta {_range(*one.beta)}"


def _range(low: float, high: float) -> str:
    first, last = f"{low:.3g}", f"{high:.3g}"
    return first if first == last else f"{first} to {last}"


def _extrapolation(found: Findings) -> Iterator[tuple[str, str]]:
    width, loss = found.width_change, found.loss_change
    if width is None or loss is None:
        yield "beware", "two crossings do not show whether the exponents are constant: add a width"
        return
    drifts = [f"{what}: {_halves(one)}" for what, one in (("best width", width), ("loss", loss)) if one.real]
    if not drifts:
        yield "constant", "both exponents are the same in both halves of the range, up to noise"
        return
    yield "beware", "the exponents are not constant and should not be extrapolated"
    for text in drifts:
        yield "", text
    if found.by_half is not None and (line := _line(*found.by_half)) is not None:
        yield "", line


def _halves(one: Change) -> str:
    return f"{_spread(one.first)} in the first half of the range, {_spread(one.second)} in the second"


def _line(first: Sequence[Resemblance], second: Sequence[Resemblance]) -> str | None:
    """Whether the halves resemble different phases."""
    one, other = ({each.phase for each in half} for half in (first, second))
    if one & other or not (one and other):
        return None
    before, after = (" or ".join(sorted(names)) for names in (one, other))
    return f"the runs cross a line between phases: the first half resembles {before}, the second {after}"


def _floor(found: Findings) -> str:
    if found.floor is not None:
        return f"{_spread(found.floor, 4)}, estimated: the loss flattens over the range"
    if found.floor_wanted:
        return (
            "the loss flattens, but these crossings are too few to estimate a floor; the exponent is that without one"
        )
    return "none needed: the loss does not flatten"


def _assumed(found: Findings) -> Iterator[tuple[str, str]]:
    cost = found.family.step_cost
    if cost is None:
        yield "assumes", "that a step costs FLOPs in proportion to the width: the logs have no steps"
    elif cost <= 0:
        yield "beware", f"a step costs width^{cost:.3g}: is the compute that of all steps so far, and the width right?"
    elif abs(cost - 1) > 0.05:
        yield (
            "size",
            f"a step costs width^{cost:.3g}: the theory counts width by the cost of a step, "
            f"and by that the best size grows as compute^{_spread(found.size_xi)}",
        )
    if not found.family.constant_rate:
        yield "assumes", "a constant learning rate: the logs do not show it"
    if found.family.diverged:
        yield "beware", f"{found.family.diverged} points are left out, after their run diverged"


def _budgets(found: Findings) -> Table:
    table = _table("budget", "best width", "loss there", "measured range")
    for one in found.predicted:
        width = "-" if one.width is None else _spread(one.width, 3)
        loss = "-" if one.loss is None else _spread(one.loss, 3)
        table.add_row(flops(one.budget), width, loss, _where(one))
    return table


def _where(one: Predicted) -> str:
    if one.beyond == 1:
        return "inside"
    return f"{one.beyond:.3g} times above" if one.beyond > 1 else f"{1 / one.beyond:.3g} times below"


def _crossings(found: Findings) -> Table:
    table = _table("widths", "equal at", "loss there")
    for one in found.crossings:
        spread = f"{flops(one.compute.value)} ({flops(one.compute.low)} to {flops(one.compute.high)})"
        table.add_row(f"{one.widths[0]} and {one.widths[1]}", spread, f"{one.loss.value:.4g}")
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _spread(one: Estimate, digits: int = 3) -> str:
    return f"{_number(one.value, digits)} ({_number(one.low, digits)} to {_number(one.high, digits)})"


def _number(value: float, digits: int) -> str:
    return f"{value:.0f}" if 10 ** (digits - 1) <= value < 1e5 else f"{value:.{digits}g}"


def as_json(found: Findings, notes: Sequence[str]) -> dict[str, Any]:
    """The findings as JSON values."""

    def plain(value: Any) -> Any:
        return None if value is None else attrs.asdict(value)

    return {
        "width_exponent": plain(found.xi),
        "loss_exponent": plain(found.eta),
        "size_exponent": plain(found.size_xi),
        "step_cost": found.family.step_cost,
        "floor": plain(found.floor),
        "constant": found.constant,
        "width_exponent_by_half": plain(found.width_change),
        "loss_exponent_by_half": plain(found.loss_change),
        "resembles": [attrs.asdict(one) for one in found.resembles],
        "resembles_by_half": [[one.phase for one in half] for half in found.by_half or ()],
        "widths": [one.width for one in found.family.members],
        "compute": list(found.compute),
        "crossings": [attrs.asdict(one) for one in found.crossings],
        "budgets": [attrs.asdict(one) for one in found.predicted],
        "constant_rate": found.family.constant_rate,
        "notes": list(notes),
    }
