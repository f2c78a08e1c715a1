"""Reader of `trainer_state.json`, which the trainer of Hugging Face transformers writes into every checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from shapeflow.laws.logs.readers import document
from shapeflow.laws.logs.readers.cells import number
from shapeflow.laws.logs.readers.log import Log, Row, Unreadable

KEY = "log_history"
CLOSE = 0.02
"""A total that differs by at most this share from that of the steps of the last session alone is theirs."""


def rows(log: Log) -> Iterator[Row]:
    """Yield the entries of `log_history`, with columns such as `step`, `epoch`, `loss`, `learning_rate` or `eval_loss`.
    Raises Unreadable.

    The trainer counts its FLOPs in `total_flos` (6 per parameter and token, without embeddings), but writes only the
    total at the last step and at the ends of earlier sessions. Between these, all batches have the same size, so this
    function distributes the totals evenly over the steps. Totals that fall, or are those of the last session alone, are
    left out.
    """
    found = document.parsed(log)
    history = found.get(KEY) if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(history, list):
        raise Unreadable(f"it has no list `{KEY}`")
    known = _totals(found, history)
    rising = not any(_begins_again(before, after) for before, after in pairwise(known))
    if known and rising:
        step, total = known[-1]
        log.made["total_flos"] = f"the {total:.4g} FLOPs of its {step:g} steps, spread evenly"
    elif known:
        log.notes.append(
            "its `total_flos` does not count all of its steps, so it is left out: the trainer counted from 0 again"
        )
    for row in history:
        if not isinstance(row, dict):
            log.broken += 1
            continue
        at = number(row.get("step"))
        if not rising:
            row = {name: cell for name, cell in row.items() if name != "total_flos"}
        elif isinstance(at, float) and known and "total_flos" not in row:
            row = {**row, "total_flos": _spread(known, at)}
        yield row


def _totals(found: Row, history: list[Any]) -> list[tuple[float, float]]:
    """Return the steps at which a total is known, and the totals, in order of steps."""
    last = {"step": found.get("global_step"), "total_flos": found.get("total_flos")}
    totals: dict[float, float] = {}
    for row in (*history, last):
        step, total = (number(row.get(name)) if isinstance(row, dict) else "blank" for name in ("step", "total_flos"))
        if isinstance(step, float) and isinstance(total, float) and step > 0 and total > 0:
            totals[step] = total
    return sorted(totals.items())


def _begins_again(before: tuple[float, float], after: tuple[float, float]) -> bool:
    """Return whether a total is not above an earlier one, or is that of the steps since then: with the total per step
    of before."""
    since = before[1] / before[0] * (after[0] - before[0])
    return after[1] <= before[1] or abs(after[1] / since - 1) <= CLOSE


def _spread(known: list[tuple[float, float]], step: float) -> float:
    """Return the total at a step, between the totals that are known."""
    low, high = (0.0, 0.0), known[-1]
    for one in known:
        if one[0] >= step:
            high = one
            break
        low = one
    if low == high:
        low = known[-2] if len(known) > 1 else (0.0, 0.0)
    return low[1] + (high[1] - low[1]) / (high[0] - low[0]) * (step - low[0])
