"""Writes `evidence.md`: tables of all pieces, with the device, date, torch version and command of each call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evidence.kit import Result
from evidence.state import Found, State
from shapeflow.base.files import write_text

FILE = "evidence.md"
Lines = list[str]


def write_report(state: State, folder: Path) -> None:
    """Write the report atomically."""
    write_text(folder / FILE, report(state))


def report(state: State) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in state.settings.items())
    lines = ["# Evidence", "", f"Settings: {settings}. `python benchmarks/gpu_evidence.py` wrote this file.", ""]
    rows = [[name, found.status, f"{sum(call.seconds for call in found.calls):.0f}"] for name, found in _all(state)]
    lines += _table(["piece", "status", "seconds"], rows)
    for name, found in _all(state):
        if found.status == "not started":
            continue
        lines += ["", f"## {name}", ""]
        calls = [
            [each.date, each.device, each.torch, f"{each.seconds:.0f}", f"`{each.command}`"] for each in found.calls
        ]
        lines += _table(["date (UTC)", "device", "torch", "seconds", "command"], calls)
        if found.reason:
            lines += ["", "Failed:", "", "```", found.reason, "```"]
        if found.result:
            lines += ["", *SECTIONS[name](found.result)]
    return "\n".join(lines) + "\n"


def _all(state: State) -> Iterable[tuple[str, Found]]:
    return state.pieces.items()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Lines:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _tests(result: Result) -> Lines:
    lines = [", ".join(f"{count} {outcome}" for outcome, count in result["outcomes"].items()) + "."]
    lines += [f"- skipped {count}: {reason}" for reason, count in result["skipped"].items()]
    return lines + [f"- failed `{each['test']}`: {each['reason']}" for each in result["failed"]]


def _step(result: Result) -> Lines:
    """One table: ms per step of each variant, TFLOP/s of ours, and the ratios."""
    head = ["case", "variant", "ms per step (low to high)", "TFLOP/s", "ours / variant (low to high)"]
    rows, notes = [], []
    for case, found in result.items():
        for variant, seconds in found["seconds"].items():
            ratio = found["ratios"].get(f"ours / {variant}")
            rate = f"{found['flops'] / seconds['median'] / 1e12:.3g}"
            rows.append([case, variant, _spread(seconds, 1e3), rate, "" if ratio is None else _spread(ratio)])
        sizes = ", ".join(f"{name} {value}" for name, value in found["case"].items())
        counts = ", ".join(f"{name} {count:,}" for name, count in found["parameters"].items())
        notes.append(f"- {case}: {sizes}; parameters: {counts}; {found['rounds']} rounds, {found['clock']} time.")
        notes += [f"- {case}, {variant}: not measured, {reason}" for variant, reason in found["missing"].items()]
    return [*_table(head, rows), "", *notes]


def _spread(values: Mapping[str, float], unit: float = 1.0) -> str:
    middle, low, high = (f"{values[each] * unit:.3g}" for each in ("median", "low", "high"))
    return f"{middle} ({low} to {high})"


def _runs(result: Result) -> Lines:
    runs: list[Mapping[str, Any]] = result["runs"]
    metrics = sorted({name for run in runs for name in run["values"]})
    head = ["run", "steps", "of", "epochs", "FLOPs", *metrics, "seconds"]
    rows = []
    for run in runs:
        values = [f"{run['values'][name]:.4g}" if name in run["values"] else "" for name in metrics]
        place = [run["run"], str(run["steps"]), str(run["of"]), f"{run['epochs']:.1f}", f"{run['compute']:.3g}"]
        rows.append([*place, *values, f"{run['seconds']:.0f}"])
    return _table(head, rows)


def _answer(result: Result) -> Lines:
    return ["```", result["screen"].rstrip(), "```"]


def _compare(result: Result) -> Lines:
    """FLOPs of each way to the same error, one value a seed, and what the plan saves of it."""
    if "comparison" not in result:
        return _runs(result)
    found = result["comparison"]
    head = ["way", f"FLOPs to {found['metric']} {found['target']:.4g}", "at the end", "saving of the plan"]
    rows = [
        [
            way["what"],
            _each(way["compute"], "{:.4g}", "never"),
            _each(way["final"], "{:.4g}"),
            _each(way["savings"], "{:+.1%}"),
        ]
        for way in found["ways"]
    ]
    seeds = ", ".join(map(str, found["seeds"]))
    return [*_table(head, rows), "", f"One value for each of the seeds {seeds}.", "", *_runs(result)]


def _each(values: Sequence[float | None], form: str, none: str = "-") -> str:
    return ", ".join(none if value is None else form.format(value) for value in values)


SECTIONS: Mapping[str, Callable[[Result], Lines]] = {
    "tests": _tests,
    "step": _step,
    "sweep": _runs,
    "answer": _answer,
    "compare": _compare,
}
"""Piece -> its section."""
