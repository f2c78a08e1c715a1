"""Reader of `trainer_state.json`, which the trainer of Hugging Face transformers writes into every checkpoint."""

from __future__ import annotations

from collections.abc import Iterator

from shapeflow.laws.logs.readers import document
from shapeflow.laws.logs.readers.cells import number
from shapeflow.laws.logs.readers.log import Log, Row, Unreadable

KEY = "log_history"


def rows(log: Log) -> Iterator[Row]:
    """Yield the entries of `log_history`, with columns such as `step`, `epoch`, `loss`, `learning_rate` or `eval_loss`.
    Raises Unreadable.

    The trainer counts its FLOPs in `total_flos` (6 per parameter and token, without embeddings), but writes only the
    total at the last step. All batches have the same size, so this function distributes the total evenly over the
    steps.
    """
    found = document.parsed(log)
    history = found.get(KEY) if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(history, list):
        raise Unreadable(f"it has no list `{KEY}`")
    total, last = number(found.get("total_flos")), number(found.get("global_step"))
    each = 0.0
    if isinstance(total, float) and isinstance(last, float) and total > 0 and last > 0:
        each = total / last
        log.made["total_flos"] = f"the {total:.4g} FLOPs of its {last:g} steps, spread evenly"
    for row in history:
        if not isinstance(row, dict):
            log.broken += 1
            continue
        step = number(row.get("step"))
        if isinstance(step, float) and each > 0 and "total_flos" not in row:
            row = {**row, "total_flos": each * step}
        yield row
